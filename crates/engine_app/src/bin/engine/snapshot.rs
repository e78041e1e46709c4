//! `engine snapshot`: keyframes of a world's log.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use engine_app::log::jet::KeyframeId;
use engine_app::past::args::{RoomArgs, said};
use engine_app::past::{Listed, Past, branch, file};
use engine_app::tool::progress::Progress;
use engine_app::tool::table::Table;
use engine_component::image::{Limits, Restore};
use engine_net::config::ConnectionArgs;
use serde_json::json;

use crate::Common;
use crate::link::Link;
use crate::output::{print, print_json};
use crate::status::bytes;

const EXAMPLES: &str = "\
A coordinator with a log (--durability server) stores keyframes by itself every now and then, and keeps the last
four of them (--keyframes). Behind the oldest one every tick can be had again, with the program that has the
functions of the systems: `arena replay`, `arena diff`, `arena branch`.

Examples:
  engine snapshot create
  engine snapshot list
  engine snapshot export monday.keyframe
  engine snapshot import monday.keyframe --as monday";

/// Keyframes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SnapshotCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Have the coordinator store a keyframe now
    Create(CreateCommand),
    /// Show the keyframes, and which ticks the log has
    List(ListCommand),
    /// Write a keyframe to a file
    Export(ExportCommand),
    /// Begin a world with a keyframe of a file
    Import(ImportCommand),
}

/// Has one stored.
#[derive(Args, Debug)]
#[command(after_help = "\
The world goes on meanwhile; the command comes back when the keyframe is stored.

Examples:
  engine snapshot create
  engine snapshot create --json | jq .tick")]
struct CreateCommand {
    #[command(flatten)]
    common: Common,
}

/// Lists them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  engine snapshot list
  engine snapshot list --world what-if --json | jq '.keyframes[].tick'")]
struct ListCommand {
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Writes one to a file.
#[derive(Args, Debug)]
#[command(after_help = "\
Every byte of the keyframe is checked on the way. A file that is there already is replaced when all is written.

Examples:
  engine snapshot export now.keyframe
  engine snapshot export then.keyframe --at 1200      a tick of `engine snapshot list`")]
struct ExportCommand {
    /// The file
    file: PathBuf,
    /// The tick of the keyframe; the newest, when it is not given
    #[arg(long, value_name = "TICK")]
    at: Option<u64>,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Begins a world with one.
#[derive(Args, Debug)]
#[command(after_help = "\
Every byte of the file is checked before anything is done. The world must not be there yet. Its coordinator is started
as that of any world that was there before, from the program that ran the world of the file.

Examples:
  engine snapshot import now.keyframe --as copy
  arena coordinator --world copy --durability server")]
struct ImportCommand {
    /// The file
    file: PathBuf,
    /// The name of the new world
    #[arg(long = "as", value_name = "WORLD")]
    new: String,
    #[command(flatten)]
    room: RoomArgs,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl SnapshotCommand {
    /// Whether it talks to a coordinator, and not to the log.
    pub(crate) fn is_conversation(&self) -> bool {
        matches!(self.what, What::Create(_))
    }

    /// Reads or writes the log, which has threads of its own.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Create(_) => bail!("this is asked of a coordinator"),
            What::List(command) => command.run(),
            What::Export(command) => command.run(),
            What::Import(command) => command.run(),
        }
    }

