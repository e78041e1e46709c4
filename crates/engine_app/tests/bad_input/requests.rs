//! Messages and requests to everything that a coordinator listens to.

use engine_component::Entity;
use engine_net::messages::command::{Action, Command};
use engine_net::messages::heartbeat::{Heartbeat, InstanceState};
use engine_net::messages::query::QueryRequest;
use engine_net::messages::register::Leave;
use engine_net::messages::rejected::RejectReason;
use engine_net::messages::value::Components;
use engine_net::messages::watch::{WatchAck, WatchOpen, WatchRequest};
use engine_net::messages::{Problem, Reply};
use engine_net::strict;
use serde::Deserialize;

use crate::forgery::garbage;
use crate::registrations::honest;
use crate::world::{EPOCH, HONEST, World, who};

/// Any answer that is a refusal.
#[derive(Deserialize)]
enum Refusal {
    #[serde(rename = "error")]
    Error(Problem),
}

fn heartbeat(instance: &str, slot: u32) -> Heartbeat {
    Heartbeat {
        instance: instance.into(),
        slot,
        epoch: EPOCH,
        tick: 1,
        state: InstanceState::Ready,
        load: f32::NAN,
        queue: u32::MAX,
        queue_bytes: u64::MAX,
        jobs: u64::MAX,
        compute_ns: u64::MAX,
        asked_again: u64::MAX,
        refused: u64::MAX,
        memory_bytes: u64::MAX,
        versions: None,
    }
}

fn query() -> QueryRequest {
    QueryRequest { with: vec!["bad.Position".into()], ..QueryRequest::default() }
}

#[test]
fn garbage_on_every_subject() {
    let mut world = World::start();
    let subjects = world.subjects.clone();
    let command = |action: Action| {
        let (aggregate, verb) = action.subject();
        (subjects.command("world", aggregate, verb), strict::encode(&Command::new("evil", action)))
    };
    let (entity, components) = (Entity::from_bits(1), Components::new());
    let commands = [
        Action::Pause {},
        Action::Resume {},
        Action::Step { ticks: 1 },
        Action::Speed { factor: 1.0 },
        Action::Spawn { entities: Vec::new() },
        Action::Set { entity, components: components.clone() },
        Action::Insert { entity, components },
        Action::Remove { entity, components: Vec::new() },
        Action::Despawn { entities: Vec::new() },
        Action::SceneLoad { entities: Vec::new() },
    ];
    let watch = WatchOpen { query: query(), region: None, max_hz: 1.0 };
    let requests = [
        (subjects.register(who("mallory")), strict::encode(&honest("mallory"))),
        (subjects.leave(who(HONEST)), strict::encode(&Leave { instance: HONEST.into(), slot: 0, epoch: EPOCH })),
        (subjects.query(), strict::encode(&query())),
        (subjects.watch(), strict::encode(&WatchRequest::Open(Box::new(watch)))),
    ];
    for (subject, honest) in commands.map(command).into_iter().chain(requests) {
        for (what, payload) in garbage(&honest) {
            let answer = world.request(&subject, payload);
            let Ok(Refusal::Error(problem)) = strict::decode::<Refusal>(&answer, 1 << 20) else {
                panic!("{subject} with {what} is no error: {answer:?}");
            };
            assert_eq!(problem.code, "bad_request", "{subject} with {what}: {}", problem.message);
        }
        world.step();
    }
    let kinds = garbage(&[0x80]).len() as u64;
    assert_eq!(world.counter("refused.bad_request"), 14 * kinds);
    // Messages that have no answer.
    let messages = [
        (subjects.heartbeat(who(HONEST)), strict::encode(&heartbeat(HONEST, 0)), "refused.heartbeat"),
        (
            subjects.watch_ack("1"),
            strict::encode(&WatchAck { id: "1".into(), sequence: 1, resync: true }),
            "refused.bad_request",
        ),
    ];
    for (subject, honest, counter) in messages {
        let before = world.counter(counter);
        for (_, payload) in garbage(&honest) {
            world.publish(&subject, payload);
        }
        world.until_counter(counter, before + kinds);
        world.step();
    }
    // Requests that say nothing are answered whatever they say.
    for subject in [subjects.status(), subjects.discovery("coordinator")] {
        for (_, payload) in garbage(&[0x80]) {
            assert!(!world.request(&subject, payload).is_empty());
        }
    }
    world.step();
}

