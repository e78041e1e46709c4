//! A coordinator, and instances whose results wait until the script delivers them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine_component::query::Query;
use engine_component::{Component, Schema, WorldHash};
use engine_net::headers::Headers;
use engine_net::messages::command::{Action, Command, CommandReply};
use engine_net::messages::register::{Register, RegisterReply};
use engine_net::messages::rejected::{RejectReason, Rejected};
use engine_net::messages::{Message, Reply};
use engine_net::parcel::control;
use engine_net::subject::{Sender, Subject};
use engine_net::{ChunkKind, ChunkPrefix, strict};
use engine_system::runner::{Answer, InstanceCore};
use engine_system::{IntoSystem, System};

use crate::coordinator::{Coordinator, Output};
use crate::kept::KeptTick;
use crate::{App, Settings, TimeMode};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Position")]
pub(super) struct Position {
    pub(super) x: f32,
}

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Velocity")]
pub(super) struct Velocity {
    pub(super) x: f32,
}

pub(super) fn drift(mut bodies: Query<(&mut Position, &Velocity)>) {
    for (position, velocity) in &mut bodies {
        position.x += velocity.x;
    }
}

pub(super) fn turn(mut bodies: Query<(&Position, &mut Velocity)>) {
    for (position, velocity) in &mut bodies {
        velocity.x += 0.25 * position.x;
    }
}

/// Rows of a shard.
pub(super) const ROWS: usize = 64;

/// Four shards; `drift` first, then `turn`.
pub(super) fn app<M>(drift: impl IntoSystem<M>) -> App {
    app_of(App::new("test").add_system("drift", drift).add_system("turn", turn))
}

/// The world of [`app`] for these systems.
pub(super) fn app_of(app: App) -> App {
    app.on_start(|start| {
        for number in 0..4 * ROWS {
            start.world.spawn((Position { x: 0.0 }, Velocity { x: 1.0 + number as f32 }));
        }
        Ok(())
    })
}

/// The world stands still until the script steps.
pub(super) fn settings() -> Settings {
    let one_by_one = Settings { batch_bytes: 0, fuse: false, ..Settings::default() };
    Settings { paused: true, rows_per_shard: ROWS, time: TimeMode::Fast, threads: 1, ..one_by_one }
}

/// What comes out when nothing goes wrong.
pub(super) fn undisturbed(ticks: u64) -> WorldHash {
    app(drift).run_ticks(Settings { paused: false, ticks: Some(ticks), ..settings() }).unwrap().hash
}

/// What becomes of messages to an instance.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ears {
    Open,
    /// It stands still, or is cut off: messages vanish.
    Shut,
    /// The process is gone: the server says so.
    Gone,
}

/// An instance, as the script has it.
struct Hand {
    core: InstanceCore,
    ears: Ears,
    /// Results that it has and did not send yet.
    held: Vec<(ChunkPrefix, Bytes)>,
}

/// A process without systems that registers, with these types.
pub(super) fn stranger(schemas: Vec<Schema>) -> (Sender<'static>, Register) {
    let register = Register {
        instance: "stranger".into(),
        nonce: 1 << 40,
        protocol: engine_net::PROTOCOL,
        engine: String::new(),
        host: String::new(),
        pid: 1,
        systems: Vec::new(),
        schemas,
        max_payload: 1 << 20,
        keep_bytes: 1 << 20,
    };
    (Sender { systems: "+", instance: "stranger" }, register)
}

pub(super) struct Script {
    pub(super) coordinator: Coordinator,
    /// The clock, in nanoseconds.
    pub(super) now: u64,
    /// What was sent to whoever is no instance, oldest first.
    pub(super) told: Vec<(String, Bytes)>,
    /// Reasons of refusals, and whom they were told.
    pub(super) rejected: Vec<(String, RejectReason)>,
    /// Why registrations were refused.
    pub(super) refused: Vec<String>,
    /// Records for the log.
    pub(super) records: Vec<Bytes>,
    /// Events that were handed out to be kept.
    pub(super) kept: Vec<KeptTick>,
    hands: BTreeMap<String, Hand>,
    processes: u64,
}

impl Script {
    pub(super) fn new(app: App, settings: Settings) -> Self {
        let (coordinator, _) = app.into_coordinator(settings, &BTreeMap::new(), |_| false, 7).unwrap();
        Self {
            coordinator,
            now: 1,
            told: Vec::new(),
            rejected: Vec::new(),
            refused: Vec::new(),
            records: Vec::new(),
            kept: Vec::new(),
            hands: BTreeMap::new(),
            processes: 0,
        }
    }

