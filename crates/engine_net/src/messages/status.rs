//! `health.coordinator`: how the world is. A request with an empty payload.

use std::collections::BTreeMap;

use engine_component::WorldHash;
use serde::{Deserialize, Serialize};

use super::{Reply, kib, message};

/// The answer.
pub type StatusReply = Reply<Status>;
message!(StatusReply, "status-reply", 1, kib(960));

/// How the world is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The world.
    pub world: String,
    /// The epoch.
    pub epoch: u64,
    /// The last tick that is committed.
    pub tick: u64,
    /// The hash of the world after it.
    #[serde(with = "super::value::hash_text")]
    pub hash: WorldHash,
    /// Entities in the world.
    pub entities: u64,
    /// What the coordinator's clock showed, in milliseconds since 1970; nothing in the world depends on it.
    #[serde(default)]
    pub clock_ms: Option<u64>,
    /// Tables in the world.
    pub tables: u64,
    /// Bytes of the world's columns.
    pub world_bytes: u64,
    /// What it is up to.
    pub state: SimState,
    /// Ticks a second that are configured.
    pub rate: f64,
    /// Ticks a second over the last second.
    pub actual_rate: f64,
    /// The speed that was set; 1 is the configured rate, 0 as fast as possible.
    pub speed: f64,
    /// Milliseconds that a tick may take at this rate and speed; 0 when as fast as possible.
    pub budget_ms: f64,
    /// Milliseconds of ticks: the median of the last ones.
    pub tick_ms_p50: f64,
    /// Milliseconds of ticks: what 99 in 100 of the last ones stayed below.
    pub tick_ms_p99: f64,
    /// Bytes that were sent and received for a tick: the mean of the last ones.
    pub bytes_per_tick: u64,
    /// Events of the last tick.
    pub events: u64,
    /// Systems, in the order of their names.
    pub systems: Vec<SystemStatus>,
    /// Counters since the coordinator started: `rejected.<reason>`, `reassigned`, `duplicates`,
    /// `asked_again`, `speculated`, `dilated`, `commands`, `refused.<code>`, `late`.
    pub counters: BTreeMap<String, u64>,
    /// Pairs of systems that conflict and whose order is given by nothing but their names.
    pub ambiguities: Vec<(String, String)>,
    /// The world's log; none of a world that ends with its coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    /// The events that are kept; none of a world that keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptStatus>,
    /// Run-time settings that took effect, the last of each key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<SettingStatus>,
    /// Run-time settings that stand in their bucket, and are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_settings: Vec<RefusedSetting>,
}

/// A run-time setting that took effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingStatus {
    /// Its name.
    pub key: String,
    /// Its value, as it is written.
    pub value: String,
    /// Which entry of the bucket it is.
    pub revision: u64,
    /// The last tick before it took effect.
    pub tick: u64,
}

/// A run-time setting that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSetting {
    /// Its name.
    pub key: String,
    /// Which entry of the bucket it is.
    pub revision: u64,
    /// Why, for people.
    pub reason: String,
}

/// How far the world is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// The newest durable tick.
    pub tick: u64,
    /// Why nothing more becomes durable, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How far the events are that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptStatus {
    /// The domains whose events are.
    pub domains: Vec<String>,
    /// Events that are not in their stream yet.
    pub events: u64,
    /// Ticks that they are of.
    pub ticks: u64,
    /// Why they wait, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What a world is up to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimState {
    /// It ticks.
    Running,
    /// It was paused.
    Paused,
    /// The open tick needs something.
    Waiting {
        /// What it needs, for people: `an instance of steer`.
        what: String,
    },
    /// It finishes its tick and ends.
    Stopping,
}

/// How a system is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemStatus {
    /// The name.
    pub name: String,
    /// Whether it runs inside of the coordinator's process.
    pub local: bool,
    /// It runs in every n-th tick.
    pub every: u32,
    /// Jobs of its last run.
    pub jobs: u32,
    /// Shards of its last run.
    pub shards: u32,
    /// Milliseconds from the first job sent to the merge, in its last run.
    pub ms: f64,
    /// Milliseconds in the system's function, all jobs of its last run together.
    pub compute_ms: f64,
    /// Bytes sent to its instances in its last run.
    pub bytes_out: u64,
    /// Bytes received from them.
    pub bytes_in: u64,
    /// The instances, in the order of their names.
    pub instances: Vec<InstanceStatus>,
}

/// How an instance of a system is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// The name.
    pub instance: String,
    /// The slot.
    pub slot: u32,
    /// The host.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// `joining`, `ready`, `leaving`, `suspect` or `gone`.
    pub state: String,
    /// Share of time in systems, 0 to 1.
    pub load: f32,
    /// Jobs of the last run of the system.
    pub jobs: u32,
    /// Milliseconds since it was last heard of.
    pub silent_ms: u64,
    /// How its columns travel: `shared` when it has mapped the coordinator's, else `wire`.
    #[serde(default)]
    pub columns: String,
}
