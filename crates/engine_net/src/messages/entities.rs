//! `entity.create` and `entity.destroy`: entities appeared and are gone, after the commit of their tick.

use engine_component::{ComponentId, Entity};
use serde::{Deserialize, Serialize};

use super::{kib, message};

/// Entities appeared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The epoch.
    pub epoch: u64,
    /// The tick.
    pub tick: u64,
    /// Entities of one archetype each.
    pub batches: Vec<CreatedBatch>,
}
message!(Created, "entities-created", 1, kib(960));

/// Entities of one archetype that appeared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedBatch {
    /// The components that they appeared with, sorted.
    pub archetype: Vec<ComponentId>,
    /// The entities, 8 bytes each, little endian.
    #[serde(with = "super::value::entity_bytes")]
    pub entities: Vec<Entity>,
}

/// Entities are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroyed {
    /// The epoch.
    pub epoch: u64,
    /// The tick.
    pub tick: u64,
    /// The entities, 8 bytes each, little endian.
    #[serde(with = "super::value::entity_bytes")]
    pub entities: Vec<Entity>,
}
message!(Destroyed, "entities-destroyed", 1, kib(960));

/// Entities in one of these messages, at the most; more are sent in several.
pub const MAX_ENTITIES: usize = 32 * 1024;
