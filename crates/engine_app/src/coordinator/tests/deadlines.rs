//! What happens when a result does not come in time.

use engine_net::descriptor::DeadlinePolicy;
use engine_net::messages::rejected::RejectReason;
use engine_system::IntoSystem;

use super::script::{ROWS, Script, app, drift, settings};

/// Two instances; `drift` is late after 200 milliseconds.
fn world(policy: DeadlinePolicy, names: &[&str]) -> Script {
    Script::with(app(drift.deadline(policy).deadline_ms(200)), settings(), names)
}

/// Gives every instance time to be late, while it says that it works.
fn work_for(script: &mut Script, milliseconds: u64, names: &[&str]) {
    for _ in 0..milliseconds / 100 {
        for name in names {
            for (job, _) in script.held(name) {
                script.say_working(name, job);
            }
        }
        script.pass(100);
    }
}

#[test]
fn wait_waits() {
    let mut script = world(DeadlinePolicy::Wait, &["a", "b"]);
    script.begin();
    work_for(&mut script, 30_000, &["a", "b"]);
    assert!(script.coordinator.is_running() && script.coordinator.instances() == 2);
    assert_eq!(script.counter("reassigned") + script.counter("held") + script.counter("skipped"), 0);
    script.deliver_all();
    script.check_room();
    assert_eq!(script.positions()[7], 8.0);
}

#[test]
fn retry_gives_the_job_to_another_one_so_many_times() {
    let mut script = world(DeadlinePolicy::Retry { n: 2 }, &["a", "b"]);
    script.begin();
    let late = script.held("a");
    let b = script.held("b");
    b.into_iter().for_each(|(job, _)| script.deliver("b", job));
    work_for(&mut script, 300, &["a"]);
    assert_eq!(script.counter("retried"), late.len() as u64);
    work_for(&mut script, 2_000, &["a", "b"]);
    assert_eq!(script.counter("retried"), 2 * late.len() as u64, "not more often than it says");
    // The first attempt is over, whoever has the last one.
    let job = late[0].0;
    script.deliver_first_attempt("a", job);
    assert_eq!(script.rejected.pop(), Some(("a".to_owned(), RejectReason::OldAttempt)));
    script.deliver_all();
    script.check_room();
    assert!(script.positions().iter().enumerate().all(|(row, x)| *x == 1.0 + row as f32));
}

#[test]
fn retry_waits_when_there_is_nobody_else() {
    let mut script = world(DeadlinePolicy::Retry { n: 2 }, &["a"]);
    script.begin();
    work_for(&mut script, 2_000, &["a"]);
    assert_eq!((script.counter("retried"), script.held("a").len()), (0, 4));
    script.deliver_all();
    script.check_room();
}

#[test]
fn hold_keeps_the_values_of_late_shards_alone() {
    let mut script = world(DeadlinePolicy::Hold, &["a", "b"]);
    script.begin();
    let late = script.held("a");
    assert!((1..4).contains(&late.len()), "{late:?}");
    for (job, _) in script.held("b") {
        script.deliver("b", job);
    }
    script.pass(300);
    assert_eq!(script.counter("held"), late.len() as u64);
    script.deliver("a", late[0].0);
    assert_eq!(script.rejected, [("a".to_owned(), RejectReason::Claimed)]);
    script.deliver_all();
    let positions = script.positions();
    for shard in 0..4 {
        let is_late = late.iter().any(|(job, _)| *job as usize == shard);
        let rows = shard * ROWS..(shard + 1) * ROWS;
        assert!(rows.clone().all(|row| positions[row] == if is_late { 0.0 } else { 1.0 + row as f32 }), "{shard}");
    }
    script.check_room();
}

#[test]
fn skip_leaves_the_whole_system_out_of_the_tick() {
    let mut script = world(DeadlinePolicy::Skip, &["a", "b"]);
    script.begin();
    for (job, _) in script.held("b") {
        script.deliver("b", job);
    }
    script.pass(300);
    assert_eq!(script.counter("skipped"), 1);
    script.deliver_all();
    assert!(script.positions().iter().all(|x| *x == 0.0), "nothing of it is merged");
    script.check_room();
    script.tick();
    assert!(script.positions().iter().any(|x| *x != 0.0), "it runs again in the next tick");
}

/// What was held or skipped is off the instance's hands: else it would never get another job.
#[test]
fn who_is_late_in_every_tick_still_gets_jobs() {
    for policy in [DeadlinePolicy::Hold, DeadlinePolicy::Skip] {
        let tight = crate::Settings { in_flight_bytes: 4_000, ..settings() };
        let mut script = Script::with(app(drift.deadline(policy).deadline_ms(200)), tight, &["a"]);
        for tick in 1..=20 {
            script.begin();
            assert!(!script.held("a").is_empty(), "nothing in tick {tick}");
            // All of `drift` is late, then `turn` runs.
            while script.held("a").iter().any(|(job, _)| *job < 4) {
                script.drop_held("a");
                script.pass(300);
            }
            script.deliver_all();
            assert_eq!(script.coordinator.committed().0, tick);
            script.check_room();
        }
    }
}

/// No instance is left: then the policy decides as well.
#[test]
fn hold_and_skip_do_not_wait_for_an_instance_that_is_gone() {
    for policy in [DeadlinePolicy::Hold, DeadlinePolicy::Skip] {
        for dies_first in [true, false] {
            let mut script = world(policy, &["a"]);
            if dies_first {
                script.kill("a");
            }
            script.begin();
            script.kill("a");
            script.pass(600);
            assert_eq!(script.coordinator.instances(), 0);
            script.pass(300);
            let given_up = script.counter("held") + script.counter("skipped");
            assert_eq!(given_up, if policy == DeadlinePolicy::Hold { 4 } else { 1 });
            // `turn` waits, as it says, for whoever comes.
            assert!(script.coordinator.is_running());
            script.join("b");
            script.deliver_all();
            assert_eq!(script.coordinator.committed().0, 1);
            assert!(script.positions().iter().all(|x| *x == 0.0));
            script.check_room();
        }
    }
}
