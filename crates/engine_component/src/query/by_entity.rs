//! Access by entity to a prepared query.

#![expect(unsafe_code, reason = "columns are read through pointers that were taken once for all rows")]

use std::marker::PhantomData;

use super::data::{QueryData, ReadOnlyQueryData};
use super::filter::QueryFilter;
use super::prepared::{Access, Matching};
use super::rows::Rows;
use crate::Entity;
use crate::changes::BLOCK_ROWS;
use crate::entities::Entities;
use crate::table::Table;
use crate::world::World;

/// The rows of a prepared query, by entity: the tables were looked at once, so each access costs a few
/// nanoseconds. Made by [`QueryState::by_entity`](super::QueryState::by_entity).
pub struct ByEntity<'a, D: QueryData, F: QueryFilter> {
    entities: &'a Entities,
    /// One for each table of the world.
    tables: Vec<TableRows<'a, D, F>>,
    /// Where changes are noted: for each table as many as the query writes columns.
    marks: Vec<Mark>,
    version: u64,
    /// All tables; null when the query only reads.
    world: *mut Table,
    borrow: PhantomData<&'a mut World>,
}

struct TableRows<'a, D: QueryData, F: QueryFilter> {
    rows: Rows<'a, D, F>,
    /// Somebody wants to know which rows of a written column change.
    tracked: bool,
}

/// A written column of a table that matches.
#[derive(Clone, Copy)]
struct Mark {
    column: usize,
    /// The versions of its blocks; null where an optional column is absent.
    blocks: *mut u64,
}

impl<'a, D: QueryData, F: QueryFilter> ByEntity<'a, D, F> {
    /// To be read.
    ///
    /// # Safety
    /// The tables that match are those of the world, and `D` writes nothing.
    pub(super) unsafe fn read(world: &'a World, matching: &'a [Matching]) -> Self {
        // SAFETY: the caller's promise.
        let tables = unsafe { rows(Access::Read(world.tables()), world.tables().len(), matching) };
        let (entities, version) = (&world.entities, world.version());
        let (world, marks) = (std::ptr::null_mut(), Vec::new());
        Self { entities, tables, marks, version, world, borrow: PhantomData }
    }

    /// To be written.
    ///
    /// # Safety
    /// The tables that match are those of the world, each of them once.
    pub(super) unsafe fn write(world: &'a mut World, matching: &'a [Matching]) -> Self {
        let World { entities, tables, version, .. } = world;
        let (count, version) = (tables.len(), *version);
        let tables: *mut [Table] = &raw mut tables[..];
        // SAFETY: the caller's promise; the world is exclusively borrowed for 'a.
        let mut all = unsafe { rows::<D, F>(Access::Write { tables, version: None }, count, matching) };
        let nowhere = Mark { column: 0, blocks: std::ptr::null_mut() };
        let mut marks = vec![nowhere; count * D::WRITES];
        for matching in matching {
            let at = matching.table();
            // SAFETY: rows of this table were made, so there is one; no reference to it is alive, and pointers
            // into what its columns own are not touched.
            let table = unsafe { &mut *tables.cast::<Table>().add(at) };
            for (place, column) in matching.written().enumerate() {
                let changes = &mut table.columns[column].changes;
                all[at].tracked |= changes.is_tracked();
                marks[at * D::WRITES + place] = Mark { column, blocks: changes.blocks_ptr(all[at].rows.left()) };
            }
        }
        Self { entities, tables: all, marks, version, world: tables.cast(), borrow: PhantomData }
    }

    /// The row of an entity; none when there is no such entity, or the query does not match it.
    #[inline]
    #[must_use]
    pub fn get(&self, entity: Entity) -> Option<D::Item<'a>>
    where
        D: ReadOnlyQueryData,
    {
        let location = self.entities.get(entity)?;
        let table = self.tables.get(location.table.index())?;
        // SAFETY: nothing is written; the rest is what the maker has promised.
        unsafe { table.rows.at(location.row as usize) }
    }

    /// As [`Self::get`], to be written: what the query writes counts as changed.
    #[inline]
    pub fn get_mut(&mut self, entity: Entity) -> Option<D::Item<'_>> {
        let location = self.entities.get(entity)?;
        let (index, row) = (location.table.index(), location.row as usize);
        let table = self.tables.get(index)?;
        // SAFETY: the item borrows this, so it is the only one; the rest is what the maker has promised.
        let item = unsafe { table.rows.at(row) }?;
        if table.tracked {
            self.track(index, row);
            return Some(D::shorten(item));
        }
        for mark in &self.marks[index * D::WRITES..][..D::WRITES] {
            if !mark.blocks.is_null() {
                // SAFETY: there is a version for the block of each row, and the world is exclusively borrowed.
                unsafe { *mark.blocks.add(row / BLOCK_ROWS) = self.version };
            }
        }
        Some(D::shorten(item))
    }

    #[cold]
    fn track(&self, table: usize, row: usize) {
        let marks = &self.marks[table * D::WRITES..][..D::WRITES];
        // SAFETY: there are marks of as many tables as there are, and the world is exclusively borrowed. Nobody
        // holds a reference to a table, only to memory that its columns own.
        let table = unsafe { &mut *self.world.add(table) };
        for mark in marks.iter().filter(|mark| !mark.blocks.is_null()) {
            table.columns[mark.column].changes.touch(row, self.version);
        }
    }
}

/// The rows of all tables, none of those that do not match.
///
/// # Safety
/// As for [`Access::rows`].
unsafe fn rows<'a, D: QueryData, F: QueryFilter>(
    access: Access<'a>,
    tables: usize,
    matching: &'a [Matching],
) -> Vec<TableRows<'a, D, F>> {
    let mut all = Vec::with_capacity(tables);
    all.resize_with(tables, || TableRows { rows: Rows::none(), tracked: false });
    for matching in matching {
        // SAFETY: the caller's promise.
        all[matching.table()].rows = unsafe { access.rows(matching) };
    }
    all
}

impl<D: QueryData, F: QueryFilter> std::fmt::Debug for ByEntity<'_, D, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ByEntity({} tables)", self.tables.len())
    }
}
