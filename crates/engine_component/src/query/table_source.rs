//! Tables of a world as sources of rows.

#![expect(unsafe_code, reason = "columns of one table are borrowed side by side")]

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::part::{ColumnView, Source};
use crate::bit_rows::BitRows;
use crate::data::StorageKind;
use crate::table::Table;
use crate::{ComponentId, Entity};

/// Where a query's column is in a table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Absent,
    Read(u16),
    Write(u16),
}

/// A table that is read.
pub(super) struct ReadSource<'a> {
    pub(super) table: &'a Table,
    pub(super) slots: &'a [Slot],
}

// SAFETY: a table has a value of each column for each entity, and is borrowed for 'a. Nothing is writable.
unsafe impl<'a> Source<'a> for ReadSource<'a> {
    #[inline]
    fn entities(&self) -> &'a [Entity] {
        self.table.entities()
    }

    #[inline]
    fn archetype(&self) -> &'a [ComponentId] {
        self.table.components()
    }

    #[inline]
    fn column(&self, slot: usize) -> ColumnView<'a> {
        let Some(Slot::Read(index) | Slot::Write(index)) = self.slots.get(slot) else { return ColumnView::Absent };
        let column = self.table.column(usize::from(*index));
        match column.kind() {
            StorageKind::Plain => ColumnView::Plain(NonNull::from(column.bytes()).cast(), column.stride(), false),
            StorageKind::Tag => ColumnView::Tag,
            StorageKind::Document => ColumnView::Absent,
        }
    }

    fn changed(&self, _component: ComponentId) -> Option<&'a BitRows> {
        None
    }
}

/// A table that is written.
pub(super) struct WriteSource<'a> {
    pub(super) table: *mut Table,
    pub(super) slots: &'a [Slot],
    /// With which written columns are marked as changed, if they are.
    pub(super) version: Option<u64>,
    pub(super) borrow: PhantomData<&'a mut Table>,
}

// SAFETY: a table has a value of each column for each entity, and is exclusively borrowed for 'a. Columns
// have memory of their own, and a query that writes one has no second item of it.
unsafe impl<'a> Source<'a> for WriteSource<'a> {
    #[inline]
    fn entities(&self) -> &'a [Entity] {
        // SAFETY: the table is exclusively borrowed for 'a, and nobody adds or removes rows.
        unsafe { (*self.table).entities() }
    }

    #[inline]
    fn archetype(&self) -> &'a [ComponentId] {
        // SAFETY: as above.
        unsafe { (*self.table).components() }
    }

    #[inline]
    fn column(&self, slot: usize) -> ColumnView<'a> {
        let (index, write) = match self.slots.get(slot) {
            None | Some(Slot::Absent) => return ColumnView::Absent,
            Some(Slot::Read(index)) => (*index, false),
            Some(Slot::Write(index)) => (*index, true),
        };
        // SAFETY: as above; the reference is to the column itself, while items are in memory that it owns.
        let column = unsafe { (*self.table).column_mut(usize::from(index)) };
        if let (true, Some(version)) = (write, self.version) {
            column.changes.touch_all(version);
        }
        match column.kind() {
            StorageKind::Plain => {
                let first = NonNull::new(column.as_mut_ptr()).expect("memory of a vector");
                ColumnView::Plain(first, column.stride(), write)
            }
            StorageKind::Tag => ColumnView::Tag,
            StorageKind::Document => ColumnView::Absent,
        }
    }

    fn changed(&self, _component: ComponentId) -> Option<&'a BitRows> {
        None
    }
}
