//! What a tick was given from outside: all that a replay needs to come to the same world again.
//!
//! Systems, plugins and the start of a world are the program's. What comes from elsewhere is recorded: types and
//! systems that arrive, commands, run-time settings, which shards kept their values because nobody computed them in time, and what
//! systems did that would do something else the next time. Who computed the others has no part in what comes out.

use bytes::Bytes;
use engine_component::{Schema, WorldHash};
use engine_net::descriptor::SystemDescriptor;
use engine_net::messages::Problem;
use engine_net::messages::command::Action;
use engine_net::messages::value::Blob;
use engine_net::strict;
use serde::{Deserialize, Serialize};

use crate::run_time::Setting;

/// Bytes of a record, at the most: all commands that may wait for a tick, what systems that are not deterministic
/// did in it, and what else comes. A tick with more ends the world's run, since nobody could repeat it.
pub const MAX_BYTES: usize = 64 << 20;

/// The inputs of one tick, and the hash of the world after it.
///
/// [`Coordinator::replay`](crate::coordinator::Coordinator::replay) makes a tick of it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TickRecord {
    /// The reign in which it was committed.
    pub epoch: u64,
    /// The tick.
    pub tick: u64,
    /// What was applied since the tick before, in order.
    pub inputs: Vec<Input>,
    /// Shards that kept their values, by the order of nodes and shards.
    pub kept: Vec<KeptShard>,
    /// What jobs of systems did that are not deterministic, by the order of nodes and shards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
    /// The hash of the world after the tick.
    pub hash: WorldHash,
}

/// Levels of nesting in a record, at the most: a command in it has those of a message by itself.
const DEPTH: usize = strict::MAX_DEPTH + 8;

impl TickRecord {
    /// The record of a tick that was given nothing.
    #[must_use]
    pub fn empty(epoch: u64, tick: u64, hash: WorldHash) -> Self {
        Self { epoch, tick, inputs: Vec::new(), kept: Vec::new(), outcomes: Vec::new(), hash }
    }

    /// A record of MessagePack.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, strict::DecodeError> {
        strict::decode_nested::<Self, DEPTH>(bytes, MAX_BYTES)
    }
}

/// Something from outside that changed the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// An instance brought types and systems that the world did not have.
    Arrived {
        /// Components, events and resources.
        schemas: Vec<Schema>,
        /// Systems.
        systems: Vec<SystemDescriptor>,
    },
    /// A command that was refused when its turn came; only of a world that keeps a log, for whoever gets it again.
    Refused {
        /// The id that its sender gave it, behind its name and a `/` where it has a name.
        id: String,
        /// Who gave it, if it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Why.
        problem: Problem,
    },
    /// A command that was accepted.
    Command {
        /// The id that its sender gave it, behind its name and a `/` where it has a name.
        id: String,
        /// Who gave it, if it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// What it does.
        action: Action,
    },
    /// A command that a system answers was given to it.
    Given {
        /// The name of the command, a `/`, and the id that its sender gave it; behind its sender's name and a `/` where it
        /// has one.
        id: String,
        /// Who gave it, if it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// The name of the command.
        command: String,
        /// Its value, as the world's schema has it.
        row: Blob,
    },
    /// A run-time setting took effect.
    Setting {
        /// Of its entry in the bucket.
        revision: u64,
        /// What was set.
        setting: Setting,
    },
}

/// A shard whose job brought nothing: its deadline was over, it was given up, or its system was skipped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeptShard {
    /// The system.
    pub system: String,
    /// The number of the shard among those of the system in that tick.
    pub shard: u32,
}

/// What a job of a system did that [may do something else](engine_system::SystemConfig::nondeterministic) when it
/// is run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The system.
    pub system: String,
    /// The number of the shard among those of the system in that tick.
    pub shard: u32,
    /// Its result, as the chunks in which instances send it: rows that differ, commands, events.
    pub chunks: Vec<Bytes>,
}

/// Why a record can't be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The records have a gap, or are of another world.
    #[error("the record is of tick {record}; the next tick of this world is {next}")]
    Tick {
        /// The record's.
        record: u64,
        /// The world's.
        next: u64,
    },
    /// A tick is going on.
    #[error("a tick is going on: records are replayed between ticks")]
    Running,
    /// What was accepted then is refused now.
    #[error("tick {tick}: input {number} is refused now, and was not then: {reason}")]
    Refused {
        /// The tick.
        tick: u64,
        /// The number of the input.
        number: usize,
        /// Why.
        reason: String,
    },
}
