//! What anybody may send to a coordinator: garbage, lies and too much of it. It is refused with a reason and
//! counted; the world is untouched.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use bytes::Bytes;
use engine_app::coordinator::{Coordinator, Output};
use engine_app::{App, Settings};
use engine_component::Component;
use engine_component::query::Query;
use engine_net::messages::Message;
use engine_net::messages::Reply;
use engine_net::messages::register::{Register, RegisterReply};
use engine_net::messages::status::StatusReply;
use engine_net::name;
use engine_net::strict;
use engine_net::subject::Sender;
use engine_system::IntoSystem;

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Position")]
struct Position {
    x: f32,
}

mod elsewhere {
    use engine_component::Component;

    /// Of the same name, in another program.
    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "test.Position")]
    pub(crate) struct Position {
        x: u64,
    }
}

fn drift(mut bodies: Query<&mut Position>) {
    for position in &mut bodies {
        position.x += 1.0;
    }
}

/// A world that waits for an instance of its system.
fn coordinator() -> Coordinator {
    let app = App::new("test").add_system("drift", drift).on_start(|start| {
        start.world.spawn((Position { x: 0.0 },));
        Ok(())
    });
    app.into_coordinator(Settings::default(), &BTreeMap::new(), |_| false, 3).unwrap().0
}

fn send(coordinator: &mut Coordinator, subject: &str, reply: Option<&str>, payload: impl Into<Bytes>) -> Vec<Sent> {
    coordinator.message(1, subject, reply, payload.into());
    let mut sent = Vec::new();
    while let Some(output) = coordinator.next_output() {
        if let Output::Send { subject, payload, .. } = output {
            sent.push((subject, payload));
        }
    }
    sent
}

/// A subject and a payload.
type Sent = (String, Bytes);

fn counters(coordinator: &mut Coordinator) -> BTreeMap<String, u64> {
    let subject = coordinator.subjects().status();
    let sent = send(coordinator, &subject, Some("_INBOX.s"), Bytes::new());
    match strict::decode::<StatusReply>(&sent[0].1, StatusReply::LIMIT).unwrap() {
        Reply::Ok(status) => status.counters,
        Reply::Error(problem) => panic!("{problem:?}"),
    }
}

fn honest() -> Register {
    let system = drift.into_system("drift").unwrap();
    Register {
        instance: "one".into(),
        nonce: 1 << 16,
        protocol: engine_net::PROTOCOL,
        engine: "test".into(),
        host: "here".into(),
        pid: 1,
        systems: vec![system.descriptor().clone()],
        schemas: system.schemas().to_vec(),
        max_payload: 1 << 20,
        keep_bytes: 1 << 20,
    }
}

/// Where it belongs, or where one with names that can't stand in a subject would be sent.
fn subject_of(coordinator: &Coordinator, register: &Register) -> String {
    let systems = register.systems_token().unwrap_or_else(|_| "+".into());
    let instance = if name::is_token(&register.instance) { register.instance.as_str() } else { "one" };
    coordinator.subjects().register(Sender { systems: &systems, instance })
}

fn register(coordinator: &mut Coordinator, change: impl FnOnce(&mut Register)) -> RegisterReply {
    let mut register = honest();
    change(&mut register);
    let subject = subject_of(coordinator, &register);
    let sent = send(coordinator, &subject, Some("_INBOX.r"), strict::encode(&register));
    let (_, payload) = sent.iter().find(|(subject, _)| subject == "_INBOX.r").unwrap();
    strict::decode(payload, RegisterReply::LIMIT).unwrap()
}

fn refused(change: impl FnOnce(&mut Register)) -> (&'static str, String) {
    let mut coordinator = coordinator();
    let before = coordinator.committed();
    let Reply::Error(problem) = register(&mut coordinator, change) else { panic!("it is accepted") };
    assert_eq!(coordinator.committed(), before);
    assert!(counters(&mut coordinator)[&format!("refused.{}", problem.code)] == 1);
    // Who does nothing wrong is taken.
    assert!(matches!(register(&mut coordinator, |_| ()), Reply::Ok(_)));
    (Box::leak(problem.code.to_string().into_boxed_str()), problem.message)
}

const ONE: Sender<'static> = Sender { systems: "one", instance: "one" };

/// Bytes that are no message, each in a way of its own.
fn garbage() -> Vec<Vec<u8>> {
    let deep = [vec![0x91; 10_000], vec![0xc0]].concat();
    let whole = strict::encode(&honest());
    let truncated = whole[..whole.len() - 1].to_vec();
    let trailing = [whole, vec![0]].concat();
    // An array, a map, a text and a blob that claim to have four billion of what follows.
    let claims = [0xdd, 0xdf, 0xdb, 0xc6].map(|marker: u8| vec![marker, 0xff, 0xff, 0xff, 0xff, 1]);
    let fixed = [Vec::new(), vec![0xc1], b"hello".to_vec(), vec![0xff; 70_000], deep, truncated, trailing];
    fixed.into_iter().chain(claims).collect()
}

