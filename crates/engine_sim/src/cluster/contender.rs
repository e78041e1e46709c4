//! Coordinators: processes that contend for the lease, recover the world from the log, and lead it. The state
//! machines are those of a real process; what its two threads do to them is done here, in the same order.
//!
//! Each has two connections, as over NATS: one for instances and clients, one for the log.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use engine_app::coordinator::Coordinator;
use engine_app::log::chain::Position;
use engine_app::log::lease::{Lease, LeaseSettings, Role};
use engine_app::log::recovery::Found;
use engine_app::log::writer::{Limits, Writer};
use engine_app::record::TickRecord;
use engine_component::image::Snapshot;
use engine_net::headers::Headers;
use engine_system::planted::{self, Bug};

use super::shortcuts::Counted;
use super::store::Store;
use super::{Cluster, Event, LOG, MS, RESULTS};
use crate::faults::Fault;
use crate::log::Jet;
use crate::network::{Message, Party};

/// Records that may be on their way when a tick begins.
pub(crate) const LAG: u64 = 8;
/// An answer that brings all that is stored is waited for so long.
const READS: u64 = 60 * MS;

/// What coordinators are told on their command lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contest {
    pub(crate) contenders: usize,
    /// Of the lease.
    pub(crate) ttl: u64,
    pub(crate) limits: Limits,
    /// A keyframe is due after so many records.
    pub(crate) keyframe_every: u64,
    /// Keyframes that are kept.
    pub(crate) keep: usize,
}

/// A place for a process: whoever is killed here is started again here.
#[derive(Default)]
pub(super) struct Contender {
    pub(super) process: Option<Process>,
    /// Which process it is.
    pub(super) incarnation: u32,
    /// Stands still until then.
    pub(super) paused_until: u64,
    wakes: u64,
}

/// A process.
pub(super) struct Process {
    pub(super) lease: Lease,
    name: String,
    /// Holds the lease, as it believes.
    leads: bool,
    pub(super) stage: Stage,
    pub(super) writer: Option<Writer>,
    /// The index of its epoch record.
    first: u64,
    /// Durable records that the coordinator was told of.
    told: u64,
    /// Records that the writer has no room for.
    pub(super) waiting: VecDeque<(u64, Bytes)>,
    pub(super) store: Store,
    pub(super) snapshot: Option<Box<Snapshot>>,
    /// Where the log ended when it was looked at by one that rests, and when it looks again.
    end: Option<u64>,
    look_at: u64,
    reads: u64,
}

pub(super) enum Stage {
    StandsBy,
    /// Has asked for what is stored.
    Reads {
        number: u64,
        asked: u64,
    },
    /// Its epoch record is on its way.
    Begins(Box<Found>),
    Reigns(Box<Reign>),
}

/// What a reign does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Replays,
    /// The keyframe without which no tick may begin is being stored.
    Begins,
    Runs,
}

pub(super) struct Reign {
    pub(super) coordinator: Coordinator,
    replay: VecDeque<TickRecord>,
    pub(super) phase: Phase,
    needs_keyframe: bool,
    /// Records since the last keyframe.
    pub(super) since: u64,
    pub(super) counted: Counted,
}

/// Why a process ends.
pub(super) enum End {
    Killed(Fault),
    /// What is stored is damaged: somebody has to look at it.
    Refuses,
}

impl Process {
    pub(super) fn reign(&self) -> Option<&Reign> {
        if let Stage::Reigns(reign) = &self.stage { Some(reign) } else { None }
    }

    pub(super) fn reign_mut(&mut self) -> Option<&mut Reign> {
        if let Stage::Reigns(reign) = &mut self.stage { Some(reign) } else { None }
    }
}

