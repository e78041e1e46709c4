//! Queries on a world, outside of systems: in set-up code, tools and benches.

#![expect(unsafe_code, reason = "columns of one table are borrowed side by side")]

use smallvec::SmallVec;

use super::cursor::Query;
use super::data::QueryData;
use super::descriptor::{QueryDescriptor, QueryError, describe};
use super::documents::DocumentColumn;
use super::filter::QueryFilter;
use super::part::{Part, PartColumn};
use crate::data::StorageKind;
use crate::table::Table;
use crate::world::World;

impl World {
    /// Runs a query over all tables, in the order of their archetypes. Written columns count as changed in every
    /// row, documents in the rows that differ afterwards. `Changed<T>` matches every row that has the
    /// component: nobody keeps track of when a query outside of systems last ran.
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
                let table = &mut self.all_tables_mut()[id.index()];
                if descriptor.matches(table.components()) {
                    mark_plain(table, &descriptor, version);
                    tables.push(TableParts { id: id.index(), pointers: pointers(table, &descriptor) });
                }
            }
            let parts: Vec<Part<'_>> = tables.iter().map(|table| table.part(&self.tables()[table.id])).collect();
            // SAFETY: the world is exclusively borrowed, and this is the only query.
            let result = run(unsafe { Query::new(&parts) });
            for (table, part) in tables.iter().zip(&parts) {
                for (slot, column) in part.columns.iter().enumerate() {
                    if let (PartColumn::Document(documents), Some((index, _, true))) = (column, table.pointers[slot]) {
                        written.push((table.id, index, documents.changes()));
                    }
                }
            }
            result
        };
        for (table, column, changes) in written {
            for (row, bytes) in changes {
                self.all_tables_mut()[table].column_mut(column).set_row(row, &bytes, version);
            }
        }
        Ok(result)
    }
}

fn mark_plain(table: &mut Table, descriptor: &QueryDescriptor, version: u64) {
    for column in descriptor.columns.iter().filter(|column| column.write) {
        if let Some(index) = table.column_index(column.component)
            && table.column(index).kind() == StorageKind::Plain
        {
            table.mark_all_changed(index, version);
        }
    }
}

/// The columns of a table that a query touches.
type Pointers = SmallVec<[Option<ColumnPointer>; 8]>;

/// A column of a table: its index, its first value, and whether the query writes it.
type ColumnPointer = (usize, *mut u8, bool);

fn pointers(table: &mut Table, descriptor: &QueryDescriptor) -> Pointers {
    let columns = descriptor.columns.iter().map(|access| {
        let index = table.column_index(access.component)?;
        Some((index, table.column_mut(index).as_mut_ptr(), access.write))
    });
    columns.collect()
}

struct TableParts {
    id: usize,
    pointers: Pointers,
}

impl TableParts {
    fn part<'a>(&self, table: &'a Table) -> Part<'a> {
        let columns = self.pointers.iter().map(|pointer| match pointer {
            None => PartColumn::Absent,
            Some((index, first, write)) => {
                let column = table.column(*index);
                match column.kind() {
                    StorageKind::Tag => PartColumn::Tag,
                    StorageKind::Document => {
                        PartColumn::Document(DocumentColumn::new(column.documents(), 0, table.len()))
                    }
                    // SAFETY: the column's own memory, for as long as the world is borrowed; columns of a
                    // query that writes do not alias, which its description has checked.
                    StorageKind::Plain => unsafe { PartColumn::from_raw(*first, column.stride(), *write) },
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
