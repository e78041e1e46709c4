//! A table: all entities of one archetype, one column per component, in a defined order of rows.

use std::ops::Range;
use std::sync::Arc;

use crate::bit_rows::BitRows;
use crate::changes::{BLOCK_ROWS, Changes};
use crate::column::Column;
use crate::edges::Edge;
use crate::entities::{Entities, Location, TableId};
use crate::entity_rows::EntityRows;
use crate::hash::TableHashes;
use crate::memory::ColumnMemory;
use crate::{ArchetypeId, ComponentId, Entity};

/// The rows of one archetype. Rows are appended at the end, and removed by moving the last row into the
/// gap; that order is part of every format.
///
/// ```
/// use engine_component::{Component, Data, World};
/// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// let mut world = World::default();
/// let spawned = world.spawn_batch((0..3_u8).map(|x| Position { x: x.into() }));
/// world.despawn(spawned[0]).unwrap();
/// let table = world.table(world.location(spawned[1]).unwrap().table);
/// assert_eq!(table.entities(), [spawned[2], spawned[1]]);
/// let column = table.column(table.column_index(Position::ID).unwrap());
/// assert_eq!(column.as_slice::<Position>(), [Position { x: 2.0 }, Position { x: 1.0 }]);
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    archetype: ArchetypeId,
    components: Arc<[ComponentId]>,
    pub(crate) entities: EntityRows,
    pub(crate) columns: Vec<Column>,
    pub(crate) entity_changes: Changes,
    pub(crate) hashes: TableHashes,
}

impl Table {
    pub(crate) fn new(components: Arc<[ComponentId]>, columns: Vec<Column>) -> Self {
        Self {
            archetype: ArchetypeId::of(&components),
            components,
            entities: EntityRows::default(),
            columns,
            entity_changes: Changes::default(),
            hashes: TableHashes::default(),
        }
    }

    /// The archetype's id.
    #[must_use]
    pub fn archetype(&self) -> ArchetypeId {
        self.archetype
    }

    /// The components of the archetype, sorted by id.
    #[inline]
    #[must_use]
    pub fn components(&self) -> &[ComponentId] {
        &self.components
    }

    /// The entities, row by row.
    #[inline]
    #[must_use]
    pub fn entities(&self) -> &[Entity] {
        &self.entities
    }

    /// The version of each block of rows when an entity in it last came, went or changed its row.
    #[must_use]
    pub fn entity_block_versions(&self) -> &[u64] {
        self.entity_changes.block_versions()
    }

    /// Rows of a range whose entity came or changed after a version of the world, and perhaps others: as
    /// [`Column::changed_since`].
    ///
    /// # Panics
    /// When the range ends past the last row.
    #[must_use]
    pub fn entities_changed_since(&self, version: u64, rows: Range<usize>) -> BitRows {
        self.entity_changes.since(version, rows)
    }

    /// The number of rows.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether there are no rows.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    /// Where the column of a component is.
    #[inline]
    #[must_use]
    pub fn column_index(&self, component: ComponentId) -> Option<usize> {
        // Archetypes are small: a scan beats a search.
        self.components.iter().position(|id| *id == component)
    }

    /// A column by its index.
    ///
    /// # Panics
    /// When there is no such column.
    #[inline]
    #[must_use]
    pub fn column(&self, index: usize) -> &Column {
        &self.columns[index]
    }

    #[inline]
    pub(crate) fn column_mut(&mut self, index: usize) -> &mut Column {
        &mut self.columns[index]
    }

    /// All columns, in the order of their components.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(crate) fn columns_mut(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    /// All rows of a column changed.
    #[inline]
    pub(crate) fn mark_all_changed(&mut self, column: usize, version: u64) {
        self.columns[column].changes.touch_all(version);
    }

    /// Some rows of a column changed: those of `dirty`, which starts at row `first` (a multiple of 64).
    pub(crate) fn mark_rows(&mut self, column: usize, first: usize, dirty: &BitRows, version: u64) {
        self.columns[column].mark_rows(first, dirty, version);
    }

    #[inline]
    pub(crate) fn push_entity(&mut self, entity: Entity, version: u64) {
        self.entities.push(entity);
        self.entity_changes.pushed(self.entities.len(), version);
    }

