//! Who waits for which answer on a lane's inbox.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crossbeam_channel::Sender;
use tokio::{sync::oneshot, task::AbortHandle};

use super::{IoEvent, IoMessage, Lane, RequestError, RequestId, event::EventSink};

pub(super) type Answer = Result<IoMessage, RequestError>;

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum Waiter {
    /// Into the events; the task is its time-out.
    Event(AbortHandle),
    /// To a thread that stands still for it.
    Thread(Sender<Answer>),
    /// To a task on the I/O thread.
    Task(oneshot::Sender<Answer>),
}

#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<BTreeMap<u64, Waiter>>);

impl Waiters {
    pub(super) fn insert(&self, id: RequestId, waiter: Waiter) {
        self.lock().insert(id.0, waiter);
    }

    /// Takes somebody off the list who will not be answered any more.
    pub(super) fn forget(&self, id: RequestId) {
        if let Some(Waiter::Event(timeout)) = self.lock().remove(&id.0) {
            timeout.abort();
        }
    }

    /// Hands over an answer; nobody may be waiting for it any more.
    pub(super) fn answer(&self, lane: Lane, id: RequestId, answer: Answer, sink: &EventSink) {
        let waiter = self.lock().remove(&id.0);
        match waiter {
            None => {}
            Some(Waiter::Event(timeout)) => {
                timeout.abort();
                sink.now(IoEvent::Answer { lane, id, answer });
            }
            // Whoever waited may be gone.
            Some(Waiter::Thread(sender)) => drop(sender.try_send(answer)),
            Some(Waiter::Task(sender)) => drop(sender.send(answer)),
        }
    }

    /// Nobody will be answered.
    pub(super) fn fail_all(&self, lane: Lane, why: &RequestError, sink: &EventSink) {
        let ids: Vec<u64> = self.lock().keys().copied().collect();
        for id in ids {
            self.answer(lane, RequestId(id), Err(why.clone()), sink);
        }
    }

    /// Never held across a call out of this file: a panic can't leave the map half changed.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Waiter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
