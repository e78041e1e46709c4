//! `engine scene save`: entities as a file, of one tick.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context, bail};
use clap::Args;
use engine_app::tool::query_text;
use engine_app::tool::scene::{Format, Numbers, Writer};
use engine_app::tool::schemas::Schemas;
use engine_net::messages::command::Action;
use engine_net::messages::query::{QueryPage, QueryRequest};

use super::FileFormat;
use super::load::{interrupted, pause};
use crate::Common;
use crate::link::Link;
use crate::output::{count, print, print_json};
use crate::progress::Progress;

/// Rows of a page; the coordinator bounds its bytes.
const PAGE_ROWS: u32 = 4096;

/// Saves a scene.
#[derive(Args, Debug)]
#[command(after_help = "\
The world is paused while it is read, and runs on afterwards, so that the file is one moment. Entities are
numbered 1, 2, 3 … in the file, in the order in which the world keeps them, so that the same world is the same
file; references follow, those to entities that are not in the file become 0, no entity. `engine scene load`
reads it again.

Examples:
  engine scene save world.toml
  engine scene save fighters.jsonl --with arena.Team
  engine scene save - | gzip > world.jsonl.gz")]
pub(crate) struct SaveCommand {
    /// The file, which is replaced when all is written; - is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How to write it; else the end of its name tells, and lines of JSON are the default
    #[arg(long, value_name = "FORMAT")]
    format: Option<FileFormat>,
    /// Only entities with this component; may be given several times
    #[arg(long, value_name = "COMPONENT")]
    with: Vec<String>,
    /// Only entities without it; may be given several times
    #[arg(long, value_name = "COMPONENT")]
    without: Vec<String>,
    /// Write the numbers that entities have in the world
    #[arg(long)]
    keep_numbers: bool,
    /// Don't pause the world: the file is of several ticks, entities that change tables may be missing or twice
    #[arg(long)]
    no_pause: bool,
    #[command(flatten)]
    common: Common,
}

impl SaveCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let link = Link::open(&self.common).await?;
        let schemas = link.schemas().await?;
        let request = query_text::parse("", &self.with, &self.without, &[], &schemas).map_err(anyhow::Error::msg)?;
        let paused = if self.no_pause { false } else { pause(&link).await? };
        let result = self.save(&link, &schemas, request.request).await;
        if paused && let Err(error) = link.command(Action::Resume {}).await {
            eprintln!("warning: the world is still paused, since it could not be resumed: {error:#}; `engine resume`");
        }
        result
    }

    async fn save(&self, link: &Link, schemas: &Schemas, request: QueryRequest) -> anyhow::Result<()> {
        // Who is there first, so that references can be written; any one component says it in few bytes.
        let mut numbers = Numbers::new(self.keep_numbers);
        let least =
            schemas.iter().map(|schema| (schema.kind != engine_component::StorageKind::Tag, &schema.name)).min();
        let who = QueryRequest { fields: least.map(|(_, name)| name.clone()).into_iter().collect(), ..request.clone() };
        let mut progress = Progress::new();
        let stop = interrupted();
        let going = || if stop.load(Ordering::Relaxed) { bail!("interrupted; nothing is written") } else { Ok(()) };
        if !schemas.is_empty() {
            for_each_page(link, who, |page| {
                page.rows.iter().for_each(|row| {
                    numbers.add(row.entity);
                });
                progress.at(|| format!("{} entities", numbers.len()));
                going()
            })
            .await?;
        }
        let format = self.format.map(Format::from).or_else(|| Format::of_path(&self.file)).unwrap_or(Format::Lines);
        let mut writer = Writer { format, schemas, dangling: 0 };
        let mut out = Target::open(&self.file)?;
        let (mut written, mut tick) = (0, 0);
        for_each_page(link, request, |page| {
            tick = page.tick;
            for row in &page.rows {
                numbers.add(row.entity);
                let text = writer.entity(row, &numbers).map_err(anyhow::Error::msg)?;
                out.write(text.as_bytes())?;
                written += 1;
            }
            progress.at(|| format!("{written} of {} entities", numbers.len()));
            going()
        })
        .await?;
        progress.done();
        let to_stdout = matches!(out, Target::Stdout(_));
        out.finish()?;
        if writer.dangling > 0 {
            let (were, are) = if writer.dangling == 1 {
                ("reference to an entity", "was")
            } else {
                ("references to entities", "were")
            };
            eprintln!("note: {} {were} that the file doesn't have {are} written as 0, no entity", writer.dangling);
        }
        let text = format!("{}: {}, of tick {tick}", self.file.display(), count(written, "entity", "entities"));
        match (to_stdout, self.common.json) {
            (true, _) => eprintln!("{text}"),
            (false, true) => print_json(&serde_json::json!({"tick": tick, "entities": written}))?,
            (false, false) => print(&format!("{text}\n"))?,
        }
        Ok(())
    }
}

async fn for_each_page(
    link: &Link,
    mut request: QueryRequest,
    mut each: impl FnMut(&QueryPage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    request.page_rows = PAGE_ROWS;
    loop {
        let page = link.query(&request).await?;
        each(&page)?;
        if page.next.is_none() {
            return Ok(());
        }
        if page.next == request.cursor {
            bail!("the coordinator sends the same page again and again");
        }
        request.cursor = page.next;
    }
}

/// Where the text goes. A file is complete, or it is as it was: it is written beside its place, and moved.
enum Target {
    Stdout(BufWriter<std::io::Stdout>),
    File { out: BufWriter<std::fs::File>, beside: Beside },
}

/// A file that goes away unless it is moved to its place.
struct Beside {
    path: PathBuf,
    place: PathBuf,
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It is gone already when it was moved.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Target {
    fn open(place: &Path) -> anyhow::Result<Self> {
        if place == Path::new("-") {
            return Ok(Self::Stdout(BufWriter::new(std::io::stdout())));
        }
        let writing = || format!("writing {}", place.display());
        let name = place.file_name().with_context(writing)?.to_string_lossy();
        let path = place.with_file_name(format!(".{name}.{}", std::process::id()));
        let file = std::fs::File::create(&path).with_context(writing)?;
        Ok(Self::File { out: BufWriter::new(file), beside: Beside { path, place: place.to_owned() } })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout(out) => Ok(out.write_all(bytes)?),
            Self::File { out, beside } => {
                out.write_all(bytes).with_context(|| format!("writing {}", beside.place.display()))
            }
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut out) => Ok(out.flush()?),
            Self::File { out, beside } => {
                let writing = || format!("writing {}", beside.place.display());
                let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(writing)?;
                file.sync_all().with_context(writing)?;
                std::fs::rename(&beside.path, &beside.place).with_context(writing)
            }
        }
    }
}