impl Contender {
    /// The fault that it is to kill it now.
    fn death(&self) -> Option<Fault> {
        let process = self.process.as_ref()?;
        Some(match &process.stage {
            Stage::StandsBy => Fault::KillStandby,
            Stage::Reads { .. } | Stage::Begins(_) => Fault::RestartBeginning,
            Stage::Reigns(reign) if reign.phase != Phase::Runs => Fault::RestartRecovering,
            Stage::Reigns(_) if process.told == 0 => Fault::RestartAgain,
            Stage::Reigns(_) => Fault::RestartCoordinator,
        })
    }
}

impl Cluster {
    /// The connection of a contender to instances and clients.
    pub(super) fn data(&self, number: usize) -> Party {
        1 + self.instances.len() + self.clients.len() + 2 * number
    }

    /// The contender of a party, and whether it is its connection to the log.
    pub(super) fn contender(&self, party: Party) -> Option<(usize, bool)> {
        let from_first = party.checked_sub(1 + self.instances.len() + self.clients.len())?;
        Some((from_first / 2, from_first % 2 == 1))
    }

    /// Whoever leads, as it believes.
    pub(super) fn leaders(&self) -> impl Iterator<Item = (usize, &Process)> {
        let processes = self.contenders.iter().enumerate();
        processes.filter_map(|(number, contender)| Some((number, contender.process.as_ref().filter(|it| it.leads)?)))
    }

    fn log_inbox(&self, number: usize) -> String {
        format!("_LOG.{number}-{}", self.contenders[number].incarnation)
    }

    pub(super) fn happen_to_contender(&mut self, number: usize, event: Event) {
        let contender = &self.contenders[number];
        let incarnation = match &event {
            Event::Arrive { incarnation, .. }
            | Event::NobodyThere { incarnation, .. }
            | Event::Look { incarnation, .. }
            | Event::Wake { incarnation, .. } => *incarnation,
            _ => contender.incarnation,
        };
        if contender.incarnation != incarnation {
            return self.outlive(event);
        }
        if let Event::Start { name, .. } = event {
            return self.start_contender(number, name);
        }
        if contender.paused_until > self.now {
            return self.at(contender.paused_until, event);
        }
        let now = self.now;
        let is_result = matches!(&event, Event::Arrive { message, .. } if message.lane == RESULTS);
        if is_result && now < self.climate.until && self.rng.chance(self.climate.midway) {
            self.kill_contender(number, Fault::RestartMidway);
            return self.outlive(event);
        }
        let Some(mut process) = self.contenders[number].process.take() else { return };
        let mut end = None;
        match event {
            Event::Arrive { to, .. } if self.network.is_cut(to) => {}
            Event::Arrive { message: Message { jet: Some(jet), .. }, .. } => {
                end = self.log_says(number, &mut process, jet);
            }
            Event::Arrive { message: Message { subject, reply, payload, envelope, .. }, .. } => {
                if let Some(reign) = process.reign_mut() {
                    let headers =
                        envelope.map_or_else(Headers::default, |envelope| Headers::default().envelope(envelope));
                    reign.coordinator.message_with(now, &subject, reply.as_deref(), &headers, payload);
                }
            }
            Event::NobodyThere { token, .. } => {
                if let Some(reign) = process.reign_mut() {
                    reign.coordinator.nobody_there(now, &token);
                }
            }
            Event::Wake { .. } => self.contenders[number].wakes = u64::MAX,
            Event::Look { .. } => {
                if let Some(reign) = process.reign_mut() {
                    reign.coordinator.set_run_time(now, &self.bucket);
                }
            }
            Event::Heal { party } => self.connected(number, party, &mut process),
            _ => {}
        }
        let end = end.or_else(|| self.drive(number, &mut process));
        self.contenders[number].process = Some(process);
        match end {
            None => self.wake_contender(number),
            Some(End::Killed(fault)) => self.kill_contender(number, fault),
            Some(End::Refuses) => self.kill_contender(number, Fault::DamagedLog),
        }
    }

