//! A column: the values of one component of all rows of a table, without knowing their type.
//!
//! Plain values stand back to back in one block that is aligned to 16 bytes, little endian, and are read
//! in place. Documents are MessagePack, a span of one heap each. Tags have no bytes. The bytes of a
//! column are what goes on the wire and into the log: there is no other representation.

use std::ops::Range;
use std::sync::Arc;

use crate::aligned::AlignedBytes;
use crate::bit_rows::BitRows;
use crate::changes::{BLOCK_ROWS, Changes, Removed};
use crate::data::StorageKind;
use crate::documents::{DocumentRows, Documents};
use crate::memory::ColumnMemory;
use crate::schema::Schema;

/// The values of one component, row by row. See the module's text.
///
/// ```
/// use engine_component::{Column, Component, Data};
/// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// let mut column = Column::new(&Position::schema());
/// column.push(&1.0_f32.to_le_bytes(), 0);
/// column.extend(2, &[2.0_f32.to_le_bytes(), 3.0_f32.to_le_bytes()].concat(), 0);
/// column.swap_remove(0, 1);
/// assert_eq!(column.as_slice::<Position>(), [Position { x: 3.0 }, Position { x: 2.0 }]);
/// ```
#[derive(Clone, Debug)]
pub struct Column {
    kind: StorageKind,
    stride: usize,
    rows: usize,
    bytes: AlignedBytes,
    documents: Documents,
    pub(crate) changes: Changes,
}

