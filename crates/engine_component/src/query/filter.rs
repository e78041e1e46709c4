//! Which rows a query matches: `With`, `Without`, `Changed`, `Or`, and tuples, which mean all of them.

use std::marker::PhantomData;

use super::descriptor::Filter;
use super::part::Source;
use crate::bit_rows::BitRows;
use crate::data::Component;

/// Rows of entities that have the component.
#[derive(Debug)]
pub struct With<T>(PhantomData<T>);

/// Rows of entities that do not have the component.
#[derive(Debug)]
pub struct Without<T>(PhantomData<T>);

/// Rows whose component was added or changed since the system last ran. What the system wrote itself does
/// not count.
#[derive(Debug)]
pub struct Changed<T>(PhantomData<T>);

/// Rows that at least one filter of a tuple matches.
///
/// ```
/// use engine_component::{Component, World, query::{Or, QueryState, With, Without}};
/// # #[derive(Component, Clone, Copy)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// # #[derive(Component, Clone, Copy)]
/// # #[component(name = "doc.Frozen")]
/// # struct Frozen;
/// let mut world = World::default();
/// world.spawn_batch([(Position { x: 1.0 },), (Position { x: 2.0 },)]);
/// world.spawn((Position { x: 4.0 }, Frozen));
/// let sum = |positions: Vec<&Position>| positions.iter().map(|position| position.x).sum::<f32>();
/// let mut frozen = QueryState::<&Position, With<Frozen>>::new().unwrap();
/// assert_eq!(sum(frozen.iter(&world).collect()), 4.0);
/// let mut all = QueryState::<&Position, Or<(With<Frozen>, Without<Frozen>)>>::new().unwrap();
/// assert_eq!(sum(all.iter(&world).collect()), 7.0);
/// ```
#[derive(Debug)]
pub struct Or<T>(PhantomData<T>);

/// A filter.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no filter of a query",
    label = "no filter of a query",
    note = "filters are `With<T>`, `Without<T>`, `Changed<T>`, `Or<(…)>` and tuples of up to 12 of them, where `T` derives `Component`"
)]
pub trait QueryFilter {
    /// The filter, applied to a part.
    type Fetch<'a>: Copy;
    /// Whether rows of one part can differ. When not, a part is taken or left as a whole.
    const PER_ROW: bool;

    /// The filter without its types.
    fn describe() -> Filter;

    /// Applies the filter to a part.
    fn fetch<'a, S: Source<'a>>(source: &S) -> Self::Fetch<'a>;

    /// Whether a row of the part matches.
    fn matches(fetch: &Self::Fetch<'_>, row: usize) -> bool;

    /// A row from this one on before which none matches; what is `rows` or more means that no further one of so
    /// many does.
    #[inline]
    fn skip(_fetch: &Self::Fetch<'_>, row: usize, _rows: usize) -> usize {
        row
    }
}

/// A filter that matches all rows of an archetype, or none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` looks at single rows",
    note = "slices are whole columns: `With`, `Without` and `Or` of them are possible, `Changed` is not"
)]
pub trait ArchetypeFilter: QueryFilter {}

impl<T: Component> QueryFilter for With<T> {
    type Fetch<'a> = bool;
    const PER_ROW: bool = false;

    fn describe() -> Filter {
        Filter::With(T::ID)
    }

    #[inline]
    fn fetch<'a, S: Source<'a>>(source: &S) -> bool {
        source.archetype().contains(&T::ID)
    }

    #[inline]
    fn matches(fetch: &bool, _row: usize) -> bool {
        *fetch
    }
}
impl<T: Component> ArchetypeFilter for With<T> {}

impl<T: Component> QueryFilter for Without<T> {
    type Fetch<'a> = bool;
    const PER_ROW: bool = false;

    fn describe() -> Filter {
        Filter::Without(T::ID)
    }

    #[inline]
    fn fetch<'a, S: Source<'a>>(source: &S) -> bool {
        !source.archetype().contains(&T::ID)
    }