    fn connected(&mut self, number: usize, party: Party, process: &mut Process) {
        let now = self.now;
        self.network.heal(party);
        if party == self.data(number) {
            if let Some(reign) = process.reign_mut() {
                reign.coordinator.reconnected(now);
                self.listen(number);
            }
        } else {
            self.network.forget(party);
            let inbox = self.log_inbox(number);
            self.network.subscribe(party, inbox);
            if let Some(writer) = &mut process.writer {
                writer.reconnected(now);
            }
        }
        self.tell(party, || "is connected again".into());
        self.send_late(party);
    }

    fn start_contender(&mut self, number: usize, name: String) {
        if self.contenders[number].process.is_some() {
            return;
        }
        let now = self.now;
        let ttl = self.contest.ttl;
        let seed = u64::from(self.rng.below(u32::MAX));
        let process = Process {
            lease: Lease::new(name.clone(), LeaseSettings { ttl, poll: ttl / 8, seed }, now),
            name,
            leads: false,
            stage: Stage::StandsBy,
            writer: None,
            first: 0,
            told: 0,
            waiting: VecDeque::new(),
            store: Store::default(),
            snapshot: None,
            end: None,
            look_at: 0,
            reads: 0,
        };
        let contender = &mut self.contenders[number];
        contender.process = Some(process);
        (contender.paused_until, contender.wakes) = (0, u64::MAX);
        let (data, incarnation, inbox) =
            (self.data(number), self.contenders[number].incarnation, self.log_inbox(number));
        self.network.heal(data);
        if !self.network.is_cut(LOG) {
            self.network.heal(data + 1);
        }
        self.network.forget(data + 1);
        self.network.subscribe(data + 1, inbox);
        self.tell(data, || format!("starts, life {incarnation}"));
        self.at(now, Event::Wake { to: data, incarnation });
    }

    /// What a coordinator listens to. Over NATS it is sent the results of its own epoch only; here those of all,
    /// since it has to refuse the others by itself.
    pub(super) fn listen(&mut self, number: usize) {
        let data = self.data(number);
        self.network.forget(data);
        let root = self.subjects.root();
        for family in ["component.changed", "command", "system.register", "system.heartbeat", "system.leave"] {
            self.network.subscribe(data, format!("{root}.{family}."));
        }
    }

    /// Says something to the log's server.
    pub(super) fn tell_log(&mut self, number: usize, jet: Jet) {
        let (from, reply) = (self.data(number) + 1, Some(self.log_inbox(number)));
        let payload = Bytes::new();
        self.send(Message {
            from,
            lane: 0,
            subject: "$JS".into(),
            reply,
            token: None,
            payload,
            envelope: None,
            jet: Some(jet),
        });
    }

    /// Does all that follows from what happened, as the threads of a process would.
    fn drive(&mut self, number: usize, process: &mut Process) -> Option<End> {
        let now = self.now;
        process.lease.clock(now);
        self.ask_for_lease(number, process);
        let endless = planted::is(Bug::EndlessLease) && process.leads;
        let leads = process.lease.leads(now) || endless;
        if leads != process.leads {
            process.leads = leads;
            match leads {
                true => self.tell(self.data(number), || "has the lease".into()),
                false => self.depose(number, process, "the lease is lost"),
            }
        }
        if !leads {
            self.watch_log(number, process);
            return None;
        }
        match &process.stage {
            Stage::StandsBy => self.read_all(number, process),
            Stage::Reads { asked, .. } if now >= *asked + READS => self.read_all(number, process),
            _ => {}
        }
        let end = self.write(number, process);
        end.or_else(|| self.reign(number, process))
    }

