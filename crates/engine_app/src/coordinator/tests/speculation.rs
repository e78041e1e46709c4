//! A batch that is late is given to an idle instance as well: one result counts, the other one is compared.

use engine_component::query::Query;
use engine_net::descriptor::DeadlinePolicy;
use engine_net::messages::rejected::RejectReason;
use engine_net::parcel::control::{self, Failed, Missing};
use engine_net::{ChunkKind, ChunkPrefix};
use engine_system::IntoSystem;

use super::script::{Position, ROWS, Script, Velocity, app, drift, settings};
use crate::Settings;

/// Long enough for two looks at the clock.
const LATE: u64 = 200;

/// One job per system, and some ticks that say how long they take. Then a tick begins, and the second of the two
/// instances has nothing to do.
fn begun(mut script: Script) -> (Script, &'static str, &'static str) {
    for _ in 0..3 {
        script.tick();
    }
    script.begin();
    let (slow, idle) = if script.held("a").is_empty() { ("b", "a") } else { ("a", "b") };
    assert_eq!((script.held(slow), script.held(idle)), (vec![(0, 0)], vec![]));
    (script, slow, idle)
}

fn one_shard() -> Settings {
    Settings { rows_per_shard: 4 * ROWS, ..settings() }
}

fn two() -> (Script, &'static str, &'static str) {
    begun(Script::with(app(drift), one_shard(), &["a", "b"]))
}

/// As [`two`], with both attempts open.
fn doubled() -> (Script, &'static str, &'static str) {
    let (mut script, slow, idle) = two();
    script.pass(LATE);
    assert_eq!((script.held(slow), script.held(idle)), (vec![(0, 0)], vec![(0, 1)]));
    assert_eq!((script.counter("speculative"), script.coordinator.load().second_attempts), (1, 1));
    (script, slow, idle)
}

/// An instance sends what it has, and what it is given for that.
fn finish(script: &mut Script, name: &str) {
    while let Some((job, _)) = script.held(name).first() {
        script.deliver(name, *job);
    }
}

/// What came of those that were compared, or were not.
fn compared(script: &Script) -> [u64; 4] {
    ["won", "equal", "differs", "uncompared"].map(|name| script.counter(&format!("speculative.{name}")))
}

#[test]
fn the_second_wins_and_the_first_is_compared() {
    let (mut script, slow, idle) = doubled();
    script.deliver(idle, 0);
    assert_eq!((compared(&script), script.coordinator.load().late_results), ([1, 0, 0, 0], 1));
    script.deliver(slow, 0);
    assert_eq!((compared(&script), script.coordinator.load().late_results), ([1, 1, 0, 0], 0));
    assert_eq!(script.rejected, []);
    script.deliver_all();
    script.check(4);
}

#[test]
fn the_first_wins_and_the_second_is_compared() {
    let (mut script, slow, idle) = doubled();
    script.deliver(slow, 0);
    script.deliver(idle, 0);
    assert_eq!(compared(&script), [0, 1, 0, 0]);
    script.deliver_all();
    script.check(4);
}

#[test]
fn who_comes_when_the_tick_is_over_is_compared_too_and_once() {
    let (mut script, slow, idle) = doubled();
    let late = script.result(slow, 0);
    script.deliver(idle, 0);
    for name in [slow, idle] {
        for (job, _) in script.held(name).into_iter().filter(|(job, _)| *job > 0) {
            script.deliver(name, job);
        }
    }
    script.check(4);
    script.deliver(slow, 0);
    assert_eq!(compared(&script), [1, 1, 0, 0]);
    late.into_iter().for_each(|chunk| script.say(slow, chunk));
    assert_eq!(script.rejected, [(slow.to_owned(), RejectReason::OldTick)]);
    script.tick();
    script.check(5);
}

fn veer(mut bodies: Query<(&mut Position, &Velocity)>) {
    for (position, velocity) in &mut bodies {
        position.x += 2.0 * velocity.x;
    }
}

/// One of them has another function under the same name.
#[test]
fn a_result_that_differs_is_told_and_not_merged() {
    let mut script = Script::with(app(drift), one_shard(), &["a"]);
    script.join_with("b", app(veer).into_systems().unwrap());
    let (mut script, slow, idle) = begun(script);
    script.pass(LATE);
    script.deliver(idle, 0);
    let positions = script.positions();
    script.deliver(slow, 0);
    assert_eq!((compared(&script), script.positions()), ([1, 0, 1, 0], positions));
    assert_eq!(script.rejected, [(slow.to_owned(), RejectReason::Nondeterminism)]);
    script.deliver_all();
    script.check_room();
}

