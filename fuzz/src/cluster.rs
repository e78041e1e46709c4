//! A coordinator and instances in one thread, without a network: messages move when they are told to.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine_app::coordinator::{Coordinator, Output};
use engine_app::{App, Settings, TimeMode};
use engine_net::headers::Headers;
use engine_net::subject::{Sender, Subject};
use engine_system::System;
use engine_system::runner::{Answer, InstanceCore};

use crate::app;

/// Messages that follow from one another, at the most: whoever was fed garbage may ask again for ever.
const MOST_ROUNDS: usize = 200;
/// What an instance may send at once.
const PAYLOAD_LIMIT: usize = 1 << 20;

/// See the module's text.
pub struct Cluster {
    /// The coordinator; all systems run at instances.
    pub coordinator: Coordinator,
    /// The instances; each runs all systems.
    pub instances: Vec<InstanceCore>,
    /// What instances want to send, and which of them: not delivered by itself.
    pub held: Vec<(usize, Bytes)>,
    /// What was sent to instances.
    pub sent: Vec<Bytes>,
    /// The answers to registrations.
    pub accepted: Vec<Bytes>,
    /// The clock, in nanoseconds.
    pub now: u64,
}

/// The systems of the app.
///
/// # Panics
/// When the app has a mistake.
#[must_use]
pub fn systems() -> Vec<Arc<dyn System>> {
    app::app().into_systems().expect("the app has no mistakes")
}

/// An instance that is not registered yet.
///
/// # Panics
/// When the app has a mistake.
#[must_use]
pub fn instance(number: usize) -> InstanceCore {
    InstanceCore::new(format!("i{number}"), (number as u64 + 1) << 16, systems(), PAYLOAD_LIMIT).expect("few systems")
}

/// A coordinator whose systems run elsewhere.
///
/// # Panics
/// When the app has a mistake.
#[must_use]
pub fn coordinator(app: App, settings: Settings) -> Coordinator {
    app.into_coordinator(settings, &BTreeMap::new(), |_| false, 7).expect("the app has no mistakes").0
}

impl Cluster {
    /// So many instances, all of them registered; the world stands still.
    #[must_use]
    pub fn new(instances: usize) -> Self {
        let settings = Settings { paused: true, time: TimeMode::Dilate, ..app::settings() };
        let mut cluster = Self {
            coordinator: coordinator(app::app(), settings),
            instances: (0..instances).map(instance).collect(),
            held: Vec::new(),
            sent: Vec::new(),
            accepted: Vec::new(),
            now: 1,
        };
        (0..instances).for_each(|number| cluster.look_around(number));
        cluster
    }

    /// Begins a tick.
    pub fn step(&mut self) {
        self.coordinator.step(1);
        self.pass(1);
    }

    /// Time goes by.
    pub fn pass(&mut self, milliseconds: u64) {
        self.now += milliseconds * 1_000_000;
        self.coordinator.clock(self.now);
        self.pump();
    }

    /// An instance does what is due.
    pub fn look_around(&mut self, number: usize) {
        self.instances[number].look_around(self.now);
        self.pump();
    }

    /// Something arrives at the coordinator.
    pub fn say(&mut self, subject: &str, reply: Option<&str>, payload: Bytes) {
        self.say_with(subject, reply, &Headers::default(), payload);
    }

    /// The same with headers.
    pub fn say_with(&mut self, subject: &str, reply: Option<&str>, headers: &Headers, payload: Bytes) {
        self.coordinator.message_with(self.now, subject, reply, headers, payload);
        self.pump();
    }

    /// A chunk of an instance arrives at the coordinator.
    pub fn chunk(&mut self, from: usize, payload: Bytes) {
        let subjects = self.coordinator.subjects();
        let subject = match self.instances.get(from) {
            Some(core) => subjects.changed(self.coordinator.epoch(), core.sender()),
            // Of nobody.
            None => subjects.changed(self.coordinator.epoch(), Sender { systems: "+", instance: "nobody" }),
        };
        self.say(&subject, None, payload);
    }

    /// Everything that is held arrives, until nothing is.
    pub fn deliver_all(&mut self) {
        for _ in 0..MOST_ROUNDS {
            if self.held.is_empty() {
                return;
            }
            let (from, payload) = self.held.remove(0);
            self.chunk(from, payload);
        }
    }

    /// Moves all messages but results.
    pub fn pump(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let mut moved = false;
            while let Some(output) = self.coordinator.next_output() {
                moved = true;
                if let Output::Send { subject, payload, .. } = output {
                    self.arrive(&subject, payload);
                }
            }
            for number in 0..self.instances.len() {
                while let Some(answer) = self.instances[number].next_answer() {
                    moved = true;
                    self.answer(number, answer);
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn arrive(&mut self, subject: &str, payload: Bytes) {
        let number = |name: &str| name.strip_prefix('i').and_then(|number| number.parse::<usize>().ok());
        if let Some(core) = subject.strip_prefix("_INBOX.").and_then(number) {
            self.accepted.push(payload.clone());
            if let Some(core) = self.instances.get_mut(core) {
                // It says no to garbage.
                let _ = core.answered(self.now, &payload);
            }
            return;
        }
        match self.coordinator.subjects().clone().parse(subject) {
            Some(Subject::Schedule { instance, .. }) => {
                self.sent.push(payload.clone());
                if let Some(core) = number(instance).and_then(|number| self.instances.get_mut(number)) {
                    core.chunk(self.now, payload);
                }
            }
            Some(Subject::Rejected(Sender { instance, .. })) => {
                if let Some(core) = number(instance).and_then(|number| self.instances.get_mut(number)) {
                    core.rejected(&payload);
                }
            }
            Some(Subject::Hello) => self.instances.iter_mut().for_each(|core| core.hello(&payload)),
            _ => {}
        }
    }

    fn answer(&mut self, number: usize, answer: Answer) {
        let subjects = self.coordinator.subjects().clone();
        let reply = format!("_INBOX.i{number}");
        let from = self.instances[number].sender();
        let (subject, reply, payload) = match answer {
            Answer::Compute(work) => {
                let now = self.now;
                return self.instances[number].computed(work.run(&|| now));
            }
            Answer::Result { payload, .. } => return self.held.push((number, payload)),
            Answer::Heartbeat(payload) => (subjects.heartbeat(from), None, payload),
            Answer::Register(payload) => (subjects.register(from), Some(reply.as_str()), payload),
            Answer::Leave(payload) => (subjects.leave(from), Some(reply.as_str()), payload),
            // All of it is sent.
            Answer::Map { .. } => return,
        };
        self.coordinator.message(self.now, &subject, reply, payload.into());
    }
}
