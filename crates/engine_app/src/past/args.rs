//! `replay`, `diff` and `branch` on the command line: the same in every app's program and in `engine`.

use std::collections::BTreeMap;

use clap::Args;
use engine_net::config::ConnectionArgs;
use serde_json::json;

use super::Past;
use super::branch::begin_world;
use super::diff::{Which, diff};
use super::file::Stored;
use super::repeat::{Program, Repeat};
use super::replay::{Replay, replay};
use crate::app::{App, Blueprint, Result};
use crate::log::jet::JetSettings;
use crate::log::keyframe::Head;
use crate::tool::progress::Progress;

const REPLAY_EXAMPLES: &str = "\
Every tick is computed again in this process, from what the log says that the world was given, and comes to a hash:
it has to be the one of then. The exit code is 1 when one is not. The program has to be the one that ran the world;
`engine` itself has no functions of systems, so it repeats only worlds without systems.

Examples:
  arena replay                          all that the log still has
  arena replay --from 1000 --to 2000
  arena replay --world test --json";

const DIFF_EXAMPLES: &str = "\
A and B are ticks, or files of `engine snapshot export`. A tick that is not that of a keyframe is computed from the
keyframe before it, by the program that has the functions of the world's systems; `engine` has none, and compares
ticks of keyframes (`engine snapshot list`) and files.

Examples:
  arena diff 1000 1200
  engine diff before.keyframe after.keyframe --limit 5
  engine diff 1200 before.keyframe --json";

const BRANCH_EXAMPLES: &str = "\
The new world has a log of its own, which begins with a keyframe of that tick; the other world is not touched, and may
run on. Start its coordinator as that of any world that was there before. A tick that is not that of a keyframe is
computed, by the program that has the functions of the world's systems; `engine` has none, and branches at ticks of
keyframes (`engine snapshot list`).

Examples:
  arena branch --at 1200 --as what-if
  arena coordinator --world what-if --durability server";

/// Which ticks are computed again.
#[derive(Args, Clone, Debug)]
#[command(after_help = REPLAY_EXAMPLES)]
pub struct ReplayArgs {
    /// The first tick; the oldest that the log can reach, when it is not given
    #[arg(long, value_name = "TICK")]
    pub from: Option<u64>,
    /// The last tick; the end of the log, when it is not given
    #[arg(long, value_name = "TICK")]
    pub to: Option<u64>,
    /// What all of these have.
    #[command(flatten)]
    pub common: PastArgs,
}

/// What is compared.
#[derive(Args, Clone, Debug)]
#[command(after_help = DIFF_EXAMPLES)]
pub struct DiffArgs {
    /// A tick, or a file
    #[arg(value_name = "A")]
    pub a: Which,
    /// A tick, or a file
    #[arg(value_name = "B")]
    pub b: Which,
    /// Entities that are described; all are compared and counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// What all of these have.
    #[command(flatten)]
    pub common: PastArgs,
}

/// Which world begins, and where.
#[derive(Args, Clone, Debug)]
#[command(after_help = BRANCH_EXAMPLES)]
pub struct BranchArgs {
    /// The tick to go on from
    #[arg(long, value_name = "TICK")]
    pub at: u64,
    /// The name of the new world
    #[arg(long = "as", value_name = "WORLD")]
    pub new: String,
    /// The new world's log.
    #[command(flatten)]
    pub room: RoomArgs,
    /// What all of these have.
    #[command(flatten)]
    pub common: PastArgs,
}

/// The log of a world that begins; the same as of its coordinator.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log of the new world")]
pub struct RoomArgs {
    /// Copies of the log in a cluster of servers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub log_replicas: u8,
    /// Room for the log on the server, in MiB; as its coordinator will be told
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub log_mib: u64,
    /// Room for keyframes on the server, in MiB; as its coordinator will be told
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub keyframe_mib: u64,
}

impl RoomArgs {
    /// The settings of its streams.
    #[must_use]
    pub fn settings(&self) -> JetSettings {
        JetSettings {
            replicas: self.log_replicas,
            log_bytes: self.log_mib << 20,
            key_bytes: self.keyframe_mib << 20,
            ..JetSettings::default()
        }
    }
}

/// What `replay`, `diff` and `branch` have.
#[derive(Args, Clone, Debug)]
pub struct PastArgs {
    /// Print JSON, for machines
    #[arg(long)]
    pub json: bool,
    /// Threads for systems; 0 is as many as there are cores
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Where the server is.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Everything that an app is, with all of its systems in this process.
struct Owned {
    name: String,
    blueprint: Blueprint,
    threads: usize,
}

impl Owned {
    fn new(app: App, options: &BTreeMap<String, String>, threads: usize) -> Result<Self> {
        let name = app.name.clone();
        Ok(Self { name, blueprint: app.into_blueprint(options, &|_| true)?, threads })
    }