#[test]
fn who_dies_leaves_the_other_attempt() {
    for first_dies in [true, false] {
        let (mut script, slow, idle) = doubled();
        let (dies, lives) = if first_dies { (slow, idle) } else { (idle, slow) };
        script.kill(dies);
        let held = script.held(lives);
        script.pass(600);
        assert_eq!((script.held(lives), script.coordinator.instances()), (held, 1));
        assert_eq!(
            (script.counter("reassigned"), script.coordinator.load().second_attempts),
            (0, u64::from(first_dies) as usize)
        );
        script.deliver_all();
        assert_eq!(compared(&script), [u64::from(first_dies), 0, 0, 0]);
        script.check(4);
    }
}

#[test]
fn when_both_die_the_job_goes_on() {
    let (mut script, slow, idle) = doubled();
    script.join("c");
    script.kill(slow);
    script.kill(idle);
    script.pass(600);
    assert_eq!((script.held("c"), script.counter("reassigned")), (vec![(0, 2)], 1));
    script.deliver_all();
    script.check(4);
}

#[test]
fn who_fails_leaves_the_other_attempt() {
    for first_fails in [true, false] {
        let (mut script, slow, idle) = doubled();
        let (fails, other) = if first_fails { (slow, idle) } else { (idle, slow) };
        let prefix = ChunkPrefix::decode(&script.result(fails, 0)[0]).unwrap().0;
        let failed = Failed { reason: "error".into(), message: "on purpose".into() };
        script.say(fails, control::encode(&prefix, ChunkKind::Failed, &failed));
        script.deliver(fails, 0);
        assert_eq!(script.rejected, [(fails.to_owned(), RejectReason::OldAttempt)]);
        assert_eq!((script.counter("failed_jobs"), script.held(other).len()), (1, 1));
        script.pass(LATE);
        assert_eq!(script.counter("speculative"), 1, "once in a tick");
        script.deliver_all();
        script.check(4);
    }
}

#[test]
fn where_all_are_busy_nobody_gets_a_second_attempt() {
    let mut script = Script::with(app(drift), settings(), &["a", "b"]);
    for _ in 0..3 {
        script.tick();
    }
    script.begin();
    assert!(!script.held("a").is_empty() && !script.held("b").is_empty());
    script.pass(400);
    assert_eq!(script.counter("speculative"), 0);
    // One of them is done with all that it can do, and takes over what the other one has, job by job.
    finish(&mut script, "b");
    for taken in 1..=script.held("a").len() as u64 {
        script.pass(LATE);
        assert_eq!((script.counter("speculative"), script.held("b").len()), (taken, 1));
        finish(&mut script, "b");
    }
    script.deliver_all();
    script.check(4);
}

#[test]
fn who_still_computes_what_does_not_count_is_not_idle() {
    let (mut script, slow, idle) = doubled();
    script.deliver(idle, 0);
    // The other job of the tick is late as well, and the only other instance is behind.
    let busy = script.held(idle).iter().any(|(job, _)| *job == 1);
    script.pass(2 * LATE);
    assert_eq!(script.counter("speculative"), if busy { 1 } else { 2 });
    script.deliver(slow, 0);
    script.deliver_all();
    script.check(4);
}

#[test]
fn before_anything_is_known_nothing_is_late() {
    let mut script = Script::with(app(drift), one_shard(), &["a", "b"]);
    script.begin();
    script.pass(400);
    assert_eq!(script.counter("speculative"), 0);
    script.deliver_all();
    script.check(1);
}

#[test]
fn what_takes_as_long_as_ever_is_not_late() {
    let mut script = Script::with(app(drift), one_shard(), &["a", "b"]);
    for tick in 0..4 {
        script.begin();
        script.pass(if tick < 3 { 100 } else { 300 });
        script.deliver_all();
    }
    assert_eq!(script.counter("speculative"), 0);
    script.check(4);
}

#[test]
fn it_may_be_switched_off() {
    let (mut script, ..) = begun(Script::with(app(drift), Settings { speculate: false, ..one_shard() }, &["a", "b"]));
    script.pass(400);
    assert_eq!(script.counter("speculative"), 0);
    script.deliver_all();
    script.check(4);
}

#[test]
fn what_is_not_deterministic_is_left_where_it_is() {
    let script = Script::new(app(drift.nondeterministic()), one_shard());
    let mut script = ["a", "b"].into_iter().fold(script, |mut script, name| {
        script.join_with(name, app(drift.nondeterministic()).into_systems().unwrap());
        script
    });
    for _ in 0..3 {
        script.tick();
    }
    script.begin();
    script.pass(400);
    assert_eq!(script.counter("speculative"), 0);
    script.deliver_all();
    script.check(4);
}

