//! Mistakes that are made on purpose, so that the simulator can show that it finds them: a check that never
//! fails proves nothing.
//!
//! They exist with the feature `planted` alone, which does not build for releases; and then only in a thread
//! that asks for one. Without it [`is`] is `false` before anything is compiled.

use std::collections::BTreeMap;

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("planted bugs are for the simulator alone: build without the feature `planted`");

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The coordinator takes a result whose tick, attempt or slot is not the open one's.
    AcceptLateResult,
    /// A node is merged without a job that was silent.
    MergePartialNode,
    /// A job begins before the rows that it needs are in the world.
    BeginWithoutRows,
    /// A result of another epoch counts.
    SkipEpochCheck,
    /// Commands of systems are applied in the order in which the results came.
    ApplyInOrderOfArrival,
    /// A command from outside is answered when it is applied, before the tick is committed.
    AcknowledgeBeforeCommit,
    /// A command from outside that is repeated is applied again.
    ApplyRepeatedCommand,
    /// An instance forgets its registration after a hello, and does not register again.
    ForgetToRegister,
    /// An instance never sends the last chunk of a result.
    LoseLastChunk,
    /// A row that changed is not in the result.
    DropDirtyBit,
    /// A row that changed is not sent to an instance that has an older copy.
    LoseChangedRow,
    /// An instance uses the copies that it has, whatever a job builds on.
    SkipStampCheck,
    /// The log's server does not look at the guard on the epoch record.
    NoEpochGuard,
    /// What waits for the log is shown at once.
    ShowBeforeDurable,
    /// An acknowledgement of the log that is lost counts as one.
    BelieveLostAck,
    /// A leader believes in its lease without end, and goes on when it is deposed.
    EndlessLease,
    /// A keyframe is stored before its record is durable.
    HastyKeyframe,
    /// A recovery does not check the chain of records.
    SkipChainCheck,
    /// Of two attempts at a batch both results are merged.
    MergeBothAttempts,
    /// What was sent behind an attempt counts although the attempt came to nothing.
    KeepFollowers,
    /// A result is merged before the one that it builds on.
    MergeBeforeLead,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::AcceptLateResult,
        Self::MergePartialNode,
        Self::BeginWithoutRows,
        Self::SkipEpochCheck,
        Self::ApplyInOrderOfArrival,
        Self::AcknowledgeBeforeCommit,
        Self::ApplyRepeatedCommand,
        Self::ForgetToRegister,
        Self::LoseLastChunk,
        Self::DropDirtyBit,
        Self::LoseChangedRow,
        Self::SkipStampCheck,
        Self::NoEpochGuard,
        Self::ShowBeforeDurable,
        Self::BelieveLostAck,
        Self::EndlessLease,
        Self::HastyKeyframe,
        Self::SkipChainCheck,
        Self::MergeBothAttempts,
        Self::KeepFollowers,
        Self::MergeBeforeLead,
    ];

    /// Its name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptLateResult => "accept-late-result",
            Self::MergePartialNode => "merge-partial-node",
            Self::BeginWithoutRows => "begin-without-rows",
            Self::SkipEpochCheck => "skip-epoch-check",
            Self::ApplyInOrderOfArrival => "apply-in-order-of-arrival",
            Self::AcknowledgeBeforeCommit => "acknowledge-before-commit",
            Self::ApplyRepeatedCommand => "apply-repeated-command",
            Self::ForgetToRegister => "forget-to-register",
            Self::LoseLastChunk => "lose-last-chunk",
            Self::DropDirtyBit => "drop-dirty-bit",
            Self::LoseChangedRow => "lose-changed-row",
            Self::SkipStampCheck => "skip-stamp-check",
            Self::NoEpochGuard => "no-epoch-guard",
            Self::ShowBeforeDurable => "show-before-durable",
            Self::BelieveLostAck => "believe-lost-ack",
            Self::EndlessLease => "endless-lease",
            Self::HastyKeyframe => "hasty-keyframe",
            Self::SkipChainCheck => "skip-chain-check",
            Self::MergeBothAttempts => "merge-both-attempts",
            Self::KeepFollowers => "keep-followers",
            Self::MergeBeforeLead => "merge-before-lead",
        }
    }
}

#[cfg(feature = "planted")]
mod made {
    use std::cell::{Cell, RefCell};

    use super::Bug;

    thread_local! {
        pub(super) static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
        pub(super) static ARRIVED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    }
}

/// Has this thread make a mistake from now on, or none.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    made::BUG.set(bug);
    made::ARRIVED.take();
}

/// Whether this mistake is to be made here.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(bug: Bug) -> bool {
    made::BUG.get() == Some(bug)
}

/// Whether this mistake is to be made here: never.
#[cfg(not(feature = "planted"))]
#[must_use]
#[inline]
pub const fn is(_: Bug) -> bool {
    false
}

/// The result of a job came.
#[inline]
pub fn arrived(job: u32) {
    let _ = job;
    #[cfg(feature = "planted")]
    made::ARRIVED.with_borrow_mut(|arrived| arrived.push(job));
}

/// What jobs recorded, in their order; with [`Bug::ApplyInOrderOfArrival`] in the order of their results.
#[cfg(not(feature = "planted"))]
#[inline]
pub fn in_order<T>(recorded: &BTreeMap<u32, T>) -> impl Iterator<Item = &T> {
    recorded.values()
}

/// What jobs recorded, in their order; with [`Bug::ApplyInOrderOfArrival`] in the order of their results.
#[cfg(feature = "planted")]
pub fn in_order<T>(recorded: &BTreeMap<u32, T>) -> impl Iterator<Item = &T> {
    let arrived = made::ARRIVED.take();
    let mut all: Vec<(&u32, &T)> = recorded.iter().collect();
    if is(Bug::ApplyInOrderOfArrival) {
        all.sort_by_key(|(job, _)| arrived.iter().position(|other| other == *job));
    }
    all.into_iter().map(|(_, recorded)| recorded)
}
