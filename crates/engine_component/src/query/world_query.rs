//! Queries on a world, outside of systems: in set-up code, tools and benches.

#![expect(unsafe_code, reason = "columns of one table are borrowed side by side")]

use std::marker::PhantomData;
use std::ptr::NonNull;

use smallvec::SmallVec;

use super::cursor::Query;
use super::data::QueryData;
use super::descriptor::{ColumnAccess, QueryDescriptor, QueryError, describe};
use super::documents::DocumentColumn;
use super::filter::QueryFilter;
use super::part::{ColumnView, Part, PartColumn, Source};
use super::rows::Rows;
use crate::changes::BitRows;
use crate::data::StorageKind;
use crate::table::Table;
use crate::world::World;
use crate::{ArchetypeId, ComponentId, Entity};

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
                let table = &mut self.tables_mut()[id.index()];
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
                self.tables_mut()[table].column_mut(column).set_row(row, &bytes, version);
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
                    StorageKind::Document => PartColumn::Document(DocumentColumn::new(column, 0, table.len())),
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

/// A query on a world, prepared once: it remembers which tables match, so that running it over many small
/// tables costs a few nanoseconds each, and allocates nothing. For Plain components, tags and entities.
///
/// Tables are visited in the order of their creation. Outside of systems nobody keeps track of when a query
/// last ran: `Changed<T>` matches every row that has the component.
///
/// ```
/// use engine_component::{Component, World, query::QueryState};
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// let mut world = World::default();
/// world.spawn((Position { x: 1.0 },));
/// let mut places = QueryState::<&mut Position>::new().unwrap();
/// places.for_each(&mut world, |position| position.x += 1.0);
/// for position in places.iter_mut(&mut world) {
///     position.x *= 2.0;
/// }
/// assert_eq!(places.iter(&world).map(|position| position.x).sum::<f32>(), 4.0);
/// ```
#[derive(Debug)]
pub struct QueryState<D, F = ()> {
    descriptor: QueryDescriptor,
    /// Tables of the world that were looked at: how many, and where they were.
    seen: (usize, usize),
    matching: Vec<Matching>,
    types: PhantomData<fn() -> (D, F)>,
}

/// A table that matches, and its columns.
#[derive(Debug)]
struct Matching {
    table: usize,
    archetype: ArchetypeId,
    columns: SmallVec<[Option<u16>; 8]>,
    /// Those that the query writes.
    written: SmallVec<[u16; 4]>,
}

impl<D: QueryData, F: QueryFilter> QueryState<D, F> {
    /// Prepares a query.
    ///
    /// # Errors
    /// When two items alias, or one is a document.
    pub fn new() -> Result<Self, QueryError> {
        if D::DOCUMENTS {
            return Err(QueryError::Documents);
        }
        Ok(Self { descriptor: describe::<D, F>()?, seen: (0, 0), matching: Vec::new(), types: PhantomData })
    }

    /// Calls a function for each row that matches: a loop over columns that the compiler can turn into
    /// vector code. Written columns count as changed in every row.
    #[inline]
    pub fn for_each(&mut self, world: &mut World, visit: impl FnMut(D::Item<'_>)) {
        self.iter_mut(world).for_each(visit);
    }

    /// The rows that match, to be read.
    #[inline]
    pub fn iter<'a>(&'a mut self, world: &'a World) -> StateIter<'a, D::ReadOnly, F> {
        self.look_at_new_tables(world);
        StateIter { matching: self.matching.iter(), access: Access::Read(world.tables()), rows: Rows::none() }
    }

    /// The rows that match. Written columns count as changed in every row, from the moment when the iterator
    /// comes to their table.
    #[inline]
    pub fn iter_mut<'a>(&'a mut self, world: &'a mut World) -> StateIter<'a, D, F> {
        self.look_at_new_tables(world);
        let version = world.version();
        let access = Access::Write { tables: world.tables_mut(), version };
        StateIter { matching: self.matching.iter(), access, rows: Rows::none() }
    }

    #[inline]
    fn look_at_new_tables(&mut self, world: &World) {
        // A world has no name. Tables are only ever added, so a world whose tables are as many, and where they
        // were, is the same one, or was made in its place; then the archetypes tell.
        let tables = world.tables();
        let now = (tables.len(), tables.as_ptr().addr());
        if self.seen != now {
            self.look_at_all_tables(tables);
            self.seen = now;
        }
    }

    #[cold]
    fn look_at_all_tables(&mut self, tables: &[Table]) {
        let matching = tables.iter().enumerate().filter(|(_, table)| self.descriptor.matches(table.components()));
        self.matching = matching.map(|(index, table)| Matching::new(index, table, &self.descriptor)).collect();
    }
}

impl Matching {
    fn new(index: usize, table: &Table, descriptor: &QueryDescriptor) -> Self {
        let column = |access: &ColumnAccess| {
            let index = table.column_index(access.component)?;
            Some(u16::try_from(index).expect("an archetype has far fewer components"))
        };
        let columns = descriptor.columns.iter().map(column).collect();
        let written = descriptor.columns.iter().filter(|access| access.write).filter_map(column).collect();
        Self { table: index, archetype: table.archetype(), columns, written }
    }

    #[inline]
    fn check(&self, table: &Table) {
        assert!(table.archetype() == self.archetype, "a `QueryState` is used with another world");
    }
}

/// The tables of a world, as an iterator holds them.
#[derive(Clone, Copy)]
enum Access<'a> {
    Read(&'a [Table]),
    /// By a pointer, since items of one table are alive when the next one is looked at.
    Write {
        tables: *mut [Table],
        version: u64,
    },
}

/// The rows of a prepared query.
pub struct StateIter<'a, D: QueryData, F: QueryFilter> {
    matching: std::slice::Iter<'a, Matching>,
    access: Access<'a>,
    rows: Rows<'a, D, F>,
}

