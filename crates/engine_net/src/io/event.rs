//! What goes in and comes out of the I/O thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use crossbeam_channel::Sender;
use thiserror::Error;

use super::{Lane, RequestId, SubscriptionId, turns::Turns};
use crate::client::ServerFacts;

/// Everything that the I/O thread reports. Events of one subscription keep their order.
#[derive(Debug)]
pub enum IoEvent {
    /// A message of a subscription, or on the lane's own inbox.
    Message(IoMessage),
    /// Nobody listens on the subject that a message with this reply subject was published on.
    NoResponders {
        /// The lane that published.
        lane: Lane,
        /// The reply subject of that message.
        reply: Subject,
    },
    /// The end of a request or fence.
    Answer {
        /// Its lane.
        lane: Lane,
        /// Which one.
        id: RequestId,
        /// The reply, or why there is none.
        answer: Result<IoMessage, RequestError>,
    },
    /// A subscription is in force: what is published from now on arrives. Or it was refused.
    Subscribed {
        /// Which one.
        id: SubscriptionId,
        /// Why not.
        result: Result<(), RequestError>,
    },
    /// The connection is lost; everything that was under way on this lane is suspect.
    Disconnected {
        /// Which lane.
        lane: Lane,
    },
    /// The connection is back and its subscriptions are in force again.
    Reconnected {
        /// Which lane.
        lane: Lane,
        /// The server, perhaps another one.
        server: ServerFacts,
    },
    /// Messages were dropped because the program didn't take them in time. Reported ten times a second at
    /// the most.
    SlowConsumer {
        /// Which lane.
        lane: Lane,
    },
    /// The server complains: permissions, limits; or the client can't reconnect and says why.
    Trouble {
        /// Which lane.
        lane: Lane,
        /// In its words.
        text: String,
    },
    /// The lane's attempts to reconnect are used up; it stays closed.
    GaveUp {
        /// Which lane.
        lane: Lane,
    },
    /// Somebody called [`IoHandle::wake`](super::IoHandle::wake).
    Woken,
    /// The thread has ended; nothing follows. (The channel itself stays open as long as an
    /// [`IoHandle`](super::IoHandle) lives.)
    Closed,
}

/// A message that arrived. As long as it lives its bytes count as untaken.
#[derive(Debug)]
pub struct IoMessage {
    /// The lane that it came through.
    pub lane: Lane,
    /// The subscription, or none for the lane's inbox.
    pub subscription: Option<SubscriptionId>,
    /// Where it was published.
    pub subject: Subject,
    /// Where its sender waits for an answer.
    pub reply: Option<Subject>,
    /// Its headers.
    pub headers: Option<HeaderMap>,
    /// Its bytes.
    pub payload: Bytes,
    _held: Held,
}

impl IoMessage {
    /// Whether the server took it out of a stream: see [`is_out_of_a_stream`](crate::headers::is_out_of_a_stream).
    #[must_use]
    pub fn is_out_of_a_stream(&self) -> bool {
        crate::headers::is_out_of_a_stream(self.headers.as_ref())
    }
}

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where.
    pub subject: Subject,
    /// Where an answer, or the news that nobody listens, is expected.
    pub reply: Option<Subject>,
    /// Its headers.
    pub headers: Option<HeaderMap>,
    /// Its bytes.
    pub payload: Bytes,
}

impl Outgoing {
    /// A message without reply subject and headers.
    pub fn new(subject: impl Into<Subject>, payload: impl Into<Bytes>) -> Self {
        Self { subject: subject.into(), reply: None, headers: None, payload: payload.into() }
    }

    /// With a reply subject, see [`IoHandle::reply_subject`](super::IoHandle::reply_subject).
    #[must_use]
    pub fn reply(mut self, reply: impl Into<Subject>) -> Self {
        self.reply = Some(reply.into());
        self
    }

