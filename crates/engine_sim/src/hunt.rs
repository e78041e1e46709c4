//! `--planted`: mistakes that are made on purpose have to be found, each by itself, or the checks are worth
//! nothing.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use engine_sim::{Baseline, Bug, Plan, simulate};
use serde_json::json;

use super::Arguments;

/// Stands for all mistakes.
pub(crate) const ALL: &str = "all";
/// A mistake has to be found in so many schedules.
const SCHEDULES: u64 = 1_000;

/// The mistake of a name.
pub(crate) fn bug(name: Option<&str>) -> Result<Option<Bug>> {
    let Some(name) = name.filter(|name| *name != ALL) else { return Ok(None) };
    match Bug::ALL.into_iter().find(|bug| bug.name() == name) {
        Some(bug) => Ok(Some(bug)),
        None => bail!("there is no mistake `{name}`; there are {}", Bug::ALL.map(Bug::name).join(", ")),
    }
}

/// Looks for each mistake, and shows after how many schedules it was found, and how.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let plan = Plan { ticks: arguments.ticks, ..Plan::default() };
    let baseline = Baseline::of(&plan)?;
    let most = arguments.schedules.unwrap_or(SCHEDULES);
    let mut rows = Vec::new();
    for bug in Bug::ALL {
        let plan = Plan { bug: Some(bug), ..plan.clone() };
        let found = first_failure(arguments, &plan, &baseline, most);
        let line = match &found {
            Some((number, problem)) => {
                let replay = arguments.command(arguments.seed.wrapping_add(*number), Some(bug));
                let check = problem.split(':').next().unwrap_or_default();
                format!("{:26} {:>9}  {check:14} {replay}", bug.name(), number + 1)
            }
            None => format!("{:26} NOT FOUND in {most} schedules", bug.name()),
        };
        if rows.is_empty() {
            eprintln!("{:26} {:>9}  {:14} replayed by", "mistake", "schedules", "found by");
        }
        if arguments.json {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
        rows.push((bug, found));
    }
    if arguments.json {
        let rows = rows.iter().map(|(bug, found)| match found {
            Some((number, problem)) => {
                let seed = arguments.seed.wrapping_add(*number);
                let replay = arguments.command(seed, Some(*bug));
                json!({ "mistake": bug.name(), "schedules": number + 1, "seed": seed, "problem": problem, "replay": replay })
            }
            None => json!({ "mistake": bug.name(), "schedules": most, "seed": null, "problem": null, "replay": null }),
        });
        println!("{}", json!({ "planted": rows.collect::<Vec<_>>() }));
    }
    let all = rows.iter().all(|(_, found)| found.is_some());
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The first schedule that fails, whoever runs it: all before it are run to their end.
fn first_failure(arguments: &Arguments, plan: &Plan, baseline: &Baseline, most: u64) -> Option<(u64, String)> {
    let (next, end) = (AtomicU64::new(0), AtomicU64::new(most));
    let found = Mutex::new(None::<(u64, String)>);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= end.load(Ordering::Relaxed) {
                return;
            }
            let Some(problem) = simulate(plan, baseline, arguments.seed.wrapping_add(number)).problem else { continue };
            end.fetch_min(number, Ordering::Relaxed);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            if found.as_ref().is_none_or(|(other, _)| number < *other) {
                *found = Some((number, problem));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads() {
            scope.spawn(work);
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}
