//! The thread that appends: a connection of its own, which nothing else may hold up.
//!
//! The client library keeps what was published while it is disconnected and delivers it late. An append that
//! was already told as lost must not be stored minutes later by a client that came back. So each connection
//! lives in a runtime of its own, and when it is lost the runtime goes, with everything that was not yet written.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use async_nats::{Event, HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use crossbeam_channel::{Sender, bounded};
use engine_net::{
    client::{self, Connection, ServerFacts},
    config::ConnectionConfig,
};
use futures_util::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    JetError, JetEvent, JetSettings, Kind, Lost, Mark, Names, Record, Refusal, Token,
    api::{self, Ack, Api, Complaints},
    error::code,
    lease::{self, LeaseOrder, Watched},
    mark::MarkKeeper,
};

/// How long to wait between attempts to connect when waiting alone won't help (wrong credentials).
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What the thread is told to do.
pub(super) enum Order {
    Append {
        token: Token,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    },
    /// The record at a place; none: the last epoch record.
    Read {
        token: Token,
        sequence: Option<u64>,
    },
    Lease {
        token: Token,
        order: LeaseOrder,
    },
    Watch {
        every: Option<Duration>,
    },
    Mark(Mark),
    Close,
}

/// Appends that are under way, as the caller counts them.
#[derive(Debug, Default)]
pub(super) struct Load {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Load {
    pub(super) fn reserve(&self, bytes: usize, settings: &JetSettings) -> Result<(), JetError> {
        let (messages, held) = (self.messages.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire));
        // A single one goes always.
        if messages > 0 && (messages >= settings.appends_in_flight || held + bytes > settings.append_bytes_in_flight) {
            return Err(JetError::Full { messages, bytes: held });
        }
        self.messages.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(())
    }

    fn release(&self, bytes: usize) {
        self.messages.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(super) fn busy(&self) -> bool {
        self.messages.load(Ordering::Acquire) > 0
    }
}

/// What every connection of the lane needs to know.
pub(super) struct Setup {
    pub(super) config: ConnectionConfig,
    pub(super) names: Names,
    pub(super) settings: JetSettings,
    pub(super) events: Sender<JetEvent>,
    pub(super) load: Arc<Load>,
}

/// The lane, from other threads.
#[derive(Debug)]
pub(super) struct Lane {
    orders: UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    /// Connects, and returns when the first connection is up.
    pub(super) fn start(setup: Setup) -> Result<Self, JetError> {
        let (orders, inbox) = unbounded_channel();
        let (report, started) = bounded(1);
        let run = move || run(&setup, inbox, &report);
        let thread = thread::Builder::new().name("engine-log".into()).spawn(run);
        let failed = |reason: String| JetError::Connect(client::ConnectError::Thread { reason });
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self { orders, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(failed("it ended before it was connected".into())),
        }
    }

    pub(super) fn order(&self, order: Order) -> Result<(), JetError> {
        self.orders.send(order).map_err(|_| JetError::Closed)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Close);
        if let Some(thread) = self.thread.take() {
            // It fails only if the thread panicked, which the hook has reported.
            let _ = thread.join();
        }
    }
}

/// Why a connection's life has ended.
enum End {
    Closed,
    Lost(String),
}

type Report = Sender<Result<(), JetError>>;

fn run(setup: &Setup, mut orders: UnboundedReceiver<Order>, report: &Report) {
    let mut life = Life { setup, first: Some(report), marks: MarkKeeper::new(&setup.settings), watched: None };
    loop {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return life.fail(&error.to_string()),
        };
        let end = runtime.block_on(life.live(&mut orders));
        // Tasks of the client end here, and what waits in them is never sent.
        runtime.shutdown_background();
        match end {
            End::Closed => return,
            End::Lost(reason) => drop(setup.events.send(JetEvent::Down { reason })),
        }
    }
}

/// What outlives a connection.
struct Life<'a> {
    setup: &'a Setup,
    first: Option<&'a Report>,
    marks: MarkKeeper,
    watched: Option<(Duration, Watched)>,
}

