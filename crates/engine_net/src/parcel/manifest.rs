//! Manifests: the first value of a parcel's first chunk; what the parcel holds.
//!
//! Parts are numbered by their place in the manifest; sections name them by that number, and columns by
//! their place in the descriptor of the part's source. A column says *where* its bytes are, so that they
//! can come by another way than inside of the parcel, for instance from memory of the same host.

use engine_component::ComponentId;
use serde::{Deserialize, Serialize};

/// The manifest of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobManifest {
    /// The system that is to run.
    pub system: String,
    /// The node of the tick's graph; the number of the shared input.
    pub node: u32,
    /// The shard's number among the jobs of the node.
    pub shard: u32,
    /// The seed of the world.
    pub seed: u64,
    /// The time that the system sees.
    pub time: WireTime,
    /// Whether the job needs the node's shared input, which was sent before.
    pub shared: bool,
    /// Rows that the job works on, and resources that it writes.
    pub parts: Vec<PartManifest>,
    /// The size of chunks that the result should have.
    pub chunk_bytes: u32,
    /// When the result is late, in milliseconds after the job was sent; for the instance's own judgement.
    pub deadline_ms: Option<u32>,
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
    /// Bytes of the recorded commands: stream 0.
    pub commands_bytes: u64,
    /// Events, one entry for each event writer of the system, in its order. The records of entry `i` are
    /// the stream `i + 1`.
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
    /// Whether the entities of the rows travel too.
    pub entities: bool,
    /// Columns that the table has and that hold bytes, in the order of the descriptor.
    pub columns: Vec<ColumnManifest>,
    /// The number of bitmaps of changed rows: one for each `Changed` of the source, in the order of their
    /// first appearance; 0 when it has none.
    pub changed: u16,
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
    /// In sections of this parcel.
    #[default]
    Inline,
    /// Somewhere that this build doesn't know. Such a job is answered with `failed`.
    #[serde(other)]
    Elsewhere,
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