    /// A world with these instances of both systems.
    pub(super) fn with(app: App, settings: Settings, names: &[&str]) -> Self {
        let mut script = Self::new(app, settings);
        for name in names {
            script.join(name);
        }
        script
    }

    /// Starts a process that runs both systems, as the coordinator knows them.
    pub(super) fn join(&mut self, name: &str) {
        let options = self.coordinator.systems[0].descriptor().options.clone();
        let mut drift = drift.deadline(options.deadline);
        if let Some(milliseconds) = options.deadline_ms {
            drift = drift.deadline_ms(milliseconds);
        }
        self.join_with(name, app(drift).into_systems().unwrap());
    }

    /// Starts a process that runs these systems.
    pub(super) fn join_with(&mut self, name: &str, systems: Vec<Arc<dyn System>>) {
        self.processes += 1;
        let core = InstanceCore::new(name.into(), self.processes << 16, systems, 1 << 20).unwrap();
        self.hands.insert(name.to_owned(), Hand { core, ears: Ears::Open, held: Vec::new() });
        self.look_around(name);
    }

    /// The instance does what is due: it registers, asks again, says that it is alive.
    pub(super) fn look_around(&mut self, name: &str) {
        let now = self.now;
        self.hand(name).core.look_around(now);
        self.pump();
    }

    /// The process is gone, and what it had with it.
    pub(super) fn kill(&mut self, name: &str) {
        let hand = self.hand(name);
        hand.ears = Ears::Gone;
        hand.held.clear();
    }

    /// The process stands still, or is cut off.
    pub(super) fn freeze(&mut self, name: &str) {
        self.hand(name).ears = Ears::Shut;
    }

    pub(super) fn thaw(&mut self, name: &str) {
        self.hand(name).ears = Ears::Open;
    }

    /// The instance has lost its connection and is back.
    pub(super) fn reconnect(&mut self, name: &str) {
        let hand = self.hand(name);
        hand.core.forget_everything();
        hand.held.clear();
        self.look_around(name);
    }

    /// The instance drops what it has kept.
    pub(super) fn drop_copies(&mut self, name: &str) {
        self.hand(name).core.drop_copies();
    }

    /// A byte of what the instance has kept changes.
    pub(super) fn spoil_copies(&mut self, name: &str) -> bool {
        self.hand(name).core.spoil_copies()
    }

    /// The instance registers anew, and keeps so many bytes at the most.
    pub(super) fn keep(&mut self, name: &str, bytes: usize) {
        self.hand(name).core.set_keep_bytes(bytes);
        self.reconnect(name);
    }

    /// The instance says good-bye, once.
    pub(super) fn leave(&mut self, name: &str) {
        self.hand(name).core.leave();
        self.look_around(name);
    }

    pub(super) fn is_gone(&mut self, name: &str) -> bool {
        self.hand(name).core.is_gone()
    }

    /// Time goes by.
    pub(super) fn pass(&mut self, milliseconds: u64) {
        let until = self.now + milliseconds * 1_000_000;
        // As a driver does it: who is not called for long stood still.
        while self.now < until {
            self.now = (self.now + 100_000_000).min(until);
            self.coordinator.clock(self.now);
            self.pump();
        }
    }

    /// Begins one tick, and hands out its first jobs.
    pub(super) fn begin(&mut self) {
        self.coordinator.step(1);
        self.pass(1);
    }

    /// One tick, with all that it needs.
    pub(super) fn tick(&mut self) {
        let tick = self.coordinator.committed().0;
        self.begin();
        self.deliver_all();
        assert_eq!(self.coordinator.committed().0, tick + 1, "{:?}", self.coordinator.waits_for());
    }

    /// Job and attempt of each result that the instance has.
    pub(super) fn held(&mut self, name: &str) -> Vec<(u32, u16)> {
        let mut held: Vec<_> = self.hand(name).held.iter().map(|(prefix, _)| (prefix.job, prefix.attempt)).collect();
        held.dedup();
        held
    }

    /// The chunks of a result that the instance has; it keeps them.
    pub(super) fn result(&mut self, name: &str, job: u32) -> Vec<Bytes> {
        let held = self.hand(name).held.iter().filter(|(prefix, _)| prefix.job == job);
        held.map(|(_, payload)| payload.clone()).collect()
    }

    /// The instance sends a result.
    pub(super) fn deliver(&mut self, name: &str, job: u32) {
        let chunks = self.result(name, job);
        assert!(!chunks.is_empty(), "{name} has no result of job {job}");
        self.hand(name).held.retain(|(prefix, _)| prefix.job != job);
        for chunk in chunks {
            self.say(name, chunk);
        }
    }