impl Life<'_> {
    fn fail(&mut self, reason: &str) {
        let error = client::ConnectError::Thread { reason: reason.to_owned() };
        match self.first.take() {
            Some(report) => drop(report.send(Err(error.into()))),
            None => drop(self.setup.events.send(JetEvent::Trouble { text: error.to_string() })),
        }
    }

    /// One connection, from the first attempt to its loss.
    async fn live(&mut self, orders: &mut UnboundedReceiver<Order>) -> End {
        let (heard, mut events) = unbounded_channel();
        let Some(connection) = self.connect(orders, heard).await else { return End::Closed };
        let complaints = Complaints::default();
        let api = Api::new(connection.client.clone(), complaints, self.setup.settings.answer_timeout);
        let root = connection.client.new_inbox();
        let acks = match connection.client.subscribe(format!("{root}.*")).await {
            Ok(acks) => acks,
            Err(error) => return End::Lost(error.to_string()),
        };
        match self.first.take() {
            Some(report) => drop(report.send(Ok(()))),
            None => drop(self.setup.events.send(JetEvent::Up { server: ServerFacts::clone(&connection.server) })),
        }
        let mut open = Open { setup: self.setup, api, root, pending: BTreeMap::new(), watcher: None };
        if let Some((every, watched)) = &self.watched {
            open.watch(*every, watched.clone());
        }
        let end = open.serve(self, orders, &mut events, acks).await;
        open.lose_all(Lost::Disconnected);
        end
    }

    /// `None` when the lane was closed meanwhile, or the first attempt has failed.
    async fn connect(
        &mut self,
        orders: &mut UnboundedReceiver<Order>,
        heard: UnboundedSender<Event>,
    ) -> Option<Connection> {
        let first = self.first.is_some();
        let mut config = self.setup.config.clone();
        config.wait_for_server |= !first;
        // An attempt of the library's own would end in a runtime that is being dropped.
        config.max_reconnects = Some(1);
        loop {
            let heard = heard.clone();
            let connecting = client::connect_with(&config, "log", move |event| drop(heard.send(event)));
            let mut connecting = std::pin::pin!(connecting);
            let result = loop {
                tokio::select! {
                    result = &mut connecting => break result,
                    order = orders.recv() => match order {
                        None | Some(Order::Close) => return None,
                        Some(order) => self.refuse(order),
                    },
                }
            };
            match result {
                Ok(connection) => return Some(connection),
                Err(error) => match self.first.take() {
                    Some(report) => {
                        let _ = report.send(Err(error.into()));
                        return None;
                    }
                    None => drop(self.setup.events.send(JetEvent::Trouble { text: error.to_string() })),
                },
            }
            let again = tokio::time::sleep(TRY_AGAIN);
            let mut again = std::pin::pin!(again);
            loop {
                tokio::select! {
                    () = &mut again => break,
                    order = orders.recv() => match order {
                        None | Some(Order::Close) => return None,
                        Some(order) => self.refuse(order),
                    },
                }
            }
        }
    }

    /// While there is no connection.
    fn refuse(&mut self, order: Order) {
        let away = |what: &str| JetError::Disconnected { what: what.into() };
        let event = match order {
            Order::Append { token, payload, .. } => {
                self.setup.load.release(payload.len());
                JetEvent::Refused { token, reason: Refusal::NotConnected }
            }
            Order::Read { token, sequence } => JetEvent::Read { token, record: Err(away(&reading(sequence))) },
            Order::Lease { token, order } => order.lost(token, away("use the lease")),
            Order::Watch { every } => return self.remember_watch(every),
            Order::Mark(mark) => return self.marks.set(mark),
            Order::Close => return,
        };
        let _ = self.setup.events.send(event);
    }

    fn remember_watch(&mut self, every: Option<Duration>) {
        self.watched = every.map(|every| (every, Watched::default()));
    }
}

/// An append that waits for its answer.
struct Pending {
    deadline: Instant,
    bytes: usize,
    subject: String,
}

/// A connection that is up.
struct Open<'a> {
    setup: &'a Setup,
    api: Api,
    /// Answers to appends arrive below this, with the token's number.
    root: String,
    /// By token, and so in the order of their deadlines.
    pending: BTreeMap<u64, Pending>,
    watcher: Option<tokio::task::JoinHandle<()>>,
}

