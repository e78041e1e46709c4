//! The roles of an app's program: everything inside, `coordinator`, `system NAME…`, `dev`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, bail};
use clap::{Arg, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use engine_net::config::ConnectionArgs;
use engine_net::otlp::Collector;
use engine_system::runner::{InstanceOptions, run_instance};

use crate::app::{App, Outcome, Result};
use crate::config;
use crate::coordinator::{BeforeFirstTick, Commit};
use crate::dev::{DevArgs, DevPlan};
use crate::driver::{self, Stop};
use crate::health::{HealthArgs, run_health};
use crate::log::args::{Durability, LogArgs};
use crate::logging::{self, LoggingArgs};
use crate::past::args::{self as past, BranchArgs, DiffArgs, ReplayArgs};
use crate::reign::{self, Run};
use crate::settings::{Settings, TimeMode};
use crate::telemetry::Telemetry;
use crate::waiting;

#[derive(Debug, Parser)]
#[command(
    version = concat!("(engine ", env!("CARGO_PKG_VERSION"), ")"),
    arg_required_else_help = false,
    after_help = "Without a role everything runs in this process, without a broker."
)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    world: WorldArgs,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Own the world and its tick; systems are run by other processes, over NATS
    Coordinator {
        #[command(flatten)]
        args: CoordinatorArgs,
        /// Run these systems in the coordinator's own process; may be given several times
        #[arg(long, value_name = "NAME")]
        local: Vec<String>,
    },
    /// Run systems for a coordinator; any number of these processes may be started
    System {
        /// The systems
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        args: SystemArgs,
    },
    /// Compute ticks of a world's log again, and compare every hash
    Replay(ReplayArgs),
    /// Compare two worlds of the past
    Diff(DiffArgs),
    /// Begin another world at a tick of the past
    Branch(BranchArgs),
    /// Ask a process of this host whether it gets on; for containers
    Health(HealthArgs),
    /// Start a private nats-server, a coordinator and every system as processes; Ctrl-C ends them all
    #[command(visible_alias = "demo")]
    Dev {
        #[command(flatten)]
        dev: DevArgs,
        /// Run everything in this process instead, without a broker
        #[arg(long)]
        in_process: bool,
    },
}

/// How a process runs systems.
#[derive(Clone, Debug, Args)]
pub struct SystemArgs {
    /// The name of this instance; made up when not given
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// MiB of columns that it keeps from tick to tick, at the most, so that it is sent what changed alone; 0 for none
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub keep_mib: usize,
    /// Have all columns sent, also where the coordinator's memory could be mapped
    #[arg(long)]
    pub no_shm: bool,
    /// Serve /live, /ready and /metrics here, such as 0.0.0.0:9464
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Send spans of sampled ticks to this collector of OpenTelemetry, such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    pub otlp: Option<Collector>,
    /// What it says of itself.
    #[command(flatten)]
    pub logging: LoggingArgs,
    /// Where the server is.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// How a coordinator runs.
#[derive(Clone, Debug, Args)]
pub struct CoordinatorArgs {
    /// End after the last tick of --ticks, instead of answering until stopped
    #[arg(long)]
    pub exit: bool,
    /// Print a line with the world hash every so many ticks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub report_every: Option<u64>,
    /// Serve /live, /ready and /metrics here, such as 0.0.0.0:9464
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Send spans of sampled ticks to this collector of OpenTelemetry, such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    pub otlp: Option<Collector>,
    /// Sample one in so many ticks
    #[arg(long, value_name = "TICKS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub otlp_every: u64,
    /// What its world runs by.
    #[command(flatten)]
    pub world: WorldArgs,
    /// What outlives the process.
    #[command(flatten)]
    pub log: LogArgs,
    /// What it says of itself.
    #[command(flatten)]
    pub logging: LoggingArgs,
    /// Where the server is.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// What a world runs by.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "World")]
pub struct WorldArgs {
    /// The seed of all random numbers
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Ticks a second
    #[arg(long, value_name = "HZ", default_value_t = 60.0)]
    pub rate: f64,
    /// When the rate can't be held: `dilate` (simulated time falls behind), `catch-up`, or `fast` (no pauses at all)
    #[arg(long, value_name = "MODE", default_value = "dilate", value_parser = time_mode)]
    pub time: TimeMode,
    /// End after this tick
    #[arg(long, value_name = "N")]
    pub ticks: Option<u64>,
    /// Threads for systems in this process; 0 is as many as there are cores
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Rows of a shard, a multiple of 64; another number makes another world hash
    #[arg(long, value_name = "ROWS", default_value_t = 4096)]
    pub rows_per_shard: usize,
    /// Bytes of a chunk on the wire
    #[arg(long, value_name = "BYTES", default_value_t = engine_net::parcel::DEFAULT_CHUNK_BYTES)]
    pub chunk_bytes: usize,
    /// Send instances all columns in every tick, instead of what changed
    #[arg(long)]
    pub no_keep: bool,
    /// MiB of memory in which instances on this host map large columns, instead of being sent them; 0 for none
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(..=1 << 24))]
    pub shm: u64,
    /// Wait for what a system makes of its rows before they are given to the next one, also at the same instance
    #[arg(long)]
    pub no_fusion: bool,
    /// Leave jobs that are late to their instances, instead of giving them to idle ones as well
    #[arg(long)]
    pub no_speculation: bool,
    /// Start paused
    #[arg(long)]
    pub paused: bool,
    /// A system that has to be there before the first tick; may be given several times
    #[arg(long, value_name = "NAME")]
    pub expect: Vec<String>,
}

