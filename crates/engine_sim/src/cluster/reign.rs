//! The coordinator and those that come after it. When one is killed, another takes over with what is durable:
//! the record of each commit, from the moment of the commit on. That stands in for the log, and keeps what a
//! log has to keep; everything else is gone with the process.

use engine_app::Settings;
use engine_app::coordinator::{Coordinator, Output};
use engine_app::record::{Input, TickRecord};
use engine_net::subject::Subjects;
use engine_system::planted::Bug;

use super::{COORDINATOR, Cluster, Event, MS, RESULTS};
use crate::check::Baseline;
use crate::faults::Fault;
use crate::network::Message;
use crate::replay::replayed;
use crate::scenario::Scenario;

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
    /// What was applied since the last of them, by a world that stands still.
    pub(crate) standing: Vec<Input>,
    settings: Settings,
    scenario: Scenario,
    baseline: Baseline,
    bug: Option<Bug>,
    /// Ticks when this coordinator took over.
    began_with: usize,
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
            standing: Vec::new(),
            settings,
            scenario,
            baseline,
            bug,
            began_with: 0,
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
        self.incarnation > 0 && self.records.len() == self.began_with
    }

    /// Whether anything from outside was applied.
    fn was_given_something(&self) -> bool {
        self.records.iter().any(|record| !record.inputs.is_empty() || !record.kept.is_empty())
    }

    /// A tick is committed: from now on it is durable.
    fn keep(&mut self, record: TickRecord) -> Result<(), String> {
        let due = self.records.len() + 1;
        if record.tick != due as u64 {
            return Err(format!("tick {} is committed where tick {due} is due", record.tick));
        }
        self.standing.clear();
        self.records.push(record);
        let record = &self.records[due - 1];
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
        let replayed = replayed(&self.settings, self.scenario, epoch, &self.records, &self.standing);
        plant(self.bug);
        replayed
    }

    /// Compares the whole run with its replay.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.was_given_something() || !self.standing.is_empty() { self.replayed().map(drop) } else { Ok(()) }
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

    /// Does what the coordinator wants done. What is to be durable is, before anybody hears of it.
    fn settle(&mut self) {
        let Some(coordinator) = &mut self.reign.coordinator else { return };
        let mut commits = Vec::new();
        while let Some(commit) = coordinator.next_commit() {
            commits.push(commit.record);
        }
        if let Some(failure) = coordinator.take_failure() {
            self.problem = Some(failure.to_string());
        }
        for record in commits {
            let (tick, hash, inputs, kept) = (record.tick, record.hash, record.inputs.len(), record.kept.len());
            self.tell(COORDINATOR, || format!("commits tick {tick} with {inputs} inputs, {kept} kept, hash {hash}"));
            if let Err(problem) = self.reign.keep(record) {
                self.problem.get_or_insert(problem);
            }
        }
        let Some(coordinator) = &mut self.reign.coordinator else { return };
        if !coordinator.is_running() && coordinator.applied().len() != self.reign.standing.len() {
            self.reign.standing = coordinator.applied().to_vec();
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
                Output::Run(_) => self.problem = Some("a job for this process, where all run elsewhere".into()),
            }
            if self.now < self.climate.until && self.rng.chance(self.climate.midway) {
                self.restart_coordinator(Fault::RestartMidway);
            }
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
        let mut coordinator = match self.reign.replayed() {
            Ok(coordinator) => coordinator,
            Err(problem) => return self.problem = Some(problem),
        };
        coordinator.reign(|_| false);
        let (tick, epoch) = (self.reign.records.len(), coordinator.epoch());
        self.reign.began_with = tick;
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
