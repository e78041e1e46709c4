//! Many schedules: none finds anything, and each mistake that is planted is found.

use super::super::writer::Mistake;
use super::contenders::{Planted, Tally, run};

const SEEDS: u64 = 1500;

#[test]
fn whatever_happens_the_log_is_whole_and_durable_is_durable() {
    let mut sum = Tally::default();
    for seed in 0..SEEDS {
        let tally = run(seed, None).unwrap_or_else(|finding| panic!("seed {seed}: {finding:?}"));
        sum.records += tally.records;
        sum.reigns += tally.reigns;
        sum.deposed += tally.deposed;
        sum.killed += tally.killed;
        sum.stopped += tally.stopped;
        sum.cut += tally.cut;
        sum.full += tally.full;
        sum.purged += tally.purged;
    }
    let least = [sum.deposed, sum.killed, sum.stopped, sum.cut, sum.full, sum.purged].into_iter().min();
    assert!(least > Some(SEEDS) && sum.records > 20 * SEEDS && sum.reigns > 5 * SEEDS, "not worth much: {sum:?}");
}

#[test]
fn a_schedule_is_a_function_of_its_seed() {
    let twice = [run(42, None), run(42, None)].map(|tally| format!("{tally:?}"));
    assert_eq!(twice[0], twice[1]);
}

/// The first seed that finds a mistake.
fn found(planted: Planted) -> Option<u64> {
    (0..SEEDS).find(|seed| run(*seed, Some(planted)).is_err())
}

#[test]
fn a_missing_guard_is_found() {
    assert!(found(Planted::NoGuard).is_some());
}

#[test]
fn believing_in_lost_acknowledgements_is_found() {
    assert!(found(Planted::By(Mistake::LostIsStored)).is_some());
}

#[test]
fn sending_again_without_looking_is_found() {
    assert!(found(Planted::By(Mistake::BlindRetry)).is_some());
}

#[test]
fn taking_anything_for_ones_own_is_found() {
    assert!(found(Planted::By(Mistake::AnyoneIsMe)).is_some());
}