#[test]
fn commands_that_can_not_be() {
    let mut world = World::start();
    let nobody = Entity::from_bits(u64::MAX >> 1);
    let of = |name: &str, value: serde_json::Value| Components::from([(name.to_owned(), value)]);
    let known = Entity::from_bits(1);
    let cases = [
        ("unknown_entity", Action::Set { entity: nobody, components: of("bad.Position", serde_json::json!({"x": 1})) }),
        (
            "unknown_entity",
            Action::Insert { entity: nobody, components: of("bad.Position", serde_json::json!({"x": 1})) },
        ),
        ("unknown_entity", Action::Remove { entity: nobody, components: vec!["bad.Position".into()] }),
        ("unknown_entity", Action::Despawn { entities: vec![known, nobody] }),
        ("unknown_entity", Action::Despawn { entities: vec![Entity::from_bits(u64::MAX), Entity::from_bits(0)] }),
        ("unknown_component", Action::Spawn { entities: vec![of("bad.Positron", serde_json::json!({}))] }),
        ("unknown_component", Action::Remove { entity: known, components: vec!["*.>".into()] }),
        ("bad_value", Action::Set { entity: known, components: of("bad.Position", serde_json::json!({"y": 1})) }),
        ("bad_value", Action::Set { entity: known, components: of("bad.Position", serde_json::json!({"x": "one"})) }),
        ("bad_value", Action::Set { entity: known, components: of("bad.Position", serde_json::json!({"x": 1e300})) }),
        ("bad_value", Action::Set { entity: known, components: of("bad.Label", serde_json::json!({"text": 5})) }),
        ("bad_value", Action::Speed { factor: f64::NAN }),
        ("bad_value", Action::Speed { factor: -1.0 }),
    ];
    for (code, action) in cases {
        let text = format!("{action:?}");
        match world.command(action) {
            Reply::Error(problem) => assert_eq!(problem.code, code, "{text}: {}", problem.message),
            Reply::Ok(done) => panic!("{text} is accepted: {done:?}"),
        }
        assert!(world.counter(&format!("refused.{code}")) > 0);
        world.step();
    }
    // The subject says something else than the command; nobody handles other domains.
    let payload = strict::encode(&Command::new("evil", Action::Pause {}));
    let answer = world.request(&world.subjects.command("world", "entity", "despawn"), payload);
    assert!(String::from_utf8_lossy(&answer).contains("bad_subject"));
    world.step();
}

#[test]
fn who_is_not_registered_is_told_so() {
    let mut world = World::start();
    let heartbeat = |instance: &str, slot| strict::encode(&heartbeat(instance, slot));
    world.publish(&world.subjects.heartbeat(who("mallory")), heartbeat("mallory", 3));
    world.told(who("mallory"), RejectReason::WrongInstance);
    // In another's name: that one registers again, and goes on.
    world.publish(&world.subjects.heartbeat(who(HONEST)), heartbeat(HONEST, 99));
    world.told(who(HONEST), RejectReason::WrongInstance);
    world.until_counter("refused.heartbeat", 2);
    world.step();
    // Who names another than its subject does is not answered.
    for name in ["*", ">", "a.b", "a b", "", HONEST] {
        world.publish(&world.subjects.heartbeat(who("mallory")), heartbeat(name, 3));
    }
    world.until_counter("refused.heartbeat", 8);
    // Somebody says good-bye in the honest one's name, with a slot that it does not have.
    let leave = Leave { instance: HONEST.into(), slot: 77, epoch: EPOCH };
    world.request(&world.subjects.leave(who(HONEST)), strict::encode(&leave));
    assert_eq!(world.status().systems[0].instances.len(), 1);
    world.step();
}

/// The whole world in one page, and pages that there are not.
#[test]
fn queries_that_ask_for_too_much() {
    let mut world = World::start();
    let subject = world.subjects.query();
    let all = QueryRequest { page_rows: u32::MAX, ..query() };
    assert!(!world.request(&subject, strict::encode(&all)).is_empty());
    let cursors = [vec![0xff; 16], vec![0xff; 5], vec![0; 4096]];
    for cursor in cursors {
        let query = QueryRequest { cursor: Some(cursor.into()), ..query() };
        assert!(!world.request(&subject, strict::encode(&query)).is_empty());
    }
    let entities: Vec<Entity> = (0..20_000).map(Entity::from_bits).collect();
    let many = strict::encode(&QueryRequest { entities, ..query() });
    assert!(String::from_utf8_lossy(&world.request(&subject, many)).contains("bad_request"));
    let names = strict::encode(&QueryRequest { with: vec!["bad.Position".into(); 5_000], ..query() });
    assert!(String::from_utf8_lossy(&world.request(&subject, names)).contains("bad_request"));
    world.step();
}
