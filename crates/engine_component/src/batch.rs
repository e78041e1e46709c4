//! Structural changes of many entities at once.
//!
//! They come to the same as one change after the other, row for row. But entities of one table that go to one other
//! table are moved together: first it is settled which row goes where, and then each column is gone through once.
//! So an entity costs a place in the index and a few moves for each column, and everything else is paid for once a
//! run.

use smallvec::SmallVec;

use crate::Entity;
use crate::bundle::Bundle;
use crate::changes::Removed;
use crate::column::Column;
use crate::edges::Step;
use crate::entities::{Location, TableId};
use crate::error::WorldError;
use crate::structure::pair;
use crate::world::World;

impl World {
    /// Gives each of many entities components, as [`Self::insert`] does one after the other. The number of entities
    /// that do not exist: they are passed over.
    ///
    /// ```
    /// use engine_component::{Component, World};
    /// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
    /// # #[repr(C)]
    /// # #[component(name = "doc.Position")]
    /// # struct Position { x: f32 }
    /// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
    /// # #[repr(C)]
    /// # #[component(name = "doc.Speed")]
    /// # struct Speed { x: f32 }
    /// let mut world = World::default();
    /// let entities = world.spawn_batch((0..3_u8).map(|x| Position { x: x.into() }));
    /// world.insert_batch(entities.iter().map(|entity| (*entity, Speed { x: 5.0 })))?;
    /// assert_eq!(world.get::<Speed>(entities[2]).as_deref(), Some(&Speed { x: 5.0 }));
    /// # Ok::<(), engine_component::WorldError>(())
    /// ```
    ///
    /// # Errors
    /// When a component type disagrees with a registered one.
    pub fn insert_batch<B: Bundle>(
        &mut self,
        rows: impl IntoIterator<Item = (Entity, B)>,
    ) -> Result<usize, WorldError> {
        let mut rows = rows.into_iter();
        let (mut run, mut missed) = (Run::new(self, rows.size_hint().0), 0);
        let give = |(_, bundle): (Entity, B), columns: &mut [Column], given: &[u16]| {
            bundle.write(&mut |at, bytes| columns[usize::from(given[at])].append(bytes));
        };
        while let Some((entity, bundle)) = run.go(&mut rows, |row| row.0, give) {
            let Some(location) = run.world.entities.get(entity) else {
                missed += 1;
                continue;
            };
            let edge = run.world.bundle_edge::<B>(Some(location.table), Step::Insert)?;
            run.turn_to(location.table, edge);
            run.world.insert(entity, bundle)?;
        }
        Ok(missed)
    }

    /// Takes components from each of many entities, as [`Self::remove`] does one after the other. The number of
    /// entities that do not exist: they are passed over.
    ///
    /// # Errors
    /// When a component type disagrees with a registered one.
    pub fn remove_batch<B: Bundle>(&mut self, entities: impl IntoIterator<Item = Entity>) -> Result<usize, WorldError> {
        let mut entities = entities.into_iter();
        let (mut run, mut missed) = (Run::new(self, entities.size_hint().0), 0);
        while let Some(entity) = run.go(&mut entities, |entity| *entity, |_, _, _| ()) {
            let Some(location) = run.world.entities.get(entity) else {
                missed += 1;
                continue;
            };
            let edge = run.world.bundle_edge::<B>(Some(location.table), Step::Remove)?;
            run.turn_to(location.table, edge);
            run.world.remove::<B>(entity)?;
        }
        Ok(missed)
    }
}

/// No table of any world, and not where the dead are either.
const NO_TABLE: TableId = TableId(u32::MAX - 1);

/// Entities of one table that go to one other. The index of entities and the entities of both tables are as they
/// will be; the columns follow, when the run ends, also when it ends by a panic.
struct Run<'a> {
    world: &'a mut World,
    /// None when entities are changed one by one: those that stay in their table, and all when hooks look at each.
    source: TableId,
    target: TableId,
    edge: usize,
    /// Where the components of a bundle go.
    given: SmallVec<[u16; 8]>,
    rows: Removed,
}

impl<'a> Run<'a> {
    fn new(world: &'a mut World, rows: usize) -> Self {
        let mut removed = Removed::default();
        // No more than there can be, whatever an iterator promises.
        removed.reserve(rows.min(world.len()));
        Self { world, source: NO_TABLE, target: NO_TABLE, edge: 0, given: SmallVec::new(), rows: removed }
    }

    /// Ends this run, and begins one along another edge. Its first entity is still to be moved by itself: that
    /// makes its place in the index one that can be found without asking for more than it.
    #[inline(never)]
    fn turn_to(&mut self, source: TableId, edge: usize) {
        self.end();
        let way = self.world.edges.get(edge);
        let moves = way.target != source && self.world.hooks.is_empty();
        (self.source, self.target, self.edge) = (if moves { source } else { NO_TABLE }, way.target, edge);
        self.given = way.given.as_slice().into();
    }

    /// Takes entities as long as they go the way of this run, each after it was given its values; the first one
    /// that does not.
    #[inline]
    fn go<T>(
        &mut self,
        items: &mut impl Iterator<Item = T>,
        entity: impl Fn(&T) -> Entity,
        give: impl Fn(T, &mut [Column], &[u16]),
    ) -> Option<T> {
        if self.source == NO_TABLE {
            return items.next();
        }
        let World { tables, entities, .. } = &mut *self.world;
        let [source, target] = pair(tables, self.source, self.target);
        for item in items {
            let entity = entity(&item);
            let Some(slot) = entities.slot_in(entity, self.source) else { return Some(item) };
            // First, since whoever makes bytes of a document may panic; values without a row are dropped.
            give(item, &mut target.columns, &self.given);
            let row = u32::try_from(target.entities.len()).expect("fewer rows than 2^32");
            let from = std::mem::replace(slot, Location { table: self.target, row });
            target.entities.push(entity);
            source.entities.swap_remove(from.row as usize);
            if let Some(displaced) = source.entities.get(from.row as usize) {
                entities.relocate(*displaced, from);
            }
            self.rows.push(from.row);
        }
        None
    }

    fn end(&mut self) {
        if self.rows.rows().is_empty() {
            return;
        }
        let (rows, version) = (&self.rows, self.world.version);
        let count = rows.rows().len();
        let way = self.world.edges.get(self.edge);
        let [source, target] = pair(&mut self.world.tables, self.source, self.target);
        for (from, to) in &way.carried {
            source.columns[usize::from(*from)].move_rows(rows, &mut target.columns[usize::from(*to)], version);
        }
        for left in &way.left {
            source.columns[usize::from(*left)].swap_remove_rows(rows, version);
        }
        for given in &way.given {
            target.columns[usize::from(*given)].appended(count, version);
        }
        let (left, end) = (source.entities.len(), target.entities.len());
        source.entity_changes.swap_removed_rows(rows, left + count, version);
        target.entity_changes.extended(end - count, end, version);
        self.rows.clear();
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
