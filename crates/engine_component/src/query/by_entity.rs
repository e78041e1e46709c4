//! Access by entity to a prepared query.
//!
//! What an access needs stands together, one record for each table, and fits into a cache line for small queries:
//! an access is the entity's place, that record, and the row.

#![expect(unsafe_code, reason = "columns are read through pointers that were taken once for all rows")]

use std::marker::PhantomData;

use super::data::{QueryData, ReadOnlyQueryData};
use super::descriptor::QueryDescriptor;
use super::filter::QueryFilter;
use super::marks::Marks as _;
use super::prepared::{Access, Matching};
use super::rows::Rows;
use crate::Entity;
use crate::entities::{PAGE, PageRun, Places, TableId};
use crate::table::Table;
use crate::world::World;

/// The rows of a prepared query, by entity: the tables were looked at once, so each access costs a few
/// nanoseconds. Made by [`QueryState::by_entity`](super::QueryState::by_entity).
pub struct ByEntity<'a, D: QueryData, F: QueryFilter> {
    places: Places<'a>,
    /// One for each table of the world.
    tables: Vec<TableRows<'a, D, F>>,
    /// One for each page of the index of entities.
    pages: Vec<PageRows<'a, D, F>>,
    version: u64,
    matching: &'a [Matching],
    /// All tables; null when the query only reads.
    world: *mut Table,
    borrow: PhantomData<&'a mut World>,
}

struct TableRows<'a, D: QueryData, F: QueryFilter> {
    columns: Columns<'a, D, F>,
    /// Rows that need nothing but a mark: all, or none.
    open: u32,
    /// Rows when somebody wants to know which of them change: all, or none.
    tracked: u32,
}

/// Entities that follow one another, and so do their rows: for them all that an access needs is known page by page.
struct PageRows<'a, D: QueryData, F: QueryFilter> {
    /// Numbers of entities, counted from the beginning of the page, and the row of the first one.
    run: PageRun,
    /// The columns of their table.
    columns: Columns<'a, D, F>,
}

struct Columns<'a, D: QueryData, F: QueryFilter> {
    /// None of a table without rows, or that does not match.
    fetch: Option<(D::Fetch<'a>, F::Fetch<'a>)>,
    marks: D::Marks,
}

impl<D: QueryData, F: QueryFilter> Clone for Columns<'_, D, F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<D: QueryData, F: QueryFilter> Copy for Columns<'_, D, F> {}

impl<'a, D: QueryData, F: QueryFilter> ByEntity<'a, D, F> {
    /// To be read.
    ///
    /// # Safety
    /// The tables that match are those of the world, and `D` writes nothing.
    pub(super) unsafe fn read(world: &'a World, matching: &'a [Matching]) -> Self {
        // SAFETY: the caller's promise.
        let tables = unsafe { rows(Access::Read(world.tables()), world.tables().len(), matching) };
        let (places, version) = (world.entities.places(), world.version());
        let pages = pages(places, &tables);
        Self { places, tables, pages, version, matching, world: std::ptr::null_mut(), borrow: PhantomData }
    }

    /// To be written.
    ///
    /// # Safety
    /// The tables that match are those of the world, each of them once, as the description says.
    pub(super) unsafe fn write(world: &'a mut World, matching: &'a [Matching], descriptor: &QueryDescriptor) -> Self {
        let World { entities, tables, version, .. } = world;
        let (count, version) = (tables.len(), *version);
        let tables: *mut [Table] = &raw mut tables[..];
        // SAFETY: the caller's promise; the world is exclusively borrowed for 'a.
        let mut all = unsafe { rows::<D, F>(Access::Write { tables, version: None }, count, matching) };
        for matching in matching {
            let at = matching.table();
            // SAFETY: rows of this table were made, so there is one; no reference to it is alive, and pointers
            // into what its columns own are not touched.
            let table = unsafe { &mut *tables.cast::<Table>().add(at) };
            all[at].take_marks(table, descriptor);
        }
        let places = entities.places();
        let pages = pages(places, &all);
        Self { places, tables: all, pages, version, matching, world: tables.cast(), borrow: PhantomData }
    }

    /// The row of an entity; none when there is no such entity, or the query does not match it.
    #[inline]
    #[must_use]
    pub fn get(&self, entity: Entity) -> Option<D::Item<'a>>
    where
        D: ReadOnlyQueryData,
    {
        let (columns, row) = match self.in_run(entity) {
            Some(found) => found,
            None => {
                let location = self.places.get(entity)?;
                let table = self.tables.get(location.table.index())?;
                if location.row >= table.open {
                    return None;
                }
                (&table.columns, location.row as usize)
            }
        };
        // SAFETY: the row is one of the table's, and nothing is written; the rest is what the maker has promised.
        unsafe { columns.item(row) }
    }

