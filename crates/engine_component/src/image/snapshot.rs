//! A snapshot: what an image is made of, while the world goes on.

use super::error::{ImageError, Place, Problem};
use super::parts::{PartBytes, Parts, Whole};
use crate::WorldHash;
use crate::hash::hash_anew;
use crate::registry::Registry;
use crate::table::Table;
use crate::world::{World, WorldSettings};

/// A copy of a world between two ticks, without its hooks and without its entity index.
///
/// Taking it is a copy of the columns. Everything else, encoding and hashing above all, is done from the
/// snapshot, on any thread. A snapshot that is kept can be brought up to date: [`Self::refresh`] copies
/// blocks of rows that changed, into memory that is there already.
///
/// ```
/// use engine_component::image::{Limits, PartBytes, Restore, Snapshot};
/// use engine_component::{Component, World};
/// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// let mut world = World::default();
/// let entity = world.spawn(Position { x: 1.0 });
/// let snapshot = Snapshot::capture(&mut world);
/// world.despawn(entity).unwrap(); // The world goes on.
///
/// let mut parts = snapshot.parts(PartBytes::default());
/// let stored: Vec<_> = parts.by_ref().collect();
/// let manifest = parts.manifest().unwrap().to_bytes();
///
/// let mut restore = Restore::new(&manifest, Limits::default()).unwrap();
/// for part in &stored {
///     restore.part(&part.bytes).unwrap();
/// }
/// let world = restore.finish().unwrap();
/// assert_eq!(world.get::<Position>(entity).unwrap().x, 1.0);
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) settings: WorldSettings,
    pub(super) registry: Registry,
    pub(super) tables: Vec<Table>,
    pub(super) next_entity: u64,
    pub(super) version: u64,
    pub(super) hash: WorldHash,
}

impl Snapshot {
    /// Copies a world. It is hashed too, which costs nothing when nothing changed since it was last hashed.
    #[must_use]
    pub fn capture(world: &mut World) -> Self {
        // Hashing begins a new version: whatever is written from now on differs in the version of its block.
        let hash = world.hash();
        Self {
            settings: world.settings(),
            registry: world.registry.clone(),
            tables: world.tables.clone(),
            next_entity: world.next_entity(),
            version: world.version(),
            hash,
        }
    }

    /// Brings the snapshot of a world up to date. Pays for the blocks of rows that changed since it was taken,
    /// and takes memory only where there are more rows than ever before.
    ///
    /// It has to be the same world: of another one, blocks that happen to have the same version would be
    /// taken for unchanged. [`Self::verify`] finds that out.
    pub fn refresh(&mut self, world: &mut World) {
        let hash = world.hash();
        self.tables.truncate(world.tables.len());
        for (known, table) in self.tables.iter_mut().zip(&world.tables) {
            known.catch_up(table);
        }
        let known = self.tables.len();
        self.tables.extend_from_slice(&world.tables[known..]);
        self.registry.catch_up(&world.registry);
        self.settings = world.settings();
        self.next_entity = world.next_entity();
        self.version = world.version();
        self.hash = hash;
    }

    /// The hash of the world when it was copied.
    #[must_use]
    pub fn hash(&self) -> WorldHash {
        self.hash
    }

    /// Entities in it.
    #[must_use]
    pub fn entities(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    /// Hashes the copy anew, all of it: whether it is still the world that was hashed. For the thread that
    /// stores it, before the image replaces an older one.
    ///
    /// # Errors
    /// When it is not: somebody wrote into a column without marking what changed, or memory is faulty.
    pub fn verify(&self) -> Result<(), ImageError> {
        let mut sorted: Vec<&Table> = self.tables.iter().collect();
        sorted.sort_unstable_by_key(|table| table.archetype());
        let found = hash_anew(&self.registry, sorted.into_iter(), self.next_entity);
        if found == self.hash {
            return Ok(());
        }
        Err(Place::Whole.refuse(Problem::Hash { expected: self.hash, found }))
    }

    /// Bytes on the heap: columns and entities.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.tables.iter().map(Table::heap_bytes).sum()
    }

    /// The parts, one after another.
    #[must_use]
    pub fn parts(&self, size: PartBytes) -> Parts<'_> {
        let Self { settings, registry, tables, next_entity, version, hash } = self;
        let (settings, next_entity, version, hash) = (*settings, *next_entity, *version, *hash);
        Parts::new(Whole { settings, registry, tables, next_entity, version, hash }, size)
    }
}