    fn program(&self) -> Program<'_> {
        Program { name: &self.name, blueprint: &self.blueprint, threads: self.threads }
    }
}

/// `replay`: answers whether all hashes were the same.
///
/// # Errors
/// When it can't be done.
pub fn run_replay(app: App, options: &BTreeMap<String, String>, args: &ReplayArgs) -> Result<bool> {
    let owned = Owned::new(app, options, args.common.threads)?;
    let past = Past::open(&args.common.connection.resolve()?)?;
    let mut progress = Progress::new();
    let found = replay(&past, &owned.program(), args.from, args.to, |tick, last| {
        progress.at(|| format!("tick {tick} of {last}"));
    })?;
    progress.done();
    if args.common.json {
        println!("{}", json_of(past.world(), &found));
    } else {
        println!("{}", text_of(past.world(), &found));
    }
    Ok(found.diverged.is_none())
}

fn text_of(world: &str, found: &Replay) -> String {
    let Replay { keyframe, to, ticks, keyframes, took, diverged, .. } = found;
    let mut text = format!(
        "world {world}: {ticks} ticks replayed from the keyframe of tick {keyframe} on, up to tick {to}, in {:.2} s: {:.0} \
         ticks a second",
        took.as_secs_f64(),
        found.ticks_per_second()
    );
    match keyframes {
        0 => {}
        1 => text += "; 1 keyframe on the way",
        many => text += &format!("; {many} keyframes on the way"),
    }
    match diverged {
        None => text += "\nevery hash is that of then",
        Some(diverged) => {
            text += &format!(
                "\ntick {} comes to another world:\n  then {}\n  now  {}\na system is not deterministic, or is not the \
                 one that ran then",
                diverged.tick, diverged.recorded, diverged.replayed
            );
        }
    }
    text
}

fn json_of(world: &str, found: &Replay) -> serde_json::Value {
    let diverged = found.diverged.map(|diverged| {
        json!({
            "tick": diverged.tick, "recorded": diverged.recorded.to_string(), "replayed": diverged.replayed.to_string(),
        })
    });
    json!({
        "world": world, "from": found.from, "to": found.to, "keyframe": found.keyframe, "ticks": found.ticks,
        "keyframes": found.keyframes, "seconds": found.took.as_secs_f64(), "ticks_per_second": found.ticks_per_second(),
        "diverged": diverged,
    })
}

/// `diff`.
///
/// # Errors
/// When one of the worlds can't be had.
pub fn run_diff(app: App, options: &BTreeMap<String, String>, args: &DiffArgs) -> Result {
    let owned = Owned::new(app, options, args.common.threads)?;
    let mut progress = Progress::new();
    let open = || Past::open(&args.common.connection.resolve()?);
    let found = diff(open, &owned.program(), (&args.a, &args.b), args.limit, |tick| {
        progress.at(|| format!("tick {tick}"));
    })?;
    progress.done();
    if args.common.json {
        println!("{}", found.json());
    } else {
        print!("{}", found.text(&args.a, &args.b));
    }
    Ok(())
}

/// `branch`.
///
/// # Errors
/// When the tick can't be had, or the new world is there already.
pub fn run_branch(app: App, options: &BTreeMap<String, String>, args: &BranchArgs) -> Result {
    let owned = Owned::new(app, options, args.common.threads)?;
    let config = args.common.connection.resolve()?;
    let past = Past::open(&config)?;
    let program = owned.program();
    let mut progress = Progress::new();
    let mut repeat = Repeat::begin(&past, &program, past.before(args.at)?)?;
    repeat.run_to(args.at, |tick| progress.at(|| format!("tick {tick} of {}", args.at)))?;
    let (keyframe, position) = repeat.keyframe()?;
    let mut messages = Vec::new();
    let head = keyframe.write(position, |message| messages.push(message))?;
    let stored = Stored { head: Head::decode(&head)?, messages };
    begin_world(&config, &args.new, &stored, args.room.settings())?;
    progress.done();
    let program = (!owned.blueprint.is_empty()).then_some(owned.name.as_str());
    said(&args.new, &stored, args.common.json, program);
    Ok(())
}

/// Tells of a world that has begun. `program` is the one that ran it before, when that is known.
pub fn said(world: &str, stored: &Stored, json: bool, program: Option<&str>) {
    let (tick, hash, entities) = (stored.head.position.tick, stored.head.hash, stored.head.entities);
    if json {
        println!("{}", json!({"world": world, "tick": tick, "hash": hash.to_string(), "entities": entities}));
        return;
    }
    println!("world {world}: begins with tick {tick}, {entities} entities, hash {hash}");
    let flags = format!("--world {world} --durability server");
    match program {
        Some(program) => println!("`{program} coordinator {flags}` goes on from there"),
        None => println!("the coordinator of the program that ran it goes on from there, with {flags}"),
    }
}