    fn ask_for_lease(&mut self, number: usize, process: &mut Process) {
        use engine_app::log::lease::LeaseOutput;
        while let Some(output) = process.lease.output() {
            let name = process.name.clone();
            let jet = match output {
                LeaseOutput::Create { token } => Jet::Create(token, name),
                LeaseOutput::Replace { token, revision } => Jet::Replace(token, name, revision),
                LeaseOutput::Renew { token, revision } => Jet::Renew(token, name, revision),
                LeaseOutput::Release { revision } => Jet::Release(revision),
                LeaseOutput::Read { token } => Jet::ReadLease(token),
            };
            self.tell_log(number, jet);
        }
    }

    /// Whoever rests goes on resting while somebody writes to the log.
    fn watch_log(&mut self, number: usize, process: &mut Process) {
        if matches!(process.lease.role(), Role::Resting { .. }) && self.now >= process.look_at {
            process.look_at = self.now + self.contest.ttl / 4;
            self.tell_log(number, Jet::AskEnd);
        }
    }

    fn read_all(&mut self, number: usize, process: &mut Process) {
        process.reads += 1;
        process.stage = Stage::Reads { number: process.reads, asked: self.now };
        self.tell_log(number, Jet::Recover(process.reads));
    }

    /// The reign is over, or could not begin.
    pub(super) fn depose(&mut self, number: usize, process: &mut Process, why: &str) {
        if let Some(mut writer) = process.writer.take() {
            writer.step_down();
        }
        process.waiting.clear();
        process.store = Store::default();
        process.snapshot = None;
        process.stage = Stage::StandsBy;
        let data = self.data(number);
        self.network.forget(data);
        self.keep_recent();
        self.tell(data, || format!("stands by: {why}"));
    }

    /// Another one has written to the log.
    pub(super) fn fenced(&mut self, number: usize, process: &mut Process, is_behind: bool) {
        if planted::is(Bug::EndlessLease) {
            return;
        }
        self.depose(number, process, "another one has written to the log");
        if is_behind {
            // The lease is good: what came has to be read.
            return self.read_all(number, process);
        }
        process.leads = false;
        process.lease.fenced(self.now);
        self.ask_for_lease(number, process);
    }

    /// Leads the world, as far as its log goes.
    pub(super) fn began(
        &mut self,
        number: usize,
        process: &mut Process,
        position: Position,
        coordinator: Coordinator,
        found: Found,
    ) {
        let (replay, needs_keyframe) = match found {
            Found::Nothing { .. } => (VecDeque::new(), true),
            Found::World(world) => (VecDeque::from(world.records), false),
        };
        let mut coordinator = coordinator;
        (process.first, process.told) = (position.index, 0);
        coordinator.keep_log(LAG);
        coordinator.begin_recovery();
        coordinator.hello();
        let records = replay.len();
        self.most_records = self.most_records.max(records);
        let phase = Phase::Replays;
        process.stage = Stage::Reigns(Box::new(Reign {
            coordinator,
            replay,
            phase,
            needs_keyframe,
            since: 0,
            counted: Counted::default(),
        }));
        self.listen(number);
        self.look_soon(number);
        let Position { tick, epoch, .. } = position;
        self.tell(self.data(number), || {
            format!("takes over after tick {tick}, in epoch {epoch}, with {records} records")
        });
    }

    pub(super) fn durable(&mut self, process: &mut Process, position: Position) -> Option<engine_app::log::jet::Mark> {
        let records = position.index.saturating_sub(process.first);
        if records <= process.told {
            return None;
        }
        process.told = records;
        let now = self.now;
        process.reign_mut()?.coordinator.durable(now, records);
        let chain = Bytes::copy_from_slice(&position.chain.to_le_bytes());
        Some(engine_app::log::jet::Mark { sequence: position.seq, index: position.index, chain })
    }

    pub(super) fn replay_next(&mut self, process: &mut Process) -> Result<(), String> {
        let now = self.now;
        let Some(reign) = process.reign_mut() else { return Ok(()) };
        while reign.phase == Phase::Replays && reign.coordinator.may_replay() {
            let Some(record) = reign.replay.pop_front() else {
                if reign.needs_keyframe {
                    reign.phase = Phase::Begins;
                } else {
                    reign.phase = Phase::Runs;
                    reign.coordinator.end_recovery(now);
                }
                return Ok(());
            };
            reign.coordinator.replay(&record).map_err(|error| format!("divergence: {error}"))?;
            reign.coordinator.clock(now);
        }
        Ok(())
    }

