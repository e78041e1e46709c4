//! Memory with a descriptor and no name: it ends with the last process that has it, however that ends.
//!
//! Its size never changes again once it is sealed, so nobody who has mapped it can be made to fault by another
//! who cuts it off.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::Resource;

use super::{ShmError, failed};

/// No one can cut it off, make it longer, or take back that promise.
const FIXED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Whoever maps it after this can only read it, however the descriptor is opened again.
const READ_ONLY: SealFlags = FIXED.union(SealFlags::FUTURE_WRITE);

/// What others may do with a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// Those that map it later only read.
    Read,
    /// Whoever has the descriptor writes.
    Write,
}

impl Others {
    fn seals(self) -> SealFlags {
        match self {
            Self::Read => READ_ONLY,
            Self::Write => FIXED,
        }
    }
}

/// Memory of so many bytes, none of which exists before it is touched. It is not sealed yet.
pub(super) fn create(name: &str, bytes: u64) -> Result<File, ShmError> {
    // To pass this limit would be a signal that ends the process.
    if rustix::process::getrlimit(Resource::Fsize).current.is_some_and(|most| most < bytes) {
        return Err(ShmError::Unavailable { what: "making a file so large (ulimit -f)", error: Errno::FBIG.into() });
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create(name, flags).map_err(failed("making memory to share"))?;
    rustix::fs::ftruncate(&memory, bytes).map_err(failed("giving shared memory its size"))?;
    Ok(memory.into())
}

/// Fixes its size, and what others may do with it, for good.
pub(super) fn seal(memory: &File, others: Others) -> Result<(), ShmError> {
    rustix::fs::fcntl_add_seals(memory, others.seals()).map_err(failed("sealing shared memory"))
}

/// Whether a descriptor that came from another process is such a memory, of this size and sealed like this.
pub(super) fn check(memory: OwnedFd, bytes: u64, others: Others) -> Result<File, ShmError> {
    // Only memory can be asked for its seals.
    let seals = rustix::fs::fcntl_get_seals(&memory).map_err(failed("looking at the seals of what was sent"))?;
    let stat = rustix::fs::fstat(&memory).map_err(failed("looking at the size of what was sent"))?;
    if !seals.contains(others.seals()) || u64::try_from(stat.st_size) != Ok(bytes) {
        return Err(ShmError::Refused("what was sent is no memory of that size, or can be cut off"));
    }
    Ok(memory.into())
}

/// Makes a part of it exist: so that there is no room left is an answer here, and not a signal to whoever touches it.
pub(super) fn commit(memory: &File, offset: u64, bytes: u64) -> Result<(), ShmError> {
    let commit = || rustix::fs::fallocate(memory, FallocateFlags::empty(), offset, bytes);
    retry_on_intr(commit).map_err(failed("taking memory to share"))
}
