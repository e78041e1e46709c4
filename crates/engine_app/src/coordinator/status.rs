//! How the world is, for whoever asks.

use engine_net::messages::Reply;
use engine_net::messages::status::{InstanceStatus, LogStatus, SimState, Status, StatusReply, SystemStatus};

use super::Coordinator;
use crate::members::MemberState;
use crate::system_entry::SystemEntry;

impl Coordinator {
    pub(super) fn status_request(&mut self, now: u64, reply: Option<&str>) {
        let status = self.status(now);
        self.answer::<StatusReply>(reply, &Reply::Ok(status));
    }

    /// How the world is.
    #[must_use]
    pub fn status(&self, now: u64) -> Status {
        let mut times: Vec<u64> = self.figures.tick_ns.iter().copied().collect();
        times.sort_unstable();
        let at = |share: f64| {
            times
                .get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)))
                .map_or(0.0, |ns| *ns as f64 / 1e6)
        };
        let trouble = self.durability().and_then(|(_, trouble)| trouble);
        let state = match self.waits_for() {
            _ if self.is_finished() => SimState::Stopping,
            Some(what) => SimState::Waiting { what },
            None if trouble.is_some() => {
                SimState::Waiting { what: format!("the log: {}", trouble.unwrap_or_default()) }
            }
            None if self.recovering => SimState::Waiting { what: "the recovery of the world from its log".into() },
            None if self.sim.paused => SimState::Paused,
            None => SimState::Running,
        };
        let mut systems: Vec<SystemStatus> = self.systems.iter().map(|entry| self.system_status(now, entry)).collect();
        systems.sort_by(|a, b| a.name.cmp(&b.name));
        let in_last_second = self.figures.commits.iter().filter(|at| now.saturating_sub(**at) <= 1_000_000_000).count();
        let (settings, refused_settings) = self.settings_status();
        Status {
            world: self.settings.world.clone(),
            epoch: self.epoch,
            tick: self.tick,
            hash: self.hash,
            entities: self.world.len() as u64,
            clock_ms: self.wall_clock_ms,
            tables: self.world.tables().len() as u64,
            world_bytes: self.world.heap_bytes() as u64,
            state,
            rate: self.settings.rate,
            actual_rate: in_last_second as f64,
            speed: self.sim.speed,
            budget_ms: self.interval() as f64 / 1e6,
            tick_ms_p50: at(0.5),
            tick_ms_p99: at(0.99),
            bytes_per_tick: self.figures.bytes_per_tick(),
            events: self.figures.events_last_tick,
            systems,
            counters: self.figures.counters.clone(),
            ambiguities: self
                .schedule
                .ambiguities
                .iter()
                .map(|pair| (pair.first.clone(), pair.second.clone()))
                .collect(),
            log: self.durability().map(|(tick, trouble)| LogStatus { tick, trouble: trouble.map(str::to_owned) }),
            kept: self.kept_status(),
            settings,
            refused_settings,
        }
    }

    fn system_status(&self, now: u64, entry: &SystemEntry) -> SystemStatus {
        let run = &entry.last_run;
        let instances = self.members.iter().filter(|member| member.systems.iter().any(|name| name == entry.name()));
        SystemStatus {
            name: entry.name().to_owned(),
            local: entry.local.is_some(),
            every: entry.descriptor().options.every,
            jobs: run.jobs,
            shards: run.jobs,
            ms: run.took as f64 / 1e6,
            compute_ms: run.compute as f64 / 1e6,
            bytes_out: run.bytes_out,
            bytes_in: run.bytes_in,
            instances: instances
                .map(|member| InstanceStatus {
                    instance: member.name.clone(),
                    slot: member.slot,
                    host: member.host.clone(),
                    pid: member.pid,
                    state: if member.state == MemberState::Ready { "ready" } else { "leaving" }.into(),
                    load: member.load,
                    jobs: member.open_jobs,
                    silent_ms: now.saturating_sub(member.last_heard) / 1_000_000,
                    columns: if self.mapped.has(member.slot) { "shared" } else { "wire" }.into(),
                })
                .collect(),
        }
    }
}
