//! Rows outside of the shard, only to be read, as a parameter.

#![expect(unsafe_code, reason = "queries are unsafe to make and rows to take, since they may write; these only read")]

use engine_component::Entity;
use engine_component::query::{Part, Query, QueryData, QueryFilter, QueryIter, ReadOnlyQueryData, describe};

use crate::declaration::{Declaration, rows_name};
use crate::job_input::JobScope;
use crate::param::Param;
use crate::param::schemas::{Named, schemas_of};
use crate::system::JobError;
use crate::view::SharedRows;

/// All rows of the world that match, only to be read, whichever shard the job is about. A parameter of
/// systems.
///
/// The rows are those that the system's predecessors in this tick left behind. A system may not write in
/// its query what it reads in a view: some jobs would see it, others not.
///
/// ```
/// use engine_component::{Component, Entity, query::Query};
/// use engine_system::View;
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Push")]
/// # struct Push { x: f32 }
///
/// struct Middle { x: f32 }
///
/// fn flock(mut birds: Query<(&Position, &mut Push)>, others: View<&Position>) {
///     // Built once, however many jobs the world is cut into.
///     let middle = others.index(|others| Middle {
///         x: others.iter().map(|place| place.x).sum::<f32>() / others.len() as f32,
///     });
///     for (place, push) in &mut birds {
///         push.x += (middle.x - place.x) * 0.1;
///     }
/// }
/// # use engine_system::IntoSystem;
/// # flock.into_system("flock").unwrap();
/// ```
#[derive(Debug)]
pub struct View<'w, D: ReadOnlyQueryData, F: QueryFilter = ()> {
    rows: &'w SharedRows<'w>,
    parts: &'w [Part<'w>],
    query: Query<'w, D, F>,
}

impl<'w, D: ReadOnlyQueryData, F: QueryFilter> View<'w, D, F> {
    fn new(rows: &'w SharedRows<'w>, parts: &'w [Part<'w>]) -> Self {
        // SAFETY: the items only read, and the parts are made of shared borrows: nobody writes them.
        Self { rows, parts, query: unsafe { Query::new(parts) } }
    }

    /// The rows, in the order of (archetype, row).
    pub fn iter(&self) -> QueryIter<'_, D::ReadOnly, F> {
        self.query.iter()
    }

    /// The row of an entity; none when it is gone, or does not match. The index that this needs is made
    /// once for all jobs.
    #[must_use]
    pub fn get(&self, entity: Entity) -> Option<D::Item<'w>> {
        let place = self.rows.place(entity)?;
        let (part, row) = (&self.parts[place.part as usize], place.row as usize);
        let fetch = D::fetch(&part, &mut 0);
        let matches = F::matches(&F::fetch(&part), row) && D::matches(&fetch, row);
        // SAFETY: the row is the part's and it matches; the item only reads, and nobody writes shared rows.
        matches.then(|| unsafe { D::item(&fetch, row) })
    }

    /// The number of rows. O(rows) when the filter looks at rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.query.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.query.is_empty()
    }

    /// What `build` makes of the view: an index, a grid, a sum. It is built once per tick and process,
    /// however many jobs ask for it; other threads wait meanwhile.
    ///
    /// A view keeps one index of each type, so give the type a name of its own. `build` has to make the
    /// same of the same rows, since nobody knows which job comes first, and must not ask for an index itself.
    #[expect(clippy::should_implement_trait, reason = "an index is what the word means here")]
    pub fn index<I: Send + Sync + 'static>(&self, build: impl FnOnce(&Self) -> I) -> &'w I {
        self.rows.index(|| build(self))
    }
}

impl<'a, D: ReadOnlyQueryData, F: QueryFilter> IntoIterator for &'a View<'_, D, F> {
    type Item = <D::ReadOnly as QueryData>::Item<'a>;
    type IntoIter = QueryIter<'a, D::ReadOnly, F>;

    fn into_iter(self) -> QueryIter<'a, D::ReadOnly, F> {
        self.iter()
    }
}

impl<D, F> Param for View<'_, D, F>
where
    D: ReadOnlyQueryData + Named + 'static,
    F: QueryFilter + Named + 'static,
{
    type Item<'w> = View<'w, D, F>;

    fn declare(declaration: &mut Declaration) {
        declaration.view(rows_name::<D, F>("View"), describe::<D, F>(), schemas_of::<D, F>());
    }

    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self::Item<'w>, JobError> {
        let (rows, parts) = job.next_view()?;
        Ok(View::new(rows, parts))
    }
}
