//! `cargo xtask simulate`: schedules by the thousand.

mod hunt;
mod report;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;
use engine_sim::{Baseline, Bug, Plan, simulate, traced};

use report::Sum;

/// Runs a whole cluster on virtual time, again and again, with everything going wrong that can.
#[derive(Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Arguments {
    /// How many schedules; with --planted, in how many each mistake has to be found.
    #[arg(long, value_name = "N")]
    schedules: Option<u64>,
    /// The seed of the first schedule; the others count on from it.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Tell what happens in the schedule of `--seed`, and run no other.
    #[arg(long)]
    trace: bool,
    /// Ticks of a schedule.
    #[arg(long, value_name = "N", default_value_t = Plan::default().ticks)]
    ticks: u64,
    /// One JSON object on standard output; what is for people goes to standard error.
    #[arg(long)]
    json: bool,
    /// Threads that run schedules; as many as there are cores when not given. The result is the same.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Make a mistake on purpose, by its name; without a name, all of them one after another, to show that each
    /// is found.
    #[arg(long, value_name = "MISTAKE", num_args = 0..=1, default_missing_value = hunt::ALL)]
    planted: Option<String>,
}

impl Arguments {
    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or(cores, NonZeroUsize::get)
    }

    /// The command that tells what happens in a schedule.
    fn command(&self, seed: u64, bug: Option<Bug>) -> String {
        let planted = bug.map(|bug| format!(" --planted {}", bug.name())).unwrap_or_default();
        let is_usual = self.ticks == Plan::default().ticks;
        let ticks = if is_usual { String::new() } else { format!(" --ticks {}", self.ticks) };
        format!("cargo xtask simulate --seed {seed}{ticks}{planted} --trace")
    }
}

const SCHEDULES: u64 = 5_000;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.planted.is_some() && !engine_sim::HAS_PLANTED {
        bail!("mistakes are not built in: cargo xtask simulate --planted, or --features planted");
    }
    if arguments.planted.as_deref() == Some(hunt::ALL) && !arguments.trace {
        return hunt::run(&arguments);
    }
    let plan = Plan { ticks: arguments.ticks, bug: hunt::bug(arguments.planted.as_deref())?, ..Plan::default() };
    let baseline = Baseline::of(&plan)?;
    if arguments.trace {
        let outcome = traced(&plan, &baseline, arguments.seed);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("{}", outcome.problem.as_deref().unwrap_or("no problem"));
        return Ok(if outcome.problem.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let started = Instant::now();
    let sum = run(&arguments, &plan, &baseline);
    report::show(&arguments, &plan, &sum, started.elapsed());
    Ok(if sum.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Schedules are independent: each thread takes the next.
fn run(arguments: &Arguments, plan: &Plan, baseline: &Baseline) -> Sum {
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    let schedules = arguments.schedules.unwrap_or(SCHEDULES);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= schedules {
                return;
            }
            let seed = arguments.seed.wrapping_add(number);
            let outcome = simulate(plan, baseline, seed);
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(problem) = outcome.problem.as_ref().filter(|_| sum.failures.len() < report::TOLD) {
                // At once: the end may be far away.
                eprintln!("seed {seed}: {problem}");
            }
            sum.add(seed, outcome);
            if sum.schedules.is_multiple_of(1000) {
                eprintln!("{} schedules, {} failed", sum.schedules, sum.failures.len());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads() {
            scope.spawn(work);
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.failures.sort();
    sum
}
