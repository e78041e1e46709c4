//! What a coordinator's process does while it leads: appends records, tells the coordinator what is durable, and
//! sends what that wants sent.

use engine_app::coordinator::{Coordinator, Output};
use engine_app::log::record::EpochBody;
use engine_app::log::recovery::{Found, Wanted, recover};
use engine_app::log::writer::{self, AppendError, Begin, State, Writer};
use engine_net::messages::commit::Commit;
use engine_net::messages::{Message as _, Reply};

use super::contender::{End, Process, Stage};
use super::{Cluster, client};
use crate::log::Jet;
use crate::network::Message;
use crate::scenario;

impl Cluster {
    /// An answer of the log's server.
    pub(super) fn log_says(&mut self, number: usize, process: &mut Process, jet: Jet) -> Option<End> {
        let now = self.now;
        match (jet, &mut process.writer) {
            (Jet::Acked(token, seq), Some(writer)) => writer.acked(token, seq, now),
            (Jet::Refused(token, refusal), Some(writer)) => writer.refused(token, refusal, now),
            (Jet::Found(token, found), Some(writer)) => writer.read(token, found.as_ref(), now),
            (Jet::Created(token, created), _) => process.lease.created(token, created, now),
            (Jet::Renewed(token, renewed), _) => process.lease.renewed(token, renewed, now),
            (Jet::LeaseIs(token, entry), _) => process.lease.read(token, entry, now),
            (Jet::End(end), _) => self.log_ends(process, end),
            (Jet::KeyframeStored(id), _) => self.keyframe_stored(number, process, id),
            (Jet::Stored(read, image), _) => {
                if !matches!(process.stage, Stage::Reads { number, .. } if number == read) {
                    return None;
                }
                let found = match recover(&*image, Wanted::Newest, |_| {}) {
                    Err(error) if image.damaged => {
                        self.tell(self.data(number), || format!("refuses to lead: {error}"));
                        process.lease.release(now);
                        return Some(End::Refuses);
                    }
                    Err(error) => {
                        self.blame(format!("recovery: {error}"));
                        return None;
                    }
                    Ok(_) if image.damaged => {
                        self.blame("damage: a world is recovered from a log that lacks a record".into());
                        return None;
                    }
                    Ok(found) => found,
                };
                self.begin(process, found);
            }
            _ => {}
        }
        None
    }

