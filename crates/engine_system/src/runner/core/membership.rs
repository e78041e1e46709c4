//! Joining, following the coordinator, leaving.

use std::sync::Arc;

use engine_component::schema::Schema;
use engine_net::messages::hello::Hello;
use engine_net::messages::register::{Accepted, Leave, LeaveReply, Register, RegisterReply};
use engine_net::messages::rejected::{RejectReason, Rejected};
use engine_net::messages::{Message, Reply};
use engine_net::strict;

use super::super::adapt::Adapters;
use super::{Answer, InstanceCore, JobKey};
use crate::planted::{self, Bug};

/// Between two registrations that were not answered.
pub(super) const BACK_OFF: [u64; 5] = [50_000_000, 100_000_000, 250_000_000, 500_000_000, 1_000_000_000];
/// Registrations that are tried again when an older coordinator answers than the one that said hello.
pub(super) const BELIEVED: usize = 4;
/// Between two farewells, while jobs are open.
pub(super) const FAREWELL: u64 = 100_000_000;
/// Farewells that nobody answered until it goes without.
pub(super) const FAREWELLS: usize = 3;

#[derive(Debug, PartialEq)]
pub(super) enum State {
    /// Asks to be registered, at this time.
    Joining { ask_at: u64, tries: usize, asking: bool },
    /// Takes jobs.
    Ready,
    /// Finishes what it has, and says so, at this time.
    Leaving { ask_at: u64, tries: usize, asking: bool },
    /// Has left.
    Gone,
}

impl State {
    pub(super) fn joining() -> Self {
        Self::Joining { ask_at: 0, tries: 0, asking: false }
    }

    /// Whoever wants to leave does not join again.
    pub(super) fn start_over(&mut self) {
        if !matches!(self, Self::Leaving { .. } | Self::Gone) {
            *self = Self::joining();
        }
    }
}

impl InstanceCore {
    /// Whether it has left.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// A coordinator says hello: who runs systems registers again. One that was deposed is not listened to.
    pub fn hello(&mut self, payload: &[u8]) {
        let Ok(hello) = strict::decode::<Hello>(payload, Hello::LIMIT) else {
            self.figures.refused += 1;
            return;
        };
        let newest = self.newest_epoch.max(self.said_epoch);
        if hello.epoch < newest {
            tracing::warn!(epoch = hello.epoch, newest, "a hello of an epoch that is over");
            return;
        }
        tracing::info!(epoch = hello.epoch, "a coordinator says hello");
        self.said_epoch = hello.epoch;
        let was_ready = self.state == State::Ready;
        self.forget_everything();
        if planted::is(Bug::ForgetToRegister) && was_ready {
            self.state = State::Ready;
        }
    }

    /// The coordinator refused something of ours. When that shows that it does not know us, we register
    /// again; what is said of messages of an earlier registration does not count.
    pub fn rejected(&mut self, payload: &[u8]) {
        let Ok(rejected) = strict::decode::<Rejected>(payload, Rejected::LIMIT) else {
            self.figures.refused += 1;
            return;
        };
        tracing::debug!(epoch = rejected.epoch, tick = rejected.tick, job = rejected.job, reason = %rejected.reason, why = rejected.message, "the coordinator refuses a message");
        let key = JobKey { tick: rejected.tick, job: rejected.job, attempt: rejected.attempt };
        // Heartbeats are of no tick.
        let ours = rejected.tick == 0 || self.results.contains_key(&key) || self.running.contains_key(&key);
        let unknown = matches!(rejected.reason, RejectReason::WrongInstance | RejectReason::ForeignEpoch);
        if ours && unknown && self.state == State::Ready {
            self.forget_everything();
        }
    }

    /// Says good-bye as soon as nothing is open.
    pub fn leave(&mut self) {
        match self.state {
            State::Ready => self.state = State::Leaving { ask_at: 0, tries: 0, asking: false },
            State::Joining { .. } => self.state = State::Gone,
            State::Leaving { .. } | State::Gone => {}
        }
    }

    pub(super) fn see_to_membership(&mut self) {
        let now = self.now;
        match &mut self.state {
            State::Joining { ask_at, asking, .. } if !*asking && now >= *ask_at => {
                *asking = true;
                let register = self.register();
                self.answers.push_back(Answer::Register(register));
            }
            State::Leaving { ask_at, asking, .. } if !*asking && now >= *ask_at => match &self.accepted {
                Some(accepted) => {
                    *asking = true;
                    let leave = Leave { instance: self.name.clone(), slot: accepted.slot, epoch: accepted.epoch };
                    self.answers.push_back(Answer::Leave(strict::encode(&leave)));
                }
                None => self.state = State::Gone,
            },
            _ => {}
        }
    }

