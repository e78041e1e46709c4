//! What a plain subscriber sees of a world, with no code of the engine between; and two worlds on one server
//! that see nothing of each other.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]
#![allow(clippy::needless_pass_by_value, reason = "systems are written as users write them")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_nats::{Client, Message as Raw, Subscriber};
use engine_app::driver::{self, RunError};
use engine_app::{App, Settings, Stop, TimeMode};
use engine_component::query::Query;
use engine_component::{Component, ComponentId, Data, Entity, Event, On, WorldHash};
use engine_net::client;
use engine_net::config::ConnectionConfig;
use engine_net::messages::command::{Action, Command, CommandReply, Done};
use engine_net::messages::commit::Commit;
use engine_net::messages::entities::{Created, Destroyed};
use engine_net::messages::event::Events;
use engine_net::messages::heartbeat::Heartbeat;
use engine_net::messages::hello::Hello;
use engine_net::messages::register::Register;
use engine_net::messages::status::StatusReply;
use engine_net::messages::value::Components;
use engine_net::messages::{Message, Reply};
use engine_net::server::{PrivateServer, ServerOptions};
use engine_net::strict;
use engine_net::subject::Subjects;
use engine_system::runner::{InstanceError, InstanceOptions, run_instance};
use engine_system::{Commands, EventWriter, Time};
use futures_util::StreamExt;

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "told.Age")]
struct Age {
    ticks: u32,
}

/// Comes with every age, by a hook: an entity that nobody's command spawned.
#[derive(Component, Clone, Copy)]
#[component(name = "told.Shadow")]
struct Shadow;

#[derive(Event, Clone, Copy)]
#[repr(C)]
#[event(name = "told.Birthday")]
struct Birthday {
    whose: Entity,
    ticks: u32,
    room: u32,
}

/// Each tick everybody ages, the first one has a child, and who is three ticks old dies.
fn live(time: Time, mut commands: Commands, mut told: EventWriter<Birthday>, mut all: Query<(Entity, &mut Age)>) {
    for (entity, age) in &mut all {
        age.ticks += 1;
        if age.ticks == 3 {
            commands.despawn(entity);
        }
        if entity.to_bits() % 2 == 1 {
            let child = commands.spawn((Age { ticks: 0 },));
            told.send(Birthday { whose: child, ticks: age.ticks, room: time.tick as u32 });
        }
    }
}

fn app(people: u32) -> App {
    App::new("told").add_system("live", live).on_start(move |start| {
        start.world.register::<Shadow>()?;
        start.world.observe::<Age>(On::Add, |_, _, commands| _ = commands.spawn(Shadow))?;
        for _ in 0..people {
            start.world.spawn((Age { ticks: 0 },));
        }
        Ok(())
    })
}

fn settings(world: &str) -> Settings {
    Settings { paused: true, time: TimeMode::Fast, threads: 1, world: world.into(), ..Settings::default() }
}

const PATIENCE: Duration = Duration::from_secs(30);

/// A coordinator and an instance of one world.
struct World {
    subjects: Subjects,
    stop: Stop,
    instance: Option<JoinHandle<Result<(), InstanceError>>>,
    leave: Arc<AtomicBool>,
    coordinator: Option<JoinHandle<Result<(), RunError>>>,
}

impl World {
    fn start(config: &ConnectionConfig, name: &str, people: u32) -> Self {
        let settings = settings(name);
        let subjects = Subjects::new(&settings.prefix, &settings.world).unwrap();
        let config = ConnectionConfig { world: name.into(), ..config.clone() };
        let (mut coordinator, _) = app(people).into_coordinator(settings, &BTreeMap::new(), |_| false, 5).unwrap();
        let (stop, connection) = (Stop::default(), config.clone());
        let stop_too = stop.clone();
        let coordinator =
            std::thread::spawn(move || driver::run(&mut coordinator, Some(&connection), true, &stop_too, |_, _| {}));
        let leave = Arc::<AtomicBool>::default();
        // Both worlds have an instance of this name.
        let options = InstanceOptions { name: Some("one".into()), stop: leave.clone(), ..InstanceOptions::default() };
        let systems = app(people).into_systems().unwrap();
        let instance = std::thread::spawn(move || run_instance(&config, systems, options));
        Self { subjects, stop, instance: Some(instance), leave, coordinator: Some(coordinator) }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        let instance = self.instance.take().map(JoinHandle::join);
        self.stop.ask();
        let coordinator = self.coordinator.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            instance.unwrap().unwrap().unwrap();
            coordinator.unwrap().unwrap().unwrap();
        }
    }
}

