//! Identity of components and archetypes: stable hashes of declared names.
//!
//! Ids never come from the compiler (`TypeId`, `type_name`): two builds, two languages and a log that
//! is years old agree on them.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::const_xxh3::xxh3_64 as const_xxh3_64;
use xxhash_rust::xxh3::xxh3_64;

/// Stable 64-bit identity of a component, event or resource type: the hash of its declared name.
///
/// ```
/// use engine_component::ComponentId;
/// const VELOCITY: ComponentId = ComponentId::of_name("physics.Velocity");
/// assert_eq!(VELOCITY, ComponentId::of_name("physics.Velocity"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ComponentId(u64);

impl ComponentId {
    /// The id of a declared name: XXH3-64 of its bytes, seed 0.
    #[must_use]
    pub const fn of_name(name: &str) -> Self {
        Self(const_xxh3_64(name.as_bytes()))
    }

    /// The id from its number, as it stands on the wire.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The number that stands on the wire.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentId({:016x})", self.0)
    }
}

/// Stable 64-bit identity of an archetype: the hash of its sorted component ids.
///
/// ```
/// use engine_component::{ArchetypeId, ComponentId};
/// let mut components = [ComponentId::of_name("doc.Position"), ComponentId::of_name("doc.Velocity")];
/// components.sort();
/// assert_ne!(ArchetypeId::of(&components), ArchetypeId::of(&components[..1]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArchetypeId(u64);

impl ArchetypeId {
    /// The id of a set of components: XXH3-64 of their ids, sorted, each as 8 bytes little endian.
    ///
    /// `components` must be sorted and free of duplicates.
    #[must_use]
    pub fn of(components: &[ComponentId]) -> Self {
        debug_assert!(components.is_sorted_by(|a, b| a < b));
        let bytes: smallvec::SmallVec<[u8; 128]> = components.iter().flat_map(|id| id.0.to_le_bytes()).collect();
        Self(xxh3_64(&bytes))
    }

    /// The id from its number, as it stands on the wire.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The number that stands on the wire.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ArchetypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ArchetypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArchetypeId({:016x})", self.0)
    }
}
