//! What the outside asks for is bounded, also while a tick takes long.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine_net::messages::command::{Action, Command, CommandReply, MAX_SPAWNED};
use engine_net::messages::value::Components;
use engine_net::messages::{Message, Reply};
use engine_net::strict;

use super::script::{Script, app, drift, settings};
use crate::{Settings, TimeMode};

fn spawn(id: u64, entities: Vec<Components>) -> Vec<u8> {
    strict::encode(&Command::new(format!("flood-{id}"), Action::Spawn { entities }))
}

fn code(answers: &[Bytes]) -> Option<String> {
    let reply = strict::decode::<CommandReply>(answers.first()?, CommandReply::LIMIT).unwrap();
    if let Reply::Error(problem) = reply { Some(problem.code) } else { Some("ok".into()) }
}

#[test]
fn commands_that_wait_are_bounded_in_bytes() {
    let mut script = Script::with(app(drift), settings(), &["a"]);
    let subject = script.coordinator.subjects().command("world", "entity", "spawn");
    script.begin();
    let large: Components = BTreeMap::from([("test.Unknown".to_owned(), "x".repeat(900 << 10).into())]);
    let mut taken = 0;
    for id in 0..200 {
        match code(&script.request(&subject, spawn(id, vec![large.clone()]))) {
            None => taken += 1,
            Some(code) => assert_eq!(code, "overloaded"),
        }
    }
    assert_eq!(taken, (32 << 20) / (900 << 10), "what fits into the bound");
    assert_eq!(script.counter("refused.overloaded"), 200 - taken);
    script.deliver_all();
    script.check(1);
    // They are applied, that is: refused one by one; then there is room again.
    script.tick();
    assert_eq!(script.counter("refused.unknown_component"), taken);
    assert_eq!(code(&script.request(&subject, spawn(999, vec![large]))).unwrap(), "unknown_component");
    script.check(2);
}

#[test]
fn a_command_spawns_no_more_than_its_answer_can_name() {
    let mut script = Script::with(app(drift), settings(), &["a"]);
    let subject = script.coordinator.subjects().command("world", "entity", "spawn");
    let before = script.coordinator.world().len();
    let answers = script.request(&subject, spawn(1, vec![Components::new(); MAX_SPAWNED + 1]));
    assert_eq!((code(&answers).unwrap().as_str(), script.coordinator.world().len()), ("bad_request", before));
    let answers = script.request(&subject, spawn(2, vec![Components::new(); MAX_SPAWNED]));
    assert_eq!((code(&answers).unwrap().as_str(), script.coordinator.world().len()), ("ok", before + MAX_SPAWNED));
    assert!(answers[0].len() < CommandReply::LIMIT);
}

#[test]
fn a_speed_near_nothing_stops_the_world_until_it_is_faster() {
    for time in [TimeMode::Dilate, TimeMode::CatchUp { max: 4 }] {
        let running = Settings { time, paused: false, rate: 10.0, ..settings() };
        let mut script = Script::with(app(drift), running, &["a"]);
        let on = |script: &mut Script| {
            (0..20).for_each(|_| {
                script.pass(50);
                script.deliver_all();
            });
            script.coordinator.committed().0
        };
        let begun = on(&mut script);
        assert!(begun > 0);
        script.act("slow", Action::Speed { factor: f64::MIN_POSITIVE });
        let slow = on(&mut script);
        assert!(slow <= begun + 1, "{slow} after {begun}: one tick was due");
        assert_eq!(on(&mut script), slow);
        script.act("fast", Action::Speed { factor: 1.0 });
        assert!(on(&mut script) >= slow + 5, "what was slower is not waited for");
    }
}
