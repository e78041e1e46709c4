//! A world that keeps a log shows nothing before it is durable, and does not run ahead of it.

use engine_net::messages::Reply;
use engine_net::messages::command::{Action, CommandReply, Done};
use engine_net::messages::query::QueryRequest;
use engine_net::strict;

use super::replay::position;
use super::script::{Script, app, drift, settings};
use crate::record::{Input, TickRecord};

fn logged(lag: u64) -> Script {
    let mut script = Script::with(app(drift), settings(), &["a", "b"]);
    // What arrived with the instances is known from the start.
    script.coordinator.keep_log(lag);
    script.told.clear();
    script
}

fn spawn(x: f64) -> Action {
    Action::Spawn { entities: vec![position(x)] }
}

fn done(answers: &[bytes::Bytes]) -> Vec<Done> {
    let read = |answer: &bytes::Bytes| match strict::decode::<CommandReply>(answer, 1 << 20).unwrap() {
        Reply::Ok(done) => done,
        Reply::Error(problem) => panic!("{problem:?}"),
    };
    answers.iter().map(read).collect()
}

fn records(script: &Script) -> Vec<TickRecord> {
    script.records.iter().map(|record| TickRecord::from_bytes(record).unwrap()).collect()
}

#[test]
fn a_tick_is_shown_when_it_is_durable() {
    let mut script = logged(2);
    script.coordinator.step(2);
    script.pass(1);
    assert!(script.act("one", spawn(1.0)).is_empty());
    script.deliver_on();
    assert_eq!(script.coordinator.committed().0, 2, "one tick is computed while the one before is on its way");
    let ticks = script.coordinator.subjects().tick();
    script.told.retain(|(subject, _)| *subject != ticks);
    assert!(script.told.is_empty() && !script.coordinator.is_settled(), "{:?}", script.told);
    assert_eq!(records(&script).iter().map(|record| record.tick).collect::<Vec<_>>(), [1, 2]);

    assert!(script.durable(1).is_empty());
    let subjects = script.coordinator.subjects().clone();
    let told: Vec<String> = script.told.drain(..).map(|(subject, _)| subject).collect();
    assert_eq!(told, [subjects.commit()]);
    assert_eq!(script.coordinator.durability(), Some((1, None)));

    let answers = done(&script.durable(2));
    assert_eq!((answers.len(), answers[0].tick), (1, 2));
    let told: Vec<String> = script.told.drain(..).map(|(subject, _)| subject).collect();
    assert_eq!(told, [subjects.commit(), subjects.entity_create()]);
    assert!(script.coordinator.is_settled());
}

#[test]
fn ticks_wait_for_a_log_that_lags() {
    let mut script = logged(2);
    script.coordinator.step(5);
    script.pass(1);
    script.deliver_on();
    assert_eq!(script.coordinator.committed().0, 2);
    script.pass(500);
    assert_eq!((script.coordinator.committed().0, script.coordinator.is_running()), (2, false));
    script.durable(1);
    script.deliver_on();
    assert_eq!(script.coordinator.committed().0, 3);
    // More than there is: what is not made can't be durable.
    script.durable(100);
    script.deliver_on();
    assert_eq!(script.coordinator.committed().0, 5);
    assert!(!script.coordinator.is_settled());
}

#[test]
fn what_is_applied_while_the_world_stands_still_has_a_record() {
    let mut script = logged(2);
    assert!(script.act("one", spawn(1.0)).is_empty());
    let records = records(&script);
    assert_eq!((records.len(), records[0].tick, records[0].hash), (1, 0, script.coordinator.committed().1));
    assert!(matches!(&records[0].inputs[..], [Input::Command { id, .. }] if id == "one"));

    // Whoever asks sees it no sooner than whoever did it.
    let query = QueryRequest { page_rows: 1, ..QueryRequest::default() };
    let subject = script.coordinator.subjects().query();
    assert!(script.request(&subject, strict::encode(&query)).is_empty());
    // Nor does who repeats it, since it got no answer.
    assert!(script.act("one", spawn(1.0)).is_empty());
    assert_eq!(script.durable(1).len(), 3);
    assert_eq!(script.act("one", spawn(1.0)).len(), 1, "it is known now");
    assert_eq!(script.request(&subject, strict::encode(&query)).len(), 1);
    assert_eq!(script.records.len(), 1);

    // Two may be on their way; the next ones wait together.
    for id in ["two", "three", "four", "five"] {
        script.act(id, spawn(2.0));
    }
    assert_eq!(script.records.len(), 3);
    assert_eq!(done(&script.durable(2)).len(), 1);
    assert_eq!(script.records.len(), 4);
    assert_eq!(done(&script.durable(4)).len(), 3);
}