fn time_mode(text: &str) -> std::result::Result<TimeMode, String> {
    match text {
        "dilate" => Ok(TimeMode::Dilate),
        "catch-up" => Ok(TimeMode::CatchUp { max: 10 }),
        "fast" => Ok(TimeMode::Fast),
        _ => Err("there are `dilate`, `catch-up` and `fast`".into()),
    }
}

impl WorldArgs {
    /// The settings, for a world of this name.
    #[must_use]
    pub fn settings(&self, prefix: &str, world: &str) -> Settings {
        Settings {
            world: world.to_owned(),
            prefix: prefix.to_owned(),
            seed: self.seed,
            rate: self.rate,
            time: self.time,
            ticks: self.ticks,
            threads: self.threads,
            rows_per_shard: self.rows_per_shard,
            chunk_bytes: self.chunk_bytes,
            keep: !self.no_keep,
            shm_bytes: self.shm << 20,
            fuse: !self.no_fusion,
            speculate: !self.no_speculation,
            paused: self.paused,
            expect: self.expect.clone(),
            ..Settings::default()
        }
    }
}

/// Reads the command line of an app and runs its role; ends the process when that fails.
///
/// An error that `main` returns would be printed by the standard library, for programmers: with a backtrace,
/// where `RUST_BACKTRACE` is set.
pub(crate) fn main(app: App) -> Result {
    match run(app) {
        Ok(true) => Ok(()),
        Ok(false) => std::process::exit(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::exit(1);
        }
    }
}

fn done(result: Result) -> Result<bool> {
    result.map(|()| true)
}

/// The command line of an app, under its name: what it says of itself is not this crate's.
fn command(app: &App) -> clap::Command {
    let named = Cli::command().bin_name(app.name.clone()).display_name(app.name.clone());
    app.options.iter().fold(named.about(app.about.clone()), with_option)
}

