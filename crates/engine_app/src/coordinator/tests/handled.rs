//! Commands of programs outside that systems answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine_component::query::{ColumnAccess, Query, QueryDescriptor};
use engine_component::schema::Access;
use engine_component::{Command, Component, Data, Entity, Event, Invalid};
use engine_net::descriptor::SystemDescriptor;
use engine_net::envelope::{Content, Envelope, SchemaRef};
use engine_net::handled::{answer_schema, head_schema, write_answer};
use engine_net::headers::Headers;
use engine_net::messages::command::Action;
use engine_net::messages::rejected::RejectReason;
use engine_net::messages::{Problem, Reply};
use engine_net::strict;
use engine_system::{CommandHandler, Commands, EventBatch, EventReader, EventWriter, IntoSystem, System};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::replay::run;
use super::script::{ROWS, Script, settings, stranger};
use crate::App;
use crate::coordinator::Coordinator;
use crate::coordinator::handled::find;
use crate::receive::Effects;
use crate::record::{Input, TickRecord};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Purse")]
struct Purse {
    player: u64,
    coins: u64,
}

#[derive(Debug, Serialize, Deserialize, Command)]
#[command(name = "test.purse.pay", document, answer = u64, validate = Pay::check)]
struct Pay {
    #[command(key)]
    player: u64,
    price: u64,
}

impl Pay {
    fn check(&self) -> Result<(), Invalid> {
        if self.price < 1000 { Ok(()) } else { Err(Invalid::new("nothing costs so much")) }
    }
}

/// Plain, and answered with an entity that did not exist before.
#[derive(Clone, Copy, Command)]
#[repr(C)]
#[command(name = "test.purse.open", answer = Entity)]
struct Open {
    player: u64,
}

fn pay(orders: CommandHandler<Pay>, mut purses: Query<&mut Purse>) {
    for purse in &mut purses {
        for order in orders.iter().filter(|order| order.player == purse.player) {
            match purse.coins.checked_sub(order.price) {
                Some(left) => {
                    purse.coins = left;
                    orders.answer(order, left);
                }
                None => {
                    orders.refuse(order, "no_coins", format_args!("{:?} asks, {} are left", order.by(), purse.coins));
                }
            }
        }
    }
}

fn open(orders: CommandHandler<Open>, mut commands: Commands) {
    for order in &orders {
        let entity = commands.spawn((Purse { player: order.player, coins: 10 },));
        orders.answer(order, entity);
    }
}

/// Purses of 10 coins in four shards; `pay` runs in every `every`th tick.
fn app(every: u32) -> App {
    let app = App::new("test").add_system("pay", pay.every(every)).add_system("open", open);
    app.on_start(|start| {
        for player in 0..4 * ROWS as u64 {
            start.world.spawn((Purse { player, coins: 10 },));
        }
        Ok(())
    })
}

fn script(every: u32) -> Script {
    let mut script = Script::new(app(every), settings());
    for name in ["a", "b"] {
        script.join_with(name, app(every).into_systems().unwrap());
    }
    script
}

/// Headers of the `number`th command.
fn envelope(number: u64, name: &str) -> Envelope {
    let id = format!("01890a5d-ac96-774b-bcce-{number:012x}");
    Envelope { time: None, content: Content::Json, ..Envelope::new("test", name).with_id(id) }
}

impl Script {
    fn ask(&mut self, number: u64, name: &str, by: Option<&str>, value: &serde_json::Value) -> Vec<Bytes> {
        let headers = Headers::default().envelope(envelope(number, name));
        let subject = format!("engine.main.command.{name}{}", by.map(|by| format!(".{by}")).unwrap_or_default());
        self.request_with(&subject, &headers, value.to_string())
    }

    fn pay(&mut self, number: u64, player: u64, price: u64) -> Vec<Bytes> {
        self.ask(number, "test.purse.pay", None, &json!({"player": player, "price": price}))
    }
}

fn read<T: serde::de::DeserializeOwned>(answers: &[Bytes]) -> Vec<Reply<T>> {
    answers.iter().map(|answer| strict::decode(answer, 1 << 20).unwrap()).collect()
}

fn refusals(answers: &[Bytes]) -> Vec<Problem> {
    let problem = |reply| match reply {
        Reply::Error(problem) => problem,
        Reply::Ok(value) => panic!("{value}"),
    };
    read::<u64>(answers).into_iter().map(problem).collect()
}

