//! What other threads can ask of the I/O thread.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::ThreadId,
    time::{Duration, Instant},
};

use async_nats::Subject;
use bytes::Bytes;
use crossbeam_channel::bounded;
use tokio::{
    runtime::{Handle, Runtime},
    sync::oneshot,
    task::{AbortHandle, JoinHandle},
};

use super::{
    IoEvent, IoMessage, Lane, Outgoing, PublishError, RequestError, RequestId, SubscriptionId,
    event::EventSink,
    lane::{LaneState, read_subscription},
    waiters::{Answer, Waiter},
};
use crate::client::ServerFacts;

/// A handle of the I/O thread, for any thread; a clone is cheap.
#[derive(Clone, Debug)]
pub struct IoHandle {
    pub(super) shared: Arc<Shared>,
}

/// A request to close: until when, and where the result goes.
pub(super) type Closing = (Instant, crossbeam_channel::Sender<Result<(), RequestError>>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lanes: Vec<LaneState>,
    pub(super) sink: EventSink,
    pub(super) runtime: Handle,
    /// The same, to be run by who helps; gone when the thread ends.
    driver: Weak<Runtime>,
    pub(super) thread: ThreadId,
    closed: AtomicBool,
    closing: Mutex<Option<oneshot::Sender<Closing>>>,
    next_id: AtomicU64,
    subscriptions: Mutex<BTreeMap<u64, AbortHandle>>,
}

/// What the runtime's timers may be late.
const TIMER: Duration = Duration::from_millis(1);

impl IoHandle {
    /// How many lanes there are.
    #[must_use]
    pub fn lanes(&self) -> u8 {
        u8::try_from(self.shared.lanes.len()).expect("lanes were counted in a u8")
    }

    /// Hands over a message to be sent. Never blocks: what can't be accepted is refused, see
    /// [`PublishError`]. Messages of one lane keep their order.
    pub fn publish(&self, lane: Lane, message: Outgoing) -> Result<(), PublishError> {
        let sent = self.shared.open_lane(lane)?.push(message);
        if matches!(sent, Err(PublishError::Full { .. })) {
            // Who tries again without a pause waits for the I/O thread.
            self.release();
        }
        sent
    }

    /// Moves bytes on this thread until there is an event, or for almost so long. From then on nothing moves
    /// until this is called again, or [`Self::release`].
    pub(super) fn help(&self, limit: Duration) {
        self.shared.assert_other_thread();
        let Some(driver) = self.shared.driver.upgrade() else { return };
        if !self.shared.sink.turns().take() {
            return;
        }
        driver.block_on(async {
            if limit < TIMER {
                // What is there is moved, and no more.
                tokio::task::yield_now().await;
            } else {
                // Whether it came in time is seen where it is taken.
                let _ = tokio::time::timeout(limit - TIMER, self.shared.sink.until_event()).await;
            }
        });
    }

    /// Wakes who waits for events, with an [`IoEvent::Woken`]: there is something else to be looked at. From any
    /// thread.
    pub fn wake(&self) {
        self.shared.sink.now(IoEvent::Woken);
    }

    /// Leaves the I/O to its thread, whoever helped: see [`Helper`](super::Helper).
    pub fn release(&self) {
        self.shared.sink.turns().release();
    }

    /// A reply subject on the lane's inbox. What is published there arrives as [`IoEvent::Message`]; if
    /// nobody listens for the message that carries it, [`IoEvent::NoResponders`] brings it back within
    /// milliseconds. The message must be published on the same lane.
    ///
    /// `token` is one or more legal subject tokens that don't begin with `_`.
    #[must_use]
    pub fn reply_subject(&self, lane: Lane, token: &str) -> String {
        debug_assert!(!token.starts_with('_') && !token.is_empty(), "such tokens are the requests' own");
        format!("{}.{token}", self.inbox(lane))
    }

    /// The root of the lane's reply subjects; empty if there is no such lane.
    #[must_use]
    pub fn inbox(&self, lane: Lane) -> &str {
        self.shared.lane(lane).map_or("", |state| &state.inbox)
    }

    /// Sends a request (its reply subject is replaced); the answer is an [`IoEvent::Answer`].
    pub fn request(&self, lane: Lane, message: Outgoing, limit: Duration) -> Result<RequestId, PublishError> {
        self.send_request(lane, Some(message), limit)
    }

    fn send_request(&self, lane: Lane, message: Option<Outgoing>, limit: Duration) -> Result<RequestId, PublishError> {
        let state = self.shared.open_lane(lane)?;
        let id = self.shared.new_request();
        let shared = self.shared.clone();
        let timeout = self.shared.runtime.spawn(async move {
            tokio::time::sleep(limit).await;
            if let Some(state) = shared.lane(lane) {
                state.waiters.answer(lane, id, Err(RequestError::TimedOut(limit)), &shared.sink);
            }
        });
        state.waiters.insert(id, Waiter::Event(timeout.abort_handle()));
        state.push(state.request_message(message, id)).inspect_err(|_| state.waiters.forget(id))?;
        Ok(id)
    }