fn run(app: App) -> Result<bool> {
    let matches = config::read(command(&app), std::env::args_os())?.matches;
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let options = app.option_values(&given_options(&app, &matches));
    match cli.role {
        None => done(in_process(app, &cli.world, &options, false)),
        Some(Role::Coordinator { args, local }) => {
            logging::start(&args.logging);
            done(run_coordinator(app, &args, &local, &options, None))
        }
        Some(Role::System { names, args }) => {
            logging::start(&args.logging);
            done(system(app, &names, &args))
        }
        Some(Role::Replay(args)) => {
            start_log();
            past::run_replay(app, &options, &args)
        }
        Some(Role::Diff(args)) => {
            start_log();
            done(past::run_diff(app, &options, &args))
        }
        Some(Role::Branch(args)) => {
            start_log();
            done(past::run_branch(app, &options, &args))
        }
        Some(Role::Health(args)) => done(run_health(&args)),
        Some(Role::Dev { dev, in_process: true }) => {
            let world = WorldArgs { seed: dev.seed, rate: dev.rate.unwrap_or(60.0), ticks: dev.ticks, ..cli.world };
            let mut options = options;
            options.extend(dev.set.iter().cloned());
            done(in_process(app, &world, &options, dev.json))
        }
        Some(Role::Dev { dev, in_process: false }) => {
            let systems = app.system_names();
            let heaviest = systems.first().cloned().context("the app has no systems")?;
            let plan = DevPlan { app: app.name.clone(), systems, heaviest, options: options.into_iter().collect() };
            done(crate::dev::run(&dev, &plan))
        }
    }
}

fn with_option(command: Command, option: &crate::app::AppOption) -> Command {
    let arg = Arg::new(option.name)
        .long(option.name)
        .global(true)
        .value_name("VALUE")
        .default_value(option.default)
        .help(option.help);
    command.arg(arg)
}

fn given_options(app: &App, matches: &ArgMatches) -> Vec<(String, String)> {
    let value = |name: &str| {
        let deepest = matches.subcommand().map_or(matches, |(_, deeper)| deeper);
        deepest.get_one::<String>(name).or_else(|| matches.get_one::<String>(name)).cloned()
    };
    app.options.iter().filter_map(|option| Some((option.name.to_owned(), value(option.name)?))).collect()
}

/// Warnings to standard error; `ENGINE_LOG` and `ENGINE_LOG_FORMAT`, or `RUST_LOG`, say otherwise.
pub fn start_log() {
    logging::start(&LoggingArgs::of_environment());
}

/// Ctrl-C and SIGTERM end a run after its open tick; a second one ends it at once.
fn stop_on_signals() -> Result<Stop> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Stop::default();
    let asked = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Here, and not in the thread: one that comes before that runs must be heard.
    let entered = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(entered);
    std::thread::Builder::new().name("engine-signals".into()).spawn(move || {
        runtime.block_on(async {
            for round in 0..2 {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if round == 1 {
                    std::process::exit(130);
                }
                asked.ask();
            }
        });
    })?;
    Ok(stop)
}

fn in_process(app: App, world: &WorldArgs, options: &BTreeMap<String, String>, json: bool) -> Result {
    let stop = stop_on_signals()?;
    let started = std::time::Instant::now();
    let mut next_line = std::time::Duration::from_secs(1);
    let outcome = app.run_in_process(world.settings("engine", "main"), options, &stop, |commit, coordinator| {
        if started.elapsed() >= next_line {
            next_line += std::time::Duration::from_secs(1);
            println!(
                "tick {:>7}  {:>8} entities  {:>7.2} ms  hash {}",
                commit.tick,
                coordinator.world().len(),
                commit.took_ns as f64 / 1e6,
                commit.hash
            );
        }
    })?;
    print_outcome(&outcome, world.seed, json);
    Ok(())
}

fn print_outcome(outcome: &Outcome, seed: u64, json: bool) {
    let mut times = outcome.tick_ms.clone();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(0.0);
    let (p50, p99) = (at(0.5), at(0.99));
    println!(
        "{} ticks in this process; {} entities; a tick took {p50:.2} ms (99 in 100 below {p99:.2} ms); hash {}",
        outcome.tick, outcome.entities, outcome.hash
    );
    if json {
        let object = serde_json::json!({
            "ticks": outcome.tick, "seed": seed, "entities": outcome.entities, "hash": outcome.hash.to_string(),
            "processes": 1, "tick_ms": {"p50": p50, "p99": p99}, "bytes_per_tick": 0, "rejected": 0, "reassigned": 0,
        });
        println!("{object}");
    }
}

