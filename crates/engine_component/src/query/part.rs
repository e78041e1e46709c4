//! Parts: runs of rows of one table, as a query sees them.

#![expect(unsafe_code, reason = "parts of one table are handed to several threads as raw pointers")]

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::documents::DocumentColumn;
use crate::bit_rows::BitRows;
use crate::{ComponentId, Entity};

/// One column of a part.
#[derive(Debug)]
pub enum PartColumn<'a> {
    /// The archetype does not have the (optional) component.
    Absent,
    /// There, without data.
    Tag,
    /// Plain values, back to back.
    Plain(PlainRows<'a>),
    /// Documents.
    Document(DocumentColumn<'a>),
}

/// Plain values of a part: a pointer, since other parts of the same column are in use elsewhere. Neither
/// `Clone` nor `Copy`: a second one of writable values would be a second `&mut` to them.
#[derive(Debug)]
pub struct PlainRows<'a> {
    first: NonNull<u8>,
    stride: usize,
    /// Rows that the memory holds; [`usize::MAX`] when the maker of the part has promised enough.
    rows: usize,
    writable: bool,
    borrow: PhantomData<&'a mut [u8]>,
}

// SAFETY: the rows are exclusively (writable) or jointly (not writable) borrowed for 'a, like a slice;
// plain bytes may be used on any thread.
unsafe impl Send for PlainRows<'_> {}

impl<'a> PartColumn<'a> {
    /// Plain values that are only read.
    ///
    /// # Panics
    /// When the bytes are not whole values.
    #[must_use]
    pub fn read(bytes: &'a [u8], stride: usize) -> Self {
        let rows = whole_rows(bytes.len(), stride);
        Self::plain(NonNull::from(bytes).cast(), stride, rows, false)
    }

    /// Plain values that are written.
    ///
    /// # Panics
    /// When the bytes are not whole values.
    #[must_use]
    pub fn write(bytes: &'a mut [u8], stride: usize) -> Self {
        let rows = whole_rows(bytes.len(), stride);
        Self::plain(NonNull::from(bytes).cast(), stride, rows, true)
    }

    fn plain(first: NonNull<u8>, stride: usize, rows: usize, writable: bool) -> Self {
        // No bytes may lie anywhere, also where no value could: then any aligned address does.
        let first = if rows == 0 { NonNull::<u128>::dangling().cast() } else { first };
        Self::Plain(PlainRows { first, stride, rows, writable, borrow: PhantomData })
    }

    /// Plain values by a pointer to the first.
    ///
    /// # Safety
    /// For all of `'a`, and for `stride` bytes of each row of the part that the column is put into: the memory
    /// is initialised, valid to be read through `first`, and not written by anybody else; when `writable`, it
    /// is also valid to be written through `first`, and not read by anybody else. "Anybody" is every thread
    /// and every other part. Other rows of the same column, and other columns of the same table, may be
    /// written meanwhile, by whoever reaches them through pointers as well.
    #[must_use]
    pub unsafe fn from_raw(first: *mut u8, stride: usize, writable: bool) -> Self {
        match NonNull::new(first) {
            Some(first) => Self::plain(first, stride, usize::MAX, writable),
            // Only a part without rows has no memory.
            None => Self::plain(NonNull::dangling(), stride, 0, writable),
        }
    }
}

fn whole_rows(bytes: usize, stride: usize) -> usize {
    assert!(stride > 0 && bytes.is_multiple_of(stride), "{bytes} bytes are not whole values of {stride}");
    bytes / stride
}

/// Rows of one table.
#[derive(Debug)]
pub struct Part<'a> {
    /// The entity of each row.
    pub entities: &'a [Entity],
    /// The table's components, sorted.
    pub archetype: &'a [ComponentId],
    /// A column for each of the query's.
    pub columns: Vec<PartColumn<'a>>,
    /// The changed rows for each component that the filter asks for. A component that is not listed
    /// counts as changed in every row.
    pub changed: Vec<(ComponentId, BitRows)>,
}

/// A column, looked at.
#[derive(Clone, Copy, Debug)]
pub enum ColumnView<'a> {
    /// Not there.
    Absent,
    /// There, without data.
    Tag,
    /// The first value, the stride, and whether it may be written.
    Plain(NonNull<u8>, usize, bool),
    /// Documents.
    Document(&'a DocumentColumn<'a>),
}

/// Where a query gets its rows: a part, or a table of a world.
///
/// # Safety
/// The values of a Plain [`column`](Self::column) are initialised, for as many rows as there are
/// [`entities`](Self::entities), and stay for `'a`; nobody writes them meanwhile but through the query, nor
/// reads them when they may be written. Writable columns do not overlap others.
pub unsafe trait Source<'a> {
    /// The entity of each row.
    fn entities(&self) -> &'a [Entity];
    /// The table's components, sorted.
    fn archetype(&self) -> &'a [ComponentId];
    /// The query's column.
    fn column(&self, slot: usize) -> ColumnView<'a>;
    /// The changed rows of a component; none: every row counts as changed.
    fn changed(&self, component: ComponentId) -> Option<&'a BitRows>;
}

// SAFETY: what the makers of the columns borrowed or promised; the number of rows is checked here.
unsafe impl<'a> Source<'a> for &'a Part<'a> {
    fn entities(&self) -> &'a [Entity] {
        self.entities
    }

    fn archetype(&self) -> &'a [ComponentId] {
        self.archetype
    }

    fn column(&self, slot: usize) -> ColumnView<'a> {
        match self.columns.get(slot) {
            None | Some(PartColumn::Absent) => ColumnView::Absent,
            Some(PartColumn::Tag) => ColumnView::Tag,
            Some(PartColumn::Plain(plain)) => {
                let (has, wanted) = (plain.rows, self.entities.len());
                assert!(has >= wanted, "a column of {has} rows in a part of {wanted} rows");
                ColumnView::Plain(plain.first, plain.stride, plain.writable)
            }
            Some(PartColumn::Document(documents)) => ColumnView::Document(documents),
        }
    }

    fn changed(&self, component: ComponentId) -> Option<&'a BitRows> {
        self.changed.iter().find(|changed| changed.0 == component).map(|changed| &changed.1)
    }
}
