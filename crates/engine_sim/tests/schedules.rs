//! The simulator itself: a seed is a schedule, every kind of fault happens, and what it says can be read.

use engine_sim::{Baseline, FaultCounts, Outcome, Plan, simulate, traced};

fn outcomes(seeds: std::ops::Range<u64>) -> Vec<Outcome> {
    let plan = Plan::default();
    let baseline = Baseline::of(&plan).expect("the world runs");
    seeds.map(|seed| simulate(&plan, &baseline, seed)).collect()
}

#[test]
fn schedules_pass_and_every_kind_of_fault_happens() {
    let (mut faults, mut commands, mut settings) = (FaultCounts::default(), 0, 0);
    for (seed, outcome) in outcomes(0..300).into_iter().enumerate() {
        assert_eq!(outcome.problem, None, "seed {seed}");
        assert_eq!(outcome.ticks, Plan::default().ticks, "seed {seed}");
        faults.add(&outcome.faults);
        commands += outcome.commands;
        settings += outcome.settings;
    }
    assert!(commands > 500 && settings > 50, "{commands} commands, {settings} settings");
    for (fault, count) in faults.iter() {
        assert!(count > 0, "no {fault:?} in 300 schedules");
    }
}

#[test]
fn a_seed_is_a_schedule_whether_it_is_told_or_not() {
    let plan = Plan::default();
    let baseline = Baseline::of(&plan).unwrap();
    for seed in [2, 7, 11] {
        let (first, again) = (simulate(&plan, &baseline, seed), traced(&plan, &baseline, seed));
        let of = |outcome: &Outcome| (outcome.virtual_ms, outcome.commands, outcome.faults);
        assert_eq!(of(&first), of(&again), "seed {seed}");
        assert_eq!(again.trace, traced(&plan, &baseline, seed).trace, "seed {seed}");
    }
    let schedules: Vec<_> = outcomes(20..30).iter().map(|outcome| outcome.faults).collect();
    assert!(schedules.windows(2).all(|pair| pair[0] != pair[1]), "other seeds, other schedules");
}

#[test]
fn a_trace_says_when_who_says_what_to_whom_and_what_goes_wrong() {
    let plan = Plan::default();
    let baseline = Baseline::of(&plan).unwrap();
    let lines: Vec<String> = (0..10).flat_map(|seed| traced(&plan, &baseline, seed).trace).collect();
    let has = |parts: &[&str]| lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(lines.iter().all(|line| line[..14].trim().ends_with("ms")), "virtual milliseconds come first");
    assert!(has(&["coord1 -> i1", "Job tick 1 job", "chunk 1/", "system.schedule."]));
    assert!(has(&["i1 -> coord1", "Result tick", "component.changed."]));
    assert!(has(&["c1 -> coord1", "command.world.entity.spawn"]));
    assert!(has(&["[lost: drop]"]) && has(&["[delay, arrives at"]) && has(&["[held until"]));
    assert!(has(&["coord1 **", "is killed"]) && has(&["coord1 **", "takes over after tick"]));
    assert!(has(&["log **", "tick 8 with", "inputs", "hash"]));
}
