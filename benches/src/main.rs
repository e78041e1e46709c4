//! `cargo xtask bench`: what Engine costs, beside what the hardware, NATS and other entity component
//! systems cost in the same run.
//!
//! Figures drift with the machine and the hour; ratios measured side by side don't. So the contenders of a
//! case take turns, sample by sample, and each case names what it is measured against.

mod allocator;
mod case;
mod dist;
mod durable;
mod ecs;
mod hash;
mod image;
mod measure;
mod memory;
mod report;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Parser;

use case::Case;
use measure::Effort;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Measures Engine against its floors and its peers.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Arguments {
    /// Cases, or groups of cases: `ecs`, `ecs/simple_iter`. All when none is named.
    names: Vec<String>,
    /// Writes the figures to this file as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fewer and shorter samples: to see that everything works, not to compare.
    #[arg(long)]
    quick: bool,
    /// Only Engine's side, without what it is compared with: for a profiler.
    #[arg(long)]
    alone: bool,
    /// Says which cases there are.
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    // The same program is the worker processes of the distributed cases.
    if let Some(worker) = dist::worker::requested() {
        return worker.run();
    }
    let arguments = Arguments::parse();
    let cases = chosen(&arguments.names)?;
    if arguments.list {
        for case in cases {
            println!("{:28} {}", case.name, case.about);
        }
        return Ok(());
    }
    if cfg!(not(feature = "peers")) {
        eprintln!("Built without the peers: `cargo xtask bench` builds with them.");
    }
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    let mut results = Vec::new();
    for case in &cases {
        eprint!("{} …", case.name);
        let result =
            case.measure(effort, arguments.alone).with_context(|| format!("{} can't be measured", case.name))?;
        eprintln!("\r{}", report::progress(&result));
        results.push(result);
    }
    print!("{}", report::table(&results));
    if let Some(path) = arguments.json {
        std::fs::write(&path, report::json(&results)).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<Case>> {
    let all: Vec<Case> =
        [ecs::cases(), hash::cases(), image::cases(), memory::cases(), dist::cases(), durable::cases()]
            .into_iter()
            .flatten()
            .collect();
    let belongs = |case: &Case, name: &str| {
        case.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for name in names {
        if !all.iter().any(|case| belongs(case, name)) {
            bail!("There is no case `{name}`; --list says which there are.");
        }
    }
    Ok(all.into_iter().filter(|case| names.is_empty() || names.iter().any(|name| belongs(case, name))).collect())
}
