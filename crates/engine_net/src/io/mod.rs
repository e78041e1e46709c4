//! The thread that talks to NATS.
//!
//! Systems compute for milliseconds, and a connection whose runtime isn't polled for that long is cut off
//! by the server. So all connections ("lanes") of a process live on one thread with a single-threaded
//! runtime, and nothing else runs there. Other threads hand it messages through [`IoHandle`] and take
//! [`IoEvent`]s from a channel; one wake-up each way, and no call blocks unless its name says so. A thread
//! that has nothing to do but to wait may save the wake-ups: see [`Helper`].
//!
//! What is bounded, and what happens at the bound:
//!
//! | bound | then |
//! | --- | --- |
//! | messages and bytes that wait to be written, per lane | [`PublishError::Full`]: try again later |
//! | events and bytes that the program has not taken | subscriptions are no longer read |
//! | messages in a subscription that isn't read | dropped, and [`IoEvent::SlowConsumer`] says so |
//!
//! NATS delivers at most once. After [`IoEvent::Disconnected`] or [`IoEvent::SlowConsumer`] everything that
//! was under way is suspect. While a lane is disconnected `publish` refuses: the client library would keep
//! messages and deliver them late.

mod event;
mod handle;
mod lane;
mod outbox;
mod responder;
mod thread;
mod turns;
mod waiters;

use std::{
    ops::Deref,
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub use async_nats::{HeaderMap, Subject as WireSubject};
use crossbeam_channel::Receiver;
pub use event::{IoEvent, IoMessage, Outgoing, PublishError, RequestError};
pub use handle::IoHandle;
pub use responder::{ANNOUNCE, Responder};
pub use turns::Helper;

use crate::{client::ConnectError, config::ConnectionConfig};

/// One of the connections of an [`Io`], counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u8);

impl Lane {
    /// The first lane: control messages, and everything that comes in.
    pub const CONTROL: Self = Self(0);

    fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A request or fence whose answer arrives as [`IoEvent::Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// A subscription; each of its messages names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(crate) u64);

/// The I/O thread; it ends, after a fence on every lane, when this is closed or dropped.
#[derive(Debug)]
pub struct Io {
    handle: IoHandle,
    thread: Option<JoinHandle<()>>,
}

impl Io {
    /// Connects `lanes` lanes (one at least) and returns when all are up.
    ///
    /// `name` is shown by the server and is part of the inboxes' subject.
    pub fn start(config: &ConnectionConfig, name: &str, lanes: u8) -> Result<(Self, Receiver<IoEvent>), ConnectError> {
        let (thread, handle, events) = thread::start(config.clone(), name, lanes.max(1))?;
        Ok((Self { handle, thread: Some(thread) }, events))
    }

    /// For other threads.
    #[must_use]
    pub fn handle(&self) -> IoHandle {
        self.handle.clone()
    }

    /// Ends the thread once the server has everything that was published: each lane's last message is a
    /// request that the server answers. Blocks for `limit` at the most.
    ///
    /// An error means that messages may be lost; the thread has ended nevertheless.
    pub fn close(mut self, limit: Duration) -> Result<(), RequestError> {
        self.finish(limit)
    }

    fn finish(&mut self, limit: Duration) -> Result<(), RequestError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let deadline = Instant::now() + limit;
        let result = self.handle.shared.close(deadline);
        // It fails only if the thread panicked, which the hook has reported.
        let _ = thread.join();
        result
    }
}

impl Deref for Io {
    type Target = IoHandle;
    fn deref(&self) -> &IoHandle {
        &self.handle
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Err(error) = self.finish(Duration::from_secs(1)) {
            tracing::warn!("the last messages may be lost: {error}");
        }
    }
}
