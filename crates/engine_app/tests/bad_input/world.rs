//! A world that is stepped, one honest instance that runs its system, and the attacker's connection.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use engine_app::driver::{self, RunError};
use engine_app::{App, Settings, Stop, TimeMode};
use engine_component::query::Query;
use engine_component::{Component, Entity, WorldHash};
use engine_net::client;
use engine_net::config::ConnectionConfig;
use engine_net::messages::command::{Action, Command, CommandReply, Done};
use engine_net::messages::rejected::{RejectReason, Rejected};
use engine_net::messages::status::{Status, StatusReply};
use engine_net::messages::{Message, Reply};
use engine_net::server::{PrivateServer, ServerOptions};
use engine_net::subject::{Sender, Subjects};
use engine_net::{ChunkKind, ChunkPrefix, strict};
use engine_system::runner::{InstanceError, InstanceOptions, run_instance};
use engine_system::{Commands, Time};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "bad.Position", finite)]
pub(crate) struct Position {
    x: f32,
}

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "bad.Velocity")]
pub(crate) struct Velocity {
    x: f32,
}

#[derive(Component, Clone, Serialize, Deserialize)]
#[component(name = "bad.Label", document)]
pub(crate) struct Label {
    text: String,
}

/// Rows of a shard; there are four.
pub(crate) const ROWS: usize = 64;
/// The honest instance.
pub(crate) const HONEST: &str = "honest";

/// An instance of the world's only system, in its subjects.
pub(crate) fn who(instance: &str) -> Sender<'_> {
    Sender { systems: "drift", instance }
}
pub(crate) const EPOCH: u64 = 7;
/// Somebody waits for so long before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ticks that a test may run.
const MOST_TICKS: u64 = 80;

/// Holds the honest instance in the middle of a job.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn set_closed(&self, closed: bool) {
        *self.0.0.lock().unwrap() = closed;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |closed| *closed).unwrap());
    }
}

/// The columns of its query: 0 is written, 1 is read, 2 is a document that is written.
pub(crate) fn app(gate: Gate) -> App {
    let drift = move |time: Time, mut commands: Commands, mut all: Query<(&mut Position, &Velocity, &mut Label)>| {
        gate.pass();
        // Nobody has this number.
        commands.despawn(Entity::from_bits(1 << 40));
        for (position, velocity, label) in &mut all {
            position.x += velocity.x;
            if time.tick.is_multiple_of(2) {
                label.text = format!("{} at {}", position.x, time.tick);
            }
        }
    };
    App::new("bad").add_system("drift", drift).on_start(|start| {
        for number in 0..4 * ROWS {
            let label = Label { text: "none".into() };
            start.world.spawn((Position { x: 0.0 }, Velocity { x: 1.0 + number as f32 }, label));
        }
        Ok(())
    })
}

pub(crate) fn settings() -> Settings {
    Settings {
        paused: true,
        time: TimeMode::Fast,
        threads: 1,
        rows_per_shard: ROWS,
        chunk_bytes: 512,
        batch_bytes: 0,
        ask_after_ms: 100,
        instance_timeout_ms: 2_000,
        ..Settings::default()
    }
}

/// The hash after each tick of a world that nobody attacks.
fn undisturbed() -> Vec<WorldHash> {
    let settings = Settings { paused: false, ticks: Some(MOST_TICKS), ..settings() };
    let mut hashes = vec![WorldHash(0)];
    let app = app(Gate::default());
    app.run_in_process(settings, &Default::default(), &Stop::default(), |commit, _| hashes.push(commit.hash)).unwrap();
    hashes
}

/// An instance in a thread.
struct Instance {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), InstanceError>>>,
}

impl Instance {
    fn start(config: &ConnectionConfig, gate: &Gate) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let options = InstanceOptions { name: Some(HONEST.into()), stop: stop.clone(), ..InstanceOptions::default() };
        let (config, systems) = (config.clone(), app(gate.clone()).into_systems().unwrap());
        let thread = std::thread::spawn(move || run_instance(&config, systems, options));
        Self { stop, thread: Some(thread) }
    }
}