    fn register(&self) -> Vec<u8> {
        let mut schemas: Vec<Schema> = Vec::new();
        for schema in self.systems.values().flat_map(|system| system.schemas()) {
            if !schemas.iter().any(|known| known.name == schema.name) {
                schemas.push(schema.clone());
            }
        }
        strict::encode(&Register {
            instance: self.name.clone(),
            nonce: self.nonce,
            protocol: engine_net::PROTOCOL,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.host.name.clone(),
            pid: self.host.pid,
            systems: self.systems.values().map(|system| system.descriptor().clone()).collect(),
            schemas,
            max_payload: self.max_payload as u64,
            keep_bytes: self.keep_bytes as u64,
        })
    }

    /// A request was not answered.
    pub fn unanswered(&mut self) {
        let now = self.now;
        match &mut self.state {
            State::Joining { ask_at, tries, asking } => {
                *asking = false;
                *ask_at = now + BACK_OFF[(*tries).min(BACK_OFF.len() - 1)];
                *tries += 1;
            }
            State::Leaving { ask_at, tries, asking } => {
                *asking = false;
                *ask_at = now + FAREWELL;
                *tries += 1;
                if *tries >= FAREWELLS {
                    tracing::info!("no coordinator answers: leaving without a farewell");
                    self.state = State::Gone;
                }
            }
            State::Ready | State::Gone => {}
        }
    }

    /// A request was answered.
    ///
    /// # Errors
    /// When the coordinator refuses the instance for good.
    pub fn answered(&mut self, now: u64, payload: &[u8]) -> Result<(), String> {
        self.now = now;
        match &mut self.state {
            State::Joining { .. } => return self.registered(payload),
            State::Leaving { ask_at, tries, asking } => {
                (*ask_at, *tries, *asking) = (now + FAREWELL, 0, false);
                match strict::decode::<LeaveReply>(payload, LeaveReply::LIMIT) {
                    Ok(Reply::Ok(leaving)) if leaving.open_jobs > 0 => {}
                    _ => self.state = State::Gone,
                }
            }
            State::Ready | State::Gone => {}
        }
        Ok(())
    }

    fn registered(&mut self, payload: &[u8]) -> Result<(), String> {
        match strict::decode::<RegisterReply>(payload, RegisterReply::LIMIT) {
            Ok(Reply::Ok(accepted)) if accepted.epoch < self.newest_epoch || self.waits_for_newer(&accepted) => {
                tracing::warn!(epoch = accepted.epoch, "accepted in an epoch that seems to be over");
                self.unanswered();
                Ok(())
            }
            Ok(Reply::Ok(accepted)) => self.accepted(accepted),
            Ok(Reply::Error(problem)) if problem.code == "overloaded" || problem.code == "taken" => {
                tracing::info!(code = problem.code, why = problem.message, "not registered yet");
                self.unanswered();
                Ok(())
            }
            Ok(Reply::Error(problem)) => Err(problem.message),
            Err(error) => {
                tracing::warn!(%error, "the answer to the registration can't be read");
                self.unanswered();
                Ok(())
            }
        }
    }

    /// Whether a newer coordinator said hello than the one that answers. Anybody can say hello, so it is only
    /// believed for a few tries.
    fn waits_for_newer(&self, accepted: &Accepted) -> bool {
        let tries = if let State::Joining { tries, .. } = self.state { tries } else { 0 };
        accepted.epoch < self.said_epoch && tries < BELIEVED
    }

    fn accepted(&mut self, mut accepted: Accepted) -> Result<(), String> {
        for (name, system) in &self.systems {
            let adapters = Adapters::of(system.as_ref(), &accepted.components)?;
            self.adapters.insert(name.clone(), Arc::new(adapters));
        }
        tracing::info!(epoch = accepted.epoch, slot = accepted.slot, "registered");
        (self.newest_epoch, self.said_epoch) = (accepted.epoch, accepted.epoch);
        self.tick = accepted.tick;
        if let Some(invitation) = accepted.memory.take() {
            self.answers.push_back(Answer::Map { invitation, mapping: self.mapping.clone() });
        }
        self.accepted = Some(accepted);
        self.state = State::Ready;
        self.figures.beat_at(self.now);
        Ok(())
    }
}
