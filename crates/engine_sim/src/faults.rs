//! What goes wrong: chosen by the schedule's seed, counted by kind.

use engine_system::EntityRng;
use serde::Serialize;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A message is lost without a word.
    Drop,
    /// A message arrives twice.
    Double,
    /// A message is late, and what follows it overtakes it.
    Delay,
    /// An instance is killed; another of the same name is started later.
    Kill,
    /// An instance is killed when it has just been started.
    KillAgain,
    /// An instance stands still for a while.
    Pause,
    /// An instance is cut off the server for a while, and knows it.
    Cut,
    /// The coordinator is cut off the server for a while: everybody registers again.
    CutCoordinator,
    /// An instance leaves politely; another one joins.
    Leave,
    /// A job takes very long.
    Slow,
}

/// All kinds, in the order of the counts.
pub(crate) const KINDS: [Fault; 10] = [
    Fault::Drop,
    Fault::Double,
    Fault::Delay,
    Fault::Kill,
    Fault::KillAgain,
    Fault::Pause,
    Fault::Cut,
    Fault::CutCoordinator,
    Fault::Leave,
    Fault::Slow,
];

/// How often each kind happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; KINDS.len()]);

impl FaultCounts {
    /// Counts one.
    pub fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// Adds those of another schedule.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Each kind and how often it happened.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, u64)> {
        KINDS.into_iter().zip(self.0)
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// How hostile a schedule is: some are gentle in most ways and cruel in one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Climate {
    pub(crate) drop: f32,
    pub(crate) double: f32,
    pub(crate) delay: f32,
    pub(crate) slow: f32,
    /// Something happens to a party, in each millisecond.
    pub(crate) party: f32,
    /// Faults stop here, in nanoseconds.
    pub(crate) until: u64,
}

impl Climate {
    pub(crate) fn of(rng: &mut EntityRng) -> Self {
        let mut rate = |most: f32| if rng.chance(0.4) { 0.0 } else { rng.f32() * most };
        let (drop, double, delay) = (rate(0.05), rate(0.1), rate(0.1));
        let (slow, party) = (rate(0.02), rate(0.05));
        Self { drop, double, delay, slow, party, until: 300_000_000 + u64::from(rng.below(700)) * 1_000_000 }
    }

    #[cfg(test)]
    pub(crate) fn calm() -> Self {
        Self { drop: 0.0, double: 0.0, delay: 0.0, slow: 0.0, party: 0.0, until: 0 }
    }
}
