//! A circuit breaker: who has failed several times in a row is left alone for a while, then tried once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use failsafe::failure_policy::{ConsecutiveFailures, consecutive_failures};
use failsafe::{Config, Instrument, StateMachine};

use crate::Backoff;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerSettings {
    /// It opens after so many failures in a row.
    pub failures: u32,
    /// For how long the first time; twice as long each time that the trial fails, …
    pub first: Duration,
    /// … up to this.
    pub longest: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, first: Duration::from_millis(500), longest: Duration::from_secs(30) }
    }
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// A trial.
    HalfOpen,
}

/// A circuit breaker. A clone is another handle of the same one.
#[derive(Clone)]
pub struct Breaker {
    machine: StateMachine<ConsecutiveFailures<Pauses>, Seen>,
    seen: Seen,
    trial: Arc<tokio::sync::Semaphore>,
}

/// How long it stays open, one time after the other. (The library's own pauses are whole seconds.)
#[derive(Clone, Debug)]
struct Pauses {
    backoff: Backoff,
    tried: u32,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.tried = self.tried.saturating_add(1);
        Some(self.backoff.pause(self.tried))
    }
}

/// What the machine tells of itself.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    state: AtomicU8,
    opened: AtomicU64,
}

impl Instrument for Seen {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.0.state.store(State::Open as u8, Ordering::Release);
        self.0.opened.fetch_add(1, Ordering::Relaxed);
    }

    fn on_half_open(&self) {
        self.0.state.store(State::HalfOpen as u8, Ordering::Release);
    }

    fn on_closed(&self) {
        self.0.state.store(State::Closed as u8, Ordering::Release);
    }
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        let seen = Seen::default();
        let backoff = Backoff { first: settings.first, longest: settings.longest.max(settings.first) };
        let policy = consecutive_failures(settings.failures.max(1), Pauses { backoff, tried: 0 });
        let machine = Config::new().failure_policy(policy).instrument(seen.clone()).build();
        Self { machine, seen, trial: Arc::new(tokio::sync::Semaphore::new(1)) }
    }

    /// What it lets through now.
    #[must_use]
    pub fn state(&self) -> State {
        match self.seen.0.state.load(Ordering::Acquire) {
            state if state == State::Open as u8 => State::Open,
            state if state == State::HalfOpen as u8 => State::HalfOpen,
            _ => State::Closed,
        }
    }

    /// How often it opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.seen.0.opened.load(Ordering::Relaxed)
    }

    /// Waits until something may be tried.
    pub(crate) async fn permitted(&self) {
        while !self.machine.is_call_permitted() || !self.may_try() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The machine lets everybody through once it is half open; here that is one, until it has said how it went.
    fn may_try(&self) -> bool {
        if self.state() != State::HalfOpen {
            return true;
        }
        match self.trial.try_acquire() {
            Ok(permit) => {
                permit.forget();
                true
            }
            Err(_) => false,
        }
    }

    pub(crate) fn succeeded(&self) {
        self.machine.on_success();
        self.ended();
    }

    pub(crate) fn failed(&self) {
        self.machine.on_error();
        self.ended();
    }

    fn ended(&self) {
        if self.trial.available_permits() == 0 {
            self.trial.add_permits(1);
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("state", &self.state()).field("opened", &self.opened()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_opens_after_failures_in_a_row_and_closes_after_a_trial() {
        let wait = Duration::from_millis(30);
        let breaker = Breaker::new(BreakerSettings { failures: 3, first: wait, longest: wait });
        for _ in 0..2 {
            breaker.failed();
            breaker.failed();
            breaker.succeeded();
        }
        assert_eq!(breaker.state(), State::Closed, "not in a row");
        (0..3).for_each(|_| breaker.failed());
        assert_eq!((breaker.state(), breaker.opened()), (State::Open, 1));
        breaker.permitted().await;
        assert_eq!(breaker.state(), State::HalfOpen);
        assert!(!breaker.may_try(), "one trial at a time");
        breaker.failed();
        assert_eq!((breaker.state(), breaker.opened()), (State::Open, 2));
        breaker.permitted().await;
        breaker.succeeded();
        assert_eq!(breaker.state(), State::Closed);
    }
}
