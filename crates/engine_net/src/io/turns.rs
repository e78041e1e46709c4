//! Who moves the bytes: the I/O thread, or the thread that would wait for them.
//!
//! To wake a thread costs more than to write a small message. So a thread that waits for events may run the
//! I/O itself meanwhile: then a message goes out, and its answer is taken, without a second thread. As soon
//! as it has something longer to do, the I/O thread takes over again.
//!
//! ```text
//!                       help: the I/O thread makes way
//!  I/O thread moves  ──────────────────────────────────▶  program moves, while it waits
//!                    ◀──────────────────────────────────
//!                    release, and everything that blocks
//! ```

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::Notify;

use super::{IoEvent, IoHandle};

/// Whose turn it is: the I/O thread's, the program's, or the I/O thread's for good.
const THREAD: u8 = 0;
const PROGRAM: u8 = 1;
const OVER: u8 = 2;

#[derive(Debug, Default)]
pub(super) struct Turns {
    turn: AtomicU8,
    /// Asks the I/O thread to make way.
    wanted: Notify,
    /// There is an event for who helps.
    arrived: Notify,
    lock: Mutex<()>,
    free: Condvar,
}

impl Turns {
    /// The program takes over; false when it may not any more.
    pub(super) fn take(&self) -> bool {
        let before = self.turn.compare_exchange(THREAD, PROGRAM, Ordering::AcqRel, Ordering::Acquire);
        if before.is_ok() {
            self.wanted.notify_one();
        }
        before != Err(OVER)
    }

    /// The I/O thread takes over.
    pub(super) fn release(&self) {
        if self.turn.compare_exchange(PROGRAM, THREAD, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.wake_thread();
        }
    }

    /// The I/O thread takes over for good.
    pub(super) fn end(&self) {
        self.turn.store(OVER, Ordering::Release);
        self.wake_thread();
        self.arrived.notify_one();
    }

    pub(super) fn is_over(&self) -> bool {
        self.turn.load(Ordering::Acquire) == OVER
    }

    fn wake_thread(&self) {
        let _between_look_and_wait = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.free.notify_all();
    }

    /// The I/O thread is to make way.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Blocks the I/O thread while it is the program's turn.
    pub(super) fn wait(&self) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.turn.load(Ordering::Acquire) == PROGRAM {
            guard = self.free.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// There is an event.
    pub(super) fn event(&self) {
        if self.turn.load(Ordering::Acquire) == PROGRAM {
            self.arrived.notify_one();
        }
    }

    /// Waits for one; there may be none.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

/// Where more bytes than these move in so many waits, two threads are faster than one.
const FEW_BYTES: usize = 64 << 10;
const WAITS: u32 = 32;

/// Takes events for a thread that has nothing to do meanwhile, and lets it help where little moves.
///
/// The thread calls [`release`](Self::release) before it does anything else for long; while it forgets to,
/// nothing is sent or received.
#[derive(Debug)]
pub struct Helper {
    handle: IoHandle,
    events: Receiver<IoEvent>,
    helps: bool,
    waits: u32,
    bytes: usize,
}

impl Helper {
    /// For the thread that takes these events.
    #[must_use]
    pub fn new(handle: IoHandle, events: Receiver<IoEvent>) -> Self {
        Self { handle, events, helps: false, waits: 0, bytes: 0 }
    }

    /// The channel, for those who wait for something else as well. [`Self::release`] comes first.
    #[must_use]
    pub fn events(&self) -> &Receiver<IoEvent> {
        &self.events
    }

    /// Notes bytes that were handed over to be sent.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes > FEW_BYTES {
            self.release();
        }
    }

    /// An event that has arrived.
    pub fn take(&mut self) -> Option<IoEvent> {
        let event = self.events.try_recv().ok()?;
        self.note(&event);
        Some(event)
    }

    /// The next event; waits for it.
    ///
    /// # Errors
    /// When there is none for so long, or none will come any more.
    pub fn wait(&mut self, limit: Duration) -> Result<IoEvent, RecvTimeoutError> {
        self.waits += 1;
        if self.waits >= WAITS {
            self.helps = self.bytes <= FEW_BYTES;
            (self.waits, self.bytes) = (0, 0);
        }
        let until = Instant::now() + limit;
        if self.helps && self.events.is_empty() {
            self.handle.help(limit);
        }
        let event = self.events.recv_deadline(until)?;
        self.note(&event);
        Ok(event)
    }

    fn note(&mut self, event: &IoEvent) {
        if let IoEvent::Message(message) = event {
            self.sent(message.payload.len());
        }
    }

    /// Leaves the I/O to its thread.
    pub fn release(&mut self) {
        self.helps = false;
        self.handle.release();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.handle.release();
    }
}
