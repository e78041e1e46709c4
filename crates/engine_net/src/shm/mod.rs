//! Memory that processes of one host share, so that columns are mapped instead of sent.
//!
//! A coordinator keeps its large columns in an [`Arena`]. An instance on the same host maps it, to be read, and
//! computes into an [`Output`] of its own, which the coordinator reads through a [`Segment`]. Both are handed
//! over on a socket ([`handover`]); that this works is what shows that both are on one host. Whatever fails, the
//! wire is there.
//!
//! * Nothing has a name in a file system, and nothing is left behind, however a process ends.
//! * The canonical columns are sealed: an instance can't write to them, whatever it tries.
//! * The coordinator reads what an instance writes once, into memory of its own, and only then looks at it.
//! * Sizes are given when a memory is made, and can't be changed by anybody.
//!
//! Linux only: elsewhere everything says that there is no such memory. `docs/shared-memory.md` says why this is
//! safe.

pub mod greeting;

#[cfg(any(test, not(target_os = "linux")))]
mod absent;
#[cfg(target_os = "linux")]
mod arena;
#[cfg(target_os = "linux")]
mod buddy;
#[cfg(target_os = "linux")]
pub mod handover;
#[cfg(target_os = "linux")]
mod map;
#[cfg(target_os = "linux")]
mod memfd;
#[cfg(target_os = "linux")]
mod segment;
#[cfg(target_os = "linux")]
mod view;

#[cfg(target_os = "linux")]
pub use {arena::Arena, segment::Output, segment::Segment, view::ArenaView};

#[cfg(not(target_os = "linux"))]
pub use absent::{Arena, ArenaView, Output, Segment, handover};

pub use greeting::Invitation;

/// The largest memory, in bytes: far more than any host has, and less than a process can map.
pub const MOST_BYTES: u64 = 1 << 44;

/// Why there is no shared memory. The wire is used then.
#[derive(Debug, thiserror::Error)]
pub enum ShmError {
    /// The system refused.
    #[error("no shared memory: {what}: {error}")]
    Unavailable {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// A size that no shared memory has.
    #[error("no shared memory of {0} bytes: it has to be from 16 KiB to 16 TiB")]
    Size(u64),
    /// The other side is not who it should be, or said what it shouldn't.
    #[error("no shared memory: {0}")]
    Refused(&'static str),
    /// Bytes that are not in it.
    #[error("{bytes} bytes at {offset} are not in a shared memory of {of}")]
    OutOfBounds {
        /// Where they begin.
        offset: u64,
        /// How many there are.
        bytes: usize,
        /// The size of the memory.
        of: u64,
    },
}

#[cfg(target_os = "linux")]
fn failed(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> ShmError {
    move |error| ShmError::Unavailable { what, error: error.into() }
}

#[cfg(target_os = "linux")]
fn check_size(bytes: u64) -> Result<u64, ShmError> {
    if (buddy::LEAST..=MOST_BYTES).contains(&bytes) { Ok(bytes) } else { Err(ShmError::Size(bytes)) }
}
