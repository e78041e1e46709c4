//! `system.heartbeat`: how an instance is. About once a second; a job and its result say more.

use serde::{Deserialize, Serialize};

use super::{kib, message};

/// Load and queue of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The instance.
    pub instance: String,
    /// Its slot.
    pub slot: u32,
    /// The epoch that it is registered in.
    pub epoch: u64,
    /// The latest tick that it got a job of.
    pub tick: u64,
    /// `joining`, `ready` or `leaving`.
    pub state: InstanceState,
    /// Share of the time since the last heartbeat in which it ran systems, 0 to 1.
    pub load: f32,
    /// Jobs that are complete and wait.
    pub queue: u32,
    /// Bytes of jobs that are held.
    pub queue_bytes: u64,
    /// Jobs done since the process started.
    pub jobs: u64,
    /// Nanoseconds in systems since the process started.
    pub compute_ns: u64,
    /// Chunks that were asked for again since the process started.
    pub asked_again: u64,
    /// Messages that could not be read, since the process started.
    pub refused: u64,
    /// Bytes of memory that the process holds; 0 when it can't tell.
    pub memory_bytes: u64,
    /// What it was built from.
    #[serde(default)]
    pub versions: Option<Versions>,
}
message!(Heartbeat, "heartbeat", 1, kib(16));

/// Which build an instance is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The version of the software.
    pub engine: String,
    /// The version of the protocol.
    pub protocol: u32,
    /// Components and events that it adapts, since the world lays them out otherwise; counted once for each
    /// system.
    pub adapted: u32,
}

/// What an instance is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Not accepted yet.
    Joining,
    /// Takes jobs.
    Ready,
    /// Finishes what it has.
    Leaving,
}
