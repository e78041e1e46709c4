//! Jobs move when instances die, count once, and never fill an instance up.

use engine_net::messages::rejected::RejectReason;
use engine_net::parcel::control::{self, Failed};
use engine_net::{ChunkKind, ChunkPrefix};

use super::script::{ROWS, Script, app, drift, settings, undisturbed};
use crate::Settings;

fn two() -> Script {
    Script::with(app(drift), settings(), &["a", "b"])
}

/// One job per system.
fn one_shard(names: &[&str]) -> Script {
    Script::with(app(drift), Settings { rows_per_shard: 4 * ROWS, ..settings() }, names)
}

#[test]
fn nobody_listens_and_the_jobs_move_at_once() {
    let mut script = two();
    script.kill("a");
    let before = script.now;
    script.begin();
    assert_eq!(script.now - before, 1_000_000, "no time went by but the beginning of the tick");
    let mut held = script.held("b");
    held.sort_unstable();
    let jobs: Vec<u32> = held.iter().map(|(job, _)| *job).collect();
    assert_eq!(jobs, [0, 1, 2, 3]);
    assert!(held.iter().any(|(_, attempt)| *attempt == 1) && held.iter().all(|(_, attempt)| *attempt < 2), "{held:?}");
    assert_eq!((script.counter("lost_instances"), script.coordinator.instances()), (1, 1));
    script.deliver_all();
    script.check(1);
}

#[test]
fn an_instance_that_dies_with_its_jobs_is_found_by_asking() {
    let mut script = two();
    script.begin();
    let lost = script.held("a").len();
    assert!(lost > 0);
    script.kill("a");
    script.pass(600);
    assert_eq!(script.held("b").len(), 4);
    assert_eq!((script.counter("reassigned"), script.counter("lost_instances")), (lost as u64, 1));
    script.deliver_all();
    script.check(1);
}

#[test]
fn a_job_is_claimed_once() {
    let mut script = two();
    script.begin();
    let job = script.held("a")[0].0;
    let again = script.result("a", job);
    script.deliver("a", job);
    for chunk in again {
        script.say("a", chunk);
    }
    assert_eq!(script.rejected, [("a".to_owned(), RejectReason::Claimed)]);
    assert_eq!(script.counter("rejected.claimed"), 1);
    script.deliver_all();
    script.check(1);
}

#[test]
fn a_result_of_a_tick_that_is_over_does_not_count() {
    let mut script = two();
    script.begin();
    let job = script.held("a")[0].0;
    let late = script.result("a", job);
    script.deliver_all();
    script.begin();
    late.into_iter().for_each(|chunk| script.say("a", chunk));
    assert_eq!(script.rejected, [("a".to_owned(), RejectReason::OldTick)]);
    script.deliver_all();
    script.check(2);
}

#[test]
fn a_result_of_who_was_given_up_does_not_count() {
    let mut script = two();
    script.begin();
    script.freeze("a");
    let lost = script.held("a");
    for _ in 0..4 {
        script.pass(1_000);
        // The other one is slow, and says so.
        let slow = script.held("b");
        slow.into_iter().for_each(|(job, _)| script.say_working("b", job));
    }
    assert_eq!(script.coordinator.instances(), 1, "who missed three heartbeats is given up");
    assert!(lost.iter().all(|(job, attempt)| script.held("b").contains(&(*job, attempt + 1))));
    script.thaw("a");
    for (job, _) in &lost {
        script.deliver("a", *job);
    }
    assert_eq!(script.rejected, vec![("a".to_owned(), RejectReason::WrongInstance); lost.len()]);
    // It registers again, and has its share of the next tick.
    script.look_around("a");
    script.deliver_all();
    script.begin();
    assert!(!script.held("a").is_empty());
    script.deliver_all();
    script.check(2);
}

#[test]
fn only_what_was_sent_can_have_a_result() {
    let settings = Settings { in_flight_bytes: 1, ..settings() };
    let mut script = Script::with(app(drift), settings, &["a"]);
    script.begin();
    let [(job, 0)] = script.held("a")[..] else { panic!("one job at a time") };
    // A result for the next one, which waits for room.
    let forged: Vec<_> = script.result("a", job);
    for chunk in forged {
        let (prefix, body) = ChunkPrefix::decode(&chunk).unwrap();
        script.say("a", [&ChunkPrefix { job: job + 1, ..prefix }.encode()[..], body].concat().into());
    }
    assert_eq!(script.rejected, [("a".to_owned(), RejectReason::OldAttempt)]);
    script.deliver_all();
    script.check(1);
}

#[test]
fn attempts_count_up() {
    let mut script = one_shard(&["a", "b"]);
    script.begin();
    for attempt in 0..4 {
        let name = if script.held("a").is_empty() { "b" } else { "a" };
        assert_eq!(script.held(name), [(0, attempt)]);
        let prefix = ChunkPrefix::decode(&script.result(name, 0)[0]).unwrap().0;
        let failed = Failed { reason: "error".into(), message: "on purpose".into() };
        // The result of an attempt that failed comes too late.
        script.say(name, control::encode(&prefix, ChunkKind::Failed, &failed));
        script.say(name, control::encode(&prefix, ChunkKind::Failed, &failed));
        assert_eq!(script.rejected.pop(), Some((name.to_owned(), RejectReason::OldAttempt)));
        script.forget_attempt(name, attempt);
    }
    assert_eq!(script.counter("failed_jobs"), 4);
    script.deliver_all();
    script.check_room();
    assert_eq!(script.counter("quarantined"), 0);
    assert_eq!(script.positions()[3], 4.0, "the fifth attempt counts");
}

