//! `cargo xtask simulate`: schedules by the thousand.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use engine_sim::{Baseline, FaultCounts, Plan, simulate, traced};

/// Runs a whole cluster on virtual time, again and again, with everything going wrong that can.
#[derive(Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Arguments {
    /// How many schedules.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    schedules: u64,
    /// The seed of the first schedule; the others count on from it.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Tell what happens in the schedule of `--seed`, and run no other.
    #[arg(long)]
    trace: bool,
    /// Ticks of a schedule.
    #[arg(long, value_name = "N", default_value_t = Plan::default().ticks)]
    ticks: u64,
    /// A JSON object as the last line.
    #[arg(long)]
    json: bool,
}

/// What all schedules came to.
#[derive(Default)]
struct Sum {
    schedules: u64,
    ticks: u64,
    virtual_ms: u64,
    faults: FaultCounts,
    /// Failing seeds, and what was wrong.
    failures: Vec<(u64, String)>,
}

/// Failures that are told; more of them say nothing new.
const TOLD: usize = 10;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let plan = Plan { ticks: arguments.ticks, ..Plan::default() };
    let baseline = Baseline::of(&plan)?;
    if arguments.trace {
        let outcome = traced(&plan, &baseline, arguments.seed);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("{}", outcome.problem.as_deref().unwrap_or("no problem"));
        return Ok(if outcome.problem.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let started = Instant::now();
    let mut sum = run(&arguments, &plan, &baseline);
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    sum.failures.sort();
    report(&arguments, &sum, minutes);
    Ok(if sum.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Schedules are independent: each core takes the next.
fn run(arguments: &Arguments, plan: &Plan, baseline: &Baseline) -> Sum {
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= arguments.schedules {
                        return;
                    }
                    let seed = arguments.seed.wrapping_add(number);
                    let outcome = simulate(plan, baseline, seed);
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.schedules += 1;
                    sum.ticks += outcome.ticks;
                    sum.virtual_ms += outcome.virtual_ms;
                    sum.faults.add(&outcome.faults);
                    sum.failures.extend(outcome.problem.map(|problem| (seed, problem)));
                    if sum.schedules.is_multiple_of(1000) {
                        eprintln!("{} schedules, {} failed", sum.schedules, sum.failures.len());
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn report(arguments: &Arguments, sum: &Sum, minutes: f64) {
    for (seed, problem) in sum.failures.iter().take(TOLD) {
        println!("seed {seed}: {problem}");
        println!("    cargo xtask simulate --seed {seed} --ticks {} --trace", arguments.ticks);
    }
    if sum.failures.len() > TOLD {
        println!("and {} more", sum.failures.len() - TOLD);
    }
    let per_minute = sum.schedules as f64 / minutes.max(f64::MIN_POSITIVE);
    println!(
        "{} schedules, {} ticks, {:.0} virtual seconds, {} faults, {} failures, {per_minute:.0} schedules a minute",
        sum.schedules,
        sum.ticks,
        sum.virtual_ms as f64 / 1e3,
        sum.faults.total(),
        sum.failures.len(),
    );
    for (fault, count) in sum.faults.iter() {
        println!("    {:16} {count}", format!("{fault:?}"));
    }
    if arguments.json {
        let faults: serde_json::Map<String, serde_json::Value> = sum
            .faults
            .iter()
            .map(|(fault, count)| (serde_json::json!(fault).as_str().unwrap_or_default().to_owned(), count.into()))
            .collect();
        let seeds: Vec<u64> = sum.failures.iter().map(|(seed, _)| *seed).collect();
        println!(
            "{}",
            serde_json::json!({
                "schedules": sum.schedules,
                "seed": arguments.seed,
                "ticks": sum.ticks,
                "faults": faults,
                "divergences": sum.failures.len(),
                "failing_seeds": seeds,
                "schedules_per_minute": per_minute,
            })
        );
    }
}
