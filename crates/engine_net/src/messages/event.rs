//! `event.<name>`: events of one type of one tick, after its commit.

use engine_component::schema::Schema;
use serde::{Deserialize, Serialize};

use super::value::Blob;
use super::{kib, message};

/// Events of one message, at the most: each costs its reader an envelope, and tags cost the message nothing.
pub const MAX_EVENTS: u32 = 64 * 1024;

/// Events of one type of one tick, in the order in which systems see them. Many are sent in several
/// messages, by `first`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Events {
    /// The epoch.
    pub epoch: u64,
    /// The tick.
    pub tick: u64,
    /// The number of the first of these events among those of its type in the tick.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// The schema; its `name` is the declared name.
    pub schema: Schema,
    /// Plain events back to back; documents each behind its length as u32 little endian; tags nothing.
    pub records: Blob,
}
message!(Events, "events", 1, kib(1008));
