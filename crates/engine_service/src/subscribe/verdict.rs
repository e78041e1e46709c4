//! What became of an event, in the words of who handled it.

use std::future::Future;
use std::time::Duration;

use crate::Recorded;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done with.
    Done,
    /// Not now: give it again, after this pause, or after the one that follows from how often it was given.
    Retry {
        /// How long to wait.
        after: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// Never: it becomes a dead letter.
    Poison {
        /// Why.
        reason: String,
    },
}

impl Verdict {
    /// Not now, for this reason.
    #[must_use]
    pub fn retry(reason: impl std::fmt::Display) -> Self {
        Self::Retry { after: None, reason: reason.to_string() }
    }

    /// Never, for this reason.
    #[must_use]
    pub fn poison(reason: impl std::fmt::Display) -> Self {
        Self::Poison { reason: reason.to_string() }
    }

    /// The worse of two that are about one message, the first of equal ones: what may get better is tried until only
    /// that is left which never will.
    pub(super) fn or_worse(self, other: Self) -> Self {
        let rank = |verdict: &Self| match verdict {
            Self::Done => 0,
            Self::Poison { .. } => 1,
            Self::Retry { .. } => 2,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

/// Who handles events. Functions that return a future of a [`Verdict`] are such.
pub trait EventHandler: Send + Sync + 'static {
    /// Handles one. It may be given the same event again, by its id: after a crash, or when the acknowledgement was lost.
    fn handle(&self, event: Recorded) -> impl Future<Output = Verdict> + Send;
}

impl<F, R> EventHandler for F
where
    F: Fn(Recorded) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send,
{
    fn handle(&self, event: Recorded) -> impl Future<Output = Verdict> + Send {
        self(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_verdict_counts_and_of_equal_ones_the_first() {
        let (retry, poison) = (Verdict::retry("later"), Verdict::poison("never"));
        let of = |all: [&Verdict; 3]| all.into_iter().cloned().fold(Verdict::Done, Verdict::or_worse);
        assert_eq!(of([&Verdict::Done, &Verdict::Done, &Verdict::Done]), Verdict::Done);
        assert_eq!(of([&Verdict::Done, &poison, &Verdict::Done]), poison);
        assert_eq!(of([&retry, &poison, &Verdict::Done]), retry);
        assert_eq!(of([&poison, &retry, &Verdict::retry("later still")]), retry);
    }
}