#[test]
fn garbage_on_every_subject() {
    let mut coordinator = coordinator();
    let before = (coordinator.committed(), coordinator.world().len());
    let subjects = coordinator.subjects().clone();
    let control = ["pause", "resume", "step", "speed"].map(|action| subjects.command("world", "sim", action));
    let edits =
        ["spawn", "set", "insert", "remove", "despawn"].map(|action| subjects.command("world", "entity", action));
    let others = [
        subjects.register(ONE),
        subjects.heartbeat(ONE),
        subjects.leave(ONE),
        subjects.query(),
        subjects.schemas(),
        subjects.changed(3, ONE),
        subjects.changed(u64::MAX, ONE),
        subjects.command("world", "scene", "load"),
        "engine.main".into(),
        "engine.main.nothing.of.the.kind".into(),
    ];
    for subject in control.into_iter().chain(edits).chain(others) {
        for payload in garbage() {
            // A status and a list of schemas have no request to read.
            let answers = send(&mut coordinator, &subject, Some("_INBOX.g"), payload);
            assert!(answers.len() <= 1, "{subject}: {answers:?}");
        }
    }
    assert_eq!((coordinator.committed(), coordinator.world().len()), before);
    let counters = counters(&mut coordinator);
    // As many as there are subjects of a kind, times the kinds of garbage.
    let expected = [("bad_request", 14 * 11), ("heartbeat", 11), ("unknown_subject", 2 * 11)];
    for (reason, count) in expected {
        assert_eq!(counters[&format!("refused.{reason}")], count, "{reason}");
    }
    assert_eq!(counters["rejected.garbage"], 2 * 11);
}

#[test]
fn an_answer_never_goes_where_somebody_listens_with_rights() {
    let mut coordinator = coordinator();
    let status = coordinator.subjects().status();
    for reply in
        ["$JS.API.STREAM.DELETE.engine", "$SYS.REQ.x", "engine.main.system.register", "engine.other.coord.hello"]
    {
        assert_eq!(send(&mut coordinator, &status, Some(reply), Bytes::new()), [], "{reply}");
    }
    assert_eq!(counters(&mut coordinator)["refused.reply_subject"], 4);
}

#[test]
fn a_schema_that_disagrees_is_refused_with_the_difference() {
    let (code, message) = refused(|register| {
        register.schemas = vec![<elsewhere::Position as engine_component::Data>::schema()];
    });
    assert_eq!(code, "schema");
    assert!(message.contains("test.Position") && message.contains("instance `one`"), "{message}");
    assert!(message.contains("f32") && message.contains("u64"), "{message}");
}

#[test]
fn names_with_illegal_characters() {
    for name in ["", "a b", "a.b", "*", ">", "ü", "a\nb", "x/y", &"n".repeat(1000)] {
        let (code, message) = refused(|register| register.instance = name.to_owned());
        assert_eq!(code, "bad_name", "{name:?}: {message}");
        let (code, message) = refused(|register| register.systems[0].name = name.to_owned());
        assert_eq!(code, "bad_name", "{name:?}: {message}");
    }
}

#[test]
fn a_system_that_is_declared_otherwise() {
    let (code, message) = refused(|register| register.systems[0].commands = true);
    assert_eq!(code, "system");
    assert!(message.contains("drift") && message.contains("same build"), "{message}");
}

#[test]
fn a_name_belongs_to_who_is_alive() {
    let mut coordinator = coordinator();
    assert!(matches!(register(&mut coordinator, |_| ()), Reply::Ok(_)));
    let Reply::Error(problem) = register(&mut coordinator, |register| register.nonce = 2 << 16) else {
        panic!("two processes have one name");
    };
    assert!(problem.code == "taken" && problem.message.contains("`one`"), "{problem:?}");
}

#[test]
fn a_repeated_registration_has_the_same_answer() {
    let mut coordinator = coordinator();
    let slot = |reply| match reply {
        Reply::Ok(engine_net::messages::register::Accepted { slot, .. }) => slot,
        Reply::Error(problem) => panic!("{problem:?}"),
    };
    let first = slot(register(&mut coordinator, |_| ()));
    assert_eq!(slot(register(&mut coordinator, |_| ())), first);
    assert!(slot(register(&mut coordinator, |register| register.nonce += 1)) > first, "it registers anew");
}

#[test]
fn a_flood_stays_bounded() {
    let mut coordinator = coordinator();
    for number in 0..10_000_u64 {
        let register = Register { instance: format!("i{number}"), nonce: number << 16, ..honest() };
        let subject = subject_of(&coordinator, &register);
        send(&mut coordinator, &subject, Some("_INBOX.f"), strict::encode(&register));
    }
    assert!(coordinator.instances() <= 4096);
    assert!(counters(&mut coordinator)["refused.overloaded"] > 5000);
}