#[test]
fn what_is_refused_is_recorded_for_whoever_leads_next() {
    let mut script = logged(2);
    let nobody = Action::Despawn { entities: vec![engine_component::Entity::from_bits(1 << 40)] };
    assert!(script.act("nobody", nobody).is_empty(), "not before that is durable");
    let records = records(&script);
    assert!(
        matches!(&records[0].inputs[..], [Input::Refused { id, problem, .. }] if id == "nobody" && problem.code == "unknown_entity")
    );
    let answers = script.durable(1);
    assert!(
        matches!(strict::decode(&answers[0], 1 << 20).unwrap(), CommandReply::Error(problem) if problem.code == "unknown_entity")
    );
    let mut next = super::replay::replayer();
    next.begin_recovery();
    next.replay(&records[0]).unwrap();
    assert_eq!(next.load().remembered, 1);
}

#[test]
fn control_is_answered_when_its_record_is_durable() {
    let mut script = logged(4);
    assert!(script.act("faster", Action::Speed { factor: 0.0 }).is_empty());
    assert!(script.act("go", Action::Resume {}).is_empty());
    // The first has a record of its own; the world goes on with the second in the tick's.
    assert!(script.coordinator.is_running() && script.records.len() == 1);
    assert!(script.act("stop", Action::Pause {}).is_empty());
    script.deliver_on();
    let records = records(&script);
    let ids = |record: &TickRecord| {
        let ids = record.inputs.iter().map(|input| match input {
            Input::Command { id, .. } => id.clone(),
            Input::Arrived { .. } => "arrived".into(),
            Input::Refused { id, .. } => format!("refused {id}"),
            Input::Setting { setting, .. } => format!("set {}", setting.value()),
            Input::Given { id, .. } => format!("given {id}"),
        });
        (record.tick, ids.collect::<Vec<_>>())
    };
    let ids: Vec<_> = records.iter().map(ids).collect();
    let expected = [(0, vec!["faster".to_owned()]), (1, vec!["go".to_owned()]), (1, vec!["stop".to_owned()])];
    assert_eq!(ids, expected, "what comes while a tick runs is in a record behind it");
    assert_eq!(done(&script.durable(1)).len(), 1);
    assert_eq!(done(&script.durable(2)).len(), 1);
    assert_eq!(done(&script.durable(3)), [Done { tick: 1, entities: Vec::new() }]);
    assert!(script.act("step", Action::Step { ticks: 2 }).is_empty());
    script.deliver_on();
    assert_eq!(script.coordinator.committed().0, 3);
    let made = script.records.len() as u64;
    assert!(script.durable(made - 1).is_empty());
    assert_eq!(done(&script.durable(made)), [Done { tick: 3, entities: Vec::new() }]);
}

#[test]
fn what_waits_for_a_log_that_stands_is_bounded() {
    let mut script = logged(1);
    script.act("one", spawn(1.0));
    script.coordinator.log_trouble(Some("the stream is full".into()));
    let query = strict::encode(&QueryRequest { page_rows: 1, ..QueryRequest::default() });
    let subject = script.coordinator.subjects().query();
    let mut asked = 0;
    let refusal = loop {
        asked += 1;
        if let Some(answer) = script.request(&subject, query.clone()).pop() {
            break answer;
        }
        assert!(asked < 20_000, "nobody says stop");
    };
    let Reply::Error(problem) = strict::decode::<Reply<()>>(&refusal, 1 << 20).unwrap() else { panic!("an answer") };
    assert_eq!(problem.code, "overloaded");
    assert!(problem.message.contains("the stream is full"), "{}", problem.message);
    assert!(matches!(&script.act("two", spawn(1.0))[..], [Reply::Error(problem)] if problem.code == "overloaded"));
    let status = script.coordinator.status(script.now);
    let state = format!("{:?}", status.state);
    assert!(state.contains("the stream is full"), "{state}");
    // All of it is answered when the log goes on.
    script.coordinator.log_trouble(None);
    assert_eq!(script.durable(1).len(), asked);
}