    /// Gives new rows at the end their entities, which follow one another.
    pub(crate) fn append_entities(&mut self, rows: usize, id: TableId, entities: &mut Entities, version: u64) {
        let from = self.entities.len();
        let row = u32::try_from(from).ok().filter(|_| u32::try_from(from + rows).is_ok());
        let row = row.expect("fewer rows than 2^32");
        let first = entities.allocate_many(rows as u64);
        self.entities.append_run(first, rows);
        entities.set_run(first, rows, Location { table: id, row });
        self.entity_changes.extended(from, from + rows, version);
    }

    /// Moves the values of a row that a table of other components has too to its end, and takes the row out of all
    /// columns; the entity that took its place, if any. The entity itself and the values that are new to it
    /// follow.
    #[inline]
    pub(crate) fn move_row(&mut self, row: usize, target: &mut Self, way: &Edge, version: u64) -> Option<Entity> {
        for (from, to) in &way.carried {
            self.columns[usize::from(*from)].move_row(row, &mut target.columns[usize::from(*to)], version);
        }
        for left in &way.left {
            self.columns[usize::from(*left)].swap_remove(row, version);
        }
        self.swap_remove_entity(row, version)
    }

    /// Removes a row of every column; the entity that took its place, if any.
    pub(crate) fn swap_remove(&mut self, row: usize, version: u64) -> Option<Entity> {
        for column in &mut self.columns {
            column.swap_remove(row, version);
        }
        self.swap_remove_entity(row, version)
    }

    #[inline]
    pub(crate) fn swap_remove_entity(&mut self, row: usize, version: u64) -> Option<Entity> {
        self.entity_changes.swap_removed(row, self.entities.len(), version);
        self.entities.swap_remove(row)
    }

    /// Makes room for so many rows in an empty table, and for so many bytes of documents in each column, before
    /// they are needed. Memory is touched, so that the operating system has it ready.
    pub(crate) fn make_room(&mut self, rows: usize, documents: &[usize]) {
        self.entities.make_room_ready(rows);
        for (column, documents) in self.columns.iter_mut().zip(documents) {
            column.make_room(rows, *documents);
        }
    }

    /// The entities of a table that is restored are all there; the values of its columns follow.
    pub(crate) fn restore_rows(&mut self, version: u64) {
        let rows = self.entities.len();
        self.entity_changes.restore(rows, version);
        for column in &mut self.columns {
            column.restore_rows(rows, version);
        }
    }

    /// Becomes equal to a table whose earlier state it is: pays for the blocks of rows whose version differs.
    pub(crate) fn catch_up(&mut self, source: &Self) {
        if self.components != source.components {
            self.clone_from(source);
            return;
        }
        let (known, versions) = (self.entity_changes.block_versions(), source.entity_changes.block_versions());
        self.entities.truncate(source.len());
        for block in (0..versions.len()).filter(|block| known.get(*block) != Some(&versions[*block])) {
            let rows = block * BLOCK_ROWS..source.len().min((block + 1) * BLOCK_ROWS);
            self.entities.overwrite(rows, &source.entities);
        }
        self.entity_changes.clone_from(&source.entity_changes);
        for (column, source) in self.columns.iter_mut().zip(&source.columns) {
            column.catch_up(source);
        }
    }

    /// Makes room for more rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.entities.reserve(rows);
        for column in &mut self.columns {
            column.reserve(rows);
        }
    }

    /// Where the entities are in the world's [`ColumnMemory`], as [`Column::shared_offset`].
    #[must_use]
    pub fn entities_shared_offset(&self) -> Option<u64> {
        self.entities.shared_offset()
    }

    pub(crate) fn set_memory(&mut self, memory: Option<&Arc<dyn ColumnMemory>>) {
        self.entities.set_memory(memory);
        self.columns.iter_mut().for_each(|column| column.set_memory(memory));
    }

    /// Bytes on the heap, and in the world's memory for columns.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.entities.capacity() + self.columns.iter().map(Column::heap_bytes).sum::<usize>()
    }

    /// # Panics
    /// When the table contradicts itself.
    pub fn check_invariants(&self) {
        assert!(self.components.is_sorted_by(|a, b| a < b));
        assert_eq!(self.components.len(), self.columns.len());
        for column in &self.columns {
            assert_eq!(column.len(), self.entities.len());
            column.check_invariants();
        }
    }
}
