//! A query over parts: rows one after another, and access by entity.

#![expect(unsafe_code, reason = "items of distinct rows are alive at the same time")]

use std::cell::OnceCell;
use std::marker::PhantomData;

use rustc_hash::FxHashMap;

use super::data::{QueryData, ReadOnlyQueryData};
use super::filter::{ArchetypeFilter, QueryFilter};
use super::part::Part;
use super::slices::SliceData;
use crate::Entity;

/// Rows that match, of the parts that a system is given.
///
/// ```
/// use engine_component::{Component, World, query::Query};
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Velocity")]
/// # struct Velocity { x: f32 }
/// let mut world = World::default();
/// let entity = world.spawn((Position { x: 0.0 }, Velocity { x: 2.0 }));
/// world.with_query(|mut moving: Query<(&mut Position, &Velocity)>| {
///     for (position, velocity) in &mut moving {
///         position.x += velocity.x;
///     }
/// }).unwrap();
/// assert_eq!(world.get::<Position>(entity).unwrap().x, 2.0);
/// ```
#[derive(Debug)]
pub struct Query<'w, D: QueryData, F: QueryFilter = ()> {
    parts: &'w [Part<'w>],
    /// Where each entity is, made when one is first asked for.
    index: OnceCell<FxHashMap<Entity, (u32, u32)>>,
    types: PhantomData<(D, F)>,
}

impl<'w, D: QueryData, F: QueryFilter> Query<'w, D, F> {
    /// A query over parts. It has to be the only one over the parts that it writes; the runner of a system
    /// sees to that.
    ///
    /// # Safety
    /// Until the query and its items are gone, no other query over these parts writes what this one
    /// touches, or touches what this one writes.
    #[must_use]
    pub unsafe fn new(parts: &'w [Part<'w>]) -> Self {
        Self { parts, index: OnceCell::new(), types: PhantomData }
    }

    /// All rows that match, to be read.
    pub fn iter(&self) -> QueryIter<'_, D::ReadOnly, F> {
        QueryIter::new(self.parts)
    }

    /// All rows that match.
    pub fn iter_mut(&mut self) -> QueryIter<'_, D, F> {
        QueryIter::new(self.parts)
    }

    /// Calls a function for each row that matches: a loop over columns that the compiler can turn into
    /// vector code.
    pub fn for_each(&mut self, visit: impl FnMut(D::Item<'_>)) {
        self.iter_mut().for_each(visit);
    }

    /// The number of rows that match. O(rows) when the filter looks at rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether no row matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The row of an entity, to be read; none when it is not among the parts, or does not match.
    #[must_use]
    pub fn get(&self, entity: Entity) -> Option<<D::ReadOnly as QueryData>::Item<'_>> {
        let (part, row) = self.find(entity)?;
        item::<D::ReadOnly, F>(part, row)
    }

    /// The row of an entity; none when it is not among the parts, or does not match.
    pub fn get_mut(&mut self, entity: Entity) -> Option<D::Item<'_>> {
        let (part, row) = self.find(entity)?;
        item::<D, F>(part, row)
    }

    /// Whole columns, part by part.
    pub fn slices(&self) -> impl Iterator<Item = <D::ReadOnly as SliceData>::Slices<'_>>
    where
        D::ReadOnly: SliceData,
        F: ArchetypeFilter,
    {
        // SAFETY: read only, and the query is borrowed.
        self.matching().map(|part| unsafe { whole::<D::ReadOnly>(part) })
    }

    /// Whole columns, part by part, to be written.
    pub fn slices_mut(&mut self) -> impl Iterator<Item = D::Slices<'_>>
    where
        D: SliceData,
        F: ArchetypeFilter,
    {
        // SAFETY: the query is exclusively borrowed, and each part is handed out once.
        self.matching().map(|part| unsafe { whole::<D>(part) })
    }

    fn matching(&self) -> impl Iterator<Item = &'w Part<'w>> + use<'w, D, F>
    where
        F: ArchetypeFilter,
    {
        self.parts.iter().filter(|part| !part.entities.is_empty() && F::matches(&F::fetch(part), 0))
    }

    fn find(&self, entity: Entity) -> Option<(&'w Part<'w>, usize)> {
        let index = self.index.get_or_init(|| {
            let rows = self.parts.iter().enumerate().flat_map(|(at, part)| {
                part.entities.iter().enumerate().map(move |(row, entity)| (*entity, (at as u32, row as u32)))
            });
            rows.collect()
        });
        let (part, row) = index.get(&entity)?;
        Some((&self.parts[*part as usize], *row as usize))
    }
}

