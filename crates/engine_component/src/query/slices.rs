//! Whole columns of a part as slices: what the compiler turns into vector code.

#![expect(unsafe_code, reason = "slices are made of the pointers that parts hold")]

use super::data::QueryData;
use crate::Entity;
use crate::data::{Component, Plain, PlainStorage};

/// Items whose columns can be taken as slices: `Entity`, Plain components, and tuples of them.
///
/// # Safety
/// The slices cover exactly the columns of the items.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no slices",
    note = "Plain components and `Entity` can be taken as slices; documents and tags are reached row by row"
)]
pub unsafe trait SliceData: QueryData {
    /// The slices of a part.
    type Slices<'a>;

    /// # Safety
    /// The part has so many rows; nobody else uses what is written, or writes what is read.
    unsafe fn slices<'a>(fetch: &Self::Fetch<'a>, rows: usize) -> Self::Slices<'a>;
}

// SAFETY: the part's entities.
unsafe impl SliceData for Entity {
    type Slices<'a> = &'a [Entity];

    unsafe fn slices<'a>(fetch: &Self::Fetch<'a>, _rows: usize) -> Self::Slices<'a> {
        fetch
    }
}

// SAFETY: the column's rows.
unsafe impl<T: Component<Storage = PlainStorage> + Plain> SliceData for &T {
    type Slices<'a> = &'a [T];

    unsafe fn slices<'a>(fetch: &Self::Fetch<'a>, rows: usize) -> &'a [T] {
        let first = fetch.rows().expect("a required column is there").as_ptr();
        // SAFETY: the source promised so many initialised rows; any bytes are a `T`; alignment was checked.
        unsafe { std::slice::from_raw_parts(first, rows) }
    }
}

// SAFETY: the column's rows.
unsafe impl<T: Component<Storage = PlainStorage> + Plain> SliceData for &mut T {
    type Slices<'a> = &'a mut [T];

    unsafe fn slices<'a>(fetch: &Self::Fetch<'a>, rows: usize) -> &'a mut [T] {
        let first = fetch.rows().expect("a required column is there").as_ptr();
        // SAFETY: as above, and nobody else uses writable rows.
        unsafe { std::slice::from_raw_parts_mut(first, rows) }
    }
}

// SAFETY: the column's rows, where there is one.
unsafe impl<T: Component<Storage = PlainStorage> + Plain> SliceData for Option<&T> {
    type Slices<'a> = Option<&'a [T]>;

    unsafe fn slices<'a>(fetch: &Self::Fetch<'a>, rows: usize) -> Option<&'a [T]> {
        // SAFETY: as above.
        fetch.rows().map(|first| unsafe { std::slice::from_raw_parts(first.as_ptr(), rows) })
    }
}

// SAFETY: the column's rows, where there is one.
unsafe impl<T: Component<Storage = PlainStorage> + Plain> SliceData for Option<&mut T> {
    type Slices<'a> = Option<&'a mut [T]>;

    unsafe fn slices<'a>(fetch: &Self::Fetch<'a>, rows: usize) -> Option<&'a mut [T]> {
        // SAFETY: as above, and nobody else uses writable rows.
        fetch.rows().map(|first| unsafe { std::slice::from_raw_parts_mut(first.as_ptr(), rows) })
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        // SAFETY: those of the members.
        unsafe impl<$($name: SliceData),*> SliceData for ($($name,)*) {
            type Slices<'a> = ($($name::Slices<'a>,)*);

            unsafe fn slices<'a>(fetch: &Self::Fetch<'a>, rows: usize) -> Self::Slices<'a> {
                // SAFETY: the caller's promise.
                ($(unsafe { $name::slices(&fetch.$index, rows) },)*)
            }
        }
    };
}

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
