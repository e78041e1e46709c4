//! `coord.tick`: a tick starts.

use serde::{Deserialize, Serialize};

use super::{kib, message};

/// A tick starts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// The epoch.
    pub epoch: u64,
    /// The tick.
    pub tick: u64,
    /// Seconds that pass in it.
    pub dt: f32,
    /// Seconds of the world before it.
    pub elapsed: f64,
}
message!(Tick, "tick", 1, kib(4));
