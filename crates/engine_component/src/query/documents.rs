//! Documents of a part: decoded when a row is looked at, encoded again when it was written.

#![expect(unsafe_code, reason = "rows of a query are handed out one by one, as rows of a slice are")]

use std::any::Any;
use std::cell::{Cell as Counter, OnceCell, RefCell, UnsafeCell};

use crate::data::{Data, Storage};
use crate::documents::DocumentRows;

/// A run of a document column's rows. The typed values are made by the query that knows the type.
pub struct DocumentColumn<'a> {
    documents: DocumentRows<'a>,
    first_row: usize,
    rows: usize,
    cells: OnceCell<Box<dyn Cells>>,
}

impl std::fmt::Debug for DocumentColumn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DocumentColumn(rows {}..{})", self.first_row, self.first_row + self.rows)
    }
}

/// Decoded documents whose type only the query knows.
pub trait Cells: Any + Send {
    /// The rows that were handed out to be written, with their documents encoded.
    fn written(&self) -> Vec<(usize, Vec<u8>)>;

    /// Rows that were looked at and did not decode.
    fn undecodable(&self) -> usize;
}

impl<'a> DocumentColumn<'a> {
    /// Rows of a column.
    #[must_use]
    pub fn new(documents: DocumentRows<'a>, first_row: usize, rows: usize) -> Self {
        Self { documents, first_row, rows, cells: OnceCell::new() }
    }

    /// Rows whose documents differ from those in the column, with the new ones. It reads what queries have
    /// written: it is for when they are gone.
    #[must_use]
    pub fn changes(&self) -> Vec<(usize, Vec<u8>)> {
        let mut written = self.cells.get().map(|cells| cells.written()).unwrap_or_default();
        written.retain(|(row, bytes)| self.documents.row(self.first_row + row) != bytes.as_slice());
        written
    }

    /// Rows that a query looked at and did not match, since their documents are not of its type.
    #[must_use]
    pub fn undecodable(&self) -> usize {
        self.cells.get().map_or(0, |cells| cells.undecodable())
    }

    pub(super) fn typed<T: Data>(&'a self) -> TypedRows<'a, T> {
        let cells = self.cells.get_or_init(|| Box::new(OwnedCells::<T>::new(self.rows)));
        let cells: &dyn Any = cells.as_ref();
        TypedRows { column: self, cells: cells.downcast_ref().expect("one column is queried as one type") }
    }
}

/// The decoded values.
struct OwnedCells<T> {
    rows: Box<[Cell<T>]>,
    written: RefCell<Vec<bool>>,
    undecodable: Counter<usize>,
}

struct Cell<T>(UnsafeCell<Slot<T>>);

enum Slot<T> {
    Raw,
    Decoded(T),
    Undecodable,
}

impl<T: Data> OwnedCells<T> {
    fn new(rows: usize) -> Self {
        let cells = (0..rows).map(|_| Cell(UnsafeCell::new(Slot::Raw)));
        Self { rows: cells.collect(), written: RefCell::new(vec![false; rows]), undecodable: Counter::new(0) }
    }
}

impl<T: Data> Cells for OwnedCells<T> {
    fn written(&self) -> Vec<(usize, Vec<u8>)> {
        let written = self.written.borrow();
        let rows = written.iter().enumerate().filter(|(_, written)| **written).map(|(row, _)| row);
        rows.filter_map(|row| {
            // SAFETY: called when the job is over: no reference that a query handed out is alive any more.
            match unsafe { &*self.rows[row].0.get() } {
                Slot::Decoded(value) => Some((row, T::Storage::with_bytes(value, <[u8]>::to_vec))),
                Slot::Raw | Slot::Undecodable => None,
            }
        })
        .collect()
    }

    fn undecodable(&self) -> usize {
        self.undecodable.get()
    }
}

/// A document column together with its values of a type.
pub struct TypedRows<'a, T> {
    column: &'a DocumentColumn<'a>,
    cells: &'a OwnedCells<T>,
}

impl<T> Clone for TypedRows<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TypedRows<'_, T> {}

impl<T> std::fmt::Debug for TypedRows<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.column.fmt(f)
    }
}

impl<'a, T: Data> TypedRows<'a, T> {
    /// Whether the row's document is one of the type.
    pub(super) fn decodes(&self, row: usize) -> bool {
        let slot = self.cells.rows[row].0.get();
        // SAFETY: one thread has the cells, and nobody holds a `&mut` to a slot that is still `Raw`; a
        // slot that is not `Raw` is only looked at here.
        if let Slot::Raw = unsafe { &*slot } {
            let decoded = match T::Storage::decode(self.column.documents.row(self.column.first_row + row)) {
                Ok(value) => Slot::Decoded(value),
                Err(_) => {
                    self.cells.undecodable.set(self.cells.undecodable.get() + 1);
                    Slot::Undecodable
                }
            };
            // SAFETY: as above: no reference into a `Raw` slot has been handed out.
            unsafe { *slot = decoded };
        }
        // SAFETY: as above.
        matches!(unsafe { &*slot }, Slot::Decoded(_))
    }

    /// The value of a row.
    ///
    /// # Safety
    /// [`Self::decodes`] was true for the row, and no `&mut` to its value is alive.
    pub(super) unsafe fn read(&self, row: usize) -> &'a T {
        // SAFETY: the caller's promise.
        match unsafe { &*self.cells.rows[row].0.get() } {
            Slot::Decoded(value) => value,
            Slot::Raw | Slot::Undecodable => unreachable!("rows that do not decode are not matched"),
        }
    }

    /// The value of a row, to be written.
    ///
    /// # Safety
    /// [`Self::decodes`] was true for the row, and no other reference to its value is alive.
    pub(super) unsafe fn write(&self, row: usize) -> &'a mut T {
        self.cells.written.borrow_mut()[row] = true;
        // SAFETY: the caller's promise.
        match unsafe { &mut *self.cells.rows[row].0.get() } {
            Slot::Decoded(value) => value,
            Slot::Raw | Slot::Undecodable => unreachable!("rows that do not decode are not matched"),
        }
    }
}
