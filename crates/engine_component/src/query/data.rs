//! What a query's items can be: `Entity`, `&T`, `&mut T`, `Option<&T>`, `Option<&mut T>`, and tuples.

#![expect(unsafe_code, reason = "rows are read through pointers, without a bounds check each")]

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::descriptor::{ColumnAccess, ItemNames, QueryDescriptor};
use super::documents::TypedRows;
use super::marks::{Mark, Marks, OptionalMark};
use super::part::{ColumnView, Source};
use crate::Entity;
use crate::data::{Component, Data, DocumentStorage, Plain, PlainStorage, Storage, StorageKind, Tag, TagStorage};

/// How a query reaches the rows of a type, by its storage.
pub trait FetchStorage<T>: Storage<T> {
    /// A column, ready to be read row by row.
    type Rows<'a>: Copy;

    /// The rows of a column; none where the component is absent.
    fn rows<'a>(column: ColumnView<'a>, write: bool) -> Option<Self::Rows<'a>>
    where
        T: 'a;

    /// Whether a row has a value of the type.
    fn matches(rows: &Self::Rows<'_>, row: usize) -> bool;

    /// # Safety
    /// The row exists, [`Self::matches`] it, and no `&mut` to its value is alive.
    unsafe fn read<'a>(rows: &Self::Rows<'a>, row: usize) -> &'a T
    where
        T: 'a;

    /// # Safety
    /// The row exists, [`Self::matches`] it, the rows were taken to be written, and no other reference to
    /// its value is alive.
    unsafe fn write<'a>(rows: &Self::Rows<'a>, row: usize) -> &'a mut T
    where
        T: 'a;
}

impl<T: Data + Plain> FetchStorage<T> for PlainStorage {
    type Rows<'a> = NonNull<T>;

    #[inline]
    fn rows<'a>(column: ColumnView<'a>, write: bool) -> Option<NonNull<T>>
    where
        T: 'a,
    {
        let ColumnView::Plain(first, stride, writable) = column else { return None };
        assert!(stride == size_of::<T>(), "a column of `{}` has values of {stride} bytes", T::NAME);
        assert!(writable || !write, "`{}` is written through a query that only reads it", T::NAME);
        let first: NonNull<T> = first.cast();
        // Not only in debug builds: bytes that somebody lends to a part may lie anywhere.
        assert!(first.is_aligned(), "the values of `{}` are not aligned", T::NAME);
        Some(first)
    }

    #[inline]
    fn matches(_rows: &NonNull<T>, _row: usize) -> bool {
        true
    }

    #[inline]
    unsafe fn read<'a>(rows: &NonNull<T>, row: usize) -> &'a T
    where
        T: 'a,
    {
        // SAFETY: the source promised initialised rows for 'a, and the row exists; any bytes are a `T`;
        // `rows` has checked stride and alignment.
        unsafe { rows.add(row).as_ref() }
    }

    #[inline]
    unsafe fn write<'a>(rows: &NonNull<T>, row: usize) -> &'a mut T
    where
        T: 'a,
    {
        // SAFETY: as for `read`, and the source promised that nobody else uses writable rows.
        unsafe { rows.add(row).as_mut() }
    }
}

impl<T: Data> FetchStorage<T> for DocumentStorage
where
    DocumentStorage: Storage<T>,
{
    type Rows<'a> = TypedRows<'a, T>;

    fn rows<'a>(column: ColumnView<'a>, _write: bool) -> Option<TypedRows<'a, T>>
    where
        T: 'a,
    {
        match column {
            ColumnView::Document(documents) => Some(documents.typed()),
            _ => None,
        }
    }

    fn matches(rows: &TypedRows<'_, T>, row: usize) -> bool {
        rows.decodes(row)
    }

    unsafe fn read<'a>(rows: &TypedRows<'a, T>, row: usize) -> &'a T
    where
        T: 'a,
    {
        // SAFETY: the caller's promise.
        unsafe { rows.read(row) }
    }

    unsafe fn write<'a>(rows: &TypedRows<'a, T>, row: usize) -> &'a mut T
    where
        T: 'a,
    {
        // SAFETY: the caller's promise.
        unsafe { rows.write(row) }
    }
}

impl<T: Data + Tag> FetchStorage<T> for TagStorage {
    type Rows<'a> = ();

    fn rows<'a>(column: ColumnView<'a>, _write: bool) -> Option<()>
    where
        T: 'a,
    {
        matches!(column, ColumnView::Tag).then_some(())
    }

    fn matches(_rows: &(), _row: usize) -> bool {
        true
    }

    unsafe fn read<'a>(_rows: &(), _row: usize) -> &'a T
    where
        T: 'a,
    {
        const { assert!(size_of::<T>() == 0, "a tag has no data") };
        Box::leak(Box::new(T::VALUE)) // Nothing is allocated for a type without size.
    }

    unsafe fn write<'a>(_rows: &(), _row: usize) -> &'a mut T
    where
        T: 'a,
    {
        const { assert!(size_of::<T>() == 0, "a tag has no data") };
        Box::leak(Box::new(T::VALUE))
    }
}