impl Column {
    /// An empty column for values of this schema.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        Self::with_trackers(schema, 0)
    }

    pub(crate) fn with_trackers(schema: &Schema, trackers: usize) -> Self {
        Self {
            kind: schema.kind,
            stride: schema.stride(),
            rows: 0,
            bytes: AlignedBytes::default(),
            documents: Documents::default(),
            changes: Changes::new(trackers),
        }
    }

    /// How the values are stored.
    #[must_use]
    pub fn kind(&self) -> StorageKind {
        self.kind
    }

    /// Bytes of a Plain value; 0 for documents and tags.
    #[inline]
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The number of rows.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// All values of a Plain column, back to back; nothing for documents and tags.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The values of a Plain column, to be written. The caller marks what it changed.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.as_mut_slice()
    }

    /// The first value of a Plain column. Valid until rows are added or removed.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    /// All values as a slice.
    ///
    /// # Panics
    /// When the size of `T` is not the stride of the column.
    #[inline]
    #[must_use]
    pub fn as_slice<T: bytemuck::Pod>(&self) -> &[T] {
        assert_eq!(size_of::<T>(), self.stride, "a column is read as the type that it holds");
        bytemuck::cast_slice(self.bytes())
    }

    /// The bytes of a row: a Plain value, a document, or nothing.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    #[must_use]
    pub fn row(&self, row: usize) -> &[u8] {
        match self.kind {
            StorageKind::Plain => &self.bytes()[row * self.stride..(row + 1) * self.stride],
            StorageKind::Document => self.documents.row(row),
            StorageKind::Tag => &[],
        }
    }

    /// The documents of its rows; none of a column of another kind.
    #[inline]
    #[must_use]
    pub fn documents(&self) -> DocumentRows<'_> {
        self.documents.rows()
    }

    /// Replaces the value of a row.
    ///
    /// # Panics
    /// When there is no such row, or the bytes are not of the stride.
    pub fn set_row(&mut self, row: usize, bytes: &[u8], version: u64) {
        self.write_row(row, bytes);
        self.changes.touch(row, version);
    }

    /// As [`Self::set_row`], without marking the change.
    pub(crate) fn write_row(&mut self, row: usize, bytes: &[u8]) {
        match self.kind {
            StorageKind::Plain => {
                let stride = self.stride;
                self.bytes.as_mut_slice()[row * stride..(row + 1) * stride].copy_from_slice(bytes);
            }
            StorageKind::Document => self.documents.set(row, bytes),
            StorageKind::Tag => {}
        }
    }

    /// Appends a row.
    ///
    /// # Panics
    /// When the bytes of a Plain value are not of the stride.
    #[inline]
    pub fn push(&mut self, bytes: &[u8], version: u64) {
        self.append(bytes);
        self.rows += 1;
        self.changes.pushed(self.rows, version);
    }

    /// The value of a row that [`Self::appended`] will complete.
    ///
    /// # Panics
    /// As [`Self::push`].
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        match self.kind {
            StorageKind::Plain => {
                assert_eq!(bytes.len(), self.stride, "a value of another size than the column's");
                self.bytes.push(bytes);
            }
            StorageKind::Document => self.documents.push(bytes),
            StorageKind::Tag => {}
        }
    }

    /// Completes rows whose values were appended; drops values that belong to no complete row.
    ///
    /// # Panics
    /// When there are not the values of so many rows.
    pub(crate) fn appended(&mut self, rows: usize, version: u64) {
        let from = self.rows;
        self.rows += rows;
        match self.kind {
            StorageKind::Plain => {
                assert!(self.bytes.len() >= self.rows * self.stride, "rows without values");
                self.bytes.truncate(self.rows * self.stride);
            }
            StorageKind::Document => {
                assert!(self.documents.len() >= self.rows, "rows without documents");
                self.documents.truncate(self.rows);
            }
            StorageKind::Tag => {}
        }
        self.changes.extended(from, self.rows, version);
    }

    /// Moves a row to the end of another table's column of this component. To trackers a row that moves is what
    /// it was: changed or not.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub(crate) fn move_row(&mut self, row: usize, target: &mut Self, version: u64) {
        match self.kind {
            StorageKind::Plain => {
                assert_eq!(self.stride, target.stride, "columns of one component");
                self.bytes.move_to(row * self.stride, self.stride, &mut target.bytes);
            }
            StorageKind::Document => {
                target.documents.push(self.documents.row(row));
                self.documents.swap_remove(row);
            }
            StorageKind::Tag => assert!(row < self.rows, "row {row} of {}", self.rows),
        }
        target.rows += 1;
        target.changes.pushed(target.rows, version);
        if self.changes.is_tracked() {
            target.changes.carried(&self.changes, row, target.rows - 1);
        }
        self.changes.swap_removed(row, self.rows, version);
        self.rows -= 1;
    }

    /// Appends many Plain rows at once, or so many tags.
    ///
    /// # Panics
    /// When the bytes are not `rows` times the stride, or the column holds documents.
    pub fn extend(&mut self, rows: usize, bytes: &[u8], version: u64) {
        assert!(self.kind != StorageKind::Document && bytes.len() == rows * self.stride);
        self.bytes.push(bytes);
        let from = self.rows;
        self.rows += rows;
        self.changes.extended(from, self.rows, version);
    }

    /// Removes a row; the last one takes its place.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn swap_remove(&mut self, row: usize, version: u64) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let last = self.rows - 1;
        match self.kind {
            StorageKind::Plain => {
                let stride = self.stride;
                self.bytes.swap_remove(row * stride, stride);
            }
            StorageKind::Document => self.documents.swap_remove(row),
            StorageKind::Tag => {}
        }
        self.changes.swap_removed(row, self.rows, version);
        self.rows = last;
    }

    /// As [`Self::move_row`] for one row after the other: each is the row's number when its turn comes.
    ///
    /// # Panics
    /// When there is no such row.
    pub(crate) fn move_rows(&mut self, rows: &Removed, target: &mut Self, version: u64) {
        if self.kind == StorageKind::Document || self.is_tracked() || target.is_tracked() {
            rows.rows().iter().for_each(|row| self.move_row(*row as usize, target, version));
            return;
        }
        let count = rows.rows().len();
        let (bytes, end) = (&mut self.bytes, &mut target.bytes);
        assert_eq!(self.stride, target.stride, "columns of one component");
        match self.stride {
            0 => {}
            4 => bytes.move_all_to::<4>(rows.rows(), end),
            8 => bytes.move_all_to::<8>(rows.rows(), end),
            12 => bytes.move_all_to::<12>(rows.rows(), end),
            16 => bytes.move_all_to::<16>(rows.rows(), end),
            stride => rows.rows().iter().for_each(|row| bytes.move_to(*row as usize * stride, stride, end)),
        }
        self.removed(rows, version);
        target.rows += count;
        target.changes.extended(target.rows - count, target.rows, version);
    }

    /// As [`Self::swap_remove`] for one row after the other: each is the row's number when its turn comes.
    ///
    /// # Panics
    /// When there is no such row.
    pub(crate) fn swap_remove_rows(&mut self, rows: &Removed, version: u64) {
        for row in rows.rows() {
            match self.kind {
                StorageKind::Plain => self.bytes.swap_remove(*row as usize * self.stride, self.stride),
                StorageKind::Document => self.documents.swap_remove(*row as usize),
                StorageKind::Tag => {}
            }
        }
        self.removed(rows, version);
    }

    /// The values of these rows are gone.
    fn removed(&mut self, rows: &Removed, version: u64) {
        self.changes.swap_removed_rows(rows, self.rows, version);
        self.rows -= rows.rows().len();
    }

    /// Becomes equal to a column whose earlier state it is: pays for the blocks of rows whose version differs.
    pub(crate) fn catch_up(&mut self, source: &Self) {
        let (known, versions) = (self.changes.block_versions(), source.changes.block_versions());
        let stale = |block: &usize| known.get(*block) != Some(&versions[*block]);
        match self.kind {
            StorageKind::Plain => {
                self.bytes.truncate(source.bytes.len());
                for block in (0..versions.len()).filter(stale) {
                    let bytes = BLOCK_ROWS * self.stride;
                    self.bytes.overwrite(block * bytes, bytes, source.bytes());
                }
            }
            StorageKind::Document => self.documents.catch_up(&source.documents, (0..versions.len()).filter(stale)),
            StorageKind::Tag => {}
        }
        self.rows = source.rows;
        self.changes.clone_from(&source.changes);
    }

    /// Bytes of documents, replaced ones among them.
    pub(crate) fn document_bytes(&self) -> usize {
        self.documents.bytes()
    }

    /// Makes room for so many rows and bytes of documents in an empty column, before they are needed.
    pub(crate) fn make_room(&mut self, rows: usize, documents: usize) {
        match self.kind {
            StorageKind::Plain => self.bytes.make_room_ready(rows * self.stride),
            StorageKind::Document => self.documents.make_room(rows, documents),
            StorageKind::Tag => {}
        }
    }

    /// Begins to restore a column of so many rows, whose values follow.
    pub(crate) fn restore_rows(&mut self, rows: usize, version: u64) {
        self.rows = rows;
        self.changes.restore(rows, version);
    }

    /// The next bytes of the values of a Plain column that is restored, with room for `more` after them.
    pub(crate) fn restore_bytes(&mut self, bytes: &[u8], more: usize) {
        self.bytes.reserve(bytes.len() + more);
        self.bytes.push(bytes);
    }

    /// The documents of a column that is restored, back to back.
    pub(crate) fn restore_documents(&mut self, heap: Vec<u8>, lengths: &[u32]) {
        self.documents = Documents::of(heap, lengths);
    }

    /// Makes room for more Plain rows.
    pub fn reserve(&mut self, rows: usize) {
        self.bytes.reserve(rows * self.stride);
    }

    /// All rows of a range changed.
    pub fn mark_range(&mut self, rows: Range<usize>, version: u64) {
        self.changes.touch_range(rows, version);
    }

    /// The rows of a set, which starts at row `first` (a multiple of 64), changed.
    pub fn mark_rows(&mut self, first: usize, dirty: &BitRows, version: u64) {
        self.changes.touch_rows(first, dirty, version);
    }

    /// The version of each block of [`BLOCK_ROWS`](crate::BLOCK_ROWS) rows: that of the world when a row
    /// of the block last changed.
    #[must_use]
    pub fn block_versions(&self) -> &[u64] {
        self.changes.block_versions()
    }

    /// Whether somebody wants to know which rows change.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.changes.is_tracked()
    }

    /// Whether it makes a difference to somebody when a row is marked that did not change. To those who are
    /// [sent changes](crate::World::keep_journal) it makes none.
    #[must_use]
    pub fn has_trackers(&self) -> bool {
        self.changes.has_trackers()
    }

    /// Rows of a range that changed after a version of the world, and perhaps others: exact for the last few
    /// versions of a component with a [journal](crate::World::keep_journal), by blocks of
    /// [`BLOCK_ROWS`](crate::BLOCK_ROWS) rows otherwise. Row 0 of the set is the first of the range.
    ///
    /// # Panics
    /// When the range ends past the last row.
    #[must_use]
    pub fn changed_since(&self, version: u64, rows: Range<usize>) -> BitRows {
        self.changes.since(version, rows)
    }

    /// Whether a row of a range may have changed after a version of the world. O(blocks).
    ///
    /// # Panics
    /// When the range ends past the last row.
    #[must_use]
    pub fn any_changed_since(&self, version: u64, rows: &Range<usize>) -> bool {
        self.changes.any_since(version, rows)
    }

    /// Rows that changed since this tracker was last cleared.
    ///
    /// # Panics
    /// When there is no such tracker.
    #[must_use]
    pub fn tracked(&self, tracker: usize) -> &BitRows {
        self.changes.tracker(tracker)
    }

    /// Where the bytes of a Plain column are in the world's [`ColumnMemory`](crate::ColumnMemory). `None` when
    /// they are on the heap: they are few, or there is no such memory, or no room in it.
    #[must_use]
    pub fn shared_offset(&self) -> Option<u64> {
        self.bytes.shared_offset()
    }

    pub(crate) fn set_memory(&mut self, memory: Option<&Arc<dyn ColumnMemory>>) {
        self.bytes.set_memory(memory);
    }

    /// Bytes on the heap, and in the world's memory for columns.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.documents.heap_bytes() + self.changes.heap_bytes()
    }

    /// # Panics
    /// When the column contradicts itself.
    pub fn check_invariants(&self) {
        assert_eq!(self.bytes.len(), self.rows * self.stride);
        assert_eq!(self.changes.block_versions().len(), self.rows.div_ceil(BLOCK_ROWS));
        if self.kind == StorageKind::Document {
            self.documents.check_invariants(self.rows);
        }
    }
}
