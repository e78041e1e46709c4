//! Second attempts at batches that are late: how many there were, and that both always came to the same.

use engine_app::coordinator::{Coordinator, Load};

/// What became of second attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speculation {
    /// Second attempts.
    pub attempts: u64,
    /// Those that were faster than the first.
    pub won: u64,
    /// Slower results that were compared, and were equal.
    pub equal: u64,
    /// Slower results that never came in time to be compared, or failed.
    pub uncompared: u64,
}

impl Speculation {
    fn of(coordinator: &Coordinator) -> Self {
        let [attempts, won, equal, uncompared] =
            ["speculative", "speculative.won", "speculative.equal", "speculative.uncompared"]
                .map(|name| coordinator.counter(name));
        Self { attempts, won, equal, uncompared }
    }

    /// Adds those of another schedule.
    pub fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.won += other.won;
        self.equal += other.equal;
        self.uncompared += other.uncompared;
    }
}

/// Those of one reign, as far as they were counted.
#[derive(Default)]
pub(super) struct Counted {
    counted: Speculation,
    /// There was something to count when it was last looked at.
    is_open: bool,
}

impl Counted {
    /// What is new.
    pub(super) fn count(&mut self, coordinator: &Coordinator, load: &Load) -> Result<Speculation, String> {
        let is_open = load.second_attempts + load.late_results > 0;
        if !std::mem::replace(&mut self.is_open, is_open) && !is_open {
            return Ok(Speculation::default());
        }
        if coordinator.counter("speculative.differs") > 0 {
            return Err("nondeterminism: two attempts at a batch came to different results".into());
        }
        let (before, now) = (self.counted, Speculation::of(coordinator));
        self.counted = now;
        Ok(Speculation {
            attempts: now.attempts - before.attempts,
            won: now.won - before.won,
            equal: now.equal - before.equal,
            uncompared: now.uncompared - before.uncompared,
        })
    }
}