/// Somebody with nothing but a connection.
struct Outside {
    runtime: tokio::runtime::Runtime,
    client: Client,
    commands: u64,
}

impl Outside {
    fn new(config: &ConnectionConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(client::connect(config, "outside")).unwrap().client;
        Self { runtime, client, commands: 0 }
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await }).expect("it comes in time")
    }

    fn subscribe(&self, subject: &str) -> Subscriber {
        let subscriber = self.wait(self.client.subscribe(subject.to_owned())).unwrap();
        self.wait(self.client.flush()).unwrap();
        subscriber
    }

    /// Waits until the coordinator is there, and returns whether an instance registered before it said so.
    fn greeted(&self, subscriber: &mut Subscriber) -> bool {
        let mut registered = false;
        loop {
            match header(&self.next(subscriber), "msg-type").as_deref() {
                Some("hello.1") => return registered,
                Some("register.1") => registered = true,
                _ => {}
            }
        }
    }

    fn next(&self, subscriber: &mut Subscriber) -> Raw {
        self.wait(subscriber.next()).unwrap()
    }

    fn command(&mut self, world: &World, action: Action) -> Done {
        self.commands += 1;
        let (aggregate, verb) = action.subject();
        let subject = world.subjects.command("world", aggregate, verb);
        let payload = strict::encode(&Command::new(format!("test-{}", self.commands), action));
        let answer = self.wait(self.client.request(subject, payload.into())).unwrap();
        match strict::decode::<CommandReply>(&answer.payload, CommandReply::LIMIT).unwrap() {
            Reply::Ok(done) => done,
            Reply::Error(problem) => panic!("{problem:?}"),
        }
    }
}

fn read<M: Message>(raw: &Raw) -> M {
    assert_eq!(header(raw, "msg-type").as_deref(), Some(M::message_type().as_str()), "{}", raw.subject);
    strict::decode(&raw.payload, M::LIMIT).unwrap()
}

fn header(raw: &Raw, name: &str) -> Option<String> {
    Some(raw.headers.as_ref()?.get(name)?.as_str().to_owned())
}

/// What a subscriber puts together from what it is told, beginning with a world of so many.
#[derive(Default)]
struct Told {
    living: BTreeSet<Entity>,
    commits: Vec<Commit>,
    events: Vec<Events>,
}

impl Told {
    /// Takes everything that was said before now: what a coordinator says before its answer, comes before it.
    fn catch_up(&mut self, outside: &Outside, messages: &mut Subscriber) {
        outside.wait(outside.client.publish("engine.told.fence", "".into())).unwrap();
        loop {
            let raw = outside.next(messages);
            if raw.subject.as_str() == "engine.told.fence" {
                return;
            }
            let kind = header(&raw, "msg-type").unwrap_or_default();
            if ["commit.1", "entities-created.1", "entities-destroyed.1", "events.1"].contains(&kind.as_str()) {
                assert_eq!(header(&raw, "epoch").as_deref(), Some("5"));
            }
            match kind.as_str() {
                "commit.1" => {
                    let commit: Commit = read(&raw);
                    assert_eq!(header(&raw, "tick-id"), Some(commit.tick.to_string()));
                    self.commits.push(commit);
                }
                "entities-created.1" => {
                    for batch in read::<Created>(&raw).batches {
                        let known = [Age::ID, Shadow::ID];
                        assert!(batch.archetype.iter().all(|id: &ComponentId| known.contains(id)));
                        for entity in batch.entities {
                            assert!(self.living.insert(entity), "{entity:?} comes twice");
                        }
                    }
                }
                "entities-destroyed.1" => {
                    for entity in read::<Destroyed>(&raw).entities {
                        assert!(self.living.remove(&entity), "{entity:?} goes and was not there");
                    }
                }
                "events.1" => self.events.push(read(&raw)),
                _ => {}
            }
        }
    }
}