/// Whoever loses has other copies than the world.
#[test]
fn what_the_loser_has_kept_is_not_counted_on() {
    let settings = Settings { batch_bytes: Settings::default().batch_bytes, ..one_shard() };
    let mut script = Script::with(app(drift), settings, &["a", "b"]);
    for round in 0..6 {
        (0..3).for_each(|_| script.tick());
        script.begin();
        script.pass(LATE);
        // Each of them is the slow one at times, and the second attempt wins at times.
        let (first, second) = if script.held("a") == [(0, 0)] { ("a", "b") } else { ("b", "a") };
        let (wins, loses) = if round % 2 == 0 { (second, first) } else { (first, second) };
        script.deliver(wins, 0);
        script.deliver(loses, 0);
        script.deliver_all();
    }
    assert_eq!((script.counter("speculative"), compared(&script)), (6, [3, 6, 0, 0]));
    assert_eq!(script.counter("copies.stale"), 0);
    script.check(24);
}

/// What is read in place is overwritten when the result that counts is merged.
#[test]
fn what_was_read_in_place_is_compared_before_it_is_merged_only() {
    let skip = || app(drift.deadline(DeadlinePolicy::Skip));
    // Rows of a system that may be skipped are merged with their node, others as they come.
    for (app, settings, equal) in [(skip(), settings(), 1), (skip(), one_shard(), 0), (app(drift), settings(), 0)] {
        let mut script = Script::with(app, settings, &["a", "b"]);
        (0..3).for_each(|_| script.tick());
        script.begin();
        let (slow, idle) = if script.held("a").is_empty() { ("b", "a") } else { ("a", "b") };
        // All but the slow one's jobs are done, of which there are two, or one and no others.
        finish(&mut script, idle);
        script.pass(LATE);
        let (job, _) = script.held(idle)[0];
        script.deliver(idle, job);
        script.coordinator.late_results.pretend_mapped();
        script.deliver(slow, job);
        assert_eq!(compared(&script), [1, equal, 0, 1 - equal]);
        script.deliver_all();
        script.check(4);
    }
}

/// One who stands still delays one tick, and not all that follow.
#[test]
fn who_is_behind_gets_no_jobs_while_there_are_others() {
    let (mut script, slow, idle) = doubled();
    let late = script.result(slow, 0);
    script.freeze(slow);
    script.deliver(idle, 0);
    script.pass(LATE);
    script.deliver_all();
    script.check(4);
    script.tick();
    assert_eq!(script.counter("speculative"), 1);
    script.thaw(slow);
    script.drop_held(slow);
    late.into_iter().for_each(|chunk| script.say(slow, chunk));
    assert_eq!(compared(&script), [1, 1, 0, 0]);
    for _ in 0..4 {
        script.tick();
    }
    script.check(9);
}

/// It gets no chunks of it any longer, so it has nothing to do.
#[test]
fn who_lacks_chunks_of_what_does_not_count_is_idle() {
    let (mut script, slow, idle) = doubled();
    let prefix = ChunkPrefix::decode(&script.result(slow, 0)[0]).unwrap().0;
    script.drop_held(slow);
    script.deliver(idle, 0);
    assert_eq!(script.coordinator.load().late_results, 1);
    let missing = Missing { of: ChunkKind::Job as u8, chunks: Vec::new() };
    script.say(slow, control::encode(&prefix, ChunkKind::Missing, &missing));
    assert_eq!((compared(&script), script.coordinator.load().late_results), ([1, 0, 0, 1], 0));
    // And it computes the next job again, when that is late.
    assert_eq!(script.held(idle), [(1, 0)]);
    script.pass(LATE);
    assert_eq!((script.held(slow), script.counter("speculative")), (vec![(1, 1)], 2));
    script.deliver_all();
    script.check(4);
}

#[test]
fn who_never_answers_is_not_taken_to_be_busy_for_ever() {
    let (mut script, slow, idle) = doubled();
    script.drop_held(slow);
    script.deliver(idle, 0);
    assert_eq!(script.held(idle), [(1, 0)]);
    script.pass(400);
    assert_eq!((script.held(slow), script.counter("speculative")), (vec![], 1));
    script.pass(1_000);
    assert_eq!((script.held(slow), script.counter("speculative")), (vec![(1, 1)], 2));
    script.deliver_all();
    script.check(4);
}
