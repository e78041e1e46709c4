//! Parts: runs of rows of one table, as a query sees them.

#![expect(unsafe_code, reason = "parts of one table are handed to several threads as raw pointers")]

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::documents::DocumentColumn;
use crate::changes::BitRows;
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

/// Plain values of a part: a pointer, since other parts of the same column are in use elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct PlainRows<'a> {
    first: NonNull<u8>,
    stride: usize,
    writable: bool,
    rows: PhantomData<&'a mut [u8]>,
}

// SAFETY: the rows are exclusively (writable) or jointly (not writable) borrowed for 'a, like a slice;
// plain bytes may be used on any thread.
unsafe impl Send for PlainRows<'_> {}

impl<'a> PartColumn<'a> {
    /// Plain values that are only read.
    #[must_use]
    pub fn read(bytes: &'a [u8], stride: usize) -> Self {
        Self::plain(NonNull::from(bytes).cast(), stride, false)
    }

    /// Plain values that are written.
    #[must_use]
    pub fn write(bytes: &'a mut [u8], stride: usize) -> Self {
        Self::plain(NonNull::from(bytes).cast(), stride, true)
    }

    fn plain(first: NonNull<u8>, stride: usize, writable: bool) -> Self {
        Self::Plain(PlainRows { first, stride, writable, rows: PhantomData })
    }

    /// Plain values by a pointer to the first.
    ///
    /// # Safety
    /// For all of `'a` and for as many rows as the part has: the memory is initialised, aligned for the
    /// column's type, and not written by anybody else; when `writable`, also not read by anybody else.
    #[must_use]
    pub unsafe fn from_raw(first: *mut u8, stride: usize, writable: bool) -> Self {
        // A column without rows may have no memory: any aligned address does.
        Self::plain(NonNull::new(first).unwrap_or(NonNull::<u128>::dangling().cast()), stride, writable)
    }
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
pub trait Source<'a> {
    /// The entity of each row.
    fn entities(&self) -> &'a [Entity];
    /// The table's components, sorted.
    fn archetype(&self) -> &'a [ComponentId];
    /// The query's column.
    fn column(&self, slot: usize) -> ColumnView<'a>;
    /// The changed rows of a component; none: every row counts as changed.
    fn changed(&self, component: ComponentId) -> Option<&'a BitRows>;
}

impl<'a> Source<'a> for &'a Part<'a> {
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
            Some(PartColumn::Plain(rows)) => ColumnView::Plain(rows.first, rows.stride, rows.writable),
            Some(PartColumn::Document(documents)) => ColumnView::Document(documents),
        }
    }

    fn changed(&self, component: ComponentId) -> Option<&'a BitRows> {
        self.changed.iter().find(|changed| changed.0 == component).map(|changed| &changed.1)
    }
}