fn coins(coordinator: &Coordinator, player: u64) -> u64 {
    let world = coordinator.world();
    let tables = world.sorted_tables().iter().map(|table| world.table(*table));
    let purses = tables.filter_map(|table| Some(table.column(table.column_index(Purse::ID)?)));
    let rows = purses.flat_map(|column| column.bytes().as_chunks::<16>().0.to_vec());
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    rows.into_iter().find(|row| number(&row[..8]) == player).map(|row| number(&row[8..])).unwrap()
}

#[test]
fn a_command_is_answered_by_the_shard_that_knows() {
    let mut script = script(1);
    for (number, player) in [(1, 0), (2, 4 * ROWS as u64 - 1), (3, 70), (4, 70)] {
        assert!(script.pay(number, player, 6).is_empty());
    }
    script.tick();
    let answers = read::<u64>(&script.answers());
    let refused = Problem::new("no_coins", "None asks, 4 are left");
    assert_eq!(answers, [Reply::Ok(4), Reply::Ok(4), Reply::Ok(4), Reply::Error(refused)]);
    assert_eq!((coins(&script.coordinator, 0), coins(&script.coordinator, 70)), (4, 4));
    assert_eq!(script.counter("refused.by_system"), 1);
    script.check_room();
}

#[test]
fn nothing_is_answered_before_it_is_durable_and_nothing_twice() {
    let mut script = script(1);
    script.coordinator.keep_log(4);
    let before = script.records.len() as u64;
    assert!(script.pay(1, 5, 3).is_empty());
    assert!(script.pay(1, 5, 3).is_empty(), "it waits already");
    script.tick();
    assert!(script.answers().is_empty());
    assert!(script.pay(1, 5, 3).is_empty(), "it is not durable yet");
    let made = script.records.len() as u64;
    assert_eq!(made, before + 1);
    assert_eq!(read::<u64>(&script.durable(made)), [Reply::Ok(7), Reply::Ok(7)], "both that asked");
    assert_eq!(read::<u64>(&script.pay(1, 5, 3)), [Reply::Ok(7)]);
    assert_eq!((coins(&script.coordinator, 5), script.counter("repeated_commands")), (7, 3));
    // The same id with an identity, or of another command, is another one.
    assert!(script.ask(1, "test.purse.pay", Some("ada"), &json!({"player": 5, "price": 3})).is_empty());
    assert!(script.ask(1, "test.purse.open", None, &json!({"player": 900})).is_empty());
    script.tick();
    let made = script.records.len() as u64;
    assert_eq!((script.durable(made).len(), coins(&script.coordinator, 5)), (2, 4));
}

#[test]
fn who_gave_it_is_known_to_the_system() {
    let mut script = script(1);
    script.ask(1, "test.purse.pay", Some("ada"), &json!({"player": 5, "price": 11}));
    script.tick();
    assert_eq!(refusals(&script.answers())[0].message, "Some(\"ada\") asks, 10 are left");
}

#[test]
fn an_answer_names_what_the_same_job_spawned() {
    let mut script = script(1);
    for number in 1..=2 {
        script.ask(number, "test.purse.open", None, &json!({"player": 900 + number}));
    }
    script.tick();
    for answer in read::<Entity>(&script.answers()) {
        let Reply::Ok(entity) = answer else { panic!("{answer:?}") };
        assert!(script.coordinator.world().contains(entity), "{entity}");
    }
    assert_eq!(coins(&script.coordinator, 902), 10);
}

#[test]
fn what_nobody_answers_is_refused() {
    let mut script = script(1);
    script.pay(1, 7777, 1);
    script.tick();
    let refused = refusals(&script.answers());
    assert_eq!((refused[0].code.as_str(), refused[0].message.contains("`pay`")), ("unanswered", true));
    assert_eq!(refusals(&script.pay(1, 7777, 1))[0].code, "unanswered", "it is remembered");
}

