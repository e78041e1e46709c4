//! Instances come, go, come again, and come wrongly.

use std::sync::Arc;

use engine_component::Component;
use engine_component::query::Query;
use engine_net::ChunkPrefix;
use engine_net::messages::register::Leave;
use engine_net::messages::rejected::RejectReason;
use engine_net::strict;
use engine_net::subject::Sender;
use engine_system::{IntoSystem, System};

use super::script::{Position, Script, Velocity, app, drift, settings, turn};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Novelty")]
struct Novelty {
    x: f32,
}

fn novel(mut rows: Query<&mut Novelty>) {
    for row in &mut rows {
        row.x += 1.0;
    }
}

fn system<M>(name: &str, system: impl IntoSystem<M>) -> Arc<dyn System> {
    Arc::from(system.into_system(name).unwrap())
}

fn world(names: &[&str]) -> Script {
    Script::with(app(drift), settings(), names)
}

#[test]
fn a_replacement_joins_in_the_middle_of_a_tick() {
    let mut script = world(&["a"]);
    script.begin();
    script.deliver("a", 0);
    script.kill("a");
    script.pass(600);
    assert_eq!(script.coordinator.instances(), 0, "the last one is gone");
    script.pass(20_000);
    assert!(script.coordinator.is_running(), "the tick waits");
    script.join("b");
    let mut held = script.held("b");
    held.sort_unstable();
    assert_eq!(held, [(1, 1), (2, 1), (3, 1), (4, 1)], "what is open, and what its first shard goes on to");
    script.deliver_all();
    script.check(1);
}

/// Who has to wait for the end of the tick must not keep away whom the tick waits for.
#[test]
fn a_replacement_is_not_held_up_by_a_newcomer() {
    let mut script = world(&["a"]);
    script.begin();
    script.kill("a");
    script.pass(600);
    script.join_with("newcomer", vec![system("novel", novel)]);
    script.join("b");
    assert_eq!(script.coordinator.instances(), 1, "the newcomer waits for the end of the tick");
    assert_eq!(script.held("b").len(), 4);
    script.deliver_all();
    script.check(1);
    assert_eq!(script.coordinator.instances(), 2);
}

#[test]
fn new_systems_join_between_ticks() {
    let mut script = world(&["a"]);
    script.begin();
    script.join_with("newcomer", vec![system("novel", novel)]);
    assert_eq!((script.coordinator.instances(), script.coordinator.systems.len()), (1, 2));
    script.deliver_all();
    assert_eq!((script.coordinator.instances(), script.coordinator.systems.len()), (2, 3));
    script.check(1);
    // What it brought has no rows and no part in the hash.
    script.tick();
    script.check(2);
}

#[test]
fn the_same_process_again_gets_a_higher_slot_and_its_jobs_anew() {
    let mut script = world(&["a"]);
    script.begin();
    let old = script.result("a", 0);
    script.reconnect("a");
    assert_eq!(script.coordinator.instances(), 1);
    assert_eq!(script.held("a").len(), 4);
    let slot = |payload: &[u8]| ChunkPrefix::decode(payload).unwrap().0.instance;
    let new = script.result("a", 0);
    assert!(slot(&new[0]) > slot(&old[0]));
    old.into_iter().for_each(|chunk| script.say("a", chunk));
    assert_eq!(script.rejected, [("a".to_owned(), RejectReason::WrongInstance)]);
    // That made it register once more.
    script.look_around("a");
    script.deliver_all();
    script.check(1);
}

#[test]
fn another_process_takes_a_name_over_when_its_owner_is_silent() {
    let mut script = world(&["a"]);
    script.begin();
    script.kill("a");
    script.pass(10);
    script.join("a");
    assert_eq!(script.refused, ["taken"]);
    // In the meantime the coordinator asks after the jobs: it is answered that they are not known there.
    script.pass(2_600);
    script.look_around("a");
    script.deliver_all();
    script.check(1);
}

#[test]
fn who_leaves_finishes_what_it_has_and_gets_no_more() {
    let mut script = world(&["a", "b"]);
    script.begin();
    let open = script.held("a").len();
    assert!(open > 0);
    script.leave("a");
    assert!(!script.is_gone("a"), "its jobs are open");
    script.deliver_all();
    script.check(1);
    script.begin();
    assert_eq!((script.held("a").len(), script.held("b").len()), (0, 4));
    script.pass(1_000);
    script.look_around("a");
    assert!(script.is_gone("a"));
    script.deliver_all();
    assert_eq!(script.coordinator.instances(), 1);
    script.check(2);
}

