//! Scenes: files of entities with their components, as TOML or as lines of JSON.
//!
//! ```toml
//! [[entity]]
//! label = "boss"                              # a name of its own, for references
//! arena.Position = { at = { x = 1.0, y = 2.0 } }
//! arena.Alive = {}
//!
//! [[entity]]
//! entity = 7                                  # or a number, as `scene save` writes it
//! arena.Guard.of = "boss"                     # a field of type Entity: a label, or a number of the file
//! ```
//!
//! ```json
//! {"label":"boss","arena.Position":{"at":{"x":1,"y":2}},"arena.Alive":{}}
//! {"entity":7,"arena.Guard.of":"boss"}
//! ```
//!
//! A file is read whole ([`Scene::parse`]), checked whole against the schemas of a world ([`check`]), and only
//! then cut into batches ([`Loader`]) or put into a world of this process ([`spawn_into`]).
//!
//! `entity` and `label` are the names of no component here.

mod check;
mod load;
mod read_lines;
mod read_toml;
mod write;

use std::path::Path;

use engine_net::messages::value::Value;

pub use check::{Checked, CheckedEntity, Outside, check};
pub use load::{Loader, spawn_into};
pub use write::{Numbers, Writer};

/// Bytes of a file, at the most: it is held in memory while it is checked.
pub const MAX_BYTES: u64 = 512 << 20;

/// How a scene is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `[[entity]]` tables.
    Toml,
    /// An entity a line.
    Lines,
}

impl Format {
    /// What the end of a file's name says.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "jsonl" | "ndjson" | "json" => Some(Self::Lines),
            _ => None,
        }
    }

    /// What the first character of a text says.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        if text.trim_start().starts_with('{') { Self::Lines } else { Self::Toml }
    }
}

/// What is wrong with a scene, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SceneError {
    /// The line, from 1.
    pub line: usize,
    /// For people.
    pub message: String,
}

impl SceneError {
    fn new(line: usize, message: impl std::fmt::Display) -> Self {
        Self { line, message: message.to_string() }
    }
}

/// The entities of a file, not yet compared with any schema.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    entities: Vec<SceneEntry>,
}

/// An entity of a file.
#[derive(Clone, Debug)]
struct SceneEntry {
    line: usize,
    number: Option<u64>,
    label: Option<String>,
    parts: Vec<Part>,
}

/// A key and what is behind it; which keys are components is known only with the schemas.
#[derive(Clone, Debug)]
struct Part {
    key: String,
    line: usize,
    tree: Tree,
}

#[derive(Clone, Debug)]
enum Tree {
    Value(Value),
    Table(Vec<Part>),
}

impl Tree {
    fn into_value(self) -> Value {
        match self {
            Self::Value(value) => value,
            Self::Table(parts) => parts.into_iter().map(|part| (part.key, part.tree.into_value())).collect(),
        }
    }
}

impl Scene {
    /// Reads a text; without a format its first character tells.
    ///
    /// # Errors
    /// The first thing that is not as the format says.
    pub fn parse(text: &str, format: Option<Format>) -> Result<Self, SceneError> {
        let entities = match format.unwrap_or_else(|| Format::of_text(text)) {
            Format::Toml => read_toml::entities(text)?,
            Format::Lines => read_lines::entities(text)?,
        };
        Ok(Self { entities })
    }

    /// How many entities there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }
}

impl SceneEntry {
    /// Takes `entity` and `label` out of what a file says of an entity.
    fn new(line: usize, parts: Vec<Part>) -> Result<Self, SceneError> {
        let mut entry = Self { line, number: None, label: None, parts: Vec::with_capacity(parts.len()) };
        for part in parts {
            match (part.key.as_str(), &part.tree) {
                ("entity", Tree::Value(value)) => {
                    let number = value.as_u64().filter(|number| (1..1 << 62).contains(number));
                    entry.number = Some(number.ok_or_else(|| {
                        SceneError::new(part.line, format_args!("`entity` is a number from 1, not {value}"))
                    })?);
                }
                ("label", Tree::Value(Value::String(label))) => entry.label = Some(label.clone()),
                ("entity" | "label", _) => {
                    let what = if part.key == "label" { "text" } else { "a number from 1" };
                    return Err(SceneError::new(part.line, format_args!("`{}` is {what}", part.key)));
                }
                _ => entry.parts.push(part),
            }
        }
        Ok(entry)
    }
}
