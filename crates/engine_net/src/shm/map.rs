//! Shared memory in the address space of this process.
//!
//! A map says where its bytes are, and what is out of its bounds. It makes no slices: whether somebody else
//! writes to those bytes is known only to whoever gives them out.

#![expect(unsafe_code, reason = "to map memory is a system call that returns an address")]

use std::fs::File;
use std::ptr::{self, NonNull};

use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::{ShmError, failed, memfd};

/// A multiple of the size of a page, on every system.
const PAGE: u64 = 64 << 10;

/// A part of the address space, which is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Map {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is an address and a length. What is done with the bytes there is for others to justify.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps all of a memory, to be read.
    pub(super) fn to_read(memory: &File, bytes: u64) -> Result<Self, ShmError> {
        Self::new(memory, bytes, ProtFlags::READ)
    }

    /// Maps all of a memory, to be read and written.
    pub(super) fn to_write(memory: &File, bytes: u64) -> Result<Self, ShmError> {
        Self::new(memory, bytes, ProtFlags::READ | ProtFlags::WRITE)
    }

    fn new(memory: &File, bytes: u64, access: ProtFlags) -> Result<Self, ShmError> {
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes > 0 && isize::try_from(*bytes).is_ok());
        let bytes = bytes.ok_or(ShmError::Refused("shared memory of no size that can be mapped"))?;
        // SAFETY: the system chooses a place where nothing is; what is mapped there is pointed to by this only.
        let start = unsafe { rustix::mm::mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, memory, 0) };
        let start = start.map_err(failed("mapping shared memory"))?;
        let start = NonNull::new(start.cast()).ok_or(ShmError::Refused("memory was mapped at no address"))?;
        let map = Self { start, bytes };
        // A process that is forked from this one has no part in it.
        // SAFETY: what is mapped stays as it is in this process.
        let kept = unsafe { rustix::mm::madvise(start.as_ptr().cast(), bytes, Advice::LinuxDontFork) };
        kept.map_err(failed("keeping shared memory from forked processes"))?;
        Ok(map)
    }

    /// The address of so many bytes at an offset; `None` when not all of them are in it.
    pub(super) fn pointer(&self, offset: u64, bytes: usize) -> Option<NonNull<u8>> {
        let offset = usize::try_from(offset).ok()?;
        let end = offset.checked_add(bytes)?;
        // SAFETY: the offset is not past the end of what is mapped.
        (end <= self.bytes).then(|| unsafe { self.start.add(offset) })
    }

    /// Makes a part of what is mapped to be written exist, whose end is in it: so that there is no room left is an
    /// answer here, and not a signal to whoever touches it. Where the system can, it is then ready to be touched, which
    /// takes half the time of touching it.
    pub(super) fn commit(&self, memory: &File, offset: u64, bytes: usize) -> Result<(), ShmError> {
        let first = offset / PAGE * PAGE;
        let whole = bytes + (offset - first) as usize;
        let start = self.pointer(first, whole).ok_or(ShmError::OutOfBounds { offset, bytes, of: self.bytes as u64 })?;
        let populate = || {
            // SAFETY: the pages are mapped to be written; what they hold stays.
            unsafe { rustix::mm::madvise(start.as_ptr().cast(), whole, Advice::LinuxPopulateWrite) }
        };
        match retry_on_intr(populate) {
            // Before Linux 5.14.
            Err(Errno::INVAL) => memfd::commit(memory, first, whole as u64),
            result => result.map_err(failed("taking memory to share")),
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` and by nobody else; whoever holds pointers into it keeps it, as they promised.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "what was mapped can be unmapped");
    }
}
