//! What is known at a moment, as plain data, and how it reads: both the live view and the plain lines are
//! made of this, and nothing here needs a terminal or a connection.

use engine_net::messages::status::Status;
use serde::Serialize;

pub(super) use crate::tool::words::{bytes, ms, rate, reassigned, rejected, state};

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    /// The app.
    pub(super) app: String,
    /// The seed.
    pub(super) seed: u64,
    /// Processes that the world runs on.
    pub(super) processes: usize,
    /// The last status, when there was one.
    pub(super) status: Option<Status>,
    /// Whether the coordinator answered the last time.
    pub(super) answering: bool,
    /// The last thing that happened.
    pub(super) notice: String,
    /// The system that keys act on.
    pub(super) selected: String,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    ticks: u64,
    seed: u64,
    entities: u64,
    hash: String,
    processes: usize,
    tick_ms: TickMs,
    bytes_per_tick: u64,
    rejected: u64,
    reassigned: u64,
}

/// Milliseconds of a tick.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct TickMs {
    p50: f64,
    p99: f64,
}

impl Board {
    /// What it came to; `None` when no status was ever seen.
    pub(super) fn summary(&self) -> Option<Summary> {
        let status = self.status.as_ref()?;
        Some(Summary {
            ticks: status.tick,
            seed: self.seed,
            entities: status.entities,
            hash: status.hash.to_string(),
            processes: self.processes,
            tick_ms: TickMs { p50: status.tick_ms_p50, p99: status.tick_ms_p99 },
            bytes_per_tick: status.bytes_per_tick,
            rejected: rejected(status),
            reassigned: reassigned(status),
        })
    }
}

impl Summary {
    /// As one line of JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and text are always JSON")
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        format!(
            "{} ticks with seed {}, {} entities, {} processes\n\
             tick: {} (p99 {}), {} on the wire\n\
             rejected {}, reassigned {}\n\
             hash {}",
            self.ticks,
            self.seed,
            self.entities,
            self.processes,
            ms(self.tick_ms.p50),
            ms(self.tick_ms.p99),
            bytes(self.bytes_per_tick),
            self.rejected,
            self.reassigned,
            self.hash,
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use engine_component::WorldHash;
    use engine_net::messages::status::{InstanceStatus, SimState, SystemStatus};

    use super::*;

    /// A board with a world of two systems, one instance of them suspect.
    pub(crate) fn board() -> Board {
        let instance = |name: &str, state: &str, load: f32| InstanceStatus {
            instance: name.into(),
            slot: 1,
            host: "here".into(),
            pid: 4711,
            state: state.into(),
            load,
            jobs: 3,
            silent_ms: 20,
            columns: "wire".into(),
        };
        let system = |name: &str, instances: Vec<InstanceStatus>| SystemStatus {
            name: name.into(),
            local: false,
            every: 1,
            jobs: 6,
            shards: 5,
            ms: 2.25,
            compute_ms: 4.5,
            bytes_out: 480_000,
            bytes_in: 240_000,
            instances,
        };
        let status = Status {
            world: "arena".into(),
            epoch: 1,
            tick: 1234,
            hash: WorldHash(0xabc),
            entities: 20_000,
            clock_ms: None,
            tables: 7,
            world_bytes: 3_200_000,
            state: SimState::Running,
            rate: 60.0,
            actual_rate: 59.94,
            speed: 1.0,
            budget_ms: 16.667,
            tick_ms_p50: 4.25,
            tick_ms_p99: 6.0,
            bytes_per_tick: 1_234_567,
            events: 17,
            systems: vec![
                system("steer", vec![instance("steer-1", "ready", 0.42), instance("steer-2", "suspect", 0.0)]),
                system("strike", vec![instance("strike-1", "ready", 0.07)]),
            ],
            counters: [("rejected.garbage", 2), ("rejected.late", 3), ("reassigned", 4), ("commands", 9)]
                .map(|(name, count)| (name.to_owned(), count))
                .into(),
            ambiguities: Vec::new(),
            log: None,
            settings: Vec::new(),
            refused_settings: Vec::new(),
            kept: None,
        };
        Board {
            app: "arena".into(),
            seed: 1,
            processes: 4,
            status: Some(status),
            answering: true,
            notice: "steer-2 started".into(),
            selected: "strike".into(),
        }
    }

    #[test]
    fn the_summary_has_every_field_in_one_line_of_json() {
        let json = board().summary().unwrap().json();
        assert_eq!(
            json,
            r#"{"ticks":1234,"seed":1,"entities":20000,"hash":"00000000000000000000000000000abc","processes":4,"tick_ms":{"p50":4.25,"p99":6.0},"bytes_per_tick":1234567,"rejected":5,"reassigned":4}"#
        );
        assert_eq!(Board::default().summary(), None);
    }
}