#[test]
fn what_can_not_be_read_is_refused_before_any_system_sees_it() {
    let mut script = script(1);
    let good = envelope(1, "test.purse.pay");
    let value = json!({"player": 1, "price": 1}).to_string();
    let mut refused = |envelope: Option<Envelope>, payload: &[u8]| {
        let headers = envelope.map_or_else(Headers::default, |envelope| Headers::default().envelope(envelope));
        let answers = script.request_with("engine.main.command.test.purse.pay", &headers, payload.to_vec());
        let problem = refusals(&answers).remove(0);
        assert_eq!(problem.code, "bad_request", "{problem}");
        problem.message
    };
    let schema = SchemaRef::of::<Pay>();
    assert!(refused(None, value.as_bytes()).contains("ce-id"));
    assert!(
        refused(Some(Envelope { kind: "test.purse.open".into(), ..good.clone() }), value.as_bytes())
            .contains("subject")
    );
    assert!(refused(Some(good.clone().with_id("1")), value.as_bytes()).contains("UUID"));
    assert!(refused(Some(good.clone()), b"{\"player\": 1, \"prise\": 1}").contains("is `price` meant?"));
    assert!(refused(Some(good.clone()), b"{\"player\": 1}").contains("`price`"));
    assert!(refused(Some(good.clone()), b"{").contains("test.purse.pay"));
    assert!(refused(Some(good.clone()), &vec![b'1'; 1 << 20]).contains("bytes"));
    assert!(refused(Some(Envelope { content: Content::MessagePack, ..good.clone() }), b"\x81\xa1").contains("pay"));
    let newer = Envelope { schema: Some(SchemaRef { version: 9, ..schema.clone() }), ..good.clone() };
    assert!(refused(Some(newer), value.as_bytes()).contains("version 9"));
    let other = Envelope { schema: Some(SchemaRef { name: "test.purse.open".into(), ..schema }), ..good };
    assert!(refused(Some(other), value.as_bytes()).contains("test.purse.open"));
    let answers = script.ask(1, "test.purse.burn", None, &json!({}));
    assert_eq!(refusals(&answers)[0].code, "bad_subject");
    script.tick();
    assert!(script.answers().is_empty());
    assert_eq!((coins(&script.coordinator, 1), script.counter("refused.bad_request")), (10, 10));
}

#[test]
fn what_its_type_does_not_mean_is_refused_where_it_is_read() {
    let mut script = script(1);
    script.pay(1, 1, 1000);
    script.pay(2, 1, 4);
    script.tick();
    let answers = script.answers();
    assert_eq!(refusals(&answers[..1])[0], Problem::new("invalid", "nothing costs so much"));
    assert_eq!(read::<u64>(&answers[1..]), [Reply::Ok(6)]);
}

#[test]
fn a_paused_world_answers_when_it_goes_on() {
    let mut script = script(1);
    script.coordinator.keep_log(4);
    assert!(script.pay(1, 1, 1).is_empty());
    script.pass(500);
    assert!(script.records.is_empty() && !script.coordinator.is_running());
    assert!(script.act("despawn", Action::Despawn { entities: vec![Entity::from_bits(1)] }).is_empty());
    assert_eq!(script.durable(1).len(), 1, "the engine's own commands don't wait");
    script.tick();
    assert_eq!(read::<u64>(&script.durable(2)), [Reply::Ok(9)]);
}

#[test]
fn what_waits_is_bounded() {
    let mut script = script(1);
    for number in 0..16 * 1024 {
        assert!(script.pay(number, 1, 1).is_empty());
    }
    assert_eq!(refusals(&script.pay(1 << 30, 1, 1))[0].code, "overloaded");
    script.tick();
    assert_eq!(script.answers().len(), 16 * 1024);
    script.pay(1 << 30, 2, 1);
    script.tick();
    assert_eq!(read::<u64>(&script.answers()), [Reply::Ok(9)]);
}

#[test]
fn a_world_that_has_had_its_last_tick_says_so() {
    let mut script = Script::new(app(2), crate::Settings { ticks: Some(3), ..settings() });
    script.join_with("a", app(2).into_systems().unwrap());
    script.pay(1, 1, 1);
    (0..2).for_each(|_| script.tick());
    assert_eq!(read::<u64>(&script.answers()), [Reply::Ok(9)]);
    script.pay(2, 1, 1);
    script.begin();
    script.pay(3, 1, 1);
    script.deliver_all();
    // One was given to a system that does not run any more, one to nobody.
    let codes = |answers: &[Bytes]| refusals(answers).into_iter().map(|problem| problem.code).collect::<Vec<_>>();
    assert_eq!(codes(&script.answers()), ["finished", "finished"]);
    for number in [2, 3] {
        assert_eq!(codes(&script.pay(number, 1, 1)), ["finished"]);
    }
    script.act("burn", Action::Despawn { entities: vec![Entity::from_bits(1)] });
    assert_eq!(script.answers(), [] as [Bytes; 0], "who was told is not told again");
    assert_eq!(codes(&script.pay(4, 1, 1)), ["finished"]);
    script.coordinator.stop();
    assert_eq!(codes(&script.pay(4, 1, 1)), ["unavailable"], "another one may go on");
}

/// The systems of [`app`] in this process.
fn replayer() -> Coordinator {
    app(3).into_coordinator(settings(), &BTreeMap::new(), |_| true, 8).unwrap().0
}

