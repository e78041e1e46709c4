//! The coordinator and those that come after it. When one is killed, another takes over with what is durable:
//! the records that it handed out. That stands in for the log, and keeps what a log has to keep; everything else
//! is gone with the process.

use engine_app::Settings;
use engine_app::coordinator::{Coordinator, Output};
use engine_app::record::TickRecord;
use engine_net::subject::Subjects;
use engine_system::planted::Bug;

use super::{COORDINATOR, Cluster, Event, MS, RESULTS};
use crate::check::Baseline;
use crate::faults::Fault;
use crate::network::Message;
use crate::replay::replayed;
use crate::scenario::{self, Scenario};

/// Records that may be on their way when a tick begins.
pub(crate) const LAG: u64 = 8;

/// See the module's text.
pub(crate) struct Reign {
    /// None while nobody reigns.
    pub(super) coordinator: Option<Coordinator>,
    /// Which process it is.
    pub(crate) incarnation: u32,
    /// Stands still until then.
    pub(super) paused_until: u64,
    wakes: u64,
    /// What is durable.
    pub(crate) records: Vec<TickRecord>,
    settings: Settings,
    scenario: Scenario,
    baseline: Baseline,
    bug: Option<Bug>,
    /// The last tick when this coordinator took over, and records then.
    began_with: (u64, usize),
}

impl Reign {
    /// The first coordinator.
    pub(crate) fn new(
        coordinator: Coordinator,
        settings: Settings,
        scenario: Scenario,
        baseline: Baseline,
        bug: Option<Bug>,
    ) -> Self {
        Self {
            coordinator: Some(coordinator),
            incarnation: 0,
            paused_until: 0,
            wakes: u64::MAX,
            records: Vec::new(),
            settings,
            scenario,
            baseline,
            bug,
            began_with: (0, 0),
        }
    }

    pub(super) fn subjects(&self) -> Subjects {
        // A name that was good for a coordinator is good for subjects.
        match &self.coordinator {
            Some(coordinator) => coordinator.subjects().clone(),
            None => unreachable!("a cluster begins with a coordinator"),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.coordinator.as_ref().is_some_and(Coordinator::is_finished)
    }

    /// Whether nothing is committed since this coordinator took over.
    pub(super) fn is_young(&self) -> bool {
        self.incarnation > 0 && self.last_tick() == self.began_with.0
    }

    /// Whether anything from outside was applied.
    fn was_given_something(&self) -> bool {
        self.records.iter().any(|record| !record.inputs.is_empty() || !record.kept.is_empty())
    }

    fn last_tick(&self) -> u64 {
        self.records.last().map_or(0, |record| record.tick)
    }

    /// A record is handed out: from now on it is durable.
    fn keep(&mut self, record: TickRecord) -> Result<(), String> {
        let last = self.last_tick();
        let stands_still = record.tick == last && !record.inputs.is_empty();
        if record.tick != last + 1 && !stands_still {
            return Err(format!("a record of tick {} comes behind one of tick {last}", record.tick));
        }
        let due = record.tick as usize;
        self.records.push(record);
        let Some(record) = self.records.last().filter(|_| !stands_still) else { return Ok(()) };
        match self.baseline.hash(due) {
            _ if self.was_given_something() => Ok(()),
            Some(hash) if hash == record.hash => Ok(()),
            Some(hash) => Err(format!("divergence: tick {due} has hash {} instead of {hash}", record.hash)),
            None => Err(format!("divergence: tick {due} is beyond the last one")),
        }
    }

    /// Replays all that is durable, by the book.
    pub(crate) fn replayed(&self) -> Result<Coordinator, String> {
        let epoch = u64::from(self.incarnation) + 1;
        plant(None);
        let replayed = replayed(&self.settings, self.scenario, epoch, &self.records);
        plant(self.bug);
        replayed
    }

    /// The same world in a coordinator whose systems are run by instances, by way of what a keyframe holds.
    fn restored(&self, replayed: Coordinator) -> Result<Coordinator, String> {
        let epoch = replayed.epoch();
        let state = replayed.state().ok_or("a coordinator between two ticks has no state")?;
        let systems = scenario::app(self.scenario).into_systems().map_err(|error| format!("{error:#}"))?;
        let systems = systems.into_iter().map(|system| (system, false)).collect();
        let restored = Coordinator::restore(self.settings.clone(), replayed.into_world(), systems, &state, epoch);
        restored.map_err(|error| format!("divergence: {error}"))
    }

    /// Compares the whole run with its replay.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.was_given_something() { self.replayed().map(drop) } else { Ok(()) }
    }

    /// The world.
    pub(crate) fn world(&self) -> Option<&engine_component::World> {
        self.coordinator.as_ref().map(Coordinator::world)
    }
}

/// Has everybody make a mistake from now on.
pub(crate) fn plant(bug: Option<Bug>) {
    #[cfg(feature = "planted")]
    engine_system::planted::plant(bug);
    let _ = bug;
}

