//! Who asks from outside, what he expects, and what he may not do.

use engine_component::query::Query;
use engine_component::schema::Access;
use engine_component::{Component, Data, Entity};
use engine_net::Subjects;
use engine_net::messages::command::{Action, Command, CommandReply, Expected};
use engine_net::messages::query::{QueryPage, QueryReply, QueryRequest};
use engine_net::messages::register::{Register, RegisterReply};
use engine_net::messages::schemas::{SchemasReply, SchemasRequest};
use engine_net::messages::value::Components;
use engine_net::messages::watch::{WatchAck, WatchOpen, WatchReply, WatchRequest};
use engine_net::messages::{Message, Reply};
use engine_net::strict;
use engine_net::subject::Sender;
use engine_system::IntoSystem;
use serde_json::json;

use super::replay::position;
use super::script::{Script, app, drift, settings};
use crate::App;
use crate::record::Input;

#[derive(Component, Clone, Copy)]
#[component(name = "test.Coins", read_only)]
#[repr(C)]
struct Coins(u64);

#[derive(Component, Clone, Copy)]
#[component(name = "test.Suspicion", private)]
#[repr(C)]
struct Suspicion(f32);

/// One entity beside the usual ones has what is not open.
fn guarded() -> App {
    app(drift).on_start(|start| {
        start.world.register_schema(Coins::schema())?;
        start.world.register_schema(Suspicion::schema())?;
        start.world.spawn((Coins(5), Suspicion(0.5)));
        Ok(())
    })
}

/// A world that stands still, so that commands are applied at once.
fn script() -> Script {
    Script::with(guarded(), crate::Settings { paused: true, ..settings() }, &["a"])
}

fn subjects(script: &Script, identity: Option<&str>) -> Subjects {
    script.coordinator.subjects().clone().with_identity(identity).unwrap()
}

fn give(script: &mut Script, by: Option<&str>, command: &Command) -> CommandReply {
    let (aggregate, verb) = command.action.subject();
    let subject = subjects(script, by).command("world", aggregate, verb);
    let answers = script.request(&subject, strict::encode(command));
    strict::decode(&answers[0], CommandReply::LIMIT).unwrap()
}

fn code<T>(reply: Reply<T>) -> String {
    match reply {
        Reply::Ok(_) => "ok".to_owned(),
        Reply::Error(problem) => problem.code.to_string(),
    }
}

fn look(script: &mut Script, request: &QueryRequest) -> QueryReply {
    let subject = script.coordinator.subjects().query();
    strict::decode(&script.request(&subject, strict::encode(request))[0], QueryReply::LIMIT).unwrap()
}

fn page(script: &mut Script, request: &QueryRequest) -> QueryPage {
    match look(script, request) {
        Reply::Ok(page) => page,
        Reply::Error(problem) => panic!("{problem:?}"),
    }
}

fn set(entity: u64, x: f64) -> Action {
    Action::Set { entity: Entity::from_bits(entity), components: position(x) }
}

#[test]
fn a_command_on_what_somebody_else_has_changed_is_refused() {
    let mut script = script();
    let request = QueryRequest { entities: vec![Entity::from_bits(3)], versions: true, ..QueryRequest::default() };
    let seen = page(&mut script, &request).rows.remove(0).versions;
    let expect: Expected = [("test.Position".to_owned(), Some(seen["test.Position"].clone()))].into();
    let mine = |id: &str, x| Command { expect: expect.clone(), ..Command::new(id, set(3, x)) };
    assert_eq!(code(give(&mut script, Some("alice"), &mine("1", 50.0))), "ok");
    let before = script.coordinator.committed();
    match give(&mut script, Some("bob"), &mine("1", 60.0)) {
        Reply::Error(problem) => {
            assert_eq!(problem.code, "conflict");
            assert!(problem.message.contains(&seen["test.Position"]), "{}", problem.message);
        }
        Reply::Ok(done) => panic!("{done:?}"),
    }
    assert_eq!(script.coordinator.committed(), before, "nothing of it was done");
    let now = page(&mut script, &request).rows.remove(0);
    assert_eq!(now.components["test.Position"]["x"], json!(50.0));
    assert_ne!(now.versions, seen);
    // That something isn't there can be expected as well.
    let none = |id: &str, name: &str| Command {
        expect: [(name.to_owned(), None)].into(),
        ..Command::new(id, Action::Despawn { entities: vec![Entity::from_bits(3)] })
    };
    assert_eq!(code(give(&mut script, None, &none("2", "test.Position"))), "conflict");
    assert_eq!(code(give(&mut script, None, &none("3", "test.Coins"))), "ok");
    assert_eq!(code(give(&mut script, None, &none("4", "test.Coins"))), "unknown_entity");
    // Of several entities it could not be said whose component is meant.
    let two = Action::Despawn { entities: vec![Entity::from_bits(4), Entity::from_bits(5)] };
    let two = Command { expect: expect.clone(), ..Command::new("5", two) };
    assert_eq!(code(give(&mut script, None, &two)), "bad_request");
}

