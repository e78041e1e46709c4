//! How the instance is, said about once a second: load, queue, versions.

use engine_net::messages::heartbeat::{Heartbeat, InstanceState, Versions};
use engine_net::strict;

use super::membership::State;
use super::{Answer, InstanceCore};

/// What happened since the process started.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) jobs: u64,
    pub(super) compute_ns: u64,
    pub(super) asked_again: u64,
    pub(super) refused: u64,
    memory_bytes: u64,
    /// When the job that is being computed was begun.
    computing_since: Option<u64>,
    /// Time in systems that was reported, and when.
    reported: (u64, u64),
    beat_at: u64,
}

impl Figures {
    /// The next heartbeat is due at this time.
    pub(super) fn beat_at(&mut self, at: u64) {
        self.beat_at = at;
    }

    pub(super) fn begin(&mut self, now: u64) {
        self.computing_since = Some(now);
    }

    pub(super) fn done(&mut self, compute_ns: u64) {
        self.jobs += 1;
        self.compute_ns += compute_ns;
        self.computing_since = None;
    }

    /// Time in systems, with that of the job that is not done.
    fn busy(&self, now: u64) -> u64 {
        self.compute_ns + self.computing_since.map_or(0, |since| now.saturating_sub(since))
    }

    /// The share of the time in systems since the last heartbeat.
    fn load(&mut self, now: u64) -> f32 {
        let (busy, (reported, at)) = (self.busy(now), self.reported);
        self.reported = (busy, now);
        let elapsed = now.saturating_sub(at).max(1);
        (busy.saturating_sub(reported) as f64 / elapsed as f64).min(1.0) as f32
    }
}

impl InstanceCore {
    /// Says how much memory the process holds, for the next heartbeat.
    pub fn set_memory(&mut self, bytes: u64) {
        self.figures.memory_bytes = bytes;
    }

    /// Whether a coordinator has taken it in.
    pub(crate) fn is_registered(&self) -> bool {
        self.accepted.is_some()
    }

    /// Jobs that were computed, parcels that were refused, and nanoseconds in systems, since the process started.
    pub(crate) fn work_done(&self) -> (u64, u64, u64) {
        (self.figures.jobs, self.figures.refused, self.figures.compute_ns)
    }

    pub(super) fn beat(&mut self) {
        let Some(accepted) = &self.accepted else { return };
        let now = self.now;
        if now < self.figures.beat_at {
            return;
        }
        self.figures.beat_at = now + u64::from(accepted.heartbeat_ms) * 1_000_000;
        let computing = usize::from(self.figures.computing_since.is_some());
        let is_leaving = matches!(self.state, State::Leaving { .. });
        let heartbeat = Heartbeat {
            instance: self.name.clone(),
            slot: accepted.slot,
            epoch: accepted.epoch,
            tick: self.tick,
            state: if is_leaving { InstanceState::Leaving } else { InstanceState::Ready },
            load: self.figures.load(now),
            queue: (self.waiting.len() + self.running.len()).saturating_sub(computing) as u32,
            queue_bytes: self.held() as u64,
            jobs: self.figures.jobs,
            compute_ns: self.figures.compute_ns,
            asked_again: self.figures.asked_again,
            refused: self.figures.refused,
            memory_bytes: self.figures.memory_bytes,
            versions: Some(Versions {
                engine: env!("CARGO_PKG_VERSION").to_owned(),
                protocol: engine_net::PROTOCOL,
                adapted: self.adapters.values().map(|adapters| adapters.len() as u32).sum(),
            }),
        };
        self.answers.push_back(Answer::Heartbeat(strict::encode(&heartbeat)));
    }
}
