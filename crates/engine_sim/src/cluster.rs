//! The parties and virtual time: what happens next, and what follows from it.
//!
//! Events are ordered by time, and by the order in which they were made; nothing else decides.

mod instance;
mod mischief;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine_app::coordinator::{Coordinator, Output};
use engine_component::WorldHash;
use engine_net::ChunkPrefix;
use engine_net::subject::Subjects;
use engine_system::runner::Computed;
use engine_system::{EntityRng, System};

use crate::faults::{Climate, FaultCounts};
use crate::network::{Fate, Message, Network, Party};
use crate::trace::Trace;

use instance::Instance;

pub(crate) const COORDINATOR: Party = 0;
const MS: u64 = 1_000_000;
/// Once the faults have stopped, the last tick has to come within so much virtual time.
const PATIENCE: u64 = 120_000 * MS;
/// A schedule with more events runs in circles.
const MOST_EVENTS: u64 = 3_000_000;

/// Something that happens.
enum Event {
    Arrive { to: Party, incarnation: u32, message: Message },
    NobodyThere { token: String },
    Unanswered { to: Party, incarnation: u32, request: u64 },
    Computed { to: Party, incarnation: u32, computed: Computed },
    Wake { to: Party, incarnation: u32 },
    Mischief,
    Start { party: Party, name: String },
    Heal { party: Party },
}

/// See the module's text.
pub(crate) struct Cluster {
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    made: u64,
    network: Network,
    climate: Climate,
    rng: EntityRng,
    pub(crate) counts: FaultCounts,
    pub(crate) trace: Trace,
    coordinator: Coordinator,
    subjects: Subjects,
    coordinator_wakes: u64,
    instances: Vec<Instance>,
    systems: Vec<Arc<dyn System>>,
    /// Messages of parties that are cut off, sent when they are back.
    late: Vec<Message>,
    pub(crate) commits: Vec<(u64, WorldHash)>,
    problem: Option<String>,
}

impl Cluster {
    /// A coordinator whose systems all run at instances: `layout` says which of them.
    pub(crate) fn new(
        coordinator: Coordinator,
        systems: Vec<Arc<dyn System>>,
        layout: Vec<Vec<String>>,
        climate: Climate,
        rng: EntityRng,
        trace: Trace,
    ) -> Self {
        let subjects = coordinator.subjects().clone();
        let mut cluster = Self {
            now: 1,
            events: BTreeMap::new(),
            made: 0,
            network: Network::default(),
            climate,
            rng,
            counts: FaultCounts::default(),
            trace,
            coordinator,
            subjects,
            coordinator_wakes: u64::MAX,
            instances: Vec::new(),
            systems,
            late: Vec::new(),
            commits: Vec::new(),
            problem: None,
        };
        for (index, systems) in layout.into_iter().enumerate() {
            let name = format!("i{index}");
            cluster.instances.push(Instance::new(name.clone(), systems));
            // Some are there before the coordinator, some come late.
            let at = u64::from(cluster.rng.below(40)) * MS;
            cluster.at(at, Event::Start { party: index + 1, name });
        }
        let arrives = 1 + u64::from(cluster.rng.below(20)) * MS;
        cluster.at(arrives, Event::Heal { party: COORDINATOR });
        cluster.network.cut(COORDINATOR);
        cluster.at(MS, Event::Mischief);
        cluster
    }