fn item<'a, D: QueryData, F: QueryFilter>(part: &'a Part<'a>, row: usize) -> Option<D::Item<'a>> {
    let fetch = D::fetch(&part, &mut 0);
    let matches = F::matches(&F::fetch(&part), row) && D::matches(&fetch, row);
    // SAFETY: the row is the part's, it matches, and the item borrows the query as its kind demands.
    matches.then(|| unsafe { D::item(&fetch, row) })
}

/// # Safety
/// Nobody else uses what the slices write, or writes what they read.
unsafe fn whole<'a, D: SliceData>(part: &'a Part<'a>) -> D::Slices<'a> {
    // SAFETY: the caller's promise; the part has so many rows.
    unsafe { D::slices(&D::fetch(&part, &mut 0), part.entities.len()) }
}

/// The rows of a query.
pub struct QueryIter<'a, D: QueryData, F: QueryFilter> {
    parts: std::slice::Iter<'a, Part<'a>>,
    current: Option<(D::Fetch<'a>, F::Fetch<'a>)>,
    row: usize,
    rows: usize,
}

impl<D: QueryData, F: QueryFilter> std::fmt::Debug for QueryIter<'_, D, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QueryIter(row {} of {})", self.row, self.rows)
    }
}

impl<'a, D: QueryData, F: QueryFilter> QueryIter<'a, D, F> {
    fn new(parts: &'a [Part<'a>]) -> Self {
        Self { parts: parts.iter(), current: None, row: 0, rows: 0 }
    }

    fn next_part(&mut self) -> Option<()> {
        let part = self.parts.next()?;
        self.current = Some((D::fetch(&part, &mut 0), F::fetch(&part)));
        (self.row, self.rows) = (0, part.entities.len());
        Some(())
    }
}

impl<'a, D: QueryData, F: QueryFilter> Iterator for QueryIter<'a, D, F> {
    type Item = D::Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<D::Item<'a>> {
        loop {
            if self.row < self.rows {
                let row = self.row;
                self.row += 1;
                let (fetch, filter) = self.current.as_ref()?;
                if F::matches(filter, row) && D::matches(fetch, row) {
                    // SAFETY: the row is the part's and matches; every row is handed out once.
                    return Some(unsafe { D::item(fetch, row) });
                }
            } else {
                self.next_part()?;
            }
        }
    }

    #[inline]
    fn fold<B, G: FnMut(B, D::Item<'a>) -> B>(mut self, init: B, mut visit: G) -> B {
        let mut sum = init;
        loop {
            if let Some((fetch, filter)) = &self.current {
                for row in self.row..self.rows {
                    if F::matches(filter, row) && D::matches(fetch, row) {
                        // SAFETY: as in `next`.
                        sum = visit(sum, unsafe { D::item(fetch, row) });
                    }
                }
            }
            if self.next_part().is_none() {
                return sum;
            }
        }
    }
}

impl<'a, D: QueryData, F: QueryFilter> IntoIterator for &'a mut Query<'_, D, F> {
    type Item = D::Item<'a>;
    type IntoIter = QueryIter<'a, D, F>;

    fn into_iter(self) -> QueryIter<'a, D, F> {
        self.iter_mut()
    }
}

impl<'a, D: ReadOnlyQueryData, F: QueryFilter> IntoIterator for &'a Query<'_, D, F> {
    type Item = <D::ReadOnly as QueryData>::Item<'a>;
    type IntoIter = QueryIter<'a, D::ReadOnly, F>;

    fn into_iter(self) -> QueryIter<'a, D::ReadOnly, F> {
        self.iter()
    }
}