/// What a query hands out for each row.
///
/// # Safety
/// `describe` and `fetch` use up the same columns in the same order, and `item` touches nothing but what
/// `describe` said. `ReadOnly` has the same columns, and writes none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no item of a query",
    label = "no item of a query",
    note = "items are `Entity`, `&T`, `&mut T`, `Option<&T>`, `Option<&mut T>` and tuples of up to 12 of them, where `T` derives `Component`"
)]
pub unsafe trait QueryData {
    /// The item of a row.
    type Item<'a>;
    /// The same, only read.
    type ReadOnly: ReadOnlyQueryData;
    /// The columns of a part.
    type Fetch<'a>: Copy;
    /// Where changes are noted, of each column that is written.
    type Marks: Marks;
    /// Whether an item is a document. Documents may not decode, so such rows are looked at one by one.
    const DOCUMENTS: bool;

    /// Appends what is touched, and how people call it.
    fn describe(descriptor: &mut QueryDescriptor, names: &mut ItemNames);

    /// The columns of a part, from `slot` on.
    fn fetch<'a, S: Source<'a>>(source: &S, slot: &mut usize) -> Self::Fetch<'a>;

    /// Whether a row has all values.
    #[inline]
    fn matches(_fetch: &Self::Fetch<'_>, _row: usize) -> bool {
        true
    }

    /// # Safety
    /// The row is one of the part's, it [`matches`](Self::matches), and no item of it is alive that writes
    /// what this one touches, or touches what this one writes.
    unsafe fn item<'a>(fetch: &Self::Fetch<'a>, row: usize) -> Self::Item<'a>;

    /// The same item, borrowed for less time.
    fn shorten<'long: 'short, 'short>(item: Self::Item<'long>) -> Self::Item<'short>;
}

/// Items that only read.
///
/// # Safety
/// `item` writes nothing.
pub unsafe trait ReadOnlyQueryData: QueryData {}

// SAFETY: no column; the entities of a part are only read.
unsafe impl QueryData for Entity {
    type Item<'a> = Entity;
    type ReadOnly = Entity;
    type Fetch<'a> = &'a [Entity];
    type Marks = ();
    const DOCUMENTS: bool = false;

    fn describe(descriptor: &mut QueryDescriptor, names: &mut ItemNames) {
        descriptor.entity = true;
        names.skip();
    }

    #[inline]
    fn fetch<'a, S: Source<'a>>(source: &S, _slot: &mut usize) -> &'a [Entity] {
        source.entities()
    }

    #[inline]
    unsafe fn item<'a>(fetch: &Self::Fetch<'a>, row: usize) -> Self::Item<'a> {
        // SAFETY: the row is one of the part's.
        unsafe { *fetch.get_unchecked(row) }
    }

    #[inline]
    fn shorten<'long: 'short, 'short>(item: Entity) -> Entity {
        item
    }
}
// SAFETY: as above.
unsafe impl ReadOnlyQueryData for Entity {}

fn column<T: Data>(descriptor: &mut QueryDescriptor, names: &mut ItemNames, write: bool, optional: bool) {
    descriptor.columns.push(ColumnAccess { component: T::ID, write, optional });
    let reference = format!("{}{}", if write { "&mut " } else { "&" }, T::NAME);
    names.push(&if optional { format!("Option<{reference}>") } else { reference });
}

/// The rows of a column of one type.
pub struct ColumnFetch<'a, T: Data>(Option<<T::Storage as FetchStorage<T>>::Rows<'a>>, PhantomData<&'a T>);

impl<T: Data> Clone for ColumnFetch<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Data> Copy for ColumnFetch<'_, T> {}

impl<T: Data> std::fmt::Debug for ColumnFetch<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ColumnFetch({})", T::NAME)
    }
}

impl<'a, T: Data> ColumnFetch<'a, T> {
    #[inline]
    fn optional<S: Source<'a>>(source: &S, slot: &mut usize, write: bool) -> Self {
        let rows = T::Storage::rows(source.column(*slot), write);
        *slot += 1;
        Self(rows, PhantomData)
    }

    #[inline]
    fn required<S: Source<'a>>(source: &S, slot: &mut usize, write: bool) -> Self {
        let fetch = Self::optional(source, slot, write);
        assert!(fetch.0.is_some(), "a part without `{}` is given to a query that wants it", T::NAME);
        fetch
    }

    #[inline]
    fn matches(&self, row: usize) -> bool {
        self.0.as_ref().is_none_or(|rows| T::Storage::matches(rows, row))
    }

    /// # Safety
    /// As for [`FetchStorage::read`].
    #[inline]
    unsafe fn read(&self, row: usize) -> Option<&'a T> {
        // SAFETY: the caller's promise.
        self.0.as_ref().map(|rows| unsafe { T::Storage::read(rows, row) })
    }

    /// # Safety
    /// As for [`FetchStorage::write`].
    #[inline]
    unsafe fn write(&self, row: usize) -> Option<&'a mut T> {
        // SAFETY: the caller's promise.
        self.0.as_ref().map(|rows| unsafe { T::Storage::write(rows, row) })
    }

    pub(super) fn rows(&self) -> Option<<T::Storage as FetchStorage<T>>::Rows<'a>> {
        self.0
    }
}

