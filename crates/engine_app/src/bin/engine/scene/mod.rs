//! `engine scene`: entities from a file, and to one.

mod load;
mod save;

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use engine_app::tool::scene::{self, Checked, Format, MAX_BYTES, Outside, Scene};
use engine_app::tool::schemas::Schemas;

/// Loads or saves.
#[derive(Args, Debug)]
pub(crate) struct SceneCommand {
    #[command(subcommand)]
    command: Direction,
}

#[derive(Debug, Subcommand)]
enum Direction {
    /// Spawn the entities of a file
    Load(load::LoadCommand),
    /// Write the entities of the world to a file
    Save(save::SaveCommand),
}

/// How a file is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    /// Tables `[[entity]]`
    Toml,
    /// A line of JSON for each entity
    Jsonl,
}

impl From<FileFormat> for Format {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Toml => Self::Toml,
            FileFormat::Jsonl => Self::Lines,
        }
    }
}

impl SceneCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Direction::Load(command) => command.run().await,
            Direction::Save(command) => command.run().await,
        }
    }
}

/// Reads a file; `-` is standard input.
pub(crate) fn read(path: &Path, format: Option<FileFormat>) -> anyhow::Result<Scene> {
    let mut bytes = Vec::new();
    let name = path.display().to_string();
    let reading = || format!("reading {name}");
    if name == "-" {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(reading)?;
    } else {
        let file = std::fs::File::open(path).with_context(reading)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(reading)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        bail!("{name} has more than {} MiB; cut it into several files", MAX_BYTES >> 20);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        anyhow!("{name}:{line}: this is no UTF-8 text")
    })?;
    let format = format.map(Format::from).or_else(|| Format::of_path(path));
    Scene::parse(&text, format).map_err(|error| anyhow!("{name}:{}: {}", error.line, error.message))
}

/// Compares a scene with the schemas of a world, and says what it made of references that lead nowhere.
pub(crate) fn check(scene: Scene, schemas: &Schemas, outside: Outside, name: &str) -> anyhow::Result<Checked> {
    let checked =
        scene::check(scene, schemas, outside).map_err(|error| anyhow!("{name}:{}: {}", error.line, error.message))?;
    if let Some((line, number)) = checked.first_outside {
        eprintln!(
            "warning: {name}:{line}: entity {number} is not in the file; {} became 0, no entity (with --keep-outside \
             such numbers are entities of the world)",
            if checked.outside == 1 {
                "the reference".into()
            } else {
                format!("this and {} more references", checked.outside - 1)
            }
        );
    }
    Ok(checked)
}
