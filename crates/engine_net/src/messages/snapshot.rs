//! `snapshot.request`: have a keyframe of the world stored now.

use engine_component::WorldHash;
use serde::{Deserialize, Serialize};

use super::{Reply, kib, message};

/// Asks for a keyframe of the world as it is between two ticks, behind all that was asked before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRequest {}
message!(SnapshotRequest, "snapshot", 1, kib(4));

/// The answer to [`SnapshotRequest`], when the keyframe is stored. Codes of refusals: `bad_request`, `no_log`,
/// `overloaded`, `unavailable`, `not_stored`.
pub type SnapshotReply = Reply<Snapshot>;
message!(SnapshotReply, "snapshot-reply", 1, kib(4));

/// A keyframe that is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The tick after which the world was like that.
    pub tick: u64,
    /// The hash of the world.
    #[serde(with = "super::value::hash_text")]
    pub hash: WorldHash,
    /// Entities in it.
    pub entities: u64,
    /// Bytes that are stored.
    pub bytes: u64,
    /// Milliseconds from the copy of the world until all of it was stored.
    pub took_ms: u64,
}
