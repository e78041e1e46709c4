//! Jobs are sent behind those whose rows they need, to the instance that computes them.

use engine_component::query::Query;
use engine_net::descriptor::DeadlinePolicy;
use engine_net::parcel::control::{self, Failed};
use engine_net::{ChunkKind, ChunkPrefix};
use engine_system::IntoSystem;

use super::script::{Position, ROWS, Script, Velocity, app, app_of, drift, settings, turn};
use crate::{App, Settings};

/// Jobs of `drift` are 0 to 3, those of `turn` follow.
const SHARDS: u32 = 4;

fn fused() -> Settings {
    Settings { fuse: true, ..settings() }
}

fn together() -> Settings {
    Settings { batch_bytes: Settings::default().batch_bytes, ..fused() }
}

fn one() -> Script {
    Script::with(app(drift), fused(), &["a"])
}

fn jobs(script: &mut Script, name: &str) -> Vec<u32> {
    script.held(name).iter().map(|(job, _)| *job).collect()
}

#[test]
fn the_next_system_goes_on_without_a_round_trip() {
    let mut script = one();
    script.begin();
    assert_eq!(jobs(&mut script, "a"), [0, 1, 2, 3, 4, 5, 6, 7], "nothing was delivered");
    assert_eq!(script.counter("fused"), u64::from(SHARDS));
    script.deliver_all();
    script.check(1);
    assert_eq!((script.counter("fused.ended"), script.rejected.len()), (0, 0));
}

#[test]
fn a_result_waits_for_what_it_builds_on() {
    let mut script = one();
    for tick in 1..=4 {
        script.begin();
        let before = script.positions();
        for job in [6, 4, 7, 5] {
            script.deliver("a", job);
            script.pass(10);
            assert_eq!((script.positions(), script.coordinator.committed().0), (before.clone(), tick - 1));
        }
        [3, 0, 2, 1].into_iter().for_each(|job| script.deliver("a", job));
        script.check(tick);
    }
    assert_eq!((script.counter("copies.stale"), script.counter("fused.ended")), (0, 0));
}

/// What the instance computed itself is not sent to it, whether it is in the world when the next job is made or not.
#[test]
fn as_much_is_sent_as_without() {
    let bytes = [fused(), settings(), together(), Settings { fuse: false, ..together() }].map(|settings| {
        let mut script = Script::with(app(drift), settings, &["a"]);
        (0..3).for_each(|_| script.tick());
        script.check(3);
        script.coordinator.figures.tick_bytes.iter().copied().collect::<Vec<u64>>()
    });
    assert_eq!((&bytes[0], &bytes[2]), (&bytes[1], &bytes[3]));
}

#[test]
fn it_may_be_switched_off_and_needs_what_is_kept() {
    for settings in [settings(), Settings { keep: false, ..fused() }] {
        let mut script = Script::with(app(drift), settings, &["a"]);
        script.begin();
        assert_eq!(jobs(&mut script, "a"), [0, 1, 2, 3]);
        script.deliver_all();
        assert_eq!(script.counter("fused"), 0);
        script.check(1);
    }
}

#[test]
fn who_keeps_less_than_it_writes_is_not_sent_ahead() {
    let mut script = one();
    script.keep("a", 5 * ROWS * 4);
    for tick in 1..=3 {
        script.tick();
        script.check(tick);
    }
    assert!((1..3 * u64::from(SHARDS)).contains(&script.counter("fused")));
    assert_eq!(script.counter("copies.stale"), 0);
}

#[test]
fn chunks_that_are_lost_are_made_again_after_the_lead_is_merged() {
    let mut script = one();
    script.tick();
    script.freeze("a");
    script.begin();
    script.thaw("a");
    // Nothing has come there; what is asked for is made anew, and the leads are done first.
    script.pass(1_000);
    for job in 0..SHARDS {
        script.deliver("a", job);
    }
    script.pass(2_000);
    script.deliver_all();
    script.check(2);
}

#[test]
fn a_lead_that_fails_takes_with_it_what_was_sent_behind() {
    let mut script = one();
    script.tick();
    script.begin();
    let prefix = ChunkPrefix::decode(&script.result("a", 1)[0]).unwrap().0;
    let followed = script.result("a", 5);
    let failed = Failed { reason: "error".into(), message: "on purpose".into() };
    script.say("a", control::encode(&prefix, ChunkKind::Failed, &failed));
    assert_eq!(script.counter("fused.ended"), 1);
    // What came of it does not count any longer.
    followed.into_iter().for_each(|chunk| script.say("a", chunk));
    assert_eq!(script.rejected.len(), 1);
    script.deliver_all();
    script.check(2);
}

fn touchy(mut bodies: Query<(&Position, &mut Velocity)>) {
    for (position, velocity) in &mut bodies {
        assert!(position.x != 70.0, "not this one");
        velocity.x += 1.0;
    }
}

fn touchy_app() -> App {
    app_of(App::new("test").add_system("drift", drift).add_system("touchy", touchy))
}