    pub(crate) async fn create(self) -> anyhow::Result<()> {
        match self.what {
            What::Create(command) => command.run().await,
            _ => bail!("this is not asked of a coordinator"),
        }
    }
}

impl CreateCommand {
    async fn run(self) -> anyhow::Result<()> {
        let link = Link::open(&self.common).await?;
        let mut progress = Progress::new();
        let stored = link.snapshot(|status| progress.at(|| format!("tick {}", status.tick))).await?;
        progress.done();
        if self.common.json {
            return print_json(&serde_json::to_value(&stored)?);
        }
        print(&format!(
            "keyframe of tick {}: {} entities, {}, hash {}; stored in {} ms\n",
            stored.tick,
            stored.entities,
            bytes(stored.bytes),
            stored.hash,
            stored.took_ms
        ))
    }
}

impl ListCommand {
    fn run(self) -> anyhow::Result<()> {
        let past = Past::open(&self.connection.resolve()?)?;
        let mut listed = Vec::new();
        for id in past.keyframes() {
            // A damaged one must not hide the others.
            match past.look(*id) {
                Ok(found) => listed.extend(found),
                Err(error) => eprintln!("warning: {error:#}"),
            }
        }
        let range = past.range()?;
        if self.json {
            let keyframes: Vec<_> = listed.iter().map(json_of).collect();
            let log = range.map(|range| json!({"first": range.first, "last": range.last}));
            return print_json(&json!({
                "world": past.world(), "keyframes": keyframes, "log": log, "oldest": past.oldest(),
            }));
        }
        let mut table = Table::new(["tick", "epoch", "entities", "size", "hash"]);
        for Listed { id, head, bytes: size } in &listed {
            table.row([
                id.tick.to_string(),
                id.epoch.to_string(),
                head.entities.to_string(),
                bytes(*size),
                head.hash.to_string(),
            ]);
        }
        let mut text = table.take();
        if let Some(range) = range {
            text += &format!(
                "\nthe log of world {} ends with tick {}; every tick from {} on can be had again\n",
                past.world(),
                range.last,
                past.oldest()
            );
        }
        print(&text)
    }
}

fn json_of(listed: &Listed) -> serde_json::Value {
    let Listed { id, head, bytes } = listed;
    json!({
        "tick": id.tick, "epoch": id.epoch, "entities": head.entities, "bytes": bytes, "hash": head.hash.to_string(),
    })
}

impl ExportCommand {
    fn run(self) -> anyhow::Result<()> {
        let past = Past::open(&self.connection.resolve()?)?;
        let id = match self.at {
            Some(tick) => past.of_tick(tick)?,
            None => past.keyframes()[0],
        };
        let listed = past.look(id)?;
        let listed = listed.with_context(|| format!("the keyframe of tick {} was removed meanwhile", id.tick))?;
        let written = export(&past, id, &listed, &self.file)?;
        let (tick, entities, hash) = (id.tick, listed.head.entities, listed.head.hash.to_string());
        if self.json {
            return print_json(&json!({"tick": tick, "entities": entities, "bytes": written, "hash": hash}));
        }
        let (file, size) = (self.file.display(), bytes(written));
        print(&format!("{file}: the world at tick {tick}, {entities} entities, {size}, hash {hash}\n"))
    }
}

/// Copies a keyframe, message by message; what can't be restored is not written.
fn export(past: &Past, id: KeyframeId, listed: &Listed, place: &Path) -> anyhow::Result<u64> {
    let mut progress = Progress::new();
    let damaged = || format!("the keyframe of tick {} is damaged", id.tick);
    let mut restore = Restore::new(listed.head.image(), Limits::default()).with_context(damaged)?;
    let mut state = Vec::new();
    let mut writer = file::Writer::create(place, &listed.head)?;
    let mut done = 0;
    for message in past.messages(id)? {
        let message = message?;
        writer.message(&message)?;
        done += message.len() as u64;
        if state.len() < listed.head.state_pieces() {
            state.push(message);
        } else {
            restore.part(&message).with_context(damaged)?;
        }
        progress.at(|| format!("{} of {}", bytes(done), bytes(listed.bytes)));
    }
    listed.head.state(&state).with_context(damaged)?;
    restore.finish().with_context(damaged)?;
    writer.finish()
}

impl ImportCommand {
    fn run(self) -> anyhow::Result<()> {
        let config = self.connection.resolve()?;
        let stored = file::read(&self.file)?;
        if let Err(error) = stored.open() {
            bail!("{} can't be used: {error}", self.file.display());
        }
        branch::begin_world(&config, &self.new, &stored, self.room.settings())?;
        said(&self.new, &stored, self.json, None);
        Ok(())
    }
}