    /// Sends a request and blocks this thread until the answer is there.
    pub fn request_blocking(&self, lane: Lane, message: Outgoing, limit: Duration) -> Result<IoMessage, RequestError> {
        self.shared.request_blocking(self.shared.open_lane(lane)?, Some(message), limit)
    }

    /// A fence: when its [`IoEvent::Answer`] arrives the server has everything that was published on this
    /// lane before, all subscriptions made before are in force, and everything that the server had for
    /// this lane before has arrived.
    pub fn fence(&self, lane: Lane, limit: Duration) -> Result<RequestId, PublishError> {
        self.send_request(lane, None, limit)
    }

    /// A fence that blocks this thread.
    pub fn fence_blocking(&self, lane: Lane, limit: Duration) -> Result<(), RequestError> {
        self.shared.request_blocking(self.shared.open_lane(lane)?, None, limit).map(drop)
    }

    /// Subscribes, as a member of a queue group if one is given. [`IoEvent::Subscribed`] tells when what
    /// others publish from then on will arrive. The subscription outlives reconnects.
    pub fn subscribe(
        &self,
        lane: Lane,
        subject: impl Into<Subject>,
        queue: Option<&str>,
    ) -> Result<SubscriptionId, PublishError> {
        self.shared.open_lane(lane)?;
        let id = SubscriptionId(self.shared.next_id.fetch_add(1, Ordering::Relaxed));
        let (shared, subject, queue) = (self.shared.clone(), subject.into(), queue.map(Into::into));
        self.shared.runtime.spawn(async move {
            let result = shared.subscribe_task(lane, id, subject, queue).await;
            shared.sink.now(IoEvent::Subscribed { id, result });
        });
        Ok(id)
    }

    /// Subscribes and blocks this thread until the subscription is in force; there is no event then.
    pub fn subscribe_blocking(
        &self,
        lane: Lane,
        subject: impl Into<Subject>,
        queue: Option<&str>,
        limit: Duration,
    ) -> Result<SubscriptionId, RequestError> {
        self.shared.open_lane(lane)?;
        self.shared.assert_other_thread();
        self.release();
        let id = SubscriptionId(self.shared.next_id.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = bounded(1);
        let (shared, subject, queue) = (self.shared.clone(), subject.into(), queue.map(Into::into));
        self.shared.runtime.spawn(async move {
            let result = shared.subscribe_task(lane, id, subject, queue).await;
            let _ = sender.send(result);
        });
        let result = receiver.recv_timeout(limit).unwrap_or(Err(RequestError::TimedOut(limit)));
        result.inspect_err(|_| self.unsubscribe(id)).map(|()| id)
    }

    /// Ends a subscription; messages that have arrived already may still come out.
    pub fn unsubscribe(&self, id: SubscriptionId) {
        if let Some(task) = self.shared.subscriptions().remove(&id.0) {
            task.abort();
        }
    }

    /// Whether the lane is connected and its subscriptions in force.
    #[must_use]
    pub fn is_connected(&self, lane: Lane) -> bool {
        self.shared.open_lane(lane).is_ok()
    }

    /// The lane's server, as it is now.
    #[must_use]
    pub fn server(&self, lane: Lane) -> ServerFacts {
        self.shared.lane(lane).map(LaneState::server).unwrap_or_default()
    }

    /// Bytes of headers and payload of one message, at the most; a reconnect may change it.
    #[must_use]
    pub fn max_payload(&self, lane: Lane) -> usize {
        self.shared.lane(lane).map_or(0, |state| state.client.max_payload())
    }

    /// Messages and bytes of a lane that wait to be written.
    #[must_use]
    pub fn backlog(&self, lane: Lane) -> (usize, usize) {
        let Some(state) = self.shared.lane(lane) else { return (0, 0) };
        let mut outbox = state.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.settle(state.client.statistics().out_messages.load(Ordering::Relaxed));
        (outbox.messages(), outbox.bytes())
    }

    /// Bytes of messages that arrived and still live.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.shared.sink.held_bytes()
    }

    /// Runs a task on the I/O thread. It must not compute: everything else there waits for it.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.shared.runtime.spawn(task)
    }
}

impl LaneState {
    /// A request; or a fence, which is a message to its own answer's subject: the server sends it back
    /// behind everything before it.
    fn request_message(&self, message: Option<Outgoing>, id: RequestId) -> Outgoing {
        let subject = self.answer_subject(id);
        match message {
            Some(message) => message.reply(subject),
            None => Outgoing::new(subject, Bytes::new()),
        }
    }
}