    pub(super) fn blame(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// Begins a reign behind what was found.
    fn begin(&mut self, process: &mut Process, found: Found) {
        let (position, last_seq) = match &found {
            Found::Nothing { position, last_seq } => (*position, *last_seq),
            Found::World(world) => (world.position, world.last_seq),
        };
        self.nonces += 1;
        let nonce = (u128::from(self.rng.below(u32::MAX)) << 64) | u128::from(self.nonces);
        let body = EpochBody { host: "sim".into(), pid: 1, format: 1, wall_ms: 0 };
        let begin = Begin { position, last_seq, epoch: position.epoch + 1, nonce, body };
        match Writer::begin(begin, self.contest.limits, self.now) {
            Ok(writer) => process.writer = Some(writer),
            Err(error) => self.blame(format!("an epoch record can't be made: {error}")),
        }
        process.stage = Stage::Begins(Box::new(found));
    }

    /// A world that may be led: made of what was stored, or new.
    fn made(&self, found: &mut Found, epoch: u64) -> Result<Coordinator, String> {
        let (settings, scenario) = (self.log.truth.settings.clone(), self.log.truth.scenario);
        match found {
            Found::Nothing { .. } => {
                let made = scenario::app(scenario).into_coordinator(settings, &Default::default(), |_| false, epoch);
                made.map(|(coordinator, _)| coordinator).map_err(|error| format!("{error:#}"))
            }
            Found::World(found) => {
                let systems = self.systems.iter().map(|system| (system.clone(), false)).collect();
                let world = std::mem::take(&mut found.world);
                let restored = Coordinator::restore(settings, world, systems, &found.state, epoch);
                restored.map_err(|error| format!("divergence: {error}"))
            }
        }
    }

    /// Lets the writer do what it wants done.
    pub(super) fn write(&mut self, number: usize, process: &mut Process) -> Option<End> {
        let now = self.now;
        self.feed_writer(process);
        let writer = process.writer.as_mut()?;
        writer.clock(now);
        self.feed_writer(process);
        let writer = process.writer.as_mut()?;
        let mut asked = Vec::new();
        while let Some(output) = writer.output() {
            asked.push(match output {
                writer::Output::Publish(publish) => Jet::Publish(publish),
                writer::Output::Read { token, seq } => Jet::Read(token, seq),
                writer::Output::ReadEpoch { token } => Jet::ReadEpoch(token),
            });
        }
        let (position, state, epoch, began) = (writer.position(), writer.state(), writer.epoch(), writer.began());
        asked.into_iter().for_each(|jet| self.tell_log(number, jet));
        if began && matches!(process.stage, Stage::Begins(_)) {
            let Stage::Begins(mut found) = std::mem::replace(&mut process.stage, Stage::StandsBy) else { return None };
            match self.made(&mut found, epoch) {
                Ok(coordinator) => self.began(number, process, position, coordinator, *found),
                Err(problem) => self.blame(problem),
            }
        }
        if let Some(mark) = self.durable(process, position) {
            self.tell_log(number, Jet::Mark(mark));
        }
        match state {
            State::Deposed { by } => self.fenced(number, process, by.is_some_and(|by| by < epoch)),
            State::Damaged { what } => self.blame(format!("writer: {what}")),
            _ => {}
        }
        None
    }

    fn feed_writer(&mut self, process: &mut Process) {
        let Some(writer) = &mut process.writer else { return };
        while writer.can_append() {
            let Some((tick, record)) = process.waiting.pop_front() else { return };
            match writer.append(tick, record, self.now) {
                Ok(end) => process.store.appended(end),
                Err(AppendError::Over(_)) => {}
                Err(error) => return self.blame(format!("a record can't be kept: {error}")),
            }
        }
    }

    /// Lets the coordinator go on, and does what it wants done.
    pub(super) fn reign(&mut self, number: usize, process: &mut Process) -> Option<End> {
        let now = self.now;
        process.reign()?;
        if let Err(problem) = self.replay_next(process) {
            self.blame(problem);
        }
        process.reign_mut()?.coordinator.clock(now);
        // As often as something new is to be done.
        for _ in 0..64 {
            let reign = process.reign_mut()?;
            while reign.coordinator.next_commit().is_some() {}
            if let Some(failure) = reign.coordinator.take_failure() {
                self.blame(format!("divergence: {failure}"));
            }
            if let Err(problem) = self.check_coordinator(number, process) {
                self.blame(problem);
            }
            if let Some(end) = self.carry_out(number, process) {
                return Some(end);
            }
            self.write(number, process);
            if let Err(problem) = self.replay_next(process) {
                self.blame(problem);
            }
            let stored = self.store_keyframes(number, process);
            if let Err(problem) = stored {
                self.blame(problem);
            }
            if process.reign()?.coordinator.outputs() == 0 {
                break;
            }
        }
        None
    }

    fn carry_out(&mut self, number: usize, process: &mut Process) -> Option<End> {
        let from = self.data(number);
        while let Some(output) = process.reign_mut()?.coordinator.next_output() {
            match output {
                Output::Send { lane, subject, token, headers, payload } => {
                    let about = headers.and_then(|headers| Some((headers.epoch?, headers.tick?)));
                    let checked = self.check_lease(process).and_then(|()| self.check_shown(&subject, about, &payload));
                    if let Err(problem) = checked {
                        self.blame(problem);
                    }
                    self.send(Message { from, lane, subject, reply: None, token, payload, envelope: None, jet: None });
                }
                Output::Record { tick, record } => {
                    process.reign_mut()?.since += 1;
                    process.waiting.push_back((tick, record));
                }
                Output::Keep(_) => self.blame("events to be kept, where none are".into()),
                Output::Run(_) => self.blame("a job for this process, where all run elsewhere".into()),
            }
            if self.now < self.climate.until && self.rng.chance(self.climate.midway) {
                return Some(End::Killed(crate::faults::Fault::RestartMidway));
            }
        }
        None
    }

    /// What is shown of the world is in the log when it is sent.
    fn check_shown(&self, subject: &str, about: Option<(u64, u64)>, payload: &[u8]) -> Result<(), String> {
        let truth = &self.log.truth;
        if subject == self.subjects.commit() {
            let Commit { epoch, tick, hash, .. } =
                Commit::decode(payload).map_err(|error| format!("a commit can't be read: {error}"))?;
            return truth.check_commit(epoch, tick, hash);
        }
        if let Some(id) = client::command_of(subject, 1 + self.instances.len()..self.data(0)) {
            return match client::told(payload) {
                Ok(Reply::Ok(_)) => truth.check_answer(&id, true),
                Ok(Reply::Error(problem)) if client::is_undecided(&problem.code) => Ok(()),
                Ok(Reply::Error(_)) => truth.check_answer(&id, false),
                Err(error) => Err(format!("an answer can't be read: {error}")),
            };
        }
        let shows = ["event.", "entity.", "watch.frame."];
        let rest = subject.strip_prefix(self.subjects.root()).and_then(|rest| rest.strip_prefix('.')).unwrap_or("");
        match (shows.iter().find(|kind| rest.starts_with(**kind)), about) {
            (Some(_), Some((epoch, tick))) => truth.check_shown(rest, epoch, tick),
            _ => Ok(()),
        }
    }
}
