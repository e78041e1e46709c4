//! `coord.commit`: a tick is committed.

use engine_component::WorldHash;
use serde::{Deserialize, Serialize};

use super::{kib, message};

/// A tick is committed: nothing of it can change any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The epoch.
    pub epoch: u64,
    /// The tick.
    pub tick: u64,
    /// The hash of the world after it.
    #[serde(with = "super::value::hash_text")]
    pub hash: WorldHash,
    /// Entities in the world.
    pub entities: u64,
}
message!(Commit, "commit", 1, kib(4));
