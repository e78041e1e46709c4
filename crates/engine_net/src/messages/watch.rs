//! `watch.request`, `watch.frame.<id>`, `watch.ack.<id>`: live queries.
//!
//! A watch is leased and on credit: without acknowledgements it gets no more than two frames, then the
//! newest state when it catches up, and nothing once its lease has run out. A reader that stands still
//! slows nobody.

use engine_component::Entity;
use serde::{Deserialize, Serialize};

use super::query::{QueryRequest, QueryRow};
use super::{Reply, kib, message};

/// Open a live query, or close one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchRequest {
    /// Open.
    Open(Box<WatchOpen>),
    /// Close.
    Close {
        /// The watch.
        id: String,
    },
}
message!(WatchRequest, "watch", 1, kib(256));

/// What to watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchOpen {
    /// The query; its `page_rows` and `cursor` aren't used.
    pub query: QueryRequest,
    /// Only entities inside of a box.
    pub region: Option<Region>,
    /// Frames a second, at the most.
    pub max_hz: f32,
}

/// A box in space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The component with the position: its first three number fields, or those of its first field that is
    /// an array or struct, are x, y, z.
    pub component: String,
    /// The smallest x, y, z.
    pub min: [f64; 3],
    /// The largest x, y, z.
    pub max: [f64; 3],
}

/// The answer to [`WatchRequest`]; codes as of a query, and `too_many`.
pub type WatchReply = Reply<WatchAccepted>;
message!(WatchReply, "watch-reply", 1, kib(4));

/// A watch is open, or closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchAccepted {
    /// The watch: the last token of the subjects of its frames and acknowledgements.
    pub id: String,
    /// How long it stays open without an acknowledgement, in milliseconds; 0 when it was closed.
    pub lease_ms: u32,
}

/// A frame of a live query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchFrame {
    /// The watch.
    pub id: String,
    /// The number of the frame, from 1. A gap means: wait for the next keyframe, or open again.
    pub sequence: u64,
    /// The tick that it shows; it is committed.
    pub tick: u64,
    /// Everything, or what changed since the frame before.
    pub kind: FrameKind,
    /// The frame has more parts with the same sequence.
    pub more: bool,
    /// Rows: of a keyframe all, of a delta those that are new or changed, with all the fields that were
    /// asked for.
    pub rows: Vec<QueryRow>,
    /// Entities that are gone, or left the query. Empty in a keyframe.
    #[serde(with = "super::value::entity_bytes")]
    pub removed: Vec<Entity>,
    /// The watch ends with this frame, and why: for people. Who still wants to see it opens another one.
    pub ended: Option<String>,
}
message!(WatchFrame, "watch-frame", 1, kib(1008));

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    /// Everything; what was there before is to be forgotten.
    Keyframe,
    /// What changed since the frame before.
    Delta,
}

/// A frame arrived. Renews the lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchAck {
    /// The watch.
    pub id: String,
    /// The newest frame that arrived whole.
    pub sequence: u64,
    /// The reader lost track: the next frame is to be a keyframe.
    pub resync: bool,
}
message!(WatchAck, "watch-ack", 1, kib(4));
