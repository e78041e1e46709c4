//! A connection of the lane that is up: orders go out, answers come in, and what isn't answered is lost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use async_nats::{Event, HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use crossbeam_channel::Sender;
use futures_util::StreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{
    JetError, JetEvent, Kind, Lost, Names, Record, Refusal, Token,
    api::{self, Ack, Api},
    error::code,
    lane::{End, Life, Order, Setup},
    lease::{self, Watched},
};

/// An append that waits for its answer.
struct Pending {
    deadline: Instant,
    bytes: usize,
    subject: String,
}

/// A connection that is up.
pub(super) struct Open<'a> {
    setup: &'a Setup,
    api: Api,
    /// Answers to appends arrive below this, with the token's number.
    root: String,
    /// By token, and so in the order of their deadlines.
    pending: BTreeMap<u64, Pending>,
    watcher: Option<tokio::task::JoinHandle<()>>,
}

impl<'a> Open<'a> {
    pub(super) fn new(setup: &'a Setup, api: Api, root: String) -> Self {
        Self { setup, api, root, pending: BTreeMap::new(), watcher: None }
    }

    pub(super) async fn serve(
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

    pub(super) fn watch(&mut self, every: Duration, watched: Watched) {
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

    pub(super) fn lose_all(&mut self, why: Lost) {
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
/// What is being read, for errors.
pub(super) fn reading(sequence: Option<u64>) -> String {
    sequence.map_or_else(|| "read the last epoch record".into(), |sequence| format!("read record {sequence}"))
}

/// The record of the last reign.
pub(super) async fn last_epoch(api: &Api, names: &Names) -> Result<Option<Record>, JetError> {
    let message = api.last(&names.log(), &names.record(Kind::Epoch)).await?;
    message.map(|message| record(names, message.sequence, &message.subject, message.payload)).transpose()
}

async fn record_at(api: &Api, names: &Names, sequence: u64) -> Result<Option<Record>, JetError> {
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
