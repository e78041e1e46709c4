//! Manifests: the first value of a parcel's first chunk; what the parcel holds.
//!
//! Parts are numbered by their place in the manifest; sections name them by that number, and columns by
//! their place in the descriptor of the part's source. A column says *where* its bytes are, so that they
//! can come by another way than inside of the parcel, for instance from memory of the same host.

use engine_component::ComponentId;
use serde::{Deserialize, Serialize};

use super::batch::JobList;
use super::keep::Keep;

/// The manifest of a batch of jobs: one system on some shards, in one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobManifest {
    /// The system that is to run.
    pub system: String,
    /// The node of the tick's graph; the number of the shared input.
    pub node: u32,
    /// The seed of the world.
    pub seed: u64,
    /// The time that the system sees.
    pub time: WireTime,
    /// The attempt of the node's shared input that the jobs need, which was sent before; none when they need none.
    pub shared: Option<u16>,
    /// The jobs, in the order of their shards.
    pub jobs: Jobs,
    /// About what the instance has kept and is to keep; none when that is nothing.
    pub keep: Option<Keep>,
    /// The size of chunks that the result should have.
    pub chunk_bytes: u32,
    /// When the result is late, in milliseconds after the job was sent; for the instance's own judgement.
    pub deadline_ms: Option<u32>,
    /// The span of the batch, as W3C Trace Context names it; of a tick that is sampled alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Which jobs a batch consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jobs {
    /// These.
    List(JobList),
    /// Those of an earlier batch, whose list had this [digest](JobList::digest). Of every column that was kept
    /// then, what changed is sent.
    Again(u64),
}

impl Jobs {
    /// One job with these parts.
    #[must_use]
    pub fn one(parts: Vec<PartManifest>) -> Self {
        Self::List(JobList::new(vec![parts]))
    }

    /// The parts of all jobs; none of a list that came before, or one that contradicts itself.
    #[must_use]
    pub fn parts(&self) -> Option<Vec<PartManifest>> {
        match self {
            Self::List(list) => Some(list.parts()?.0),
            Self::Again(_) => None,
        }
    }
}

/// The manifest of a node's shared input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedManifest {
    /// The system whose jobs need it.
    pub system: String,
    /// The node.
    pub node: u32,
    /// Rows of views, and resources that are read.
    pub parts: Vec<PartManifest>,
    /// About what the instance has kept and is to keep; none when that is nothing.
    pub keep: Option<Keep>,
    /// Events, one entry for each event reader of the system, in its order. The records of entry `i` are
    /// the stream `i`.
    pub events: Vec<EventManifest>,
}

/// The manifest of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultManifest {
    /// Nanoseconds that the system ran.
    pub compute_ns: u64,
    /// Nanoseconds between the job's last chunk and the start of the system.
    pub wait_ns: u64,
    /// Nanoseconds that it took besides, from the start of the system on: to find out what it changed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rest_ns: u64,
    /// Jobs of the batch that gave commands or sent events, in order. The streams of all of them are numbered one
    /// after the other: of each first the commands, then an event writer after the other.
    pub jobs: Vec<JobEffects>,
    /// Rows that are in the instance's memory instead of in sections, by column and part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mapped: Vec<MappedRows>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Rows of a column that an instance has written to its memory, each where the column has it in the coordinator's.
/// They may be equal to what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MappedRows(
    /// The column, by its place in the descriptor.
    pub u16,
    /// The part, or the first of several.
    pub u16,
    /// How many parts.
    pub u16,
    /// Of one part the first row, counted in the part.
    pub u32,
    /// Of one part the number of rows; 0 is all rows of all these parts.
    pub u32,
);

/// What a job did besides writing rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEffects {
    /// The job, by its place in the batch.
    pub job: u32,
    /// Bytes of the recorded commands.
    pub commands_bytes: u64,
    /// Events, one entry for each event writer of the system, in its order.
    pub events: Vec<EventManifest>,
}

/// The time that a system sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WireTime {
    /// The tick.
    pub tick: u64,
    /// Seconds that pass in a tick of this system.
    pub dt: f32,
    /// Seconds of the world before this tick.
    pub elapsed: f64,
}

/// A run of rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartManifest {
    /// Which parameter the rows are for.
    pub source: PartSource,
    /// The number of the parameter among those of its kind.
    pub number: u16,
    /// All components of the table, sorted.
    pub archetype: Vec<ComponentId>,
    /// The first row, counted in the table.
    pub first_row: u32,
    /// The number of rows.
    pub rows: u32,
    /// Whether the instance gets the entities of the rows too, and how.
    pub entities: Option<Place>,
    /// Columns that the table has and that hold bytes, in the order of the descriptor.
    pub columns: Vec<ColumnManifest>,
    /// The number of bitmaps of changed rows: one for each `Changed` of the source, in the order of their
    /// first appearance; 0 when it has none.
    pub changed: u16,
}

impl PartManifest {
    /// Where its entities and its columns are.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.entities.into_iter().chain(self.columns.iter().map(|column| column.place))
    }
}

/// What a part is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartSource {
    /// A query.
    Query,
    /// A view.
    View,
    /// A resource.
    Resource,
}

/// A column of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnManifest {
    /// The place of the column in the descriptor; 0 for a resource.
    pub column: u16,
    /// Bytes of a row; 0 for documents.
    pub stride: u32,
    /// Where the bytes are.
    pub place: Place,
}

/// Where the bytes of a column are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In sections of this parcel: all rows.
    #[default]
    Inline,
    /// As inline; and the instance keeps them, and what the job makes of them.
    Kept,
    /// The instance has kept them; sections of this parcel have the rows that changed since.
    Changed,
    /// In the coordinator's columns, which the instance has mapped: the column's first row is at this offset, and
    /// that of the part behind as many rows as it says. What the instance makes of it is at the same place of its own
    /// memory. Nothing of it is in the parcel.
    Mapped(u64),
    /// Somewhere that this build doesn't know. Such a job is answered with `failed`.
    #[serde(other)]
    Elsewhere,
}

impl Place {
    /// Whether the instance keeps what it gets.
    #[must_use]
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Kept | Self::Changed)
    }

    /// Where the column is in memory that both sides have mapped.
    #[must_use]
    pub fn mapped(self) -> Option<u64> {
        if let Self::Mapped(offset) = self { Some(offset) } else { None }
    }
}

/// Events of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventManifest {
    /// The type.
    pub event: ComponentId,
    /// How many.
    pub count: u32,
    /// The bytes of their records together.
    pub bytes: u64,
}