impl Open<'_> {
    async fn serve(
        &mut self,
        life: &mut Life<'_>,
        orders: &mut UnboundedReceiver<Order>,
        events: &mut UnboundedReceiver<Event>,
        mut acks: Subscriber,
    ) -> End {
        let (written, mut marks_written) = unbounded_channel();
        loop {
            let now = Instant::now();
            if life.marks.is_due(now) {
                life.marks.begin(now, &self.api, &self.setup.names, written.clone());
            }
            let first = self.pending.first_key_value().map(|(_, pending)| pending.deadline);
            let next = first.into_iter().chain(life.marks.next_due()).min();
            let timer = tokio::time::sleep_until(next.unwrap_or(now + Duration::from_secs(3600)).into());
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    None | Some(Event::Disconnected | Event::Closed) => {
                        return End::Lost("the connection was closed or stood still".into());
                    }
                    Some(event) => self.heed(&event),
                },
                answer = acks.next() => match answer {
                    None => return End::Lost("the client has ended".into()),
                    Some(answer) => self.answered(&answer),
                },
                outcome = marks_written.recv() => if let Some(outcome) = outcome { life.marks.end(outcome) },
                order = orders.recv() => match order {
                    None | Some(Order::Close) => {
                        life.marks.finish(&self.api, &self.setup.names).await;
                        return End::Closed;
                    }
                    Some(Order::Mark(mark)) => life.marks.set(mark),
                    Some(Order::Watch { every }) => {
                        life.remember_watch(every);
                        self.unwatch();
                        if let Some((every, watched)) = &life.watched {
                            self.watch(*every, watched.clone());
                        }
                    }
                    Some(order) => self.obey(order).await,
                },
                () = timer => self.expire(),
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Append { token, subject, headers, payload } => self.append(token, subject, headers, payload).await,
            Order::Read { token, sequence } => self.read(token, sequence),
            Order::Lease { token, order } => {
                let lost = order.lost(token, JetError::Disconnected { what: "use the lease".into() });
                let promise = Promise::new(&self.setup.events, lost);
                let (api, names) = (self.api.clone(), self.setup.names.clone());
                tokio::spawn(async move { promise.keep(lease::run(&api, &names, token, order).await) });
            }
            Order::Mark(_) | Order::Watch { .. } | Order::Close => {}
        }
    }

    async fn append(&mut self, token: Token, subject: String, headers: HeaderMap, payload: Bytes) {
        let reply = format!("{}.{}", self.root, token.0);
        let pending = Pending {
            deadline: Instant::now() + self.setup.settings.answer_timeout,
            bytes: payload.len(),
            subject: subject.clone(),
        };
        // The client's queue has room for more than may be under way: this doesn't wait.
        let sent = self.api.client.publish_with_reply_and_headers(subject, reply, headers, payload).await;
        match sent {
            Ok(()) => drop(self.pending.insert(token.0, pending)),
            Err(error) => {
                self.setup.load.release(pending.bytes);
                let reason = Refusal::Other { code: 0, description: error.to_string() };
                self.tell(JetEvent::Refused { token, reason });
            }
        }
    }

    fn read(&self, token: Token, sequence: Option<u64>) {
        let what = reading(sequence);
        let lost = JetEvent::Read { token, record: Err(JetError::Disconnected { what }) };
        let promise = Promise::new(&self.setup.events, lost);
        let (api, names) = (self.api.clone(), self.setup.names.clone());
        tokio::spawn(async move {
            let record = match sequence {
                Some(sequence) => record_at(&api, &names, sequence).await,
                None => last_epoch(&api, &names).await,
            };
            promise.keep(JetEvent::Read { token, record });
        });
    }

    fn watch(&mut self, every: Duration, watched: Watched) {
        let (api, names, events) = (self.api.clone(), self.setup.names.clone(), self.setup.events.clone());
        self.watcher = Some(tokio::spawn(lease::watch(api, names, every, watched, events)));
    }

    fn unwatch(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.abort();
        }
    }

    fn answered(&mut self, answer: &Message) {
        let token = answer.subject.strip_prefix(self.root.as_str()).and_then(|rest| rest.strip_prefix('.'));
        let Some(token) = token.and_then(|token| token.parse().ok()) else { return };
        // Without an entry it was told as lost already.
        let Some(pending) = self.pending.remove(&token) else { return };
        self.setup.load.release(pending.bytes);
        self.tell(outcome(Token(token), answer, self.setup.settings.answer_timeout));
    }

    /// A denied publish is never answered; the server's complaint is all there is.
    fn heed(&mut self, event: &Event) {
        let denied = self.api.complaints.hear(event);
        if let Event::ServerError(error) = event {
            self.tell(JetEvent::Trouble { text: error.to_string() });
        }
        let Some((_, subject)) = denied else { return };
        let mut hit = self.pending.extract_if(.., |_, pending| pending.subject == subject).collect::<Vec<_>>();
        for (token, pending) in hit.drain(..) {
            self.setup.load.release(pending.bytes);
            let reason = Refusal::Denied { subject: subject.clone() };
            self.tell(JetEvent::Refused { token: Token(token), reason });
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.pending.first_entry().filter(|entry| entry.get().deadline <= now) {
            let (token, pending) = entry.remove_entry();
            self.setup.load.release(pending.bytes);
            let why = Lost::TimedOut(self.setup.settings.answer_timeout);
            self.tell(JetEvent::Lost { token: Token(token), why });
        }
    }

    fn lose_all(&mut self, why: Lost) {
        self.unwatch();
        for (token, pending) in std::mem::take(&mut self.pending) {
            self.setup.load.release(pending.bytes);
            self.tell(JetEvent::Lost { token: Token(token), why });
        }
    }

    fn tell(&self, event: JetEvent) {
        // Without a receiver nobody wants to know.
        let _ = self.setup.events.send(event);
    }
}

