//! One connection: what it has been given, who waits for it, and whether it is up.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{Client, Event, PublishErrorKind, StatusCode, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    IoEvent, Lane, Outgoing, PublishError, RequestError, RequestId, SubscriptionId, handle::Shared, outbox::Outbox,
    waiters::Waiters,
};
use crate::client::{Connection, OLDEST_SERVER, ServerFacts, Version};

/// A slow consumer drops thousands of messages a second; that it does is said this rarely.
const SLOW_REPORT_EVERY: Duration = Duration::from_millis(100);

/// How long a lane that has just reconnected waits for its fence before it tries another.
const RECONNECT_FENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) lane: Lane,
    pub(super) client: Client,
    /// The root of this lane's reply subjects, unlike that of any other connection.
    pub(super) inbox: String,
    pub(super) connected: AtomicBool,
    /// Grows with each loss of the connection.
    losses: AtomicU64,
    pub(super) waiters: Waiters,
    pub(super) outbox: Mutex<Outbox>,
    server: Mutex<ServerFacts>,
    /// Subjects that the server didn't let this connection subscribe to.
    denied: Mutex<Vec<String>>,
    max_bytes: usize,
}

impl LaneState {
    pub(super) fn new(lane: Lane, connection: Connection, max_bytes: usize) -> Self {
        let Connection { client, server } = connection;
        Self {
            lane,
            inbox: client.new_inbox(),
            client,
            connected: AtomicBool::new(true),
            losses: AtomicU64::new(0),
            waiters: Waiters::default(),
            outbox: Mutex::default(),
            server: Mutex::new(server),
            denied: Mutex::default(),
            max_bytes,
        }
    }

    pub(super) fn server(&self) -> ServerFacts {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
        server.max_payload = self.client.max_payload();
        server
    }

    /// Hands a message to the connection's task, or refuses; never waits.
    ///
    /// The library's `publish` is polled once: it is ready at once if its queue has room, and a poll that
    /// isn't ready leaves nothing behind. The lock keeps the sizes in the order of the messages.
    pub(super) fn push(&self, message: Outgoing) -> Result<(), PublishError> {
        let size = message.size();
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.settle(self.client.statistics().out_messages.load(Ordering::Relaxed));
        let full = |outbox: &Outbox| PublishError::Full {
            lane: self.lane,
            messages: outbox.messages(),
            bytes: outbox.bytes(),
        };
        if !outbox.has_room(size, self.max_bytes) {
            return Err(full(&outbox));
        }
        let Outgoing { subject, reply, headers, payload } = message;
        let sent = match (reply, headers) {
            (None, None) => self.client.publish(subject.clone(), payload).now_or_never(),
            (Some(reply), None) => self.client.publish_with_reply(subject.clone(), reply, payload).now_or_never(),
            (None, Some(headers)) => self.client.publish_with_headers(subject.clone(), headers, payload).now_or_never(),
            (Some(reply), Some(headers)) => {
                let sent = self.client.publish_with_reply_and_headers(subject.clone(), reply, headers, payload);
                sent.now_or_never()
            }
        };
        match sent {
            None => Err(full(&outbox)),
            Some(Ok(())) => {
                outbox.push(size);
                Ok(())
            }
            Some(Err(error)) => Err(match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => {
                    let limit = self.client.max_payload();
                    PublishError::TooLarge { subject: subject.to_string(), size, limit }
                }
                PublishErrorKind::InvalidSubject => PublishError::Subject { subject: subject.to_string() },
                PublishErrorKind::Send => PublishError::Closed { lane: self.lane },
            }),
        }
    }

    /// The reply subject of a request of our own.
    pub(super) fn answer_subject(&self, id: RequestId) -> String {
        format!("{}._{}", self.inbox, id.0)
    }

    /// The request that a reply subject belongs to.
    fn request_of(&self, subject: &str) -> Option<RequestId> {
        let token = subject.strip_prefix(self.inbox.as_str())?.strip_prefix("._")?;
        token.parse().ok().map(RequestId)
    }

    /// Whether the server refused a subscription to this subject; asking forgets it.
    pub(super) fn was_denied(&self, subject: &str) -> bool {
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let before = denied.len();
        denied.retain(|refused| refused != subject);
        denied.len() < before
    }

    fn deny(&self, text: &str) {
        // Permissions Violation for Subscription to "subject" [using queue "name"]
        let Some((_, rest)) = text.split_once("Subscription to \"") else { return };
        let Some((subject, _)) = rest.split_once('"') else { return };
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the subscriptions that are being made are asked about; a flood must not be kept.
        if denied.len() < 1024 {
            denied.push(subject.to_owned());
        }
    }
}

