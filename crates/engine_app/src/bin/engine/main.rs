//! The `engine` program: a coordinator for systems that are built elsewhere, and the tools of a running world.

mod acl;
mod audit;
mod change;
mod components;
mod config;
mod coordinator;
mod dlq;
mod doctor;
mod give;
mod link;
mod output;
mod progress;
mod ps;
mod query;
mod scene;
mod settings;
mod shell;
mod sim;
mod snapshot;
mod status;
mod top;
mod trace;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use engine_app::App;
use engine_app::config::{Read, read as read_config};
use engine_app::health::{HealthArgs, run_health};
use engine_app::past::args::{self, BranchArgs, DiffArgs, ReplayArgs};
use engine_net::config::ConnectionArgs;

/// Messages are received on one thread and dropped on another, which mimalloc does well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples:
  engine coordinator --expect steer --expect strike     a world for two systems that are started elsewhere
  engine status                                         what the world is up to
  engine top                                            the same, live
  engine query 'arena.Position, ?arena.Chronicle.name' --limit 10
  engine spawn 'arena.Position={\"at\":{\"x\":1,\"y\":2}}' arena.Wounded
  engine set 42 arena.Position.at.x=3
  engine scene save world.toml
  engine snapshot export monday.keyframe                the whole world as a file
  engine doctor                                         what is wrong, and what to do about it

The server is that of NATS_URL (nats://127.0.0.1:4222 when it is not set), the world that of ENGINE_WORLD
(main); every command has flags for both: --nats-url, --world. `engine COMMAND --help` says more.";

/// Look at a running world and change it; own one for systems that are built elsewhere
#[derive(Debug, Parser)]
#[command(name = "engine", version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Own a world and its tick; systems join over NATS
    Coordinator(coordinator::CoordinatorCommand),
    /// What the world is up to: tick, rate, systems and their instances
    Status(status::StatusCommand),
    /// A live view of a world: tick, systems, instances, and what changes
    Top(top::TopCommand),
    /// Which processes there are: coordinators and instances, as services of NATS
    Ps(ps::PsCommand),
    /// What the time of ticks is spent on, and who waits for whom
    Trace(trace::TraceCommand),
    /// Which components there are, and their fields
    Components(components::ComponentsCommand),
    /// Find entities and show their components
    Query(query::QueryCommand),
    /// Make entities
    Spawn(change::SpawnCommand),
    /// Change, add or remove components of an entity
    Set(change::SetCommand),
    /// Remove entities
    Despawn(change::DespawnCommand),
    /// Give a command that a system or a service answers
    #[command(name = "command")]
    Give(give::GiveCommand),
    /// Load entities from a file, or save them to one
    Scene(scene::SceneCommand),
    /// Stop the world before its next tick
    Pause(sim::PauseCommand),
    /// Let a paused world run
    Resume(sim::ResumeCommand),
    /// Run some ticks of a paused world
    Step(sim::StepCommand),
    /// Set how fast the world runs
    Speed(sim::SpeedCommand),
    /// What may be changed while the world runs: rate, pause, log level
    Settings(settings::SettingsCommand),
    /// Keyframes of the world's log: store one, list them, to a file and from one
    Snapshot(snapshot::SnapshotCommand),
    /// Compute ticks of the log again, and compare every hash
    Replay(ReplayArgs),
    /// Who gave the world what, from its log
    Audit(audit::AuditCommand),
    /// Compare two worlds of the past
    Diff(DiffArgs),
    /// Begin another world at a tick of the past
    Branch(BranchArgs),
    /// Accounts and permissions for the server: what each role needs, and no more
    Acl(acl::AclCommand),
    /// Which settings there are, and what they come to
    Config(config::ConfigCommand),
    /// Completions for a shell
    Completions(shell::CompletionsCommand),
    /// Manual pages
    Man(shell::ManCommand),
    /// Messages that consumers gave up: list, show, give again, drop
    Dlq(dlq::DlqCommand),
    /// Check the server, the permissions, the clock and the coordinator, and say what to do
    Doctor(doctor::DoctorCommand),
    /// Ask a process of this host whether it gets on; for containers
    Health(HealthArgs),
}

/// What every tool has.
#[derive(Args, Clone, Debug)]
struct Common {
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
    /// How long to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    #[command(flatten)]
    connection: ConnectionArgs,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0 && *seconds <= 1e6);
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds are a number above 0".to_owned())
}

fn main() -> ExitCode {
    match start(std::env::args_os()) {
        Ok(code) => code,
        Err(error) if output::nobody_reads(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let read = read_config(Cli::command(), arguments)?;
    let cli = Cli::from_arg_matches(&read.matches).unwrap_or_else(|error| error.exit());
    run(cli, &read)
}

fn run(cli: Cli, read: &Read) -> anyhow::Result<ExitCode> {
    // The coordinator and the log have threads of their own; everything else is one conversation.
    let (nothing, app) = (BTreeMap::new(), || App::new("engine"));
    let command = match cli.command {
        Command::Coordinator(command) => return command.run().map(|()| ExitCode::SUCCESS),
        Command::Config(command) => return command.run(read),
        Command::Acl(command) => return command.run().map(|()| ExitCode::SUCCESS),
        Command::Audit(command) => return command.run().map(|()| ExitCode::SUCCESS),
        Command::Completions(command) => return command.run().map(|()| ExitCode::SUCCESS),
        Command::Man(command) => return command.run().map(|()| ExitCode::SUCCESS),
        Command::Health(args) => return run_health(&args).map(|()| ExitCode::SUCCESS),
        Command::Replay(replay) => {
            let same = args::run_replay(app(), &nothing, &replay)?;
            return Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Diff(diff) => return args::run_diff(app(), &nothing, &diff).map(|()| ExitCode::SUCCESS),
        Command::Branch(branch) => return args::run_branch(app(), &nothing, &branch).map(|()| ExitCode::SUCCESS),
        Command::Snapshot(command) if !command.is_conversation() => return command.run().map(|()| ExitCode::SUCCESS),
        other => other,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        match command {
            Command::Doctor(command) => return command.run().await,
            Command::Coordinator(_)
            | Command::Config(_)
            | Command::Acl(_)
            | Command::Audit(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Health(_)
            | Command::Replay(_)
            | Command::Diff(_)
            | Command::Branch(_) => {
                unreachable!("was run above")
            }
            Command::Snapshot(command) => command.create().await,
            Command::Dlq(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Ps(command) => command.run().await,
            Command::Top(command) => command.run().await,
            Command::Trace(command) => command.run().await,
            Command::Components(command) => command.run().await,
            Command::Query(command) => command.run().await,
            Command::Spawn(command) => command.run().await,
            Command::Set(command) => command.run().await,
            Command::Despawn(command) => command.run().await,
            Command::Give(command) => command.run().await,
            Command::Scene(command) => command.run().await,
            Command::Pause(command) => command.run().await,
            Command::Resume(command) => command.run().await,
            Command::Step(command) => command.run().await,
            Command::Settings(command) => command.run().await,
            Command::Speed(command) => command.run().await,
        }
        .map(|()| ExitCode::SUCCESS)
    });
    // A file that is read from a pipe must not hold the process.
    runtime.shutdown_background();
    code
}
