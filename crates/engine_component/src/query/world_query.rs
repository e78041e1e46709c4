//! Queries on a world, outside of systems: in set-up code, tools and benches.

#![expect(unsafe_code, reason = "columns of one table are borrowed side by side")]

use std::marker::PhantomData;

use smallvec::SmallVec;

use super::cursor::Query;
use super::data::QueryData;
use super::descriptor::{QueryDescriptor, QueryError, describe};
use super::documents::DocumentColumn;
use super::filter::QueryFilter;
use super::part::{ColumnView, Part, PartColumn, Source};
use crate::changes::BitRows;
use crate::data::StorageKind;
use crate::table::Table;
use crate::world::World;
use crate::{ComponentId, Entity};

impl World {
    /// Runs a query over all tables. Written columns count as changed in every row.
    ///
    /// # Errors
    /// When two items of the query alias.
    pub fn with_query<D: QueryData, F: QueryFilter, R>(
        &mut self,
        run: impl FnOnce(Query<'_, D, F>) -> R,
    ) -> Result<R, QueryError> {
        let descriptor = describe::<D, F>()?;
        let (version, sorted) = (self.version(), self.sorted_tables().to_vec());
        let mut written = Vec::new();
        let result = {
            let mut tables = Vec::new();
            for id in &sorted {
                let table = &mut self.tables_mut()[id.index()];
                if descriptor.matches(table.components()) {
                    tables.push(TableParts { id: id.index(), pointers: pointers(table, &descriptor) });
                }
            }
            let parts: Vec<Part<'_>> = tables.iter().map(|table| table.part(&self.tables()[table.id])).collect();
            // SAFETY: the world is exclusively borrowed, and this is the only query.
            let result = run(unsafe { Query::new(&parts) });
            for (table, part) in tables.iter().zip(&parts) {
                for (slot, column) in part.columns.iter().enumerate() {
                    if let (PartColumn::Document(documents), Some((index, _))) = (column, table.pointers[slot]) {
                        written.push((table.id, index, documents.changes()));
                    }
                }
            }
            result
        };
        for id in &sorted {
            let table = &mut self.tables_mut()[id.index()];
            if descriptor.matches(table.components()) {
                mark_written(table, &descriptor, version);
            }
        }
        for (table, column, changes) in written {
            for (row, bytes) in changes {
                self.tables_mut()[table].column_mut(column).set_row(row, &bytes, version);
            }
        }
        Ok(result)
    }
}

fn mark_written(table: &mut Table, descriptor: &QueryDescriptor, version: u64) {
    for column in descriptor.columns.iter().filter(|column| column.write) {
        if let Some(index) = table.column_index(column.component)
            && table.column(index).kind() == StorageKind::Plain
        {
            table.mark_all_changed(index, version);
        }
    }
}

/// The columns of a table that a query touches: index, and first value.
type Pointers = SmallVec<[Option<(usize, *mut u8)>; 8]>;

fn pointers(table: &mut Table, descriptor: &QueryDescriptor) -> Pointers {
    let indices: SmallVec<[Option<usize>; 8]> =
        descriptor.columns.iter().map(|column| table.column_index(column.component)).collect();
    indices.into_iter().map(|index| index.map(|index| (index, table.column_mut(index).as_mut_ptr()))).collect()
}

struct TableParts {
    id: usize,
    pointers: Pointers,
}

impl TableParts {
    fn part<'a>(&self, table: &'a Table) -> Part<'a> {
        let columns = self.pointers.iter().map(|pointer| match pointer {
            None => PartColumn::Absent,
            Some((index, first)) => {
                let column = table.column(*index);
                match column.kind() {
                    StorageKind::Tag => PartColumn::Tag,
                    StorageKind::Document => PartColumn::Document(DocumentColumn::new(column, 0, table.len())),
                    // SAFETY: the column's own memory, for as long as the world is borrowed; columns of a
                    // query that writes do not alias, which its description has checked.
                    StorageKind::Plain => unsafe { PartColumn::from_raw(*first, column.stride(), true) },
                }
            }
        });
        Part {
            entities: table.entities(),
            archetype: table.components(),
            columns: columns.collect(),
            changed: Vec::new(),
        }
    }
}

