//! A query over parts: rows one after another, and access by entity.

#![expect(unsafe_code, reason = "items of distinct rows are alive at the same time")]

use std::cell::OnceCell;
use std::marker::PhantomData;

use rustc_hash::FxHashMap;

use super::data::{QueryData, ReadOnlyQueryData};
use super::filter::{ArchetypeFilter, QueryFilter};
use super::part::Part;
use super::rows::Rows;
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
///
/// A row that is written is not reached a second time meanwhile:
///
/// ```compile_fail,E0499
/// # use engine_component::{Component, Entity, query::Query};
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// fn swap(query: &mut Query<&mut Position>, a: Entity, b: Entity) {
///     std::mem::swap(query.get_mut(a).unwrap(), query.get_mut(b).unwrap());
/// }
/// ```
///
/// nor read, nor kept longer than the query:
///
/// ```compile_fail,E0502
/// # use engine_component::{Component, Entity, query::Query};
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// fn follow(query: &mut Query<&mut Position>, a: Entity, b: Entity) {
///     let (first, second) = (query.get_mut(a).unwrap(), query.get(b).unwrap());
///     first.x = second.x;
/// }
/// ```
///
/// ```compile_fail
/// # use engine_component::{Component, World, query::Query};
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// let kept = World::default().with_query(|mut query: Query<&mut Position>| query.iter_mut().next());
/// ```
///
/// Items that are only read are not written, whatever the query may do:
///
/// ```compile_fail,E0594
/// # use engine_component::{Component, World, query::Query};
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// fn stop(query: &Query<&mut Position>) {
///     query.iter().for_each(|position| position.x = 0.0);
/// }
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
    /// [`describe`](super::describe) finds nothing wrong with the query's types, and the columns of the parts
    /// are those of its description. Until the query and its items are gone, nobody else writes what the query
    /// touches, or touches what it writes, neither through a query over these parts nor otherwise
    /// ([`DocumentColumn::changes`](super::DocumentColumn::changes) touches what was written).
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

    /// The number of rows that match. O(rows) when the filter or a document looks at rows, else O(parts).
    #[must_use]
    pub fn len(&self) -> usize {
        if F::PER_ROW || D::DOCUMENTS {
            return self.iter().count();
        }
        // SAFETY: as for `iter`.
        self.parts.iter().map(|part| unsafe { Rows::<D::ReadOnly, F>::of(&part) }.left()).sum()
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

    /// The only row that matches, to be read.
    ///
    /// # Errors
    /// When none matches, or more than one.
    pub fn single(&self) -> Result<<D::ReadOnly as QueryData>::Item<'_>, NotSingle> {
        only(self.iter())
    }

    /// The only row that matches.
    ///
    /// # Errors
    /// When none matches, or more than one.
    pub fn single_mut(&mut self) -> Result<D::Item<'_>, NotSingle> {
        only(self.iter_mut())
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

    /// Whole columns, part by part, to be written. Documents have none, and a filter that looks at rows would cut
    /// holes into them:
    ///
    /// ```compile_fail,E0277
    /// # use engine_component::{Component, query::{Changed, Query}};
    /// # #[derive(Component, Clone, Copy)]
    /// # #[repr(C)]
    /// # #[component(name = "doc.Position")]
    /// # struct Position { x: f32 }
    /// fn stop(query: &mut Query<&mut Position, Changed<Position>>) {
    ///     query.slices_mut().flatten().for_each(|position| position.x = 0.0);
    /// }
    /// ```
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

/// A query that was to have one row has none, or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSingle {
    /// No row matches.
    #[error("no row matches a query that is asked for its only one")]
    None,
    /// More than one row matches.
    #[error("several rows match a query that is asked for its only one")]
    Several,
}

fn only<I: Iterator>(mut rows: I) -> Result<I::Item, NotSingle> {
    let row = rows.next().ok_or(NotSingle::None)?;
    if rows.next().is_some() { Err(NotSingle::Several) } else { Ok(row) }
}

/// # Safety
/// Nobody else uses what the slices write, or writes what they read.
unsafe fn whole<'a, D: SliceData>(part: &'a Part<'a>) -> D::Slices<'a> {
    // SAFETY: the caller's promise; the part has so many rows.
    unsafe { D::slices(&D::fetch(&part, &mut 0), part.entities.len()) }
}

/// The rows of a query.
#[derive(Debug)]
pub struct QueryIter<'a, D: QueryData, F: QueryFilter> {
    parts: std::slice::Iter<'a, Part<'a>>,
    rows: Rows<'a, D, F>,
}

impl<'a, D: QueryData, F: QueryFilter> QueryIter<'a, D, F> {
    fn new(parts: &'a [Part<'a>]) -> Self {
        Self { parts: parts.iter(), rows: Rows::none() }
    }
}

impl<'a, D: QueryData, F: QueryFilter> Iterator for QueryIter<'a, D, F> {
    type Item = D::Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<D::Item<'a>> {
        loop {
            if let Some(item) = self.rows.next() {
                return Some(item);
            }
            let part = self.parts.next()?;
            // SAFETY: what the maker of the query has promised; it is borrowed as `D` demands, and each part
            // comes once.
            self.rows = unsafe { Rows::of(&part) };
        }
    }

    #[inline]
    fn fold<B, G: FnMut(B, D::Item<'a>) -> B>(self, init: B, mut visit: G) -> B {
        let sum = self.rows.fold(init, &mut visit);
        // SAFETY: as in `next`.
        self.parts.fold(sum, |sum, part| unsafe { Rows::<D, F>::of(&part) }.fold(sum, &mut visit))
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
