//! Why there is no coordinator, or why it ends.

use engine_component::{WorldError, WorldHash};
use engine_net::name::NameError;
use engine_system::JobError;

use crate::record::MAX_BYTES;
use crate::schedule::ScheduleError;

/// Why a coordinator can't be made, or can't go on.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The world refused something.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The systems have no order.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A name that can't stand in subjects.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A system in this process failed: its rows are half written, the world can't go on.
    #[error("tick {tick}: {error}; the world stops, since rows may be half written")]
    Failed {
        /// The tick.
        tick: u64,
        /// What the system said.
        error: JobError,
    },
    /// A setting out of its range.
    #[error("{0}")]
    Setting(String),
    /// Commands of programs outside that can't be answered as systems declare.
    #[error("{0}")]
    Handlers(String),
    /// What was to be done before the first tick failed.
    #[error("before the first tick: {0}")]
    FirstTick(String),
    /// A record would be larger than one may be.
    #[error(
        "tick {tick} has {bytes} bytes to record, where {} are possible: what systems that are declared \
         `nondeterministic` change is part of it; let them change fewer rows, or make them deterministic",
        MAX_BYTES
    )]
    TooMuchToRecord {
        /// The tick.
        tick: u64,
        /// What its record would have.
        bytes: usize,
    },
    /// A recorded outcome does not fit its job.
    #[error(
        "tick {tick}: what its record says of shard {shard} of system `{system}` does not fit: {reason}; start the \
         build that recorded it"
    )]
    Outcome {
        /// The tick.
        tick: u64,
        /// The system.
        system: String,
        /// The shard.
        shard: u32,
        /// Why.
        reason: String,
    },
    /// A tick that was replayed came to another world.
    #[error(
        "tick {tick} comes to the hash {found} now, and came to {recorded} when it was recorded: a system is not the \
         one that ran then, or is not deterministic and not declared so (`nondeterministic`)"
    )]
    Diverged {
        /// The tick.
        tick: u64,
        /// The hash in its record.
        recorded: WorldHash,
        /// The hash that it has come to.
        found: WorldHash,
    },
}
