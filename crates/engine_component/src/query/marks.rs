//! Where changes are noted when single rows of a table are written, for each column that a query writes.
//!
//! The type has the shape of the query: a row is marked without a loop, and what only reads has nothing to mark.

#![expect(unsafe_code, reason = "versions of blocks are written through pointers that were taken once for all rows")]

use crate::changes::BLOCK_ROWS;

/// The marks of what a query writes: of one item, or of a tuple of them.
pub trait Marks: Copy {
    /// Marks of a table that does not match.
    const NONE: Self;

    /// Takes as many as it needs: the versions of the blocks of each written column, in the order of the query's
    /// description; null where an optional column is absent.
    fn take(next: &mut impl FnMut() -> *mut u64) -> Self;

    /// The row changed.
    ///
    /// # Safety
    /// What was taken has a version for the block of this row, and nobody else uses it meanwhile.
    unsafe fn note(&self, row: usize, version: u64);
}

/// An item that is only read.
impl Marks for () {
    const NONE: Self = ();

    #[inline]
    fn take(_next: &mut impl FnMut() -> *mut u64) -> Self {}

    #[inline]
    unsafe fn note(&self, _row: usize, _version: u64) {}
}

/// The versions of the blocks of a column that is written.
#[derive(Clone, Copy, Debug)]
pub struct Mark(*mut u64);

impl Marks for Mark {
    const NONE: Self = Self(std::ptr::null_mut());

    #[inline]
    fn take(next: &mut impl FnMut() -> *mut u64) -> Self {
        let blocks = next();
        debug_assert!(!blocks.is_null(), "a column that is not optional is there");
        Self(blocks)
    }

    #[inline]
    unsafe fn note(&self, row: usize, version: u64) {
        // SAFETY: the caller's promise.
        unsafe { *self.0.add(row / BLOCK_ROWS) = version };
    }
}

/// As [`Mark`], of a column that may be absent.
#[derive(Clone, Copy, Debug)]
pub struct OptionalMark(*mut u64);

impl Marks for OptionalMark {
    const NONE: Self = Self(std::ptr::null_mut());

    #[inline]
    fn take(next: &mut impl FnMut() -> *mut u64) -> Self {
        Self(next())
    }

    #[inline]
    unsafe fn note(&self, row: usize, version: u64) {
        if !self.0.is_null() {
            // SAFETY: the caller's promise.
            unsafe { *self.0.add(row / BLOCK_ROWS) = version };
        }
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Marks),*> Marks for ($($name,)*) {
            const NONE: Self = ($($name::NONE,)*);

            #[inline]
            fn take(next: &mut impl FnMut() -> *mut u64) -> Self {
                ($($name::take(next),)*)
            }

            #[inline]
            unsafe fn note(&self, row: usize, version: u64) {
                // SAFETY: the caller's promise.
                $(unsafe { self.$index.note(row, version) };)*
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