macro_rules! single {
    ($query:ty, $item:ty, $read_only:ty, $write:literal, $optional:literal, $marks:ty, $fetch:ident, $get:ident, |$value:ident| $finish:expr) => {
        // SAFETY: one column is described and fetched; `item` reads or writes only its row.
        unsafe impl<T: Component> QueryData for $query {
            type Item<'a> = $item;
            type ReadOnly = $read_only;
            type Fetch<'a> = ColumnFetch<'a, T>;
            type Marks = $marks;
            const DOCUMENTS: bool = matches!(T::KIND, StorageKind::Document);

            fn describe(descriptor: &mut QueryDescriptor, names: &mut ItemNames) {
                column::<T>(descriptor, names, $write, $optional);
            }

            #[inline]
            fn fetch<'a, S: Source<'a>>(source: &S, slot: &mut usize) -> Self::Fetch<'a> {
                ColumnFetch::$fetch(source, slot, $write)
            }

            #[inline]
            fn matches(fetch: &Self::Fetch<'_>, row: usize) -> bool {
                fetch.matches(row)
            }

            #[inline]
            unsafe fn item<'a>(fetch: &Self::Fetch<'a>, row: usize) -> Self::Item<'a> {
                // SAFETY: the caller's promise.
                let $value = unsafe { fetch.$get(row) };
                $finish
            }

            #[inline]
            fn shorten<'long: 'short, 'short>(item: Self::Item<'long>) -> Self::Item<'short> {
                item
            }
        }
    };
}

single!(&T, &'a T, Self, false, false, (), required, read, |value| {
    // SAFETY: `required` has made sure that the column is there.
    unsafe { value.unwrap_unchecked() }
});
single!(&mut T, &'a mut T, &'static T, true, false, Mark, required, write, |value| {
    // SAFETY: `required` has made sure that the column is there.
    unsafe { value.unwrap_unchecked() }
});
single!(Option<&T>, Option<&'a T>, Self, false, true, (), optional, read, |value| value);
single!(Option<&mut T>, Option<&'a mut T>, Option<&'static T>, true, true, OptionalMark, optional, write, |value| {
    value
});
// SAFETY: `item` is read by `ColumnFetch::read`.
unsafe impl<T: Component> ReadOnlyQueryData for &T {}
// SAFETY: `item` is read by `ColumnFetch::read`.
unsafe impl<T: Component> ReadOnlyQueryData for Option<&T> {}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        // SAFETY: the members keep the promise one after the other, on columns of their own.
        unsafe impl<$($name: QueryData),*> QueryData for ($($name,)*) {
            type Item<'a> = ($($name::Item<'a>,)*);
            type ReadOnly = ($($name::ReadOnly,)*);
            type Fetch<'a> = ($($name::Fetch<'a>,)*);
            type Marks = ($($name::Marks,)*);
            const DOCUMENTS: bool = false $(|| $name::DOCUMENTS)*;

            fn describe(_descriptor: &mut QueryDescriptor, _names: &mut ItemNames) {
                $($name::describe(_descriptor, _names);)*
            }

            #[inline]
            #[allow(clippy::unused_unit, reason = "the empty tuple")]
            fn fetch<'a, Src: Source<'a>>(_source: &Src, _slot: &mut usize) -> Self::Fetch<'a> {
                ($($name::fetch(_source, _slot),)*)
            }

            #[inline]
            fn matches(_fetch: &Self::Fetch<'_>, _row: usize) -> bool {
                true $(&& $name::matches(&_fetch.$index, _row))*
            }

            #[inline]
            #[allow(clippy::unused_unit, reason = "the empty tuple")]
            unsafe fn item<'a>(_fetch: &Self::Fetch<'a>, _row: usize) -> Self::Item<'a> {
                // SAFETY: the caller's promise.
                ($(unsafe { $name::item(&_fetch.$index, _row) },)*)
            }

            #[inline]
            #[allow(clippy::unused_unit, reason = "the empty tuple")]
            fn shorten<'long: 'short, 'short>(_item: Self::Item<'long>) -> Self::Item<'short> {
                ($($name::shorten(_item.$index),)*)
            }
        }
        // SAFETY: all members only read.
        unsafe impl<$($name: ReadOnlyQueryData),*> ReadOnlyQueryData for ($($name,)*) {}
    };
}

tuple!();
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