impl<D: QueryData, F: QueryFilter> std::fmt::Debug for StateIter<'_, D, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateIter({} more tables, {:?})", self.matching.len(), self.rows)
    }
}

impl<'a> Access<'a> {
    /// The rows of a table.
    ///
    /// # Safety
    /// `D` reads only, unless this writes; and each table is asked for once.
    #[inline]
    unsafe fn rows<D: QueryData, F: QueryFilter>(self, matching: &'a Matching) -> Rows<'a, D, F> {
        match self {
            Access::Read(tables) => {
                let table = &tables[matching.table];
                matching.check(table);
                // SAFETY: the columns are those of the description; the world is borrowed for 'a, and `D`
                // writes nothing.
                unsafe { Rows::of(&ReadSource { table, columns: &matching.columns }) }
            }
            Access::Write { tables, version } => {
                assert!(matching.table < tables.len());
                // SAFETY: the index is one of the slice's, and the world is exclusively borrowed for 'a. A
                // table is asked for once, so no other reference to this one is alive.
                let table: &'a mut Table = unsafe { &mut *tables.cast::<Table>().add(matching.table) };
                matching.check(table);
                if table.is_empty() {
                    return Rows::none();
                }
                // Before rows are handed out: then they count as changed also when whoever writes them panics.
                for column in &matching.written {
                    table.mark_all_changed(usize::from(*column), version);
                }
                // SAFETY: as above, and the columns are those of the description.
                unsafe { Rows::of(&WriteSource { table, columns: &matching.columns, borrow: PhantomData }) }
            }
        }
    }
}

impl<'a, D: QueryData, F: QueryFilter> Iterator for StateIter<'a, D, F> {
    type Item = D::Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<D::Item<'a>> {
        loop {
            if let Some(item) = self.rows.next() {
                return Some(item);
            }
            let matching = self.matching.next()?;
            self.rows = next_table(self.access, matching);
        }
    }

    #[inline]
    fn fold<B, G: FnMut(B, D::Item<'a>) -> B>(self, init: B, mut visit: G) -> B {
        let mut sum = self.rows.fold(init, &mut visit);
        for matching in self.matching {
            // SAFETY: as in `next_table`.
            let rows: Rows<'a, D, F> = unsafe { self.access.rows(matching) };
            sum = rows.fold(sum, &mut visit);
        }
        sum
    }
}

/// The rows of the next table. Not inlined, so that the loop over rows stays small.
#[inline(never)]
fn next_table<'a, D: QueryData, F: QueryFilter>(access: Access<'a>, matching: &'a Matching) -> Rows<'a, D, F> {
    // SAFETY: only `QueryState` makes the iterators that call this, reading ones of read only items; each table
    // is in the list once.
    unsafe { access.rows(matching) }
}

struct ReadSource<'a> {
    table: &'a Table,
    columns: &'a [Option<u16>],
}

// SAFETY: a table has a value of each column for each entity, and is borrowed for 'a. Nothing is writable.
unsafe impl<'a> Source<'a> for ReadSource<'a> {
    #[inline]
    fn entities(&self) -> &'a [Entity] {
        self.table.entities()
    }

    #[inline]
    fn archetype(&self) -> &'a [ComponentId] {
        self.table.components()
    }

    #[inline]
    fn column(&self, slot: usize) -> ColumnView<'a> {
        let Some(Some(index)) = self.columns.get(slot) else { return ColumnView::Absent };
        let column = self.table.column(usize::from(*index));
        match column.kind() {
            StorageKind::Plain => ColumnView::Plain(NonNull::from(column.bytes()).cast(), column.stride(), false),
            StorageKind::Tag => ColumnView::Tag,
            StorageKind::Document => ColumnView::Absent,
        }
    }

    fn changed(&self, _component: ComponentId) -> Option<&'a BitRows> {
        None
    }
}

struct WriteSource<'a> {
    table: *mut Table,
    columns: &'a [Option<u16>],
    borrow: PhantomData<&'a mut Table>,
}

// SAFETY: a table has a value of each column for each entity, and is exclusively borrowed for 'a. Columns
// have memory of their own, and a query that writes one has no second item of it.
unsafe impl<'a> Source<'a> for WriteSource<'a> {
    #[inline]
    fn entities(&self) -> &'a [Entity] {
        // SAFETY: the table is exclusively borrowed for 'a, and nobody adds or removes rows.
        unsafe { (*self.table).entities() }
    }

    #[inline]
    fn archetype(&self) -> &'a [ComponentId] {
        // SAFETY: as above.
        unsafe { (*self.table).components() }
    }

    #[inline]
    fn column(&self, slot: usize) -> ColumnView<'a> {
        let Some(Some(index)) = self.columns.get(slot) else { return ColumnView::Absent };
        // SAFETY: as above; the reference is to the column itself, while items are in memory that it owns.
        let column = unsafe { (*self.table).column_mut(usize::from(*index)) };
        match column.kind() {
            StorageKind::Plain => {
                let first = NonNull::new(column.as_mut_ptr()).expect("memory of a vector");
                ColumnView::Plain(first, column.stride(), true)
            }
            StorageKind::Tag => ColumnView::Tag,
            StorageKind::Document => ColumnView::Absent,
        }
    }

    fn changed(&self, _component: ComponentId) -> Option<&'a BitRows> {
        None
    }
}