#[test]
fn who_gave_a_command_is_recorded_and_ids_are_his_own() {
    let mut script = script();
    assert_eq!(code(give(&mut script, Some("alice"), &Command::new("one", set(3, 1.0)))), "ok");
    assert_eq!(code(give(&mut script, Some("bob"), &Command::new("one", set(3, 2.0)))), "ok");
    assert_eq!(code(give(&mut script, None, &Command::new("one", set(3, 3.0)))), "ok");
    assert_eq!(script.counter("repeated_commands"), 0);
    assert_eq!(code(give(&mut script, Some("alice"), &Command::new("one", set(3, 4.0)))), "ok");
    assert_eq!(script.counter("repeated_commands"), 1, "hers again");
    assert_eq!(code(give(&mut script, None, &Command::new("alice/one", set(3, 5.0)))), "bad_request");
    let by = |input: &Input| match input {
        Input::Command { id, by, .. } => (id.clone(), by.clone()),
        other => panic!("{other:?}"),
    };
    let given: Vec<_> = script.coordinator.inputs.iter().map(by).collect();
    let one = |name: &str| (format!("{name}/one"), Some(name.to_owned()));
    assert_eq!(given, [one("alice"), one("bob"), ("one".to_owned(), None)]);
}

#[test]
fn what_is_not_open_is_not_written_from_outside() {
    let mut script = script();
    let guarded = page(&mut script, &QueryRequest { with: vec!["test.Coins".into()], ..QueryRequest::default() });
    let entity = guarded.rows[0].entity;
    let value = |name: &str| Components::from([(name.to_owned(), json!(1))]);
    for (name, refused) in [("test.Coins", "read_only"), ("test.Suspicion", "private")] {
        let scene = engine_net::messages::command::SceneEntity { number: 0, components: value(name) };
        let actions = [
            Action::Set { entity, components: value(name) },
            Action::Insert { entity, components: value(name) },
            Action::Remove { entity, components: vec![name.to_owned()] },
            Action::Spawn { entities: vec![value(name)] },
            Action::SceneLoad { entities: vec![scene] },
        ];
        let before = script.coordinator.whole_hash();
        for (number, action) in actions.into_iter().enumerate() {
            let command = Command::new(format!("{name}-{number}"), action);
            assert_eq!(code(give(&mut script, None, &command)), refused, "{name} {number}");
        }
        assert_eq!(script.coordinator.whole_hash(), before);
        assert_eq!(script.counter(&format!("refused.{refused}")), 5);
    }
}

#[test]
fn what_is_private_is_not_seen() {
    let mut script = script();
    let all =
        page(&mut script, &QueryRequest { with: vec!["test.Coins".into()], versions: true, ..QueryRequest::default() });
    assert_eq!(all.rows[0].components.keys().collect::<Vec<_>>(), ["test.Coins"]);
    assert_eq!(all.rows[0].versions.keys().collect::<Vec<_>>(), ["test.Coins"]);
    let name = || "test.Suspicion".to_owned();
    let filter = engine_net::messages::query::FieldFilter {
        field: "test.Suspicion.0".into(),
        op: engine_net::messages::query::Comparison::Greater,
        value: json!(0),
    };
    let asks = [
        QueryRequest { with: vec![name()], ..QueryRequest::default() },
        QueryRequest { without: vec![name()], ..QueryRequest::default() },
        QueryRequest { fields: vec![name()], ..QueryRequest::default() },
        QueryRequest { filters: vec![filter], ..QueryRequest::default() },
    ];
    for request in asks {
        assert_eq!(code(look(&mut script, &request)), "private", "{request:?}");
        let open = WatchRequest::Open(Box::new(WatchOpen { query: request, region: None, max_hz: 10.0 }));
        let subject = script.coordinator.subjects().watch();
        let answers = script.request(&subject, strict::encode(&open));
        assert_eq!(code(strict::decode::<WatchReply>(&answers[0], 4096).unwrap()), "private");
    }
    let subject = script.coordinator.subjects().schemas();
    let answers = script.request(&subject, strict::encode(&SchemasRequest::default()));
    let Reply::Ok(schemas) = strict::decode::<SchemasReply>(&answers[0], SchemasReply::LIMIT).unwrap() else {
        panic!()
    };
    assert!(schemas.schemas.iter().any(|schema| schema.name == "test.Coins"));
    assert!(schemas.schemas.iter().all(|schema| schema.name != "test.Suspicion"));
}