#[test]
fn a_coordinator_that_takes_over_gives_the_same_answers() {
    let mut script = script(3);
    script.coordinator.keep_log(100);
    script.pay(1, 1, 1);
    script.tick();
    script.pay(2, 1, 1);
    script.ask(3, "test.purse.pay", Some("ada"), &json!({"player": 1, "price": 11}));
    // Given, and the system runs in the third tick.
    script.tick();
    let middle = script.records.len();
    script.tick();
    script.pay(4, 7777, 1);
    (0..3).for_each(|_| script.tick());
    let made = script.records.len() as u64;
    let answers = script.durable(made);
    assert_eq!(answers.len(), 4);
    let records: Vec<_> = script.records.iter().map(|bytes| TickRecord::from_bytes(bytes).unwrap()).collect();
    let given = records.iter().flat_map(|record| &record.inputs).filter(|input| matches!(input, Input::Given { .. }));
    assert_eq!(given.count(), 4);
    // By all records; by a keyframe before anything was looked at, and the records behind it.
    let repeat = |coordinator: &mut Coordinator, records: &[TickRecord]| {
        coordinator.begin_recovery();
        for record in records {
            coordinator.replay(record).unwrap();
            run(coordinator);
            assert_eq!(coordinator.committed(), (record.tick, record.hash));
        }
    };
    let mut first = replayer();
    repeat(&mut first, &records[..middle]);
    let state = first.state().unwrap();
    let systems: Vec<(Arc<dyn System>, bool)> =
        app(3).into_systems().unwrap().into_iter().map(|system| (system, true)).collect();
    let world = std::mem::take(&mut first.world);
    let mut second = Coordinator::restore(settings(), world, systems, &state, 9).unwrap();
    assert_eq!(second.state().unwrap(), state);
    repeat(&mut second, &records[middle..]);
    let mut third = replayer();
    repeat(&mut third, &records);
    for mut coordinator in [second, third] {
        coordinator.end_recovery(1);
        let mut script = Script::new(app(3), settings());
        script.coordinator = coordinator;
        script.pump();
        let mut again = script.pay(1, 1, 1);
        again.extend(script.pay(2, 1, 1));
        again.extend(script.ask(3, "test.purse.pay", Some("ada"), &json!({"player": 1, "price": 11})));
        again.extend(script.pay(4, 7777, 1));
        assert_eq!(again, answers);
        assert_eq!(coins(&script.coordinator, 1), 8);
    }
}

#[test]
fn a_record_of_what_no_system_answers_is_refused() {
    let mut record = TickRecord::empty(7, 1, engine_component::WorldHash(0));
    let given = |command: &str, row: Vec<u8>| {
        vec![Input::Given { id: "x/1".into(), by: None, command: command.into(), row: row.into() }]
    };
    for inputs in [given("test.purse.burn", Vec::new()), given("test.purse.pay", vec![0xc1])] {
        record.inputs = inputs;
        assert!(replayer().replay(&record).is_err());
    }
}

#[test]
fn answers_to_what_was_not_asked_are_refused() {
    let mut script = script(1);
    script.pay(1, 1, 1);
    script.begin();
    let system = |script: &Script, name: &str| script.coordinator.systems.iter().position(|entry| entry.name() == name);
    let effects = |rows: &[Vec<u8>]| {
        let schema = answer_schema(Pay::NAME);
        let mut batch = EventBatch::default();
        rows.iter().for_each(|row| batch.push_raw(&schema, row));
        [Effects { events: vec![(schema.id(), batch)], ..Effects::default() }]
    };
    let pay = system(&script, "pay").unwrap();
    let check =
        |rows: &[Vec<u8>]| script.coordinator.check_answers(pay, &effects(rows)).map_err(|refused| refused.reason);
    assert!(check(&[write_answer(0, &Reply::Ok(9))]).is_ok());
    assert_eq!(check(&[write_answer(0, &Reply::Ok(9)), write_answer(1, &Reply::Ok(9))]), Err(RejectReason::BadEvent));
    assert_eq!(check(&[vec![0x80]]), Err(RejectReason::BadEvent));
    script.deliver_all();
    assert_eq!(read::<u64>(&script.answers()), [Reply::Ok(9)]);
}

#[derive(Event, Clone, Copy)]
#[repr(C)]
#[event(name = "test.purse.open")]
struct Forged {
    player: u64,
}

