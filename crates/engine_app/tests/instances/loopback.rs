//! Messages between a coordinator and instances, carried by hand: no server, no threads, a clock of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use engine_app::coordinator::{Coordinator, Output};
use engine_app::{App, Settings, TimeMode};
use engine_component::{World, WorldHash};
use engine_net::parcel::{Failed, control};
use engine_net::subject::{Sender, Subject, Subjects};
use engine_net::{ChunkKind, ChunkPrefix};
use engine_system::System;
use engine_system::runner::{Answer, InstanceCore};

/// Nanoseconds of the clock between two rounds of messages.
const ROUND: u64 = 5_000_000;
/// Rounds until a test that would hang fails.
const ROUNDS: usize = 20_000;

/// Settings of a small world that ends by itself.
pub(crate) fn settings(ticks: u64) -> Settings {
    Settings { ticks: Some(ticks), time: TimeMode::Fast, threads: 1, rows_per_shard: 64, ..Settings::default() }
}

/// A coordinator, and instances by their names.
pub(crate) struct Loopback {
    pub(crate) coordinator: Coordinator,
    pub(crate) instances: BTreeMap<String, InstanceCore>,
    /// Instances that the coordinator refused, and why.
    pub(crate) refused: BTreeMap<String, String>,
    /// What instances answered instead of results.
    pub(crate) failures: Vec<Failed>,
    /// Instances whose messages arrive when nobody else has anything to say.
    pub(crate) slow: BTreeSet<String>,
    held: VecDeque<(String, Answer)>,
    subjects: Subjects,
    now: u64,
}

impl Loopback {
    /// The app's world, with every system in the coordinator's process or none of them.
    pub(crate) fn new(app: App, settings: Settings, local: bool) -> Self {
        let options = app.option_values(&[]);
        let (coordinator, _) = app.into_coordinator(settings, &options, |_| local, 7).unwrap();
        Self::of(coordinator)
    }

    pub(crate) fn of(coordinator: Coordinator) -> Self {
        let subjects = coordinator.subjects().clone();
        Self {
            coordinator,
            instances: BTreeMap::new(),
            refused: BTreeMap::new(),
            failures: Vec::new(),
            slow: BTreeSet::new(),
            held: VecDeque::new(),
            subjects,
            now: 1,
        }
    }

    pub(crate) fn join(&mut self, name: &str, systems: Vec<Arc<dyn System>>) {
        self.instances.insert(name.to_owned(), InstanceCore::new(name.to_owned(), self.now, systems, 1 << 20).unwrap());
    }

    /// As [`Self::join`], with all systems of an app.
    pub(crate) fn join_app(&mut self, name: &str, app: App) {
        self.join(name, app.into_systems().unwrap());
    }

    /// Carries messages until something holds.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        for _ in 0..ROUNDS {
            if holds(self) {
                return;
            }
            self.round();
        }
        panic!("it never comes to this: {what}");
    }

    /// Runs to the last tick.
    pub(crate) fn finish(&mut self) -> WorldHash {
        self.until("the last tick", |this| this.coordinator.is_finished());
        self.coordinator.committed().1
    }

    pub(crate) fn world(&self) -> &World {
        self.coordinator.world()
    }

    fn round(&mut self) {
        self.now += ROUND;
        self.coordinator.clock(self.now);
        for instance in self.instances.values_mut() {
            instance.look_around(self.now);
        }
        loop {
            let outputs: VecDeque<Output> = std::iter::from_fn(|| self.coordinator.next_output()).collect();
            let answers = self.instances.iter_mut();
            let answers: Vec<(String, Answer)> = answers
                .flat_map(|(name, core)| std::iter::from_fn(|| core.next_answer()).map(|answer| (name.clone(), answer)))
                .collect();
            let (late, answers): (Vec<_>, Vec<_>) =
                answers.into_iter().partition(|(name, answer)| self.slow.contains(name) && is_result(answer));
            self.held.extend(late);
            if outputs.is_empty() && answers.is_empty() {
                let Some((name, answer)) = self.held.pop_front() else { break };
                self.answer(&name, answer);
            }
            outputs.into_iter().for_each(|output| self.output(output));
            answers.into_iter().for_each(|(name, answer)| self.answer(&name, answer));
        }
        if let Some(failure) = self.coordinator.take_failure() {
            panic!("{failure}");
        }
    }

    fn output(&mut self, output: Output) {
        let (subject, token, payload) = match output {
            Output::Run(job) => {
                let number = job.number();
                return self.coordinator.local_done(self.now, number, job.run());
            }
            Output::Send { subject, token, payload, .. } => (subject, token, payload),
            Output::Record { .. } | Output::Keep(_) => return,
        };
        if let Some(name) = subject.strip_prefix("reply.") {
            if let Some(instance) = self.instances.get_mut(name)
                && let Err(reason) = instance.answered(self.now, &payload)
            {
                self.instances.remove(name);
                self.refused.insert(name.to_owned(), reason);
            }
            return;
        }
        match self.subjects.parse(&subject) {
            Some(Subject::Schedule { instance, .. }) => match (self.instances.get_mut(instance), token) {
                (Some(instance), _) => instance.chunk(self.now, payload),
                (None, Some(token)) => self.coordinator.nobody_there(self.now, &token),
                (None, None) => {}
            },
            Some(Subject::Hello) => self.instances.values_mut().for_each(|instance| instance.hello(&payload)),
            Some(Subject::Rejected(Sender { instance, .. })) => {
                if let Some(instance) = self.instances.get_mut(instance) {
                    instance.rejected(&payload);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, name: &str, answer: Answer) {
        let subjects = self.subjects.clone();
        let Some(core) = self.instances.get(name) else { return };
        let from = core.sender();
        match answer {
            Answer::Map { .. } => panic!("nobody offers memory here"),
            Answer::Compute(work) => {
                let computed = work.run(&|| 0);
                if let Some(instance) = self.instances.get_mut(name) {
                    instance.computed(computed);
                }
            }
            Answer::Result { epoch, payload } => {
                let (prefix, body) = ChunkPrefix::decode(&payload).unwrap();
                if prefix.kind == ChunkKind::Failed {
                    self.failures.push(control::decode(body).unwrap());
                }
                self.message(&subjects.changed(epoch, from), None, payload);
            }
            Answer::Heartbeat(payload) => self.message(&subjects.heartbeat(from), None, payload.into()),
            Answer::Register(payload) => self.message(&subjects.register(from), Some(name), payload.into()),
            Answer::Leave(payload) => self.message(&subjects.leave(from), Some(name), payload.into()),
        }
    }

    fn message(&mut self, subject: &str, reply_to: Option<&str>, payload: Bytes) {
        let reply = reply_to.map(|name| format!("reply.{name}"));
        self.coordinator.message(self.now, subject, reply.as_deref(), payload);
    }
}

fn is_result(answer: &Answer) -> bool {
    matches!(answer, Answer::Result { .. })
}
