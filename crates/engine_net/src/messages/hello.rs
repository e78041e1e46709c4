//! `coord.hello`: a coordinator began to reign; everyone registers again.

use serde::{Deserialize, Serialize};

use super::{kib, message};

/// A new epoch. Sent when a coordinator starts, takes over, or has lost track after a disconnect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The new epoch; larger than all before it.
    pub epoch: u64,
    /// The last tick that is committed.
    pub tick: u64,
    /// The version of the protocol that the coordinator speaks.
    pub protocol: u32,
    /// The coordinator, for people.
    pub coordinator: String,
}
message!(Hello, "hello", 1, kib(4));