#[test]
fn the_last_one_leaves_in_the_middle_of_a_tick_and_another_one_comes() {
    let mut script = world(&["a"]);
    script.begin();
    script.deliver("a", 0);
    script.leave("a");
    // It finishes `drift`; `turn` has nobody then.
    script.deliver_all();
    assert!(script.coordinator.is_running());
    script.join("b");
    script.deliver_all();
    script.check(1);
}

#[test]
fn whoever_hears_hello_registers_again() {
    let mut script = world(&["a", "b"]);
    script.tick();
    script.begin();
    script.coordinator.reconnected(script.now);
    assert_eq!(script.coordinator.instances(), 0);
    script.pump();
    for name in ["a", "b"] {
        script.look_around(name);
    }
    assert_eq!(script.coordinator.instances(), 2);
    script.deliver_all();
    script.check(2);
}

#[test]
fn a_world_waits_for_its_systems() {
    let mut script = world(&[]);
    script.coordinator.step(1);
    script.pass(1_000);
    assert!(!script.coordinator.is_running());
    script.join_with("a", vec![system("drift", drift)]);
    script.pass(1_000);
    assert_eq!(script.coordinator.waits_for().as_deref(), Some("an instance of turn"));
    script.join_with("b", vec![system("turn", turn)]);
    script.pass(1);
    script.deliver_all();
    script.check(1);
}

/// A system that stayed behind would keep the world waiting for an instance of it.
#[test]
fn a_registration_that_is_refused_leaves_nothing_behind() {
    let mut script = world(&["a"]);
    let otherwise = |mut rows: Query<(&mut Position, &mut Velocity)>| rows.iter_mut().for_each(drop);
    let types = |script: &Script| script.coordinator.world.registry().iter().count();
    let before = types(&script);
    script.join_with("evil", vec![system("aaa", novel), system("drift", otherwise)]);
    assert_eq!(script.refused, ["system"]);
    assert_eq!((script.coordinator.systems.len(), types(&script), script.coordinator.instances()), (2, before, 1));
    script.tick();
    script.check(1);
}

#[test]
fn systems_that_would_wait_in_a_circle_are_refused() {
    let mut script = world(&["a"]);
    for (name, circle) in [("evil", novel.before("drift").after("turn")), ("worse", novel.after("worse"))] {
        script.join_with(name, vec![system(name, circle)]);
    }
    // The first is none: nothing said that `turn` comes after `drift` but the order of registration.
    assert_eq!(script.refused, ["bad_system"]);
    script.join_with("third", vec![system("third", novel.before("evil").after("drift"))]);
    assert_eq!(script.refused, ["bad_system", "bad_system"]);
    assert!(script.coordinator.take_failure().is_none());
    script.tick();
    assert_eq!(script.coordinator.committed().0, 1);
}

#[test]
fn a_world_has_so_many_types_and_no_more() {
    let mut script = world(&["a"]);
    let subject = script.coordinator.subjects().register(Sender { systems: "+", instance: "evil" });
    let like = <Novelty as engine_component::Data>::schema();
    for batch in 0..20_u64 {
        let schemas = (0..1000).map(|number| {
            let mut schema = like.clone();
            schema.name = format!("evil.T{batch}x{number}");
            schema
        });
        let register = engine_net::messages::register::Register {
            instance: "evil".into(),
            nonce: 99 << 16 | batch,
            protocol: engine_net::PROTOCOL,
            engine: String::new(),
            host: String::new(),
            pid: 1,
            systems: Vec::new(),
            schemas: schemas.collect(),
            max_payload: 1 << 20,
            keep_bytes: 1 << 20,
        };
        script.request(&subject, engine_net::strict::encode(&register));
    }
    assert!(script.coordinator.world.registry().iter().count() <= 16 * 1024);
    assert_eq!(script.counter("refused.too_many"), 4);
    script.tick();
    script.check(1);
}

/// Slots are the same again in each epoch, so the slot alone does not tell a late farewell from a new one.
#[test]
fn a_farewell_to_an_earlier_coordinator_does_not_count() {
    let mut script = world(&["a"]);
    let leave = |epoch| strict::encode(&Leave { instance: "a".into(), slot: 0, epoch });
    let (subject, epoch) = (script.coordinator.subjects().leave(script.sender("a")), script.coordinator.epoch());
    script.request(&subject, leave(epoch - 1));
    assert_eq!(script.coordinator.instances(), 1, "it stays");
    script.begin();
    assert!(!script.held("a").is_empty(), "it gets jobs");
    script.deliver_all();
    script.request(&subject, leave(epoch));
    assert_eq!(script.coordinator.instances(), 0);
}