fn guard(mut all: Query<&mut Coins>) {
    all.iter_mut().for_each(drop);
}

/// The world has known the type as a read-only one; a build that joins says that it is private.
#[test]
fn the_strictest_build_counts_and_the_record_says_so() {
    let mut script = script();
    let all = QueryRequest { with: vec!["test.Coins".into()], ..QueryRequest::default() };
    assert_eq!(code(look(&mut script, &all)), "ok");
    let system = guard.into_system("guard").unwrap();
    let private = Coins::schema().with_access(Access::Private);
    let register = |systems: Vec<engine_net::descriptor::SystemDescriptor>, schemas: Vec<_>, instance: &str| Register {
        instance: instance.into(),
        nonce: 77 << 16,
        protocol: engine_net::PROTOCOL,
        engine: String::new(),
        host: String::new(),
        pid: 1,
        systems,
        schemas,
        max_payload: 1 << 20,
        keep_bytes: 0,
    };
    let join = |script: &mut Script, register: &Register| {
        let systems = register.systems_token().unwrap();
        let from = Sender { systems: &systems, instance: &register.instance };
        let subject = script.coordinator.subjects().register(from);
        let answers = script.request(&subject, strict::encode(register));
        assert_eq!(code(strict::decode::<RegisterReply>(&answers[0], RegisterReply::LIMIT).unwrap()), "ok");
    };
    // Whose systems don't name it has no say.
    join(&mut script, &register(Vec::new(), vec![private.clone()], "stranger"));
    assert_eq!(code(look(&mut script, &all)), "ok");
    join(&mut script, &register(vec![system.descriptor().clone()], vec![private], "guard-1"));
    assert_eq!(code(look(&mut script, &all)), "private");
    join(&mut script, &register(vec![system.descriptor().clone()], vec![Coins::schema()], "guard-2"));
    assert_eq!(code(look(&mut script, &all)), "private", "nothing becomes more open");
    // Whoever leads next has it from the record.
    let restricts = |input: &Input| match input {
        Input::Arrived { schemas, .. } => schemas.iter().any(|schema| schema.access == Access::Private),
        _ => false,
    };
    assert_eq!(script.coordinator.inputs.iter().filter(|input| restricts(input)).count(), 1);
}

#[test]
fn a_watch_is_its_owners() {
    let mut script = script();
    let query = QueryRequest { fields: vec!["test.Position".into()], ..QueryRequest::default() };
    let open = WatchRequest::Open(Box::new(WatchOpen { query, region: None, max_hz: 60.0 }));
    let alice = subjects(&script, Some("alice"));
    let bob = subjects(&script, Some("bob"));
    let answers = script.request(&alice.watch(), strict::encode(&open));
    let Reply::Ok(accepted) = strict::decode::<WatchReply>(&answers[0], 4096).unwrap() else { panic!() };
    let id = accepted.id;
    script.pass(20);
    let frames = |script: &mut Script, subject: &str| {
        let told = std::mem::take(&mut script.told);
        told.into_iter().filter(|(to, _)| to == subject).count()
    };
    assert_eq!(frames(&mut script, &alice.watch_frame(&id)), 1, "where only she listens");
    let close = strict::encode(&WatchRequest::Close { id: id.clone() });
    script.request(&bob.watch(), close.clone());
    let hers = strict::encode(&WatchRequest::Close { id: format!("alice.{id}") });
    script.request(&script.coordinator.subjects().watch(), hers);
    let ack = WatchAck { id: id.clone(), sequence: 1, resync: true };
    script.request(&bob.watch_ack(&id), strict::encode(&ack));
    assert_eq!(script.counter("refused.watch_ack"), 1);
    script.told.clear();
    script.request(&alice.watch_ack(&id), strict::encode(&ack));
    script.pass(50);
    assert_eq!(frames(&mut script, &alice.watch_frame(&id)), 1, "it goes on");
    script.request(&alice.watch(), close);
    script.request(&alice.watch_ack(&id), strict::encode(&ack));
    assert_eq!(script.counter("refused.watch_ack"), 2, "it has ended");
}