/// Everything; ends when it is dropped.
pub(crate) struct World {
    pub(crate) subjects: Subjects,
    pub(crate) client: Client,
    pub(crate) gate: Gate,
    runtime: tokio::runtime::Runtime,
    hashes: Vec<WorldHash>,
    tick: u64,
    commands: u64,
    /// What instances are told of refusals.
    rejected: Subscriber,
    /// Every job that is sent.
    schedule: Subscriber,
    stop: Stop,
    honest: Instance,
    coordinator: Option<JoinHandle<Result<(), RunError>>>,
    /// Declared last: all are gone before their server goes.
    pub(crate) server: PrivateServer,
}

impl Drop for World {
    fn drop(&mut self) {
        self.gate.set_closed(false);
        self.honest.stop.store(true, Ordering::Relaxed);
        let honest = self.honest.thread.take().map(JoinHandle::join);
        self.stop.ask();
        let coordinator = self.coordinator.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            honest.unwrap().unwrap().unwrap();
            coordinator.unwrap().unwrap().unwrap();
        }
    }
}

impl World {
    pub(crate) fn start() -> Self {
        Self::start_with(&ServerOptions::default(), settings())
    }

    pub(crate) fn start_with(options: &ServerOptions, settings: Settings) -> Self {
        let server = PrivateServer::start(options).unwrap();
        let config = server.config();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let connection = runtime.block_on(client::connect(&config, "attacker")).unwrap();
        let client = connection.client;
        let subjects = Subjects::new(&settings.prefix, &settings.world).unwrap();
        let any = |subject: &str| format!("{}.{}.{subject}", settings.prefix, settings.world);
        let [rejected, schedule, mut hello] =
            [any("system.rejected.*.*"), any("system.schedule.*.*"), subjects.hello()]
                .map(|subject| runtime.block_on(client.subscribe(subject)).unwrap());
        runtime.block_on(client.flush()).unwrap();
        let (stop, gate) = (Stop::default(), Gate::default());
        let (asked, connection) = (stop.clone(), config.clone());
        let (mut coordinator, _) =
            app(Gate::default()).into_coordinator(settings, &Default::default(), |_| false, EPOCH).unwrap();
        let coordinator =
            std::thread::spawn(move || driver::run(&mut coordinator, Some(&connection), true, &asked, |_, _| {}));
        let greeting = runtime.block_on(async { tokio::time::timeout(PATIENCE, hello.next()).await });
        assert!(greeting.unwrap().is_some(), "the coordinator says hello");
        let honest = Instance::start(&config, &gate);
        let (hashes, coordinator) = (undisturbed(), Some(coordinator));
        let mut world = Self {
            subjects,
            client,
            gate,
            runtime,
            hashes,
            tick: 0,
            commands: 0,
            rejected,
            schedule,
            stop,
            honest,
            coordinator,
            server,
        };
        world.step();
        world
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let limited = async { tokio::time::timeout(PATIENCE, future).await };
        self.runtime.block_on(limited).expect("it comes in time")
    }

    /// Sends something, and makes sure that the server has it.
    pub(crate) fn publish(&self, subject: &str, payload: impl Into<Bytes>) {
        self.wait(self.client.publish(subject.to_owned(), payload.into())).unwrap();
        self.wait(self.client.flush()).unwrap();
    }

    pub(crate) fn request(&self, subject: &str, payload: impl Into<Bytes>) -> Bytes {
        self.wait(self.client.request(subject.to_owned(), payload.into())).unwrap().payload
    }

    pub(crate) fn ask<M: Message>(&self, subject: &str, payload: impl Into<Bytes>) -> M {
        strict::decode(&self.request(subject, payload), M::LIMIT).unwrap()
    }

    pub(crate) fn subscribe(&self, subject: &str) -> Subscriber {
        let subscriber = self.wait(self.client.subscribe(subject.to_owned())).unwrap();
        self.wait(self.client.flush()).unwrap();
        subscriber
    }

    pub(crate) fn status(&self) -> Status {
        match self.ask::<StatusReply>(&self.subjects.status(), Bytes::new()) {
            Reply::Ok(status) => status,
            Reply::Error(problem) => panic!("{problem:?}"),
        }
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.status().counters.get(name).copied().unwrap_or(0)
    }

