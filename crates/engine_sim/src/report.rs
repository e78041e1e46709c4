//! What many schedules came to, for people and for programs.

use std::time::Duration;

use engine_sim::{FaultCounts, Outcome, Plan, Shortcuts};
use serde_json::{Map, Value, json};

use super::Arguments;

/// Failures that are told; more of them say nothing new.
pub(crate) const TOLD: usize = 10;

/// What all schedules came to. The order in which they ended has no part in it.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) schedules: u64,
    ticks: u64,
    commands: u64,
    records: u64,
    epochs: u64,
    keyframes: u64,
    most_replayed: u64,
    settings: u64,
    kept: u64,
    virtual_ms: u64,
    /// The longest time from the end of the last fault to the end of a schedule.
    recovery_ms: u64,
    shortcuts: Shortcuts,
    faults: FaultCounts,
    /// Failing seeds, and what was wrong.
    pub(crate) failures: Vec<(u64, String)>,
}

impl Sum {
    pub(crate) fn add(&mut self, seed: u64, outcome: Outcome) {
        self.schedules += 1;
        self.ticks += outcome.ticks;
        self.commands += outcome.commands;
        self.records += outcome.records;
        self.epochs += outcome.epochs;
        self.keyframes += outcome.keyframes;
        self.most_replayed = self.most_replayed.max(outcome.most_replayed);
        self.settings += outcome.settings;
        self.kept += outcome.kept;
        self.virtual_ms += outcome.virtual_ms;
        self.recovery_ms = self.recovery_ms.max(outcome.recovery_ms);
        self.shortcuts.add(&outcome.shortcuts);
        self.faults.add(&outcome.faults);
        self.failures.extend(outcome.problem.map(|problem| (seed, problem)));
    }
}

pub(crate) fn show(arguments: &Arguments, plan: &Plan, sum: &Sum, took: Duration) {
    let minutes = (took.as_secs_f64() / 60.0).max(f64::MIN_POSITIVE);
    let per_minute = (sum.schedules as f64 / minutes).round();
    let lines = lines(arguments, plan, sum, per_minute);
    if !arguments.json {
        return lines.iter().for_each(|line| println!("{line}"));
    }
    lines.iter().for_each(|line| eprintln!("{line}"));
    let name = |fault| json!(fault).as_str().unwrap_or_default().to_owned();
    let faults: Map<String, Value> = sum.faults.iter().map(|(fault, count)| (name(fault), count.into())).collect();
    let failures = sum.failures.iter().map(|(seed, problem)| {
        let replay = arguments.command(*seed, plan.bug);
        json!({ "seed": seed, "problem": problem, "replay": replay })
    });
    let object = json!({
        "schedules": sum.schedules,
        "seed": arguments.seed,
        "threads": arguments.threads(),
        "ticks": sum.ticks,
        "commands": sum.commands,
        "records": sum.records,
        "epochs": sum.epochs,
        "keyframes": sum.keyframes,
        "most_replayed": sum.most_replayed,
        "settings": sum.settings,
        "kept_shards": sum.kept,
        "virtual_ms": sum.virtual_ms,
        "longest_recovery_ms": sum.recovery_ms,
        "second_attempts": {
            "all": sum.shortcuts.attempts,
            "won": sum.shortcuts.won,
            "equal": sum.shortcuts.equal,
            "uncompared": sum.shortcuts.uncompared,
        },
        "fused": { "sent": sum.shortcuts.fused, "taken_back": sum.shortcuts.taken_back },
        "faults": faults,
        "divergences": sum.failures.len(),
        "failures": failures.take(TOLD).collect::<Vec<_>>(),
        "schedules_per_minute": per_minute,
    });
    println!("{object}");
}

fn lines(arguments: &Arguments, plan: &Plan, sum: &Sum, per_minute: f64) -> Vec<String> {
    let mut lines = Vec::new();
    for (seed, problem) in sum.failures.iter().take(TOLD) {
        lines.push(format!("seed {seed}: {problem}"));
        lines.push(format!("    {}", arguments.command(*seed, plan.bug)));
    }
    if sum.failures.len() > TOLD {
        lines.push(format!("and {} more", sum.failures.len() - TOLD));
    }
    lines.push(format!(
        "{} schedules, {} ticks, {} records, {} epochs, {} keyframes, {} commands, {} settings, {} shards given up, {:.0} virtual seconds, {} faults, {} failures, {per_minute:.0} schedules a minute",
        sum.schedules,
        sum.ticks,
        sum.records,
        sum.epochs,
        sum.keyframes,
        sum.commands,
        sum.settings,
        sum.kept,
        sum.virtual_ms as f64 / 1e3,
        sum.faults.total(),
        sum.failures.len(),
    ));
    lines.push(format!("at most {} virtual ms from the end of the last fault to the end", sum.recovery_ms));
    let Shortcuts { attempts, won, equal, uncompared, fused, taken_back } = sum.shortcuts;
    lines.push(format!(
        "{attempts} second attempts, of which {won} were faster; {equal} slower results were equal, {uncompared} could not be compared"
    ));
    lines.push(format!("{fused} batches were sent behind what they build on, of which {taken_back} came to nothing"));
    lines.extend(sum.faults.iter().map(|(fault, count)| format!("    {:20} {count}", format!("{fault:?}"))));
    lines
}
