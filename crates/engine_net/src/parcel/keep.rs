//! What an instance keeps of the world between two jobs, as both sides name it.
//!
//! A *copy* is a column of a part: rows of a shard, or of a whole table. The coordinator remembers which state of
//! it each instance has, and sends what changed since. Every parcel gives the copies that it touches a new
//! *stamp*, and says on which stamps it builds: an instance whose copies have others can't use it, says so, and
//! gets everything anew. So a copy may be lost at any time, and never be taken for what it is not.

use engine_component::{ArchetypeId, ComponentId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::manifest::{PartManifest, PartSource, Place};

/// The coordinator counts on a copy for so many ticks after it was last used; the instance keeps it for longer.
pub const KEPT_TICKS: u64 = 256;

/// About the copies of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// The stamp of all of them from now on; no other parcel of this registration has it.
    pub stamp: u64,
    /// The [digest](bases) of the stamps that those have of which only what changed is sent.
    pub bases: u64,
    /// A copy whose bytes are to be compared, when this parcel was applied.
    pub check: Option<Check>,
}

/// A copy, and what its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The part, by its place among those of the parcel.
    pub part: u16,
    /// The column.
    pub column: u16,
    /// The XXH3-64 of its bytes.
    pub digest: u64,
}

/// The digest of the stamps of copies, in the order of the parts and their columns; those that were never there
/// have the stamp 0. 0 for none at all.
#[must_use]
pub fn bases(stamps: impl IntoIterator<Item = u64>) -> u64 {
    let mut hash = Xxh3::new();
    let mut any = false;
    for stamp in stamps {
        hash.update(&stamp.to_le_bytes());
        any = true;
    }
    if any { hash.digest() } else { 0 }
}

/// Which copies an instance has apart, though they are of the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Rows of a shard: all systems of the instance share them.
    Shard,
    /// A whole table, for a query of a system that gets all rows in one job.
    Whole(u16),
    /// A whole table, for a view.
    View(u16),
}

impl Space {
    /// Of a part; none where nothing is kept: of resources.
    #[must_use]
    pub fn of(part: &PartManifest, whole: bool) -> Option<Self> {
        match part.source {
            PartSource::Query if whole => Some(Self::Whole(part.number)),
            PartSource::Query => Some(Self::Shard),
            PartSource::View => Some(Self::View(part.number)),
            PartSource::Resource => None,
        }
    }
}

/// What a copy is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyOf {
    /// The entities of the rows.
    Entities,
    /// A component.
    Component(ComponentId),
}

/// Which copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyKey {
    /// What it is apart from.
    pub space: Space,
    /// The table.
    pub archetype: ArchetypeId,
    /// The first row.
    pub first_row: u32,
    /// The column.
    pub of: CopyOf,
}

impl CopyKey {
    /// A component's column of a shard, for all systems that are given shards.
    #[must_use]
    pub fn in_shard(archetype: ArchetypeId, first_row: u32, component: ComponentId) -> Self {
        Self { space: Space::Shard, archetype, first_row, of: CopyOf::Component(component) }
    }
}

/// A copy that a parcel names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which.
    pub key: CopyKey,
    /// The part, by its place among those of the parcel.
    pub part: u16,
    /// The column in sections: [`ENTITIES`](super::ENTITIES) of entities.
    pub column: u16,
    /// Kept or changed.
    pub place: Place,
}

impl Named {
    /// Whether the copy is there, and what changed of it comes.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.place == Place::Changed
    }
}

/// The copies that the parts of a parcel name, in the order of [`bases`]: of each part the entities, then the
/// columns. `component` tells what a column of a part is.
pub fn named<'a>(
    parts: &'a [PartManifest],
    whole: bool,
    component: impl Fn(&PartManifest, u16) -> Option<ComponentId> + 'a,
) -> impl Iterator<Item = Named> + 'a {
    parts.iter().enumerate().flat_map(move |(at, part)| {
        let is_sorted = part.archetype.is_sorted_by(|a, b| a < b);
        let space = Space::of(part, whole).filter(|_| is_sorted);
        let archetype = space.map(|_| ArchetypeId::of(&part.archetype));
        let entities = part.entities.map(|place| (super::ENTITIES, place, Some(CopyOf::Entities)));
        let columns = part.columns.iter().map(|column| {
            let of = component(part, column.column).map(CopyOf::Component);
            (column.column, column.place, of)
        });
        let all: Vec<_> = entities.into_iter().chain(columns).collect();
        all.into_iter().filter_map(move |(column, place, of)| {
            let key = CopyKey { space: space?, archetype: archetype?, first_row: part.first_row, of: of? };
            place.is_kept().then_some(Named { key, part: at as u16, column, place })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_tell_stamps_and_their_order_apart() {
        assert_eq!(bases([]), 0);
        assert_ne!(bases([1, 2]), bases([2, 1]));
        assert_ne!(bases([0]), bases([0, 0]));
    }
}
