//! Shortcuts that coordinators take: second attempts at batches that are late, and batches that are sent behind those
//! that they build on. How many there were, and that both attempts always came to the same.

use engine_app::coordinator::{Coordinator, Load};

/// What became of shortcuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortcuts {
    /// Second attempts.
    pub attempts: u64,
    /// Those that were faster than the first.
    pub won: u64,
    /// Slower results that were compared, and were equal.
    pub equal: u64,
    /// Slower results that never came in time to be compared, or failed.
    pub uncompared: u64,
    /// Batches that were sent before what they build on was in the world.
    pub fused: u64,
    /// Those that came to nothing, because what they build on did, or because they failed before that was known.
    pub taken_back: u64,
}

impl Shortcuts {
    fn of(coordinator: &Coordinator) -> Self {
        let counted = |name| coordinator.counter(name);
        Self {
            attempts: counted("speculative"),
            won: counted("speculative.won"),
            equal: counted("speculative.equal"),
            uncompared: counted("speculative.uncompared"),
            fused: counted("fused"),
            taken_back: counted("fused.ended"),
        }
    }

    /// Adds those of another schedule.
    pub fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.won += other.won;
        self.equal += other.equal;
        self.uncompared += other.uncompared;
        self.fused += other.fused;
        self.taken_back += other.taken_back;
    }
}

/// Those of one reign, as far as they were counted.
#[derive(Default)]
pub(super) struct Counted {
    counted: Shortcuts,
    /// There was something to count when it was last looked at.
    is_open: bool,
}

impl Counted {
    /// What is new.
    pub(super) fn count(&mut self, coordinator: &Coordinator, load: &Load) -> Result<Shortcuts, String> {
        let is_open = load.second_attempts + load.late_results + load.open_jobs > 0;
        if !std::mem::replace(&mut self.is_open, is_open) && !is_open {
            return Ok(Shortcuts::default());
        }
        if coordinator.counter("speculative.differs") > 0 {
            return Err("nondeterminism: two attempts at a batch came to different results".into());
        }
        let now = Shortcuts::of(coordinator);
        let mut before = std::mem::replace(&mut self.counted, now);
        // When it has recovered it counts anew.
        if now.fused < before.fused {
            before = Shortcuts::default();
        }
        Ok(Shortcuts {
            attempts: now.attempts - before.attempts,
            won: now.won - before.won,
            equal: now.equal - before.equal,
            uncompared: now.uncompared - before.uncompared,
            fused: now.fused - before.fused,
            taken_back: now.taken_back - before.taken_back,
        })
    }
}