/// What an answer to an append means.
fn outcome(token: Token, answer: &Message, limit: Duration) -> JetEvent {
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        return JetEvent::Refused { token, reason: Refusal::NobodyListens };
    }
    match api::understand::<Ack>(&answer.payload) {
        Ok(Ack { sequence, duplicate }) => JetEvent::Acked { token, sequence, duplicate },
        // A cluster that is changing its leader says neither yes nor no; neither does what can't be read.
        Err(Err(_) | Ok((code::CLUSTER_UNAVAILABLE, _))) => JetEvent::Lost { token, why: Lost::TimedOut(limit) },
        Err(Ok((number, description))) => JetEvent::Refused { token, reason: refusal(number, description) },
    }
}

fn refusal(number: u64, description: String) -> Refusal {
    match number {
        code::WRONG_LAST | code::WRONG_LAST_CONSTANT => Refusal::WrongLast { description },
        code::STORE_FAILED | code::ACCOUNT_RESOURCES | code::INSUFFICIENT_RESOURCES | code::STORAGE_EXCEEDED => {
            Refusal::Full { description }
        }
        code::STREAM_NOT_FOUND => Refusal::NobodyListens,
        _ => Refusal::Other { code: number, description },
    }
}

/// A record from the stream's leader: what was acknowledged is seen.
fn reading(sequence: Option<u64>) -> String {
    sequence.map_or_else(|| "read the last epoch record".into(), |sequence| format!("read record {sequence}"))
}

/// The record of the last reign.
pub(super) async fn last_epoch(api: &Api, names: &Names) -> Result<Option<Record>, JetError> {
    let message = api.last(&names.log(), &names.record(Kind::Epoch)).await?;
    message.map(|message| record(names, message.sequence, &message.subject, message.payload)).transpose()
}

pub(super) async fn record_at(api: &Api, names: &Names, sequence: u64) -> Result<Option<Record>, JetError> {
    // The server takes sequence 0 for "not given".
    if sequence == 0 {
        return Ok(None);
    }
    let message = api.get(&names.log(), &serde_json::json!({ "seq": sequence })).await?;
    message.map(|message| record(names, message.sequence, &message.subject, message.payload)).transpose()
}

pub(super) fn record(names: &Names, sequence: u64, subject: &str, payload: Bytes) -> Result<Record, JetError> {
    let kind = names.kind_of(subject).ok_or_else(|| JetError::Damaged {
        what: format!("record {sequence} of {}", names.log()),
        reason: format!("it stands on the subject `{subject}`"),
    })?;
    Ok(Record { sequence, kind, payload })
}

/// An event that is told whatever happens: when the connection's runtime ends, its tasks are dropped.
struct Promise {
    events: Sender<JetEvent>,
    otherwise: Option<JetEvent>,
}

impl Promise {
    fn new(events: &Sender<JetEvent>, otherwise: JetEvent) -> Self {
        Self { events: events.clone(), otherwise: Some(otherwise) }
    }

    fn keep(mut self, event: JetEvent) {
        self.otherwise = Some(event);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(event) = self.otherwise.take() {
            let _ = self.events.send(event);
        }
    }
}