    /// The instance sends what it computed first for a job, and keeps the rest.
    pub(super) fn deliver_first_attempt(&mut self, name: &str, job: u32) {
        let held = &mut self.hand(name).held;
        let at = held.iter().position(|(prefix, _)| prefix.job == job && prefix.attempt == 0).unwrap();
        let payload = held.remove(at).1;
        self.say(name, payload);
    }

    /// The results of an attempt are lost.
    pub(super) fn forget_attempt(&mut self, name: &str, attempt: u16) {
        self.hand(name).held.retain(|(prefix, _)| prefix.attempt != attempt);
    }

    /// All results are lost.
    pub(super) fn drop_held(&mut self, name: &str) {
        self.hand(name).held.clear();
    }

    /// Every instance that is there sends its results, until there are no more.
    pub(super) fn deliver_all(&mut self) {
        loop {
            let open = self.hands.iter_mut().filter(|(_, hand)| hand.ears == Ears::Open);
            let Some((name, job)) =
                open.filter_map(|(name, hand)| Some((name.clone(), hand.held.first()?.0.job))).next()
            else {
                return;
            };
            self.deliver(&name, job);
        }
    }

    /// As [`Self::deliver_all`], also in the ticks that follow, as long as there are any.
    pub(super) fn deliver_on(&mut self) {
        loop {
            let tick = self.coordinator.committed().0;
            self.deliver_all();
            self.pass(1);
            if !self.coordinator.is_running() && self.coordinator.committed().0 == tick {
                return;
            }
        }
    }

