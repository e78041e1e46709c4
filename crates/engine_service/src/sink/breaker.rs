//! A circuit breaker: who has failed several times in a row is left alone for a while, then tried once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use failsafe::failure_policy::{ConsecutiveFailures, consecutive_failures};
use failsafe::{Config, Instrument, StateMachine};
use tokio::sync::OwnedSemaphorePermit;

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
    pub(crate) async fn permitted(&self) -> Permission {
        loop {
            if self.machine.is_call_permitted()
                && let Some(permission) = self.may_try()
            {
                return permission;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The machine lets everybody through once it is half open; here that is one, until it has said how it went.
    fn may_try(&self) -> Option<Permission> {
        let trial =
            if self.state() == State::HalfOpen { Some(self.trial.clone().try_acquire_owned().ok()?) } else { None };
        Some(Permission { breaker: self.clone(), trial, is_told: false })
    }
}

/// To try something once, and say how it went.
pub(crate) struct Permission {
    breaker: Breaker,
    /// Given back last: by then the machine knows.
    trial: Option<OwnedSemaphorePermit>,
    is_told: bool,
}

impl Permission {
    pub(crate) fn succeeded(mut self) {
        self.is_told = true;
        self.breaker.machine.on_success();
    }

    pub(crate) fn failed(mut self) {
        self.is_told = true;
        self.breaker.machine.on_error();
    }
}

impl Drop for Permission {
    /// A task that ends without a word did not succeed. One that was merely stopped says nothing about the other side,
    /// but for a trial, which somebody has to end.
    fn drop(&mut self) {
        if !self.is_told && (self.trial.is_some() || std::thread::panicking()) {
            self.breaker.machine.on_error();
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

    fn of(failures: u32) -> Breaker {
        let wait = Duration::from_millis(30);
        Breaker::new(BreakerSettings { failures, first: wait, longest: wait })
    }

    #[tokio::test]
    async fn it_opens_after_failures_in_a_row_and_closes_after_a_trial() {
        let breaker = of(3);
        for _ in 0..2 {
            breaker.permitted().await.failed();
            breaker.permitted().await.failed();
            breaker.permitted().await.succeeded();
        }
        assert_eq!(breaker.state(), State::Closed, "not in a row");
        for _ in 0..3 {
            breaker.permitted().await.failed();
        }
        assert_eq!((breaker.state(), breaker.opened()), (State::Open, 1));
        let trial = breaker.permitted().await;
        assert_eq!(breaker.state(), State::HalfOpen);
        assert!(breaker.may_try().is_none(), "one trial at a time");
        trial.failed();
        assert_eq!((breaker.state(), breaker.opened()), (State::Open, 2));
        breaker.permitted().await.succeeded();
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test]
    async fn a_trial_whose_task_is_gone_keeps_nobody_out() {
        let breaker = of(1);
        breaker.permitted().await.failed();
        for panics in [false, true] {
            let (held, (begun, begins)) = (breaker.clone(), tokio::sync::oneshot::channel());
            let task = tokio::spawn(async move {
                let _trial = held.permitted().await;
                let _ = begun.send(());
                assert!(!panics, "this is part of the test");
                std::future::pending::<()>().await;
            });
            begins.await.unwrap();
            task.abort();
            assert!(task.await.is_err());
            assert_eq!(breaker.state(), State::Open, "it did not succeed");
        }
        let trial = tokio::time::timeout(Duration::from_secs(30), breaker.permitted()).await;
        trial.expect("another trial").succeeded();
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test]
    async fn being_stopped_while_it_is_closed_is_no_failure() {
        let breaker = of(1);
        drop(breaker.permitted().await);
        assert_eq!(breaker.state(), State::Closed);
    }
}