    /// What one subscription brings may overtake another's, so a counter is asked for until it is there.
    pub(crate) fn until_counter(&self, name: &str, least: u64) {
        let counted = async {
            loop {
                let answer = self.client.request(self.subjects.status(), Bytes::new()).await.unwrap();
                if let Ok(Reply::Ok(status)) = strict::decode::<StatusReply>(&answer.payload, StatusReply::LIMIT)
                    && status.counters.get(name).is_some_and(|count| *count >= least)
                {
                    return;
                }
            }
        };
        let counted = async { tokio::time::timeout(PATIENCE, counted).await };
        let counted = self.runtime.block_on(counted);
        assert!(counted.is_ok(), "`{name}` does not come to {least}: {:?}", self.status().counters);
    }

    /// Waits until the coordinator has found its server again.
    pub(crate) fn until_back(&self) {
        let answered = async {
            loop {
                match self.client.request(self.subjects.status(), Bytes::new()).await {
                    Ok(answer) if !answer.payload.is_empty() => return,
                    // The server says that nobody is there, or is not there itself.
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        self.wait(answered);
    }

    /// A command, as any tool sends it.
    pub(crate) fn command(&mut self, action: Action) -> CommandReply {
        let (subject, payload) = self.command_message(action);
        self.ask(&subject, payload)
    }

    fn command_message(&mut self, action: Action) -> (String, Vec<u8>) {
        self.commands += 1;
        let (aggregate, verb) = action.subject();
        let subject = self.subjects.command("world", aggregate, verb);
        (subject, strict::encode(&Command::new(format!("test-{}", self.commands), action)))
    }

    /// The next tick comes, and the world is what it would be had nobody done anything.
    pub(crate) fn step(&mut self) {
        let reply = self.begin();
        self.finish(reply);
    }

    /// Begins a tick; its commit is told to the subscription.
    pub(crate) fn begin(&mut self) -> Subscriber {
        let reply = self.client.new_inbox();
        let subscriber = self.subscribe(&reply);
        let (subject, payload) = self.command_message(Action::Step { ticks: 1 });
        self.wait(self.client.publish_with_reply(subject, reply, payload.into())).unwrap();
        self.wait(self.client.flush()).unwrap();
        subscriber
    }

    pub(crate) fn finish(&mut self, mut reply: Subscriber) {
        let message = self.wait(reply.next()).unwrap();
        self.tick += 1;
        let reply = strict::decode::<CommandReply>(&message.payload, CommandReply::LIMIT).unwrap();
        assert_eq!(reply, Reply::Ok(Done { tick: self.tick, entities: Vec::new() }));
        let status = self.status();
        let hash = self.hashes[usize::try_from(self.tick).unwrap()];
        assert_eq!((status.tick, status.hash), (self.tick, hash), "{:?}", status.counters);
        assert!(!self.honest.thread.as_ref().unwrap().is_finished(), "the instance lives");
        assert!(!self.coordinator.as_ref().unwrap().is_finished(), "the coordinator lives");
    }

    /// The tick that is committed.
    pub(crate) fn tick(&self) -> u64 {
        self.tick
    }

    /// The first chunk of the next job of the tick that has begun, and its system's subject.
    pub(crate) fn next_job(&mut self) -> ChunkPrefix {
        loop {
            let prefix = ChunkPrefix::decode(&self.next_chunk()).unwrap().0;
            if prefix.kind == ChunkKind::Job && prefix.chunk == 0 && prefix.tick > self.tick {
                return prefix;
            }
        }
    }

    /// What is sent to an instance next.
    pub(crate) fn next_chunk(&mut self) -> Bytes {
        let next = async { tokio::time::timeout(PATIENCE, self.schedule.next()).await };
        self.runtime.block_on(next).expect("a job is sent").unwrap().payload
    }

    /// Waits until an instance is told of a refusal for this reason.
    pub(crate) fn told(&mut self, whom: Sender<'_>, reason: RejectReason) -> Rejected {
        let subject = self.subjects.rejected(whom);
        let mut others = Vec::new();
        let told = async {
            loop {
                let message = self.rejected.next().await.unwrap();
                let rejected = strict::decode::<Rejected>(&message.payload, Rejected::LIMIT).unwrap();
                if message.subject.as_str() == subject && rejected.reason == reason {
                    return rejected;
                }
                others.push((message.subject.to_string(), rejected.reason, rejected.message));
            }
        };
        let told = async { tokio::time::timeout(PATIENCE, told).await };
        let told = self.runtime.block_on(told);
        told.unwrap_or_else(|_| panic!("`{whom}` is not told of `{reason}`, but: {others:?}"))
    }
}
