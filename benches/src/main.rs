//! `cargo xtask bench`: what Engine costs, beside what the hardware, NATS and other entity component
//! systems cost in the same run.
//!
//! Figures drift with the machine and the hour; ratios measured side by side don't. So the contenders of a
//! case take turns, sample by sample, and each case names what it is measured against.

mod allocator;
mod case;
mod curve;
mod dist;
mod durable;
mod ecs;
mod figures;
mod hash;
mod image;
mod machine;
mod measure;
mod memory;
mod meter;
mod plot;
mod process;
mod report;
mod scale;
mod suite;
mod tick;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;

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
    /// Draws the curves into this folder.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    plots: PathBuf,
    /// Writes the tables and the curves as a page of the documentation.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
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
    let chosen = suite::chosen(&arguments.names)?;
    if arguments.list {
        for entry in chosen {
            println!("{:28} {}", entry.name(), entry.about());
        }
        return Ok(());
    }
    if cfg!(not(feature = "peers")) {
        eprintln!("Built without the peers: `cargo xtask bench` builds with them.");
    }
    let machine = machine::Machine::look();
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    let mut measured = Vec::new();
    for entry in &chosen {
        eprint!("{} …", entry.name());
        let result =
            entry.measure(effort, arguments.alone).with_context(|| format!("{} can't be measured", entry.name()))?;
        eprintln!("\r{}", report::progress(&result));
        measured.push(result);
    }
    println!("{}", machine.line());
    print!("{}", report::tables(&measured));
    for file in plot::write(&arguments.plots, &measured)? {
        println!("{}", file.display());
    }
    if let Some(path) = &arguments.json {
        write(path, &report::json(&machine, &measured))?;
    }
    if let Some(path) = &arguments.page {
        let plots = path.parent().and_then(|folder| arguments.plots.strip_prefix(folder).ok());
        let plots = plots.unwrap_or(&arguments.plots).to_string_lossy();
        write(path, &report::page(&machine, &measured, &plots))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}