/// A query on a world, prepared once: it remembers which tables match, so that running it over many small
/// tables costs a few nanoseconds each. For Plain components, tags and entities.
#[derive(Debug)]
pub struct QueryState<D, F = ()> {
    descriptor: QueryDescriptor,
    /// Tables of the world that were looked at.
    seen: usize,
    /// Tables that match, and their columns.
    tables: Vec<(usize, SmallVec<[Option<u16>; 8]>)>,
    types: PhantomData<fn() -> (D, F)>,
}

struct TableSource<'a> {
    table: *mut Table,
    columns: &'a [Option<u16>],
}

impl<'a> Source<'a> for TableSource<'a> {
    fn entities(&self) -> &'a [Entity] {
        // SAFETY: the table is exclusively borrowed for 'a by the caller of `for_each`.
        unsafe { (*self.table).entities() }
    }

    fn archetype(&self) -> &'a [ComponentId] {
        // SAFETY: as above.
        unsafe { (*self.table).components() }
    }

    #[inline]
    fn column(&self, slot: usize) -> ColumnView<'a> {
        let Some(Some(index)) = self.columns.get(slot) else { return ColumnView::Absent };
        // SAFETY: as above; the columns of a query that writes do not alias.
        let column = unsafe { (*self.table).column_mut(usize::from(*index)) };
        match column.kind() {
            StorageKind::Plain => match std::ptr::NonNull::new(column.as_mut_ptr()) {
                Some(first) => ColumnView::Plain(first, column.stride(), true),
                None => ColumnView::Absent,
            },
            StorageKind::Tag => ColumnView::Tag,
            StorageKind::Document => ColumnView::Absent,
        }
    }

    fn changed(&self, _component: ComponentId) -> Option<&'a BitRows> {
        None
    }
}

impl<D: QueryData, F: QueryFilter> QueryState<D, F> {
    /// Prepares a query.
    ///
    /// # Errors
    /// When two items alias.
    pub fn new() -> Result<Self, QueryError> {
        Ok(Self { descriptor: describe::<D, F>()?, seen: 0, tables: Vec::new(), types: PhantomData })
    }

    fn look_at_new_tables(&mut self, world: &World) {
        for (index, table) in world.tables().iter().enumerate().skip(self.seen) {
            let has_documents = self.descriptor.columns.iter().any(|column| {
                table
                    .column_index(column.component)
                    .is_some_and(|index| table.column(index).kind() == StorageKind::Document)
            });
            if self.descriptor.matches(table.components()) && !has_documents {
                let columns = self.descriptor.columns.iter();
                let columns = columns.map(|column| table.column_index(column.component).map(|index| index as u16));
                self.tables.push((index, columns.collect()));
            }
        }
        self.seen = world.tables().len();
    }

    /// Calls a function for each row that matches. Written columns count as changed in every row. Tables
    /// are visited in the order of their creation.
    #[inline]
    pub fn for_each(&mut self, world: &mut World, mut visit: impl FnMut(D::Item<'_>)) {
        if self.seen != world.tables().len() {
            self.look_at_new_tables(world);
        }
        let version = world.version();
        for (index, columns) in &self.tables {
            let table = &mut world.tables_mut()[*index];
            let rows = table.len();
            if rows == 0 {
                continue;
            }
            let source = TableSource { table: &raw mut *table, columns };
            let (fetch, filter) = (D::fetch(&source, &mut 0), F::fetch(&source));
            for row in 0..rows {
                if F::matches(&filter, row) && D::matches(&fetch, row) {
                    // SAFETY: the row is the table's, it matches, and is handed out once; the world is
                    // exclusively borrowed.
                    visit(unsafe { D::item(&fetch, row) });
                }
            }
            for (access, column) in self.descriptor.columns.iter().zip(columns) {
                if let (true, Some(column)) = (access.write, column) {
                    table.mark_all_changed(usize::from(*column), version);
                }
            }
        }
    }
}
