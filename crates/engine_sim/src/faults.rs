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
    /// A message changes places with those around it.
    Reorder,
    /// A message stays with its sender for a while: the server routes it later, to whoever listens then.
    Hold,
    /// A message, or a copy of it, comes much later: when its sender has just been given another job.
    Ghost,
    /// A record of a leader that could not reach the log comes when another one's reign has just begun.
    GhostRecord,
    /// Some parties hear nothing of the others, and the others nothing of them, and nobody is told.
    Partition,
    /// As a partition, in one direction alone.
    PartitionOneWay,
    /// An instance is killed; another of the same name is started later.
    Kill,
    /// An instance is killed when it has just been started.
    KillAgain,
    /// An instance is killed between two messages of one answer.
    KillMidway,
    /// An instance stands still for a while.
    Pause,
    /// An instance or a client is cut off the server for a while, and knows it.
    Cut,
    /// An instance leaves politely; another one joins.
    Leave,
    /// A job takes very long.
    Slow,
    /// An instance forgets what it has kept.
    DropCopies,
    /// What an instance has kept is of another time.
    AgeCopies,
    /// A coordinator is cut off instances and clients for a while: everybody registers again.
    CutCoordinator,
    /// A coordinator is cut off the log for a while, and knows it; what it publishes may come late.
    CutLog,
    /// A coordinator hears nothing of instances and clients, or they nothing of it.
    PartitionCoordinator,
    /// A coordinator hears nothing of the log, or that nothing of it.
    PartitionLog,
    /// A coordinator stands still for a while, perhaps for longer than its lease: then its clock jumps.
    PauseCoordinator,
    /// A coordinator that leads is killed.
    RestartCoordinator,
    /// A coordinator that took over is killed before anything of it is durable.
    RestartAgain,
    /// A coordinator is killed while it reads the log, or while its epoch record is on its way.
    RestartBeginning,
    /// A coordinator is killed while it replays, or while its first keyframe is on its way.
    RestartRecovering,
    /// A coordinator is killed between two messages.
    RestartMidway,
    /// A coordinator that stands by is killed.
    KillStandby,
    /// The log's server is down for a while.
    RestartLog,
    /// The log takes no records for a while.
    FullLog,
    /// The log answers late for a while.
    SlowLog,
    /// A record is missing in what a coordinator reads: it has to refuse to lead.
    DamagedLog,
}

/// All kinds, in the order of the counts.
pub(crate) const KINDS: [Fault; 33] = [
    Fault::Drop,
    Fault::Double,
    Fault::Delay,
    Fault::Reorder,
    Fault::Hold,
    Fault::Ghost,
    Fault::GhostRecord,
    Fault::Partition,
    Fault::PartitionOneWay,
    Fault::Kill,
    Fault::KillAgain,
    Fault::KillMidway,
    Fault::Pause,
    Fault::Cut,
    Fault::Leave,
    Fault::Slow,
    Fault::DropCopies,
    Fault::AgeCopies,
    Fault::CutCoordinator,
    Fault::CutLog,
    Fault::PartitionCoordinator,
    Fault::PartitionLog,
    Fault::PauseCoordinator,
    Fault::RestartCoordinator,
    Fault::RestartAgain,
    Fault::RestartBeginning,
    Fault::RestartRecovering,
    Fault::RestartMidway,
    Fault::KillStandby,
    Fault::RestartLog,
    Fault::FullLog,
    Fault::SlowLog,
    Fault::DamagedLog,
];

/// How often each kind happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultCounts([u64; KINDS.len()]);

impl Default for FaultCounts {
    fn default() -> Self {
        Self([0; KINDS.len()])
    }
}

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
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Climate {
    pub(crate) drop: f32,
    pub(crate) double: f32,
    pub(crate) delay: f32,
    pub(crate) reorder: f32,
    pub(crate) hold: f32,
    pub(crate) slow: f32,
    /// Something happens to an instance or a client, in each millisecond.
    pub(crate) party: f32,
    /// Something happens to the coordinator, in each millisecond.
    pub(crate) coordinator: f32,
    /// Something happens to the log, in each millisecond.
    pub(crate) log: f32,
    /// The network is divided, in each millisecond.
    pub(crate) partition: f32,
    /// Whoever sends a message dies of it.
    pub(crate) midway: f32,
    /// Faults stop here, in nanoseconds.
    pub(crate) until: u64,
}

impl Climate {
    pub(crate) fn of(rng: &mut EntityRng) -> Self {
        let mut rate = |most: f32| if rng.chance(0.4) { 0.0 } else { rng.f32() * most };
        Self {
            drop: rate(0.05),
            double: rate(0.1),
            delay: rate(0.1),
            reorder: rate(0.2),
            hold: rate(0.05),
            slow: rate(0.02),
            party: rate(0.05),
            coordinator: rate(0.03),
            log: rate(0.01),
            partition: rate(0.01),
            midway: rate(0.008),
            until: 300_000_000 + u64::from(rng.below(700)) * 1_000_000,
        }
    }
}