    /// Where the log ends, as one sees who rests.
    pub(super) fn log_ends(&mut self, process: &mut Process, end: u64) {
        if process.end.replace(end).is_some_and(|before| before != end) {
            process.lease.log_moved(self.now);
        }
    }

    /// The lease is the one thing that may not be believed in for too long: nobody acts as the leader while
    /// another one holds it.
    pub(super) fn check_lease(&self, process: &Process) -> Result<(), String> {
        match self.log.store.read(self.now) {
            Some(entry) if entry.holder == process.name => Ok(()),
            Some(entry) => {
                Err(format!("lease: {} acts as the leader, and {} has the lease", process.name, entry.holder))
            }
            None => Err(format!("lease: {} acts as the leader, and nobody has the lease", process.name)),
        }
    }

    fn wake_contender(&mut self, number: usize) {
        let Some(process) = &self.contenders[number].process else { return };
        let mut at = process.lease.wakes_at();
        if let Some(writer) = &process.writer {
            at = at.min(writer.wakes_at().unwrap_or(u64::MAX));
        }
        at = match &process.stage {
            Stage::Reads { asked, .. } => at.min(asked + READS),
            Stage::Reigns(reign) => at.min(reign.coordinator.wake_at(self.now)).min(process.store.wakes_at()),
            _ => at,
        };
        let at = at.max(self.now + 1);
        if at < self.contenders[number].wakes {
            self.contenders[number].wakes = at;
            let (to, incarnation) = (self.data(number), self.contenders[number].incarnation);
            self.at(at, Event::Wake { to, incarnation });
        }
    }

    /// The process is gone at once; another one is started after a while.
    pub(super) fn kill_contender(&mut self, number: usize, fault: Fault) {
        let contender = &mut self.contenders[number];
        if contender.process.take().is_none() {
            return;
        }
        contender.incarnation += 1;
        (contender.paused_until, contender.wakes) = (0, u64::MAX);
        let incarnation = contender.incarnation;
        self.counts.count(fault);
        let data = self.data(number);
        self.late.retain(|message| message.from != data && message.from != data + 1);
        self.network.forget(data);
        self.network.forget(data + 1);
        self.keep_recent();
        let after = self.now + 1 + self.some_ms(50);
        self.ends_at(after);
        let until = after as f64 / 1e6;
        self.tell(data, || format!("is killed ({fault:?}); another one is started at {until:.3} ms"));
        self.at(after, Event::Start { party: data, name: format!("k{}.{incarnation}", number + 1) });
    }

    pub(super) fn kill_by_stage(&mut self, number: usize) {
        if let Some(fault) = self.contenders[number].death() {
            self.kill_contender(number, fault);
        }
    }

    /// The process stands still; what comes meanwhile is read afterwards.
    pub(super) fn pause_contender(&mut self, number: usize) {
        self.counts.count(Fault::PauseCoordinator);
        // Longer than the lease, as often as not.
        let ttl = (self.contest.ttl / MS) as u32;
        let kinds = if self.rng.chance(0.2) { 4 } else { 3 };
        let most = [ttl / 2, ttl * 3, 400, 15_000][self.rng.below(kinds) as usize];
        let until = self.now + self.some_ms(most);
        self.contenders[number].paused_until = until;
        self.ends_at(until);
        self.tell(self.data(number), || format!("stands still until {} ms", until / MS));
    }

    pub(super) fn hand_out_keyframe(&mut self, number: usize, keyframe: Rc<crate::log::Keyframe>) {
        self.tell_log(number, Jet::Keyframe(keyframe));
    }
}