/// Hands on what arrives on the lane's own inbox: answers to those who wait, the rest as events.
pub(super) async fn read_inbox(shared: std::sync::Arc<Shared>, lane: Lane, mut inbox: Subscriber) {
    let Some(state) = shared.lane(lane) else { return };
    let sink = &shared.sink;
    while let Some(message) = inbox.next().await {
        let no_responders = message.status == Some(StatusCode::NO_RESPONDERS);
        if let Some(id) = state.request_of(&message.subject) {
            let answer =
                if no_responders { Err(RequestError::NoResponders) } else { Ok(sink.message(lane, None, message)) };
            state.waiters.answer(lane, id, answer, sink);
        } else if no_responders {
            sink.now(IoEvent::NoResponders { lane, reply: message.subject });
        } else if sink.has_room() {
            sink.now(IoEvent::Message(sink.message(lane, None, message)));
        } else {
            // To wait here would hold up every answer behind it, that of the last fence included.
            sink.now(IoEvent::SlowConsumer { lane });
        }
    }
}

/// Hands on the messages of one subscription, as long as the program takes them.
pub(super) async fn read_subscription(
    shared: std::sync::Arc<Shared>,
    lane: Lane,
    id: SubscriptionId,
    mut subscriber: Subscriber,
) {
    let sink = &shared.sink;
    while let Some(message) = subscriber.next().await {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            sink.now(IoEvent::NoResponders { lane, reply: message.subject });
            continue;
        }
        sink.room().await;
        sink.now(IoEvent::Message(sink.message(lane, Some(id), message)));
    }
}

/// Turns what the client library says about a connection into events.
pub(super) async fn watch(shared: std::sync::Arc<Shared>, lane: Lane, mut events: UnboundedReceiver<Event>) {
    let Some(state) = shared.lane(lane) else { return };
    let sink = &shared.sink;
    let mut ever_connected = false;
    let mut slow_reported: Option<Instant> = None;
    while let Some(event) = events.recv().await {
        match event {
            Event::Connected if !ever_connected => ever_connected = true,
            Event::Connected => drop(tokio::spawn(reconnected(shared.clone(), lane))),
            Event::Disconnected => {
                state.connected.store(false, Ordering::Release);
                state.losses.fetch_add(1, Ordering::AcqRel);
                state.waiters.fail_all(lane, &RequestError::Disconnected, sink);
                sink.now(IoEvent::Disconnected { lane });
            }
            Event::SlowConsumer(_) => {
                if slow_reported.is_none_or(|at| at.elapsed() >= SLOW_REPORT_EVERY) {
                    slow_reported = Some(Instant::now());
                    sink.now(IoEvent::SlowConsumer { lane });
                }
            }
            Event::ClientError(async_nats::ClientError::MaxReconnects) => {
                sink.now(IoEvent::GaveUp { lane });
            }
            Event::ServerError(error) => {
                let text = error.to_string();
                state.deny(&text);
                sink.now(IoEvent::Trouble { lane, text });
            }
            Event::ClientError(error) => sink.now(IoEvent::Trouble { lane, text: error.to_string() }),
            Event::LameDuckMode => {
                sink.now(IoEvent::Trouble { lane, text: "the server is about to shut down (lame duck mode)".into() });
            }
            Event::Draining | Event::Closed => {}
        }
    }
}

/// The library sends the subscriptions again first; a fence behind them tells when they are in force.
async fn reconnected(shared: std::sync::Arc<Shared>, lane: Lane) {
    let Some(state) = shared.lane(lane) else { return };
    let losses = state.losses.load(Ordering::Acquire);
    let same_connection = || state.losses.load(Ordering::Acquire) == losses;
    while same_connection() {
        match shared.fence_task(state, RECONNECT_FENCE).await {
            Ok(()) if same_connection() => break,
            // Messages from before the loss fill the queue: they go first.
            Err(RequestError::NotSent(PublishError::Full { .. })) => tokio::time::sleep(Duration::from_millis(2)).await,
            Err(RequestError::TimedOut(_)) => {}
            // Lost again, or closed: then another event follows, or none.
            _ => return,
        }
    }
    if !same_connection() {
        return;
    }
    let server = ServerFacts::from(state.client.server_info());
    if Version::parse(&server.version).is_none_or(|version| version < OLDEST_SERVER) {
        let text = format!("reconnected to a server of version {}, older than {OLDEST_SERVER}", server.version);
        shared.sink.now(IoEvent::Trouble { lane, text });
    }
    state.server.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&server);
    state.connected.store(true, Ordering::Release);
    shared.sink.now(IoEvent::Reconnected { lane, server });
}