/// A shard that kills whoever gets it does not stop the world.
#[test]
fn after_five_deaths_a_job_is_given_up_for_this_tick() {
    let mut script = one_shard(&["i0"]);
    script.tick();
    let before = script.positions();
    script.begin();
    for death in 0..5 {
        let name = format!("i{death}");
        assert_eq!((script.held(&name), script.counter("quarantined")), (vec![(0, death)], 0));
        script.kill(&name);
        script.join(&format!("i{}", death + 1));
        script.pass(600);
    }
    assert_eq!(script.counter("quarantined"), 1);
    script.deliver_all();
    assert_eq!((script.coordinator.committed().0, script.positions()), (2, before), "the shard keeps its values");
    script.tick();
    assert_eq!(script.counter("quarantined"), 1, "the next tick tries again");
    script.check_room();
}

/// A host dies with all that ran on it: its jobs meet one dead instance after the other.
#[test]
fn who_was_dead_before_did_not_die_of_the_job() {
    let names: Vec<String> = (0..20).map(|number| format!("i{number}")).collect();
    let mut script = Script::with(app(drift), settings(), &[]);
    names.iter().for_each(|name| script.join(name));
    names[1..].iter().for_each(|name| script.kill(name));
    script.begin();
    assert_eq!((script.coordinator.instances(), script.held("i0").len()), (1, 4));
    assert!(script.held("i0").iter().any(|(_, attempt)| *attempt >= 5), "one of them met many");
    assert_eq!(script.counter("quarantined"), 0);
    script.deliver_all();
    script.check(1);
}

#[test]
fn who_only_lost_its_connection_did_not_die() {
    let mut script = two();
    script.begin();
    for _ in 0..10 {
        script.reconnect("a");
    }
    for _ in 0..10 {
        script.coordinator.reconnected(script.now);
        script.pump();
        for name in ["a", "b"] {
            script.look_around(name);
        }
    }
    assert_eq!(script.counter("quarantined"), 0);
    script.deliver_all();
    script.check(1);
}

#[test]
fn bytes_in_flight_are_bounded() {
    let many = Settings { rows_per_shard: ROWS, in_flight_bytes: 2_000, ..settings() };
    let mut script = Script::with(app(drift), many, &["a"]);
    script.begin();
    let one = script.in_flight("a") / script.held("a").len() as u64;
    let (mut least, mut done) = (4, 0);
    while script.coordinator.is_running() {
        let (held, bytes) = (script.held("a"), script.in_flight("a"));
        assert!(bytes < 2_000 + one + 100, "{bytes} bytes in flight");
        least = least.min(held.len());
        script.deliver("a", held[0].0);
        done += 1;
    }
    assert_eq!(done, 8);
    assert!((1..4).contains(&least), "some had to wait");
    script.check(1);
}

#[test]
fn what_is_larger_than_the_bound_goes_alone() {
    let settings = Settings { in_flight_bytes: 1, ..settings() };
    let mut script = Script::with(app(drift), settings, &["a", "b"]);
    script.begin();
    while script.coordinator.is_running() {
        let open = [script.held("a"), script.held("b")];
        assert!(open.iter().all(|held| held.len() <= 1), "{open:?}");
        let name = if open[0].is_empty() { "b" } else { "a" };
        let job = script.held(name)[0].0;
        script.deliver(name, job);
    }
    script.check(1);
}

#[test]
fn the_undisturbed_world_is_not_all_zeros() {
    assert_ne!(undisturbed(1), undisturbed(2));
}

/// Rows of which nobody but their own jobs can tell when they are merged don't wait for the node.
#[test]
fn what_came_is_in_the_world_while_the_rest_is_computed() {
    let mut script = two();
    script.begin();
    let held = script.held("a");
    assert!((1..4).contains(&held.len()), "both have some of them");
    for (job, _) in &held {
        script.deliver("a", *job);
    }
    let merged = |positions: Vec<f32>| positions.chunks(ROWS).filter(|rows| rows[1] != 0.0).count();
    assert_eq!((merged(script.positions()), script.coordinator.committed().0), (held.len(), 0));
    // The other one has computed for nothing: somebody else computes the same, of rows that are as they were.
    script.kill("b");
    script.pass(600);
    script.deliver_all();
    script.check(1);
}

/// The next system begins with a shard while the others are still with the one before it, and on the same instance.
#[test]
fn a_shard_goes_on_to_the_next_system_by_itself() {
    let mut script = two();
    script.begin();
    let (drift, name) = (script.held("a")[0].0, "a");
    script.deliver(name, drift);
    let turn = drift + 4;
    assert!(script.held(name).iter().any(|(job, _)| *job == turn), "{:?}", script.held(name));
    script.deliver(name, turn);
    // Its rows are in the world, and its node waits for the other one.
    assert_eq!(script.coordinator.committed().0, 0);
    script.kill(name);
    script.pass(600);
    script.deliver_all();
    script.check(1);
}