#[test]
fn a_plain_subscriber_sees_who_comes_and_goes_and_what_happens() {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let mut outside = Outside::new(&server.config());
    let mut messages = outside.subscribe("engine.told.>");
    let world = World::start(&server.config(), "told", 4);
    outside.greeted(&mut messages);
    let age = |ticks: u32| Components::from([("told.Age".to_owned(), serde_json::json!({ "ticks": ticks }))]);
    // Four people and their shadows.
    let mut told = Told { living: (1..=8).map(Entity::from_bits).collect(), ..Told::default() };
    // By a command while the world stands still: two, and their shadows.
    let done = outside.command(&world, Action::Spawn { entities: vec![age(0), age(1)] });
    assert_eq!(done.entities.len(), 2);
    for tick in 1..=6_u64 {
        outside.command(&world, Action::Step { ticks: 1 });
        if tick == 3 {
            outside.command(&world, Action::Despawn { entities: vec![Entity::from_bits(2)] });
        }
        let status = outside.wait(outside.client.request(world.subjects.status(), "".into())).unwrap();
        let Reply::Ok(status) = strict::decode::<StatusReply>(&status.payload, StatusReply::LIMIT).unwrap() else {
            panic!("no status")
        };
        told.catch_up(&outside, &mut messages);
        assert_eq!(told.living.len() as u64, status.entities);
        let commit = told.commits.last().unwrap();
        assert_eq!(commit.tick, tick);
        // The entities that events name have come, or came and went.
        for events in told.events.iter().filter(|events| events.tick == tick) {
            for record in events.records.as_ref().as_chunks::<16>().0 {
                let whose = Entity::from_bits(u64::from_le_bytes(record[..8].try_into().unwrap()));
                assert!(!whose.is_provisional() && !whose.is_none());
                assert!(told.living.contains(&whose), "{whose:?} of tick {tick}");
            }
        }
    }
    assert!(told.living.len() > 20);
    assert!(told.events.len() >= 6);
    assert_eq!(told.commits.iter().map(|commit| commit.tick).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn two_worlds_on_one_server_see_nothing_of_each_other() {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let mut outside = Outside::new(&server.config());
    let mut both = ["left", "right"].map(|name| outside.subscribe(&format!("engine.{name}.>")));
    let worlds = [World::start(&server.config(), "left", 3), World::start(&server.config(), "right", 8)];
    let early = both.each_mut().map(|messages| outside.greeted(messages));
    for _ in 0..5 {
        for world in &worlds {
            outside.command(world, Action::Step { ticks: 1 });
        }
    }
    outside.command(&worlds[0], Action::Step { ticks: 2 });
    let alone = |people, ticks| {
        let settings = Settings { paused: false, ticks: Some(ticks), ..settings("alone") };
        app(people).run_ticks(settings).unwrap().hash
    };
    let expected: [(u64, WorldHash); 2] = [(7, alone(3, 7)), (5, alone(8, 5))];
    for ((messages, early), (tick, hash)) in both.iter_mut().zip(early).zip(expected) {
        // Heartbeats come by the clock: the last commit may be said before the first of them, and the other way around.
        let (mut registered, mut beating, mut committed) = (early, false, false);
        while !(registered && beating && committed) {
            let raw = outside.next(messages);
            match header(&raw, "msg-type").unwrap_or_default().as_str() {
                "hello.1" => panic!("{:?}", read::<Hello>(&raw)),
                "register.1" => {
                    assert_eq!(header(&raw, "instance-id"), Some(read::<Register>(&raw).instance));
                    registered = true;
                }
                "heartbeat.1" => {
                    assert_eq!(read::<Heartbeat>(&raw).instance, "one");
                    assert_eq!(header(&raw, "epoch").as_deref(), Some("5"));
                    beating = true;
                }
                "commit.1" => {
                    let commit: Commit = read(&raw);
                    assert!(commit.tick <= tick, "a commit of the other world");
                    if commit.tick == tick {
                        assert_eq!(commit.hash, hash);
                        committed = true;
                    }
                }
                _ => {}
            }
        }
    }
}