/// It may have failed of what it builds on, which perhaps never becomes a part of the world.
#[test]
fn what_fails_behind_others_is_tried_again_when_they_are_merged() {
    let mut script = Script::new(touchy_app(), fused());
    script.join_with("a", touchy_app().into_systems().unwrap());
    script.begin();
    assert_eq!((script.counter("failed_jobs"), script.counter("fused.ended")), (0, 1));
    script.deliver_all();
    assert_eq!((script.counter("failed_jobs"), script.counter("quarantined")), (5, 1));
    script.check_room();
}

#[test]
fn an_instance_that_dies_is_blamed_for_what_it_computed() {
    let mut script = one();
    for name in ["b", "c", "d", "e", "f"] {
        script.begin();
        // Long enough to be blamed.
        script.pass(600);
        script.kill("a");
        script.join(name);
        script.pass(600);
        script.kill(name);
        script.join("a");
        script.pass(600);
        script.deliver_all();
        script.check_room();
    }
    assert_eq!(script.counter("quarantined"), 0);
    script.check(5);
}

#[test]
fn where_the_lead_is_somewhere_else_its_rows_are_waited_for() {
    let mut script = Script::with(app(drift), fused(), &["a", "b"]);
    script.tick();
    script.begin();
    let held = jobs(&mut script, "a");
    script.kill("a");
    script.pass(600);
    let moved: Vec<u32> = held.iter().copied().filter(|job| *job < SHARDS).collect();
    assert!(!moved.is_empty() && moved.iter().all(|job| held.contains(&(job + SHARDS))));
    script.deliver_all();
    script.check(2);
}

/// A second attempt at the lead is faster: what was computed behind the first one doesn't count.
#[test]
fn what_was_sent_behind_the_slower_attempt_is_computed_anew() {
    let one_shard = Settings { rows_per_shard: 4 * ROWS, ..fused() };
    let mut script = Script::with(app(drift), one_shard, &["a", "b"]);
    (0..3).for_each(|_| script.tick());
    script.begin();
    let (slow, idle) = if script.held("a").is_empty() { ("b", "a") } else { ("a", "b") };
    assert_eq!(script.held(slow), [(0, 0), (1, 0)]);
    script.pass(200);
    assert_eq!((script.held(idle), script.counter("speculative")), (vec![(0, 1)], 1), "what waits for rows isn't late");
    script.deliver(slow, 1);
    script.deliver(idle, 0);
    assert_eq!(script.counter("fused.ended"), 1);
    script.deliver(slow, 0);
    script.deliver_all();
    assert_eq!((script.counter("speculative.equal"), script.counter("speculative.differs")), (1, 0));
    script.check(4);
}

#[test]
fn what_builds_on_a_shard_that_keeps_its_values_is_computed_of_those() {
    let system = || app(drift.deadline(DeadlinePolicy::Hold).deadline_ms(50));
    let mut script = Script::with(system(), fused(), &["a"]);
    script.begin();
    script.deliver("a", SHARDS);
    script.deliver("a", 0);
    let late = script.result("a", SHARDS + 1);
    script.pass(200);
    assert_eq!(script.counter("held"), 3);
    late.into_iter().for_each(|chunk| script.say("a", chunk));
    script.deliver_all();
    let positions = script.positions();
    assert!(positions[ROWS..].iter().all(|x| *x == 0.0) && positions[..ROWS].iter().all(|x| *x > 0.0));
    script.tick();
    // `turn` found nothing there that it could add.
    assert!(script.positions()[ROWS..].iter().enumerate().all(|(row, x)| *x == 1.0 + (ROWS + row) as f32));
}

/// Its time counts from when it waits for nothing but its instance.
#[test]
fn what_waits_for_others_is_not_late() {
    let system = || {
        let turn = turn.deadline(DeadlinePolicy::Hold).deadline_ms(50);
        app_of(App::new("test").add_system("drift", drift).add_system("turn", turn))
    };
    // One job of `drift` in a batch, and two of `turn`, of which less travels.
    let mut script = Script::new(system(), Settings { batch_bytes: 600, ..fused() });
    script.join_with("a", system().into_systems().unwrap());
    script.begin();
    assert_eq!(jobs(&mut script, "a"), [0, 1, 2, 3, 4, 6]);
    script.deliver("a", 0);
    script.pass(200);
    assert_eq!(script.counter("held"), 0);
    script.deliver_all();
    assert_eq!(script.counter("held"), 0);
    script.check(1);
}

#[test]
fn copies_that_are_lost_are_sent_when_the_rows_are_there() {
    let mut script = Script::with(app(drift), together(), &["a", "b"]);
    for tick in 1..=8 {
        script.tick();
        if tick % 2 == 1 {
            script.drop_copies("a");
        }
    }
    assert!(script.counter("copies.stale") >= 4 && script.counter("fused") > 8);
    assert_eq!((script.counter("failed_jobs"), script.counter("quarantined")), (0, 0));
    script.check(8);
}