#[test]
fn a_command_has_one_handler_and_nobody_else_touches_it() {
    let of = |app: App| app.into_coordinator(settings(), &BTreeMap::new(), |_| true, 7).map(drop);
    let refused = |app: App| of(app).unwrap_err().to_string();
    let twice = refused(app(1).add_system("second", pay));
    assert!(twice.contains("`test.purse.pay`") && twice.contains("`second`"), "{twice}");
    let thief = refused(app(1).add_system("thief", |mut forged: EventWriter<Forged>| {
        forged.send(Forged { player: 1 });
    }));
    assert!(thief.contains("`thief`") && thief.contains("test.purse.open"), "{thief}");
    assert!(refused(app(1).add_system("spy", |_: EventReader<Forged>| {})).contains("`spy`"));
    // The same by registration.
    let mut script = script(1);
    script.join_with("c", App::new("other").add_system("second", pay).into_systems().unwrap());
    assert_eq!(script.refused, ["bad_system"]);
}

#[test]
fn who_may_see_what_belongs_to_a_command_is_for_each_build_to_say() {
    let mut script = script(1);
    script.coordinator.keep_log(100);
    let private = engine_component::Schema { access: Access::Private, ..head_schema(Pay::NAME) };
    let (sender, register) = stranger(vec![private]);
    let subject = script.coordinator.subjects().register(sender);
    script.request(&subject, strict::encode(&register));
    script.pay(1, 1, 1);
    script.tick();
    let made = script.records.len() as u64;
    assert_eq!(read::<u64>(&script.durable(made)), [Reply::Ok(9)]);
    let arrived = |input: &Input| matches!(input, Input::Arrived { .. });
    let mut again = app(1).into_coordinator(settings(), &BTreeMap::new(), |_| true, 8).unwrap().0;
    for record in &script.records {
        let record = TickRecord::from_bytes(record).unwrap();
        again.begin_recovery();
        again.replay(&record).unwrap_or_else(|error| panic!("{error}: {}", record.inputs.iter().any(arrived)));
        if !again.may_replay() {
            run(&mut again);
        }
    }
}

#[test]
fn a_query_for_what_belongs_to_a_command_is_refused() {
    let pay = pay.into_system("pay").unwrap();
    let schemas = pay.schemas().to_vec();
    let mut spy = SystemDescriptor::new("spy");
    let head = head_schema(Pay::NAME).id();
    let column = ColumnAccess { component: head, write: false, optional: false };
    spy.queries.push(QueryDescriptor { columns: vec![column], ..QueryDescriptor::default() });
    let known = |id| schemas.iter().find(|schema| schema.id() == id);
    assert!(find([pay.descriptor()].into_iter(), known).is_ok());
    assert!(find([pay.descriptor(), &spy].into_iter(), known).unwrap_err().contains("`spy`"));
}

#[test]
fn what_belongs_to_a_command_is_what_every_engine_knows() {
    let pay = pay.into_system("pay").unwrap();
    let good = (pay.descriptor().clone(), pay.schemas().to_vec());
    let refused = |change: &dyn Fn(&mut SystemDescriptor, &mut Vec<engine_component::Schema>)| {
        let (mut descriptor, mut schemas) = good.clone();
        change(&mut descriptor, &mut schemas);
        find([&descriptor].into_iter(), |id| schemas.iter().find(|schema| schema.id() == id)).is_err()
    };
    assert!(!refused(&|_, _| {}));
    let without = |name: String| {
        move |_: &mut SystemDescriptor, schemas: &mut Vec<engine_component::Schema>| {
            schemas.retain(|schema| schema.name != name);
        }
    };
    assert!(refused(&without(Pay::NAME.into())));
    assert!(refused(&without(head_schema(Pay::NAME).name)) && refused(&without(answer_schema(Pay::NAME).name)));
    assert!(refused(&|_, schemas| {
        let head = schemas.iter_mut().find(|schema| schema.name.ends_with(".head")).unwrap();
        head.fields.clear();
    }));
    assert!(refused(&|descriptor, _| descriptor.writes_events.clear()));
    assert!(refused(&|descriptor, _| descriptor.reads_events.reverse()));
    assert!(refused(&|descriptor, _| descriptor.writes_events.push(Pay::ID)));
    assert!(refused(&|descriptor, schemas| named("world.a.b", descriptor, schemas)));
    assert!(!refused(&|descriptor, schemas| named("a.b.c", descriptor, schemas)));
}

/// A system that answers a command of this name, and declares all that belongs to it.
fn named(name: &str, descriptor: &mut SystemDescriptor, schemas: &mut Vec<engine_component::Schema>) {
    let command = engine_component::Schema { name: name.into(), ..Pay::schema() };
    let (head, answer) = (head_schema(name), answer_schema(name));
    descriptor.handles = vec![command.id()];
    descriptor.reads_events = vec![command.id(), head.id()];
    descriptor.writes_events = vec![answer.id()];
    schemas.extend([command, head, answer]);
}