impl Shared {
    pub(super) fn new(
        lanes: Vec<LaneState>,
        sink: EventSink,
        closing: oneshot::Sender<Closing>,
        driver: Weak<Runtime>,
    ) -> Self {
        Self {
            lanes,
            sink,
            runtime: Handle::current(),
            driver,
            thread: std::thread::current().id(),
            closed: AtomicBool::new(false),
            closing: Mutex::new(Some(closing)),
            next_id: AtomicU64::new(1),
            subscriptions: Mutex::default(),
        }
    }

    pub(super) fn lane(&self, lane: Lane) -> Option<&LaneState> {
        self.lanes.get(lane.index())
    }

    fn open_lane(&self, lane: Lane) -> Result<&LaneState, PublishError> {
        let state = self.lane(lane).filter(|_| !self.closed.load(Ordering::Acquire));
        let state = state.ok_or(PublishError::Closed { lane })?;
        if state.connected.load(Ordering::Acquire) { Ok(state) } else { Err(PublishError::Disconnected { lane }) }
    }

    fn new_request(&self) -> RequestId {
        RequestId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    fn subscriptions(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, AbortHandle>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn assert_other_thread(&self) {
        assert_ne!(std::thread::current().id(), self.thread, "the I/O thread would wait for itself");
    }

    fn request_blocking(&self, state: &LaneState, message: Option<Outgoing>, limit: Duration) -> Answer {
        self.assert_other_thread();
        self.sink.turns().release();
        let id = self.new_request();
        let (sender, receiver) = bounded(1);
        state.waiters.insert(id, Waiter::Thread(sender));
        let sent = state.push(state.request_message(message, id));
        let answer = sent
            .map_err(RequestError::from)
            .and_then(|()| receiver.recv_timeout(limit).unwrap_or(Err(RequestError::TimedOut(limit))));
        state.waiters.forget(id);
        answer
    }

    /// A fence from a task on the I/O thread; also while the lane counts as disconnected.
    pub(super) async fn fence_task(&self, state: &LaneState, limit: Duration) -> Result<(), RequestError> {
        let id = self.new_request();
        let (sender, receiver) = oneshot::channel();
        state.waiters.insert(id, Waiter::Task(sender));
        if let Err(error) = state.push(state.request_message(None, id)) {
            state.waiters.forget(id);
            return Err(error.into());
        }
        let answer = tokio::time::timeout(limit, receiver).await;
        state.waiters.forget(id);
        match answer {
            Err(_) => Err(RequestError::TimedOut(limit)),
            Ok(Err(_)) => Err(RequestError::Closed),
            Ok(Ok(answer)) => answer.map(drop),
        }
    }

    /// Subscribes and waits until the server has it.
    async fn subscribe_task(
        self: &Arc<Self>,
        lane: Lane,
        id: SubscriptionId,
        subject: Subject,
        queue: Option<String>,
    ) -> Result<(), RequestError> {
        let state = self.lane(lane).ok_or(PublishError::Closed { lane })?;
        let name = subject.to_string();
        let subscriber = match queue {
            None => state.client.subscribe(subject).await,
            Some(queue) => state.client.queue_subscribe(subject, queue).await,
        };
        let subscriber = subscriber.map_err(|error| RequestError::Refused(format!("{error} (`{name}`)")))?;
        let task = tokio::spawn(read_subscription(self.clone(), lane, id, subscriber));
        self.subscriptions().insert(id.0, task.abort_handle());
        loop {
            match self.fence_task(state, Duration::from_secs(2)).await {
                Ok(()) => break,
                Err(RequestError::Closed | RequestError::NotSent(PublishError::Closed { .. })) => {
                    return Err(RequestError::Closed);
                }
                // The library subscribes again when it has reconnected.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        // A refusal comes before the fence but through another task: let that one run first.
        tokio::task::yield_now().await;
        if state.was_denied(&name) {
            self.subscriptions().remove(&id.0);
            task.abort();
            return Err(RequestError::Refused(format!("no permission to subscribe to `{name}`")));
        }
        Ok(())
    }

    /// Tells the thread to end, and waits until the last fences are answered.
    pub(super) fn close(&self, deadline: Instant) -> Result<(), RequestError> {
        self.closed.store(true, Ordering::Release);
        self.sink.turns().end();
        let closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (sender, receiver) = bounded(1);
        let told = closing.is_some_and(|closing| closing.send((deadline, sender)).is_ok());
        if told { receiver.recv().unwrap_or(Err(RequestError::Closed)) } else { Err(RequestError::Closed) }
    }
}
