//! The arena on real processes, real servers, real connections and real disks, while everything breaks.
//!
//! | file | what it is |
//! | --- | --- |
//! | `plan.rs` | which faults happen when, from a seed |
//! | `cluster.rs`, `servers.rs`, `child.rs` | the processes |
//! | `proxy.rs`, `volume.rs` | networks that break, disks that are full or lose power |
//! | `client.rs` | commands, repeated until they are answered |
//! | `said.rs`, `log.rs` | what was announced, and what the log holds |
//! | `soak.rs` | faults, then peace and a last tick |
//! | `verdict.rs` | what has to hold in the end |
//! | `takeover.rs`, `reconnect.rs`, `power.rs` | how long takeovers and a server's restart take; what a power cut leaves |

mod child;
mod client;
mod cluster;
mod folder;
mod log;
mod plan;
mod power;
mod proxy;
mod random;
mod reconnect;
mod report;
mod said;
mod servers;
mod soak;
mod stop;
mod takeover;
mod verdict;
mod volume;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;

use plan::Kind;
use soak::Soak;
use volume::Volume;
use world::World;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the arena on processes while they are killed, paused and cut off, and compares what comes out.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults", bin_name = "cargo xtask faults")]
struct Arguments {
    /// How long faults happen
    #[arg(long, value_name = "M", default_value_t = 3.0)]
    minutes: f64,
    /// Which faults happen when
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print the outcome as one line of JSON, too
    #[arg(long)]
    json: bool,
    /// Only these kinds; `power-cut` does nothing else
    #[arg(long, value_name = "KIND", num_args = 1..)]
    only: Vec<String>,
    /// A cluster of three servers instead of one server
    #[arg(long)]
    cluster: bool,
    /// Measure so many takeovers with a lease of 1 s and of 3 s, and do nothing else
    #[arg(long, value_name = "N")]
    takeovers: Option<usize>,
    /// Measure so many restarts of the server, and do nothing else
    #[arg(long, value_name = "N")]
    reconnects: Option<usize>,
    /// Power cuts of --only power-cut
    #[arg(long, value_name = "N", default_value_t = 20)]
    images: usize,
    /// Seconds of the coordinators' lease
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    lease: u32,
    /// Fighters at the start
    #[arg(long, value_name = "N", default_value_t = 2000)]
    entities: u32,
    /// Instances of each system
    #[arg(long, value_name = "N", default_value_t = 2)]
    instances: usize,
    /// Clients that give commands; with none the undisturbed run is compared as well
    #[arg(long, value_name = "N", default_value_t = 3)]
    clients: usize,
}

const POWER_CUT: &str = "power-cut";

fn main() -> ExitCode {
    if std::env::var_os(cluster::PARTY).is_some() {
        return match arena::app().main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    // Everything that was started ends with what is dropped in here.
    match stop::listen().and_then(|()| run(&Arguments::parse())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    folder::remove_abandoned();
    let world = World {
        entities: arguments.entities,
        lease: arguments.lease,
        replicas: if arguments.cluster { 3 } else { 1 },
        ..World::default()
    };
    if let Some(count) = arguments.takeovers {
        return takeovers(arguments, &world, count);
    }
    if let Some(count) = arguments.reconnects {
        report::reconnects(reconnect::measure(&world, count)?, arguments.json);
        return Ok(true);
    }
    if arguments.only.iter().any(|kind| kind == POWER_CUT) {
        return power::run(&world, arguments.images, arguments.seed, arguments.json);
    }
    let soak = Soak {
        world,
        seed: arguments.seed,
        length: Duration::from_secs_f64(arguments.minutes.clamp(0.0, 1e6) * 60.0),
        kinds: kinds(arguments)?,
        clients: arguments.clients,
        instances: arguments.instances,
        cluster: arguments.cluster,
    };
    let outcome = soak::run(&soak)?;
    report::table(&soak, &outcome);
    if arguments.json {
        println!("{}", report::as_json(&soak, &outcome));
    }
    Ok(outcome.verdict.wrong.is_empty())
}

fn takeovers(arguments: &Arguments, world: &World, count: usize) -> Result<bool> {
    for lease in [1, 3] {
        let world = World { lease, ..world.clone() };
        let takeovers = takeover::measure(&world, arguments.cluster, count)?;
        report::takeovers(lease, &takeovers);
        if arguments.json {
            let takeovers = report::takeovers_json(&takeovers);
            println!("{}", serde_json::json!({ "lease_s": lease, "takeovers": takeovers }));
        }
    }
    Ok(true)
}

/// Those that were asked for; else all that can be had here.
fn kinds(arguments: &Arguments) -> Result<Vec<Kind>> {
    if !arguments.only.is_empty() {
        let known = || Kind::ALL.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
        let kind = |name: &String| match Kind::of(name) {
            Some(kind) => Ok(kind),
            None => bail!("there is no fault `{name}`; there are: {}, {POWER_CUT}", known()),
        };
        return arguments.only.iter().map(kind).collect();
    }
    let mut kinds: Vec<Kind> = Kind::ALL.iter().map(|(kind, _)| *kind).collect();
    if arguments.cluster {
        // Each server of a cluster would need a disk of its own.
        kinds.retain(|kind| *kind != Kind::DiskFull);
    } else if let Err(why) = Volume::create(16) {
        eprintln!("no full disks, since no image can be mounted here: {why:#}");
        kinds.retain(|kind| *kind != Kind::DiskFull);
    }
    Ok(kinds)
}
