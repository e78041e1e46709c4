//! `engine scene load`: checked whole, then sent in batches, in a world that stands still meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{anyhow, bail};
use clap::Args;
use engine_app::tool::scene::{Loader, Outside};
use engine_component::Entity;
use engine_net::messages::command::Action;
use engine_net::messages::status::SimState;
use tokio::task::JoinSet;

use super::{FileFormat, check, read};
use crate::Common;
use crate::link::Link;
use crate::output::{count, print, print_json};
use crate::progress::Progress;

/// Bytes of a batch: large enough that few are needed, small enough that a tick is not held up for long.
const BATCH_BYTES: usize = 256 << 10;
/// Commands on their way at once, where they don't depend on one another.
const AT_ONCE: usize = 64;
/// Entities of one `despawn`.
const DESPAWN: usize = 16 * 1024;

/// Loads a scene.
#[derive(Args, Debug)]
#[command(after_help = "\
A scene is TOML or lines of JSON, values by the names of fields:

  [[entity]]
  label = \"boss\"
  arena.Position = { at = { x = 1.0, y = 2.0 } }

  [[entity]]
  arena.Guard.of = \"boss\"        a field of type Entity: a label, or the `entity` number of the file

  {\"entity\":7,\"arena.Position\":{\"at\":{\"x\":1,\"y\":2}}}
  {\"arena.Position.at.x\":1,\"arena.Position.at.y\":2,\"arena.Guard.of\":7}

Entities get new numbers of the world; references follow. The whole file is compared with the components of
the world before anything is sent: a mistake in the last line leaves the world as it was. A scene that is too
large for one command goes in batches; the world is paused meanwhile, and runs on afterwards. When a later
batch fails, what was spawned before is removed again, and the message says so; only if the connection or the
coordinator is lost just then, it stays, and the message says which entities.

Examples:
  engine scene load start.toml
  engine scene load export.jsonl
  zcat world.jsonl.gz | engine scene load -
  engine scene load start.toml --check        compare it with the world, send nothing")]
pub(crate) struct LoadCommand {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How it is written; else its name or its first character tells
    #[arg(long, value_name = "FORMAT")]
    format: Option<FileFormat>,
    /// Numbers that no entity of the file has are entities of the world, instead of none
    #[arg(long)]
    keep_outside: bool,
    /// Only compare the file with the world
    #[arg(long)]
    check: bool,
    /// Don't pause the world between the batches of a large scene: ticks see it half loaded
    #[arg(long)]
    no_pause: bool,
    #[command(flatten)]
    common: Common,
}

impl LoadCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let name = self.file.display().to_string();
        let scene = read(&self.file, self.format)?;
        let link = Link::open(&self.common).await?;
        let schemas = link.schemas().await?;
        let outside = if self.keep_outside { Outside::Keep } else { Outside::None };
        let checked = check(scene, &schemas, outside, &name)?;
        let entities = checked.entities.len();
        let mut loader = Loader::new(checked, schemas, BATCH_BYTES.min(link.command_limit()))
            .map_err(|error| anyhow!("{name}:{}: {}", error.line, error.message))?;
        if self.check || loader.is_empty() {
            return self.say(&format!("{name}: {} would be spawned", count(entities, "entity", "entities")), &[], None);
        }
        let paused = if loader.is_one_batch() || self.no_pause { false } else { pause(&link).await? };
        let result = load(&link, &mut loader).await;
        if paused && let Err(error) = link.command(Action::Resume {}).await {
            eprintln!("warning: the world is still paused, since it could not be resumed: {error:#}; `engine resume`");
        }
        let tick = result.map_err(|error| anyhow!("{name}: {error:#}"))?;
        let text = format!("{name}: spawned {}, in tick {tick}", count(entities, "entity", "entities"));
        self.say(&text, loader.spawned(), Some(tick))
    }

    fn say(&self, text: &str, entities: &[Entity], tick: Option<u64>) -> anyhow::Result<()> {
        if self.common.json {
            let numbers: Vec<u64> = entities.iter().map(|entity| entity.to_bits()).collect();
            return print_json(&serde_json::json!({"tick": tick, "entities": numbers}));
        }
        print(&format!("{text}\n"))
    }
}