    #[inline]
    fn matches(fetch: &bool, _row: usize) -> bool {
        *fetch
    }
}
impl<T: Component> ArchetypeFilter for Without<T> {}

/// The changed rows of a part.
#[derive(Clone, Copy, Debug)]
pub enum ChangedRows<'a> {
    /// The component is not there.
    None,
    /// Nobody keeps track: all rows.
    All,
    /// These.
    Some(&'a BitRows),
}

impl<T: Component> QueryFilter for Changed<T> {
    type Fetch<'a> = ChangedRows<'a>;
    const PER_ROW: bool = true;

    fn describe() -> Filter {
        Filter::Changed(T::ID)
    }

    #[inline]
    fn fetch<'a, S: Source<'a>>(source: &S) -> ChangedRows<'a> {
        match source.changed(T::ID) {
            Some(rows) => ChangedRows::Some(rows),
            None if source.archetype().contains(&T::ID) => ChangedRows::All,
            None => ChangedRows::None,
        }
    }

    #[inline]
    fn matches(fetch: &ChangedRows<'_>, row: usize) -> bool {
        match fetch {
            ChangedRows::None => false,
            ChangedRows::All => true,
            ChangedRows::Some(rows) => rows.get(row),
        }
    }

    #[inline]
    fn skip(fetch: &ChangedRows<'_>, row: usize, rows: usize) -> usize {
        match fetch {
            ChangedRows::None => rows,
            ChangedRows::All => row,
            ChangedRows::Some(changed) => changed.first_from(row).unwrap_or(rows),
        }
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: QueryFilter),*> QueryFilter for ($($name,)*) {
            type Fetch<'a> = ($($name::Fetch<'a>,)*);
            const PER_ROW: bool = false $(|| $name::PER_ROW)*;

            fn describe() -> Filter {
                Filter::All(vec![$($name::describe()),*])
            }

            #[inline]
            #[allow(clippy::unused_unit, reason = "the empty tuple")]
            fn fetch<'a, Src: Source<'a>>(_source: &Src) -> Self::Fetch<'a> {
                ($($name::fetch(_source),)*)
            }

            #[inline]
            fn matches(_fetch: &Self::Fetch<'_>, _row: usize) -> bool {
                true $(&& $name::matches(&_fetch.$index, _row))*
            }

            #[inline]
            fn skip(_fetch: &Self::Fetch<'_>, row: usize, _rows: usize) -> usize {
                $(let row = $name::skip(&_fetch.$index, row, _rows);)*
                row
            }
        }
        impl<$($name: ArchetypeFilter),*> ArchetypeFilter for ($($name,)*) {}
    };
}

macro_rules! or {
    ($($name:ident $index:tt),*) => {
        impl<$($name: QueryFilter),*> QueryFilter for Or<($($name,)*)> {
            type Fetch<'a> = ($($name::Fetch<'a>,)*);
            const PER_ROW: bool = false $(|| $name::PER_ROW)*;

            fn describe() -> Filter {
                Filter::Any(vec![$($name::describe()),*])
            }

            #[inline]
            fn fetch<'a, Src: Source<'a>>(source: &Src) -> Self::Fetch<'a> {
                ($($name::fetch(source),)*)
            }

            #[inline]
            fn matches(fetch: &Self::Fetch<'_>, row: usize) -> bool {
                false $(|| $name::matches(&fetch.$index, row))*
            }
        }
        impl<$($name: ArchetypeFilter),*> ArchetypeFilter for Or<($($name,)*)> {}
    };
}

macro_rules! up_to_twelve {
    ($make:ident) => {
        $make!(A 0);
        $make!(A 0, B 1);
        $make!(A 0, B 1, C 2);
        $make!(A 0, B 1, C 2, D 3);
        $make!(A 0, B 1, C 2, D 3, E 4);
        $make!(A 0, B 1, C 2, D 3, E 4, F 5);
        $make!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
        $make!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
        $make!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
        $make!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
        $make!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
        $make!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
    };
}

tuple!();
up_to_twelve!(tuple);
up_to_twelve!(or);
