//! Prepared queries on a world: which tables match, and where their columns are, looked at once.

#![expect(unsafe_code, reason = "columns of one table are borrowed side by side")]

use std::marker::PhantomData;

use super::by_entity::ByEntity;
use super::data::QueryData;
use super::descriptor::{ColumnAccess, QueryDescriptor, QueryError, describe};
use super::filter::QueryFilter;
use super::rows::Rows;
use super::table_source::{ReadSource, Slot, WriteSource};
use crate::ArchetypeId;
use crate::table::Table;
use crate::world::World;

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
pub(super) struct Matching {
    table: usize,
    archetype: ArchetypeId,
    slots: Box<[Slot]>,
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
        let version = Some(world.version());
        let access = Access::Write { tables: world.all_tables_mut(), version };
        StateIter { matching: self.matching.iter(), access, rows: Rows::none() }
    }

    /// The rows that match, to be read by entity.
    ///
    /// ```
    /// use engine_component::{Component, World, query::QueryState};
    /// # #[derive(Component, Clone, Copy)]
    /// # #[repr(C)]
    /// # #[component(name = "doc.Position")]
    /// # struct Position { x: f32 }
    /// let mut world = World::default();
    /// let entity = world.spawn((Position { x: 1.0 },));
    /// let mut places = QueryState::<&mut Position>::new().unwrap();
    /// places.by_entity_mut(&mut world).get_mut(entity).unwrap().x = 2.0;
    /// assert_eq!(places.by_entity(&world).get(entity).unwrap().x, 2.0);
    /// ```
    pub fn by_entity<'a>(&'a mut self, world: &'a World) -> ByEntity<'a, D::ReadOnly, F> {
        self.look_at_new_tables(world);
        // SAFETY: each table is in the list once, and the items only read.
        unsafe { ByEntity::read(world, &self.matching) }
    }

    /// The rows that match, to be written by entity. Written columns count as changed in the rows that are asked
    /// for.
    pub fn by_entity_mut<'a>(&'a mut self, world: &'a mut World) -> ByEntity<'a, D, F> {
        self.look_at_new_tables(world);
        // SAFETY: each table is in the list once.
        unsafe { ByEntity::write(world, &self.matching, &self.descriptor) }
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
        let slot = |access: &ColumnAccess| match table.column_index(access.component) {
            None => Slot::Absent,
            Some(column) if access.write => Slot::Write(column as u16),
            Some(column) => Slot::Read(column as u16),
        };
        assert!(table.columns().len() < usize::from(u16::MAX), "an archetype has far fewer components");
        Self { table: index, archetype: table.archetype(), slots: descriptor.columns.iter().map(slot).collect() }
    }

    /// The table's index in the world.
    pub(super) fn table(&self) -> usize {
        self.table
    }

    /// The columns that the query writes.
    pub(super) fn written(&self) -> impl Iterator<Item = usize> + '_ {
        self.slots.iter().filter_map(|slot| if let Slot::Write(column) = slot { Some((*column).into()) } else { None })
    }

    #[inline]
    fn check(&self, table: &Table) {
        assert!(table.archetype() == self.archetype, "a `QueryState` is used with another world");
    }
}

/// The tables of a world, as an iterator holds them.
#[derive(Clone, Copy)]
pub(super) enum Access<'a> {
    Read(&'a [Table]),
    /// By a pointer, since items of one table are alive when the next one is looked at.
    Write {
        tables: *mut [Table],
        version: Option<u64>,
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
    /// The rows of a table. All rows of what the query writes count as changed if there is a version to mark them
    /// with; before they are handed out, so also when whoever writes them panics.
    ///
    /// # Safety
    /// `D` reads only, unless this writes; and each table is asked for once.
    #[inline]
    pub(super) unsafe fn rows<D: QueryData, F: QueryFilter>(self, matching: &'a Matching) -> Rows<'a, D, F> {
        match self {
            Access::Read(tables) => {
                let table = &tables[matching.table];
                matching.check(table);
                // SAFETY: the columns are those of the description; the world is borrowed for 'a, and `D`
                // writes nothing.
                unsafe { Rows::of(&ReadSource { table, slots: &matching.slots }) }
            }
            Access::Write { tables, version } => {
                assert!(matching.table < tables.len());
                // SAFETY: the index is one of the slice's, and the world is exclusively borrowed for 'a. A
                // table is asked for once, so no other reference to this one is alive.
                let table: &'a mut Table = unsafe { &mut *tables.cast::<Table>().add(matching.table) };
                matching.check(table);
                // SAFETY: as above, and the columns are those of the description.
                unsafe { Rows::of(&WriteSource { table, slots: &matching.slots, version, borrow: PhantomData }) }
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