impl Cluster {
    pub(super) fn happen_to_coordinator(&mut self, event: Event) {
        let incarnation = match &event {
            Event::Arrive { incarnation, .. }
            | Event::NobodyThere { incarnation, .. }
            | Event::Wake { incarnation, .. }
            | Event::Succeed { incarnation } => *incarnation,
            _ => self.reign.incarnation,
        };
        if self.reign.incarnation != incarnation {
            return self.outlive(event);
        }
        if let Event::Succeed { .. } = event {
            return self.succeed();
        }
        if self.reign.paused_until > self.now {
            return self.at(self.reign.paused_until, event);
        }
        let now = self.now;
        let is_result = matches!(&event, Event::Arrive { message, .. } if message.lane == RESULTS);
        if is_result && now < self.climate.until && self.rng.chance(self.climate.midway) {
            self.restart_coordinator(Fault::RestartMidway);
            return self.outlive(event);
        }
        let Some(coordinator) = &mut self.reign.coordinator else { return };
        match event {
            Event::Arrive { .. } if self.network.is_cut(COORDINATOR) => return,
            Event::Arrive { message: Message { subject, reply, payload, .. }, .. } => {
                coordinator.message(now, &subject, reply.as_deref(), payload);
            }
            Event::NobodyThere { token, .. } => coordinator.nobody_there(now, &token),
            Event::Wake { .. } => {
                self.reign.wakes = u64::MAX;
                coordinator.clock(now);
            }
            _ => {
                self.network.heal(COORDINATOR);
                coordinator.reconnected(now);
                self.listen();
                self.tell(COORDINATOR, || "is connected".into());
                self.send_late(COORDINATOR);
            }
        }
        self.settle();
    }

    /// What the coordinator listens to. Over NATS it is sent the results of its own epoch only; here those of
    /// all, since it has to refuse the others by itself.
    fn listen(&mut self) {
        self.network.forget(COORDINATOR);
        let root = self.subjects.root();
        let patterns = [format!("{root}.component.changed."), format!("{root}.command.")];
        let subjects = [self.subjects.register(), self.subjects.heartbeat(), self.subjects.leave()];
        for subject in patterns.into_iter().chain(subjects) {
            self.network.subscribe(COORDINATOR, subject);
        }
    }

    /// Does what the coordinator wants done.
    fn settle(&mut self) {
        let Some(coordinator) = &mut self.reign.coordinator else { return };
        while coordinator.next_commit().is_some() {}
        if let Some(failure) = coordinator.take_failure() {
            self.problem = Some(failure.to_string());
        }
        if let Err(problem) = self.check_coordinator() {
            self.problem.get_or_insert(problem);
        }
        self.carry_out();
        let Some(coordinator) = &self.reign.coordinator else { return };
        let at = coordinator.wake_at(self.now).max(self.now + 1);
        if at < self.reign.wakes {
            self.reign.wakes = at;
            let incarnation = self.reign.incarnation;
            self.at(at, Event::Wake { to: COORDINATOR, incarnation });
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.reign.coordinator.as_mut().and_then(Coordinator::next_output) {
            match output {
                Output::Send { lane, subject, token, payload, .. } => {
                    self.send(Message { from: COORDINATOR, lane, subject, reply: None, token, payload });
                }
                Output::Record { record, .. } => self.keep(&record),
                Output::Run(_) => self.problem = Some("a job for this process, where all run elsewhere".into()),
            }
            if self.now < self.climate.until && self.rng.chance(self.climate.midway) {
                self.restart_coordinator(Fault::RestartMidway);
            }
        }
    }

    /// What is to be durable is at once; what waited for that goes out behind what is sent before.
    fn keep(&mut self, record: &[u8]) {
        let kept = TickRecord::from_bytes(record).map_err(|error| error.to_string()).and_then(|record| {
            let (tick, hash, inputs, kept) = (record.tick, record.hash, record.inputs.len(), record.kept.len());
            self.tell(COORDINATOR, || format!("records tick {tick} with {inputs} inputs, {kept} kept, hash {hash}"));
            self.reign.keep(record)
        });
        if let Err(problem) = kept {
            self.problem.get_or_insert(problem);
        }
        let records = (self.reign.records.len() - self.reign.began_with.1) as u64;
        if let Some(coordinator) = &mut self.reign.coordinator {
            coordinator.durable(self.now, records);
        }
    }

    /// The process is gone at once; another one takes over after a while.
    pub(super) fn restart_coordinator(&mut self, fault: Fault) {
        if self.reign.coordinator.take().is_none() {
            return;
        }
        self.counts.count(fault);
        self.reign.incarnation += 1;
        (self.reign.paused_until, self.reign.wakes) = (0, u64::MAX);
        self.late.retain(|message| message.from != COORDINATOR);
        self.network.forget(COORDINATOR);
        self.keep_recent();
        let after = self.now + 1 + self.some_ms(50);
        self.ends_at(after);
        let until = after as f64 / 1e6;
        self.tell(COORDINATOR, || format!("is killed; another one takes over at {until:.3} ms"));
        let incarnation = self.reign.incarnation;
        self.at(after, Event::Succeed { incarnation });
    }

    fn succeed(&mut self) {
        let taken_over = self.reign.replayed().and_then(|replayed| self.reign.restored(replayed));
        let mut coordinator = match taken_over {
            Ok(coordinator) => coordinator,
            Err(problem) => return self.problem = Some(problem),
        };
        coordinator.keep_log(LAG);
        let (tick, epoch) = (self.reign.last_tick(), coordinator.epoch());
        self.reign.began_with = (tick, self.reign.records.len());
        self.reign.coordinator = Some(coordinator);
        self.tell(COORDINATOR, || format!("takes over after tick {tick}, in epoch {epoch}"));
        self.happen_to_coordinator(Event::Heal { party: COORDINATOR });
    }

    /// The coordinator stands still; what comes meanwhile is read afterwards.
    pub(super) fn pause_coordinator(&mut self) {
        self.counts.count(Fault::PauseCoordinator);
        let most = if self.rng.chance(0.2) { 15_000 } else { 400 };
        let until = self.now + self.some_ms(most);
        self.reign.paused_until = until;
        self.ends_at(until);
        self.tell(COORDINATOR, || format!("stands still until {} ms", until / MS));
    }
}