/// An epoch for a coordinator without a log: later starts have higher ones.
#[must_use]
pub fn epoch_of_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

/// Runs the coordinator of an app's world until it is stopped; `local` are the systems that run in its process,
/// `before` is done when the first tick of a new world begins.
///
/// # Errors
/// When the settings, the app or a system of this process is at fault, when there is no connection, or when
/// `before` fails; then the world ends with its first tick.
pub fn run_coordinator(
    app: App,
    args: &CoordinatorArgs,
    local: &[String],
    options: &BTreeMap<String, String>,
    before: Option<BeforeFirstTick>,
) -> Result {
    let config = args.connection.resolve()?;
    let mut names = app.system_names();
    if let Some(unknown) = local.iter().find(|name| !names.contains(name)) {
        bail!("--local {unknown}: there is no such system; there are: {}", names.join(", "));
    }
    names.retain(|name| !local.contains(name));
    names.extend(args.world.expect.iter().cloned());
    names.dedup();
    let settings = args.world.settings(&config.prefix, &config.world);
    let blueprint = app.into_blueprint(options, &|name| local.iter().any(|one| one == name))?;
    let stop = stop_on_signals()?;
    let mut telemetry = Telemetry::start(args.http)?;
    if let Some(collector) = &args.otlp {
        telemetry.trace_to(collector.clone(), args.otlp_every)?;
    }
    if !waiting::for_server(&config, &stop)? {
        return Ok(());
    }
    let waits = if names.is_empty() {
        "systems join as they come".into()
    } else {
        format!("waiting for systems: {}", names.join(", "))
    };
    let ended = match args.log.durability {
        Durability::None => {
            args.log.check_unused()?;
            let mut coordinator = blueprint.coordinator(settings, epoch_of_now())?;
            if let Some(before) = before {
                coordinator.before_first_tick(before);
            }
            println!("coordinator of world `{}`: {} entities; {waits}", config.world, coordinator.world().len());
            telemetry.watch(&mut coordinator);
            driver::run(&mut coordinator, Some(&config), !args.exit, &stop, |commit, _| {
                args.report(commit);
                telemetry.committed(commit);
            })?;
            Some(coordinator)
        }
        Durability::Kept(mode) => {
            let (blueprint, config, waits, stop, telemetry) = (&blueprint, &config, &waits, &stop, &telemetry);
            let run = Run { args, blueprint, config, settings, waits, stop, telemetry };
            reign::run(&run, mode, before)?
        }
    };
    let Some(coordinator) = ended else { return Ok(()) };
    for look in &blueprint.shutdown {
        look(coordinator.world());
    }
    let (tick, hash) = coordinator.committed();
    println!("tick {tick}, hash {hash}");
    Ok(())
}

impl CoordinatorArgs {
    pub(crate) fn report(&self, commit: &Commit) {
        if self.report_every.is_some_and(|every| commit.tick.is_multiple_of(every)) {
            println!("tick {}, hash {}", commit.tick, commit.hash);
        }
    }
}

fn system(app: App, names: &[String], args: &SystemArgs) -> Result {
    let config = args.connection.resolve()?;
    let known = app.system_names();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("there is no system `{unknown}`; there are: {}", known.join(", "));
    }
    let systems = app.into_systems()?.into_iter().filter(|system| names.contains(&system.descriptor().name)).collect();
    let stop = stop_on_signals()?;
    if !waiting::for_server(&config, &stop)? {
        return Ok(());
    }
    let keep_bytes = Some(args.keep_mib.saturating_mul(1 << 20));
    let (name, wire_only) = (args.instance.clone(), args.no_shm);
    let (http, otlp) = (args.http, args.otlp.clone());
    let options = InstanceOptions { name, keep_bytes, wire_only, http, otlp, stop: stop.flag() };
    run_instance(&config, systems, options)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_says_its_own_name_and_the_engines_version() {
        let said = command(&App::new("arena")).render_version();
        assert_eq!(said, format!("arena (engine {})\n", env!("CARGO_PKG_VERSION")));
    }
}
