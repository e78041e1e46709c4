//! Who was fenced stands by, and who ends or refuses leaves the lease to the next one.

use std::time::Instant;

use crate::place::Place;

const RUNS: [&str; 5] = ["--rate", "200", "--time", "dilate", "--standby"];
/// Nobody would wait for it.
const LONG: [&str; 2] = ["--lease", "600"];

#[test]
fn leaders_that_are_stopped_in_turn_follow_one_another_once() {
    let place = Place::new();
    let mut leads = place.lead(&RUNS);
    leads.wait_for_tick(10);
    let mut stands_by = place.lead(&RUNS);
    stands_by.wait_for("standing by");
    let outside = place.outside();
    for round in 0..3 {
        leads.signal(libc::SIGSTOP);
        stands_by.wait_for("epoch ");
        outside.spawn(&format!("round-{round}"));
        leads.signal(libc::SIGCONT);
        leads.wait_for("standing by");
        let reached = outside.status().tick;
        outside.until("it goes on", |status| (status.tick > reached + 100).then_some(()));
        std::mem::swap(&mut leads, &mut stands_by);
    }
    assert_eq!(place.epochs(&place.streams(1024)), [1, 2, 3, 4]);
    assert_eq!(outside.status().entities, 3);
}

#[test]
fn who_refuses_a_damaged_log_gives_the_lease_back() {
    let place = Place::new();
    let mut leader = place.lead(&["--ticks", "50"]);
    leader.wait_for_tick(50);
    leader.finish();
    place.raw(async |client| client.publish("engine_log.main.tick", "damage".into()).await.unwrap());
    let started = Instant::now();
    for _ in 0..3 {
        let error = place.refuses(&[&["--standby"], &LONG[..]].concat());
        assert!(error.contains("the log breaks"), "{error}");
    }
    assert!(started.elapsed().as_secs() < 300, "nobody waited for a lease");
}

#[test]
fn a_second_coordinator_that_is_not_to_stand_by_is_refused() {
    let place = Place::new();
    let mut leader = place.lead(&[]);
    leader.wait_for_tick(10);
    let error = place.refuses(&[]);
    assert!(error.contains("leads the world `main`") && error.contains("--standby waits"), "{error}");
}

#[test]
fn who_stands_by_ends_when_it_is_asked_to() {
    let place = Place::new();
    let mut leader = place.lead(&[]);
    leader.wait_for_tick(10);
    let mut stands_by = place.lead(&["--standby"]);
    stands_by.wait_for("standing by");
    stands_by.finish();
}