/// Makes the world stand still; whether it ran before.
pub(super) async fn pause(link: &Link) -> anyhow::Result<bool> {
    let ran = link.status().await?.state != SimState::Paused;
    if ran {
        link.command(Action::Pause {}).await?;
    }
    Ok(ran)
}

/// Ctrl-C, noticed between two batches: so that the world is not left paused and half loaded.
pub(super) fn interrupted() -> Arc<AtomicBool> {
    let asked = Arc::new(AtomicBool::new(false));
    let flag = asked.clone();
    tokio::spawn(async move {
        for round in 0..2 {
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            if round == 1 {
                std::process::exit(130);
            }
            flag.store(true, Ordering::Relaxed);
        }
    });
    asked
}

/// Sends all batches; the tick of the last one.
async fn load(link: &Link, loader: &mut Loader) -> anyhow::Result<u64> {
    let stop = interrupted();
    let mut progress = Progress::new();
    let mut tick = 0;
    while let Some(batch) = loader.next_batch() {
        let sent = match link.command(batch).await {
            Ok(done) => loader.accept(&done.entities).map(|()| done.tick).map_err(anyhow::Error::msg),
            Err(error) => Err(error),
        };
        tick = match sent {
            Ok(_) if stop.load(Ordering::Relaxed) => return Err(take_back(link, loader, anyhow!("interrupted")).await),
            Ok(tick) => tick,
            Err(error) => return Err(take_back(link, loader, error).await),
        };
        progress.at(|| format!("{} of {} entities", loader.spawned().len(), loader.len()));
    }
    let mending = loader.mending();
    let all = mending.len();
    let mut left = mending.into_iter();
    let (mut open, mut done) = (JoinSet::new(), 0);
    loop {
        while open.len() < AT_ONCE
            && let Some(action) = left.next()
        {
            let link = link.clone();
            open.spawn(async move { link.command(action).await });
        }
        match open.join_next().await {
            None => return Ok(tick),
            Some(Ok(Ok(mended))) => tick = tick.max(mended.tick),
            Some(Ok(Err(error))) => return Err(take_back(link, loader, error).await),
            Some(Err(error)) => bail!("{error}"),
        }
        done += 1;
        progress.at(|| format!("{done} of {all} references between batches"));
    }
}

/// Removes what was spawned; the error that says what is left.
async fn take_back(link: &Link, loader: &Loader, error: anyhow::Error) -> anyhow::Error {
    let spawned = loader.spawned();
    let (first, last) = loader.open_lines();
    let doubt = error.to_string().contains("may still be applied");
    for (index, some) in spawned.chunks(DESPAWN).enumerate() {
        if let Err(worse) = link.command(Action::Despawn { entities: some.to_vec() }).await {
            let (from, to) = (some[0].to_bits(), spawned[spawned.len() - 1].to_bits());
            return anyhow!(
                "{error:#}. What was spawned before could not be removed: {worse:#}. {} of the file stay in the world, \
                 entities {from} to {to} among them; remove them with `engine despawn`, or start the world anew",
                count(spawned.len() - index * DESPAWN, "entity", "entities"),
            );
        }
    }
    let rest = match (spawned.len(), doubt) {
        (0, false) => "nothing was spawned".to_owned(),
        (number, false) => format!(
            "the {} that were spawned before are removed again: nothing stays",
            count(number, "entity", "entities")
        ),
        (_, true) => format!(
            "nothing else stays, but whether the entities of lines {first} to {last} were spawned is not known: look with `engine query`"
        ),
    };
    anyhow!("{error:#}; {rest}")
}