    /// Lets things happen until the last tick is committed.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        for _ in 0..MOST_EVENTS {
            if let Some(problem) = self.problem.take() {
                return Err(problem);
            }
            if self.coordinator.is_finished() {
                return Ok(());
            }
            let Some(((at, _), event)) = self.events.pop_first() else {
                return Err("nothing is left to happen, and the last tick is not committed".into());
            };
            self.now = self.now.max(at);
            if self.now > self.climate.until + PATIENCE {
                let tick = self.coordinator.committed().0;
                return Err(format!("stuck after tick {tick}: the faults stopped {} s ago", PATIENCE / MS / 1000));
            }
            self.happen(event);
        }
        Err(format!("{MOST_EVENTS} events, and no end: after tick {}", self.coordinator.committed().0))
    }

    /// Virtual nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    fn at(&mut self, at: u64, event: Event) {
        self.made += 1;
        self.events.insert((at.max(self.now), self.made), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { to: COORDINATOR, message, .. } => {
                if self.network.is_cut(COORDINATOR) {
                    return;
                }
                let Message { subject, reply, payload, .. } = message;
                self.coordinator.message(self.now, &subject, reply.as_deref(), payload);
                self.settle();
            }
            Event::NobodyThere { token } => {
                self.trace.note(self.now, || format!("nobody there for job {token}"));
                self.coordinator.nobody_there(self.now, &token);
                self.settle();
            }
            Event::Wake { to: COORDINATOR, .. } => {
                self.coordinator_wakes = u64::MAX;
                self.coordinator.clock(self.now);
                self.settle();
            }
            Event::Heal { party: COORDINATOR } => {
                self.network.heal(COORDINATOR);
                self.listen();
                self.trace.note(self.now, || "the coordinator is connected".into());
                self.send_late(COORDINATOR);
                self.coordinator.reconnected(self.now);
                self.settle();
            }
            Event::Mischief => self.mischief(),
            other => self.happen_to_instance(other),
        }
    }

    /// What the coordinator listens to.
    fn listen(&mut self) {
        self.network.forget(COORDINATOR);
        let changed = self.subjects.changed_in(self.coordinator.epoch());
        // The last token of the pattern stands for all instances.
        let changed = changed.trim_end_matches(['*', '>']).to_owned();
        for subject in [changed, self.subjects.register(), self.subjects.heartbeat(), self.subjects.leave()] {
            self.network.subscribe(COORDINATOR, subject);
        }
    }

    /// Does what the coordinator wants done.
    fn settle(&mut self) {
        while let Some(output) = self.coordinator.next_output() {
            match output {
                Output::Send { lane, subject, token, payload, .. } => {
                    self.send(lane, Message { from: COORDINATOR, subject, reply: None, token, payload });
                }
                Output::Record { .. } => {}
                Output::Run(_) => self.problem = Some("a job for this process, where all run elsewhere".into()),
            }
        }
        while let Some(commit) = self.coordinator.next_commit() {
            self.trace.note(self.now, || format!("commit of tick {} with hash {}", commit.tick, commit.hash));
            self.commits.push((commit.tick, commit.hash));
        }
        if let Some(failure) = self.coordinator.take_failure() {
            self.problem = Some(failure.to_string());
        }
        let at = self.coordinator.wake_at(self.now).max(self.now + 1);
        if at < self.coordinator_wakes {
            self.coordinator_wakes = at;
            self.at(at, Event::Wake { to: COORDINATOR, incarnation: 0 });
        }
    }

    /// Hands a message to the network. False when nobody listens.
    fn send(&mut self, lane: usize, message: Message) -> bool {
        if self.network.is_cut(message.from) {
            // A client that is not connected takes messages all the same: they are lost, or come late.
            if self.late.len() < 256 && self.rng.chance(0.5) {
                self.late.push(message);
            }
            return true;
        }
        self.trace.note(self.now, || format!("{} says {}", message.from, brief(&message)));
        match self.network.send(self.now, lane, &message, &self.climate, &mut self.rng, &mut self.counts) {
            Fate::NobodyThere => {
                if let Some(token) = message.token {
                    self.at(self.now + MS / 5, Event::NobodyThere { token });
                }
                false
            }
            Fate::Arrives(all) => {
                for (at, to) in all {
                    let incarnation = self.incarnation(to);
                    self.at(at, Event::Arrive { to, incarnation, message: message.clone() });
                }
                true
            }
        }
    }

    /// What a party said while it was cut off.
    fn send_late(&mut self, party: Party) {
        let (late, others) = std::mem::take(&mut self.late).into_iter().partition(|message| message.from == party);
        self.late = others;
        let late: Vec<Message> = late;
        for message in late {
            self.send(0, message);
        }
    }

    fn incarnation(&self, party: Party) -> u32 {
        party.checked_sub(1).map_or(0, |index| self.instances[index].incarnation)
    }
}

/// A message in a few words.
fn brief(message: &Message) -> String {
    let chunk = ChunkPrefix::decode(&message.payload).map(|(prefix, _)| {
        let ChunkPrefix { kind, tick, job, attempt, chunk, chunks, .. } = prefix;
        format!(" {kind:?} of job {job}, attempt {attempt}, tick {tick}, chunk {} of {chunks}", chunk + 1)
    });
    format!("{}{}", message.subject, chunk.unwrap_or_default())
}

/// A message of an instance.
fn from_instance(from: Party, subject: String, reply: Option<String>, payload: impl Into<Bytes>) -> Message {
    Message { from, subject, reply, token: None, payload: payload.into() }
}