    /// Who an instance is, in subjects.
    pub(super) fn sender(&self, name: &str) -> Sender<'_> {
        self.hands[name].core.sender()
    }

    /// Something arrives as if the instance had sent it.
    pub(super) fn say(&mut self, name: &str, payload: Bytes) {
        let subject = self.coordinator.subjects().changed(self.coordinator.epoch(), self.sender(name));
        self.coordinator.message(self.now, &subject, None, payload);
        self.pump();
    }

    /// The instance says that a job is not done yet.
    pub(super) fn say_working(&mut self, name: &str, job: u32) {
        let payload = self.result(name, job).remove(0);
        let prefix = ChunkPrefix::decode(&payload).unwrap().0;
        self.say(name, control::working(&prefix.answer(ChunkKind::Working)));
    }

    /// A request from outside; the answers that came at once.
    pub(super) fn request(&mut self, subject: &str, payload: impl Into<Bytes>) -> Vec<Bytes> {
        self.request_with(subject, &Headers::default(), payload)
    }

    /// The same with headers.
    pub(super) fn request_with(&mut self, subject: &str, headers: &Headers, payload: impl Into<Bytes>) -> Vec<Bytes> {
        self.coordinator.message_with(self.now, subject, Some("_INBOX.outside"), headers, payload.into());
        self.pump();
        self.answers()
    }

    /// What requests from outside were answered meanwhile.
    pub(super) fn answers(&mut self) -> Vec<Bytes> {
        let (answers, others) = self.told.drain(..).partition(|(subject, _)| subject == "_INBOX.outside");
        self.told = others;
        let answers: Vec<(String, Bytes)> = answers;
        answers.into_iter().map(|(_, payload)| payload).collect()
    }

    /// A command from outside; the answers that came at once.
    pub(super) fn act(&mut self, id: &str, action: Action) -> Vec<CommandReply> {
        let (aggregate, verb) = action.subject();
        let subject = self.coordinator.subjects().command("world", aggregate, verb);
        let answers = self.request(&subject, strict::encode(&Command::new(id, action)));
        answers.iter().map(|answer| strict::decode(answer, 1 << 20).unwrap()).collect()
    }

    /// So many records are durable; the answers that come of it.
    pub(super) fn durable(&mut self, records: u64) -> Vec<Bytes> {
        self.coordinator.durable(self.now, records);
        self.pump();
        self.answers()
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        self.coordinator.figures.counters.get(name).copied().unwrap_or(0)
    }

    /// Bytes on their way to an instance.
    pub(super) fn in_flight(&self, name: &str) -> u64 {
        self.coordinator.members.get(name).unwrap().in_flight
    }

    /// The world is what it would be had nothing gone wrong, and nothing is left of the tick.
    pub(super) fn check(&self, ticks: u64) {
        assert_eq!(self.coordinator.committed(), (ticks, undisturbed(ticks)));
        self.check_room();
    }

    /// Between ticks nothing is on its way to anybody.
    pub(super) fn check_room(&self) {
        assert!(!self.coordinator.is_running());
        for member in self.coordinator.members.iter() {
            assert_eq!((member.in_flight, member.open_jobs), (0, 0), "{}", member.name);
        }
    }

    /// The positions in all rows, in order.
    pub(super) fn positions(&mut self) -> Vec<f32> {
        let world = &self.coordinator.world;
        let table = world.sorted_tables()[0];
        let id = <Position as engine_component::Data>::schema().id();
        let column = world.table(table).column(world.table(table).column_index(id).unwrap());
        column.bytes().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    fn hand(&mut self, name: &str) -> &mut Hand {
        self.hands.get_mut(name).unwrap_or_else(|| panic!("there is no instance {name}"))
    }

    /// Carries messages to and fro until nobody has anything to say.
    pub(super) fn pump(&mut self) {
        loop {
            let mut nobody = Vec::new();
            let mut moved = false;
            while let Some(output) = self.coordinator.next_output() {
                moved = true;
                match output {
                    Output::Send { subject, payload, token, .. } => nobody.extend(self.carry(&subject, payload, token)),
                    Output::Record { record, .. } => self.records.push(record),
                    Output::Keep(tick) => self.kept.push(tick),
                    Output::Run(_) => panic!("a job for this process"),
                }
            }
            for token in nobody {
                self.coordinator.nobody_there(self.now, &token);
            }
            for name in self.hands.keys().cloned().collect::<Vec<_>>() {
                while let Some(answer) = self.hand(&name).core.next_answer() {
                    moved = true;
                    self.answer(&name, answer);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Brings a message to whom it is for; the token, when nobody is there.
    fn carry(&mut self, subject: &str, payload: Bytes, token: Option<String>) -> Option<String> {
        let now = self.now;
        match self.coordinator.subjects().clone().parse(subject) {
            Some(Subject::Schedule { instance, .. }) => match self.hands.get_mut(instance) {
                Some(hand) if hand.ears == Ears::Open => hand.core.chunk(now, payload),
                Some(hand) if hand.ears == Ears::Shut => {}
                _ => return token,
            },
            Some(Subject::Hello) => {
                for hand in self.hands.values_mut().filter(|hand| hand.ears == Ears::Open) {
                    hand.core.hello(&payload);
                }
            }
            Some(Subject::Rejected(Sender { instance, .. })) => {
                let rejected = strict::decode::<Rejected>(&payload, Rejected::LIMIT).unwrap();
                self.rejected.push((instance.to_owned(), rejected.reason));
                if let Some(hand) = self.hands.get_mut(instance).filter(|hand| hand.ears == Ears::Open) {
                    hand.core.rejected(&payload);
                }
            }
            _ => match subject.strip_prefix("_INBOX.to.").and_then(|name| self.hands.get_mut(name)) {
                Some(hand) => {
                    if let Ok(Reply::Error(problem)) = strict::decode::<RegisterReply>(&payload, RegisterReply::LIMIT) {
                        self.refused.push(problem.code);
                    }
                    let _ = hand.core.answered(now, &payload);
                }
                None => self.told.push((subject.to_owned(), payload)),
            },
        }
        None
    }

    /// Does what an instance wants done; its results are kept for the script.
    fn answer(&mut self, name: &str, answer: Answer) {
        let now = self.now;
        if self.hand(name).ears == Ears::Gone {
            return;
        }
        let subjects = self.coordinator.subjects().clone();
        let reply = format!("_INBOX.to.{name}");
        match answer {
            Answer::Map { .. } => panic!("nobody offers memory here"),
            Answer::Compute(work) => {
                let computed = work.run(&|| now);
                self.hand(name).core.computed(computed);
            }
            Answer::Result { payload, .. } => {
                let prefix = ChunkPrefix::decode(&payload).unwrap().0;
                if prefix.kind == ChunkKind::Result {
                    let known = |(other, _): &(ChunkPrefix, Bytes)| *other == prefix;
                    let hand = self.hand(name);
                    if !hand.held.iter().any(known) {
                        hand.held.push((prefix, payload));
                    }
                } else {
                    let subject = subjects.changed(prefix.epoch, self.sender(name));
                    self.coordinator.message(now, &subject, None, payload);
                }
            }
            Answer::Heartbeat(payload) => {
                let subject = subjects.heartbeat(self.sender(name));
                self.coordinator.message(now, &subject, None, payload.into());
            }
            Answer::Register(payload) => {
                // What it had computed before is of no use any more.
                self.hand(name).held.clear();
                let subject = subjects.register(self.sender(name));
                self.coordinator.message(now, &subject, Some(&reply), payload.into());
            }
            Answer::Leave(payload) => {
                let subject = subjects.leave(self.sender(name));
                self.coordinator.message(now, &subject, Some(&reply), payload.into());
            }
        }
    }
}
