//! The world that is run, here and on processes: the same settings for both.

use std::collections::BTreeMap;

use engine::app::log::jet::JetSettings;
use engine::app::{Settings, TimeMode};

/// Mebibytes that are reserved for the log, and for keyframes.
const ROOM: u64 = 64;
/// Small shards, so that a few thousand fighters make jobs for several instances.
const ROWS: usize = 512;
/// The log is read here while it grows: it may be truncated behind so many keyframes, at one a second or less.
const KEYFRAMES: &str = "24";

/// See the module's text.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) entities: u32,
    pub(crate) rate: f64,
    /// Seconds.
    pub(crate) lease: u32,
    /// `server` or `disk`.
    pub(crate) durability: &'static str,
    pub(crate) replicas: u8,
}

impl Default for World {
    fn default() -> Self {
        Self { entities: 2_000, rate: 60.0, lease: 1, durability: "server", replicas: 1 }
    }
}

impl World {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            world: "main".into(),
            prefix: "engine".into(),
            rate: self.rate,
            time: TimeMode::Fast,
            rows_per_shard: ROWS,
            ..Settings::default()
        }
    }

    pub(crate) fn options(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("entities".to_owned(), self.entities.to_string())])
    }

    pub(crate) fn coordinator_arguments(&self) -> Vec<String> {
        let pairs = [
            ("--durability", self.durability.to_owned()),
            ("--lease", self.lease.to_string()),
            ("--rate", self.rate.to_string()),
            ("--rows-per-shard", ROWS.to_string()),
            ("--entities", self.entities.to_string()),
            ("--log-mib", ROOM.to_string()),
            ("--keyframe-mib", ROOM.to_string()),
            ("--keyframes", KEYFRAMES.to_owned()),
            ("--log-replicas", self.replicas.to_string()),
        ];
        let given = pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        ["coordinator".to_owned(), "--standby".to_owned()].into_iter().chain(given).collect()
    }

    /// What the log's streams are like: whoever opens them has to say the same.
    pub(crate) fn jet(&self) -> JetSettings {
        JetSettings { replicas: self.replicas, log_bytes: ROOM << 20, key_bytes: ROOM << 20, ..JetSettings::default() }
    }
}