    /// With headers.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = Some(headers);
        self
    }

    /// Bytes that it holds while it waits.
    pub(super) fn size(&self) -> usize {
        let headers = self.headers.iter().flat_map(HeaderMap::iter);
        let headers: usize = headers
            .map(|(name, values)| {
                AsRef::<[u8]>::as_ref(name).len() + values.iter().map(|value| value.as_str().len()).sum::<usize>()
            })
            .sum();
        self.subject.len() + self.reply.as_ref().map_or(0, |reply| reply.len()) + headers + self.payload.len()
    }
}

/// Why a message was not accepted. It was not and will not be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// Too much waits to be written; take events, and try again later.
    #[error("{messages} messages of {bytes} bytes wait to be sent on lane {}; try again when the server has taken some", lane.0)]
    Full {
        /// Which lane.
        lane: Lane,
        /// How many wait.
        messages: usize,
        /// How much they hold.
        bytes: usize,
    },
    /// There is no connection at the moment; [`IoEvent::Reconnected`] will tell.
    #[error("lane {} is not connected; publish again after it has reconnected", lane.0)]
    Disconnected {
        /// Which lane.
        lane: Lane,
    },
    /// Payload and headers are above the server's limit, which would reset the connection.
    #[error(
        "{size} bytes for `{subject}` are above the server's limit of {limit}; send less, or raise its max_payload"
    )]
    TooLarge {
        /// Where it was going.
        subject: String,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Not a subject.
    #[error("`{subject}` is not a subject to publish on")]
    Subject {
        /// What was given.
        subject: String,
    },
    /// The I/O thread has ended, or there is no such lane.
    #[error("lane {} is closed", lane.0)]
    Closed {
        /// Which lane.
        lane: Lane,
    },
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// It could not be sent.
    #[error(transparent)]
    NotSent(#[from] PublishError),
    /// Nobody listens on that subject.
    #[error("nobody listens")]
    NoResponders,
    /// No answer in time: whether it was received is not known.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection was lost: whether it was received is not known.
    #[error("the connection was lost before the answer came")]
    Disconnected,
    /// The server doesn't allow it.
    #[error("refused by the server: {0}")]
    Refused(String),
    /// The I/O thread has ended.
    #[error("the connection was closed")]
    Closed,
}

/// Counts the bytes that the program holds, so that no more are read than it may hold.
#[derive(Debug)]
struct Held {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The way out: a channel without a fixed size, whose fill is watched by those who fill it.
#[derive(Clone, Debug)]
pub(super) struct EventSink {
    sender: Sender<IoEvent>,
    held: Arc<AtomicUsize>,
    turns: Arc<Turns>,
    max_events: usize,
    max_bytes: usize,
}

/// How often a full channel is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

impl EventSink {
    pub(super) fn new(sender: Sender<IoEvent>, max_events: usize, max_bytes: usize) -> Self {
        Self { sender, held: Arc::default(), turns: Arc::default(), max_events: max_events.max(1), max_bytes }
    }

    /// Takes an event whatever waits: for those that must not be lost, and are few.
    pub(super) fn now(&self, event: IoEvent) {
        // Without a receiver nobody wants to know.
        let _ = self.sender.send(event);
        self.turns.event();
    }

    pub(super) fn turns(&self) -> Arc<Turns> {
        self.turns.clone()
    }

    /// Waits until there is an event that was not taken, or none will come any more.
    pub(super) async fn until_event(&self) {
        while self.sender.is_empty() && !self.turns.is_over() {
            self.turns.arrived().await;
        }
    }

    /// Waits until there is room: for messages.
    pub(super) async fn room(&self) {
        while !self.has_room() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.sender.len() < self.max_events && self.held.load(Ordering::Relaxed) < self.max_bytes
    }

    /// Counts a message as held by the program.
    pub(super) fn message(&self, lane: Lane, subscription: Option<SubscriptionId>, message: Message) -> IoMessage {
        let Message { subject, reply, payload, headers, length: bytes, .. } = message;
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { all: self.held.clone(), bytes };
        IoMessage { lane, subscription, subject, reply, headers, payload, _held: held }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}
