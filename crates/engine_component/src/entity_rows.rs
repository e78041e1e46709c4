//! The entities of a table, row by row: a column of numbers, in the same memory as the other columns.

use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::Entity;
use crate::aligned::AlignedBytes;
use crate::memory::ColumnMemory;

const BYTES: usize = size_of::<Entity>();

/// A vector of entities that can be where others map it.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntityRows {
    bytes: AlignedBytes,
}

impl EntityRows {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / BYTES
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) fn push(&mut self, entity: Entity) {
        self.bytes.push(&entity.to_bits().to_ne_bytes());
    }

    /// Appends entities whose numbers follow one another.
    pub(crate) fn append_run(&mut self, first: u64, rows: usize) {
        self.bytes.reserve(rows * BYTES);
        (first..first + rows as u64).for_each(|number| self.push(Entity::from_bits(number)));
    }

    /// Removes a row; the entity of the last one takes its place, unless it is that one.
    #[inline]
    pub(crate) fn swap_remove(&mut self, row: usize) -> Option<Entity> {
        self.bytes.swap_remove(row * BYTES, BYTES);
        self.get(row).copied()
    }

    /// Takes the rows of a range, or as many as there are, from the same place of others; those past the end
    /// are appended.
    pub(crate) fn overwrite(&mut self, rows: Range<usize>, source: &Self) {
        self.bytes.overwrite(rows.start * BYTES, rows.len() * BYTES, source.bytes.as_slice());
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.bytes.truncate(rows * BYTES);
    }

    /// As [`AlignedBytes::reserve`].
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.bytes.reserve(rows * BYTES);
    }

    /// As [`AlignedBytes::make_room_ready`].
    pub(crate) fn make_room_ready(&mut self, rows: usize) {
        self.bytes.make_room_ready(rows * BYTES);
    }

    pub(crate) fn set_memory(&mut self, memory: Option<&Arc<dyn ColumnMemory>>) {
        self.bytes.set_memory(memory);
    }

    pub(crate) fn shared_offset(&self) -> Option<u64> {
        self.bytes.shared_offset()
    }

    /// Rows that there is room for.
    pub(crate) fn spare(&self) -> usize {
        (self.bytes.capacity() - self.bytes.len()) / BYTES
    }

    /// Bytes that are taken.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Deref for EntityRows {
    type Target = [Entity];

    #[inline]
    fn deref(&self) -> &[Entity] {
        self.bytes.as_slice_of()
    }
}