    /// As [`Self::get`], to be written: what the query writes counts as changed.
    #[inline]
    pub fn get_mut(&mut self, entity: Entity) -> Option<D::Item<'_>> {
        let (columns, row) = match self.in_run(entity) {
            Some(found) => found,
            None => {
                let location = self.places.get(entity)?;
                let (index, row) = (location.table.index(), location.row as usize);
                let table = self.tables.get(index)?;
                if location.row >= table.open {
                    // SAFETY: the world is exclusively borrowed, and nobody holds a reference to a table, only to
                    // memory that its columns own.
                    let item = unsafe { table.tracked_item(self.world, self.matching, index, (row, self.version)) };
                    return item.map(D::shorten);
                }
                (&table.columns, row)
            }
        };
        // SAFETY: the row is one of the table's. The item borrows this, so it is the only one; the rest is what
        // the maker has promised.
        let item = unsafe { columns.item(row) }?;
        // SAFETY: there is a version for the block of each row, and the world is exclusively borrowed.
        unsafe { columns.marks.note(row, self.version) };
        Some(D::shorten(item))
    }

    /// The columns and the row of an entity whose row follows from its number.
    #[inline]
    fn in_run(&self, entity: Entity) -> Option<(&Columns<'a, D, F>, usize)> {
        let number = usize::try_from(entity.to_bits()).ok()?;
        let page = self.pages.get(number / PAGE)?;
        let distance = (number % PAGE).wrapping_sub(page.run.first as usize);
        (distance < page.run.count as usize).then(|| (&page.columns, page.run.row as usize + distance))
    }
}

impl<D: QueryData, F: QueryFilter> TableRows<'_, D, F> {
    const NONE: Self = Self { columns: Columns { fetch: None, marks: D::Marks::NONE }, open: 0, tracked: 0 };

    /// Takes the marks of the columns that are written.
    fn take_marks(&mut self, table: &mut Table, descriptor: &QueryDescriptor) {
        let (rows, mut is_tracked) = (self.open, false);
        let mut written = descriptor.columns.iter().filter(|column| column.write);
        self.columns.marks = D::Marks::take(&mut || {
            let column = written.next().and_then(|column| table.column_index(column.component));
            let Some(column) = column else { return std::ptr::null_mut() };
            let changes = &mut table.columns[column].changes;
            is_tracked |= changes.is_tracked();
            changes.blocks_ptr(rows as usize)
        });
        if is_tracked {
            (self.open, self.tracked) = (0, rows);
        }
    }
}

impl<'a, D: QueryData, F: QueryFilter> Columns<'a, D, F> {
    /// A row, if it matches.
    ///
    /// # Safety
    /// There is such a row, and no item of it is alive that writes what this one touches, or touches what this one
    /// writes.
    #[inline]
    unsafe fn item(&self, row: usize) -> Option<D::Item<'a>> {
        // SAFETY: where there are rows there are columns.
        let (fetch, filter) = unsafe { self.fetch.as_ref().unwrap_unchecked() };
        let matches = (!F::PER_ROW || F::matches(filter, row)) && D::matches(fetch, row);
        // SAFETY: the row exists and matches; the rest is the caller's promise, and that of the maker of the rows.
        matches.then(|| unsafe { D::item(fetch, row) })
    }
}

impl<'a, D: QueryData, F: QueryFilter> TableRows<'a, D, F> {
    /// A row of a table of which somebody wants to know what changes, if there is such a row and it matches.
    ///
    /// # Safety
    /// As for [`Columns::item`]. The tables are those of a world that is exclusively borrowed, and no reference to
    /// this one is alive.
    #[cold]
    #[inline(never)]
    unsafe fn tracked_item(
        &self,
        world: *mut Table,
        matching: &[Matching],
        table: usize,
        (row, version): (usize, u64),
    ) -> Option<D::Item<'a>> {
        if row >= self.tracked as usize {
            return None;
        }
        // SAFETY: the row is one of the table's; the rest is the caller's promise.
        let item = unsafe { self.columns.item(row) }?;
        let written = matching.iter().find(|matching| matching.table() == table).map(Matching::written);
        // SAFETY: the caller's promise; a table with rows to be written is one of them.
        let table = unsafe { &mut *world.add(table) };
        for column in written.into_iter().flatten() {
            table.columns[column].changes.touch(row, version);
        }
        Some(item)
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
    all.resize_with(tables, || TableRows::NONE);
    for matching in matching {
        // SAFETY: the caller's promise.
        let rows: Rows<'a, D, F> = unsafe { access.rows(matching) };
        let table: &mut TableRows<'a, D, F> = &mut all[matching.table()];
        table.open = u32::try_from(rows.left()).expect("fewer rows than 2^32");
        table.columns.fetch = rows.into_columns();
    }
    all
}

/// What is known page by page: of runs in tables whose rows need nothing but a mark.
fn pages<'a, D: QueryData, F: QueryFilter>(
    places: Places<'_>,
    tables: &[TableRows<'a, D, F>],
) -> Vec<PageRows<'a, D, F>> {
    let none = TableRows::<D, F>::NONE.columns;
    let page = |run: Option<(TableId, PageRun)>| {
        let table = run.and_then(|(table, run)| Some((tables.get(table.index())?, run)));
        match table.filter(|(table, run)| run.row + run.count <= table.open) {
            Some((table, run)) => PageRows { run, columns: table.columns },
            None => PageRows { run: PageRun::default(), columns: none },
        }
    };
    places.runs().map(page).collect()
}

impl<D: QueryData, F: QueryFilter> std::fmt::Debug for ByEntity<'_, D, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ByEntity({} tables)", self.tables.len())
    }
}
