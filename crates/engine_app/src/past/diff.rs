//! Two worlds of the past, or of files, compared.

use std::path::{Path, PathBuf};

use engine_component::compare::{Comparison, Shown, Whose, compare};
use engine_component::{World, WorldHash};
use serde_json::{Value, json};

use super::repeat::{Program, Repeat};
use super::{Past, file};
use crate::app::Result;

/// One of two worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// At the end of a tick.
    Tick(u64),
    /// In a file that `engine snapshot export` has written.
    File(PathBuf),
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(tick) => Ok(Self::Tick(tick)),
            Err(_) if text.is_empty() => Err("a tick, or a file".into()),
            Err(_) => Ok(Self::File(text.into())),
        }
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tick(tick) => write!(f, "tick {tick}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What two worlds are, and how they differ.
#[derive(Debug)]
pub struct Diff {
    /// Tick and hash of both.
    pub ends: [(u64, WorldHash); 2],
    /// How the worlds differ.
    pub comparison: Comparison,
}

/// Compares two worlds; of entities that differ as many as `limit` are described. `past` opens the log, when a tick
/// is asked for.
///
/// # Errors
/// When one of them can't be had.
pub fn diff(
    past: impl Fn() -> Result<Past>,
    program: &Program<'_>,
    (a, b): (&Which, &Which),
    limit: usize,
    mut tell: impl FnMut(u64),
) -> Result<Diff> {
    let past = match (a, b) {
        (Which::File(_), Which::File(_)) => None,
        _ => Some(past()?),
    };
    let mut side = |which: &Which| match (which, &past) {
        (Which::File(path), _) => open(path),
        (Which::Tick(tick), Some(past)) => {
            let mut repeat = Repeat::begin(past, program, past.before(*tick)?)?;
            repeat.run_to(*tick, &mut tell)?;
            Ok(Side::Repeated(Box::new(repeat)))
        }
        (Which::Tick(tick), None) => anyhow::bail!("there is no log to look for tick {tick} in"),
    };
    let (a, b) = (side(a)?, side(b)?);
    Ok(Diff { ends: [a.end(), b.end()], comparison: compare(a.world(), b.world(), limit) })
}

/// A world that is compared, where it was made.
enum Side<'a> {
    Repeated(Box<Repeat<'a>>),
    File((u64, WorldHash), Box<World>),
}

impl Side<'_> {
    fn world(&self) -> &World {
        match self {
            Self::Repeated(repeat) => repeat.world(),
            Self::File(_, world) => world,
        }
    }

    fn end(&self) -> (u64, WorldHash) {
        match self {
            Self::Repeated(repeat) => repeat.committed(),
            Self::File(end, _) => *end,
        }
    }
}

fn open<'a>(path: &Path) -> Result<Side<'a>> {
    let stored = file::read(path)?;
    let (_, world) = stored.open().map_err(|error| anyhow::anyhow!("{} can't be used: {error}", path.display()))?;
    Ok(Side::File((stored.head.position.tick, stored.head.hash), Box::new(world)))
}

impl Diff {
    /// As text, for people.
    #[must_use]
    pub fn text(&self, a: &Which, b: &Which) -> String {
        let [(tick_a, hash_a), (tick_b, hash_b)] = self.ends;
        let side = |which: &Which, tick, hash| match which {
            Which::Tick(_) => format!("{which}, hash {hash}"),
            Which::File(_) => format!("{which}, tick {tick}, hash {hash}"),
        };
        let mut text = format!("a: {}\nb: {}\n", side(a, tick_a, hash_a), side(b, tick_b, hash_b));
        text += &format!("{}\n", self.comparison);
        if self.comparison.is_empty() && hash_a != hash_b {
            text += "the hashes differ by the events that wait to be read\n";
        }
        text
    }

    /// As JSON, for machines.
    #[must_use]
    pub fn json(&self) -> Value {
        let [(tick_a, hash_a), (tick_b, hash_b)] = self.ends;
        let comparison = &self.comparison;
        let counts = comparison.counts;
        let components = comparison.components.iter().map(|total| {
            json!({
                "component": total.component, "differ": total.differ, "only_a": total.only_a, "only_b": total.only_b,
            })
        });
        let entities = comparison.differences.iter().map(|difference| {
            let components = difference.components.iter().map(|component| {
                let fields = component
                    .fields
                    .iter()
                    .map(|field| json!({"path": field.path, "a": shown(&field.a), "b": shown(&field.b)}));
                json!({
                    "component": component.component, "in": whose(component.whose),
                    "fields": fields.collect::<Vec<_>>(), "more": component.more,
                })
            });
            json!({
                "entity": difference.entity.to_bits(), "in": whose(difference.whose),
                "components": components.collect::<Vec<_>>(),
            })
        });
        let schemas: Vec<_> = comparison
            .schemas
            .iter()
            .map(|schema| json!({"component": schema.component, "in": whose(schema.whose)}))
            .collect();
        json!({
            "a": {"tick": tick_a, "hash": hash_a.to_string()},
            "b": {"tick": tick_b, "hash": hash_b.to_string()},
            "same": comparison.is_empty() && hash_a == hash_b,
            "entities": {
                "both": counts.both, "differ": counts.differ, "moved": counts.moved, "only_a": counts.only_a,
                "only_b": counts.only_b,
            },
            "schemas": schemas,
            "components": components.collect::<Vec<_>>(),
            "differences": entities.collect::<Vec<_>>(),
            "left_out": comparison.left_out,
        })
    }
}

fn whose(whose: Whose) -> &'static str {
    match whose {
        Whose::A => "a",
        Whose::B => "b",
        Whose::Both => "both",
    }
}

fn shown(shown: &Shown) -> Value {
    match shown {
        Shown::Absent => Value::Null,
        Shown::Value(value) => value.clone(),
        Shown::Bytes(bytes) => json!({"bytes": bytes}),
    }
}
