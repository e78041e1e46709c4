//! `trace.request`: what the time of ticks is spent on, answered in pages. Nothing is recorded before somebody asks.
//!
//! All times are nanoseconds of the coordinator's clock since the beginning of the tick.

use serde::{Deserialize, Serialize};

use super::{Reply, kib, message};

/// Asks for ticks to be recorded, and for what is there of them by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRequest {
    /// The first tick; none is the next one that begins. Else the `next` of the page before this one.
    pub from: Option<u64>,
    /// How many ticks, from that one on.
    pub ticks: u32,
}
message!(TraceRequest, "trace", 1, kib(4));

/// Ticks of one request, at the most.
pub const MAX_TICKS: u32 = 1000;
/// Batches of one tick that are recorded, at the most.
pub const MAX_BATCHES: usize = 8192;
/// Predecessors of a node that are named, at the most.
pub const MAX_WAITS: usize = 64;

/// The answer to [`TraceRequest`]. Codes of refusals: `bad_request`, `gone` (ticks that are over, and were not kept: start
/// again), `unavailable`.
pub type TraceReply = Reply<TracePage>;
message!(TraceReply, "trace-reply", 1, kib(1008));

/// Ticks, in their order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TracePage {
    /// The epoch of the coordinator.
    pub epoch: u64,
    /// What is there of the ticks that were asked for; perhaps nothing yet.
    pub ticks: Vec<TickTrace>,
    /// The tick to ask for next; none when all are there.
    pub next: Option<u64>,
}

/// What the time of a tick was spent on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TickTrace {
    /// The tick.
    pub tick: u64,
    /// When it began, in nanoseconds of the coordinator's clock.
    pub began_ns: u64,
    /// From its beginning to the end of its commit.
    pub took_ns: u64,
    /// What the coordinator did by itself, in order.
    pub steps: Vec<StepTrace>,
    /// The nodes, in the order of the plan.
    pub nodes: Vec<NodeTrace>,
    /// Instances that batches name by their place here.
    pub instances: Vec<String>,
    /// Batches whose results counted, in the order in which they were merged.
    pub batches: Vec<BatchTrace>,
    /// Batches that are not told of, since there were too many.
    pub left_out: u32,
}

/// Something that the coordinator does in every tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Commands, registrations, plugins.
    Apply,
    /// Which jobs there are.
    Plan,
    /// Commands of systems, hooks.
    Structure,
    /// The hash of the world.
    Hash,
    /// The record, announcements, answers.
    Commit,
}

/// One such step, from and to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTrace(pub Step, pub u64, pub u64);

/// A system in a tick.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTrace {
    /// The system.
    pub system: String,
    /// Nodes that have to be merged before, by their place; the first [`MAX_WAITS`].
    pub waits_for: Vec<u32>,
    /// When its jobs were given out.
    pub started: u64,
    /// When its merge began and ended.
    pub merging: u64,
    /// The end of that.
    pub merged: u64,
}

/// A batch of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchTrace {
    /// Its node, by its place.
    pub node: u32,
    /// Its instance, by its place; none of a job in the coordinator's process.
    pub instance: Option<u32>,
    /// Its first job.
    pub job: u32,
    /// Which attempt at that.
    pub attempt: u16,
    /// How many jobs.
    pub jobs: u32,
    /// When it was where: ready, begun, received, started, computed, arrived, merged. None is before the one before it.
    pub at: [u64; 7],
}
