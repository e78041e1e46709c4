//! An arena as an instance sees it: to be read.

use std::fs::File;
use std::ptr::NonNull;

use super::map::Map;
use super::{ShmError, check_size};

/// A coordinator's arena, mapped by an instance.
///
/// What is in it is written by another process. The coordinator does not write to a column while a job that it
/// gave it to is open; after that it may, so whoever still reads may see values that never were, and what it makes
/// of them is refused. Every bit pattern is a value of a Plain type, so nothing worse happens.
#[derive(Debug)]
pub struct ArenaView {
    map: Map,
    bytes: u64,
}

impl ArenaView {
    pub(super) fn new(memory: &File, bytes: u64) -> Result<Self, ShmError> {
        let bytes = check_size(bytes)?;
        Ok(Self { map: Map::to_read(memory, bytes)?, bytes })
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where a column is: valid for reads of so many bytes while this is kept.
    ///
    /// # Errors
    /// When not all of them are in it.
    pub fn column(&self, offset: u64, bytes: usize) -> Result<NonNull<u8>, ShmError> {
        self.map.pointer(offset, bytes).ok_or(ShmError::OutOfBounds { offset, bytes, of: self.bytes })
    }
}
