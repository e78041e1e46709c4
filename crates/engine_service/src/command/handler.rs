//! Who answers commands: the aggregate's rules, and the loop around them that makes each id count once.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use engine_component::Command;
use engine_net::messages::Problem;
use engine_net::messages::value::Blob;
use engine_net::{name, strict};
use time::OffsetDateTime;
use uuid::Uuid;

use super::aggregates::{Aggregates, Folded};
use super::history::{History, Stored};
use super::{Decision, code};
use crate::envelope::{Content, Envelope, Trace};
use crate::outcome::{self, Outcome};
use crate::recorded::{Place, ReadError, Recorded};
use crate::{Backoff, Gauge, Link, ServiceError, content, names};

/// The header of an outcome that says who asked for the command, where its subject said so.
const BY: &str = "engine-asked-by";

/// Rules of one kind of aggregate: what its events amount to.
pub trait Aggregate: Send + Sync + 'static {
    /// The first token of its commands' and events' names.
    const DOMAIN: &'static str;
    /// The second token of its commands' names.
    const NAME: &'static str;
    /// What is known of one.
    type State: Default + Send + 'static;

    /// Folds an event into the state. It must not look at anything else: the same history is the same state.
    ///
    /// # Errors
    /// When the event can't be read: then no command for this aggregate is handled until it can.
    fn apply(&self, state: &mut Self::State, event: &Recorded) -> Result<(), ReadError>;
}

/// Decides about one type of command.
pub trait CommandHandler<C: Command>: Aggregate {
    /// What the answer is, and what happens. Nothing else may happen here: a decision is thrown away when another
    /// handler was quicker, and made again.
    fn handle(&self, state: &Self::State, command: &C) -> Decision<C::Answer>;
}

/// Bounds of a handler.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Commands that are handled at a time; more of them are answered `overloaded`.
    pub at_a_time: usize,
    /// Aggregates that stay in memory.
    pub aggregates: usize,
    /// Outcomes of one aggregate; more of them are answered `full`.
    pub outcomes: usize,
    /// How often one command is tried while other handlers are quicker, or the stream doesn't answer.
    pub tries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { at_a_time: 1024, aggregates: 20_000, outcomes: 1_000_000, tries: 12 }
    }
}

/// Handles the commands of one kind of aggregate. Any number of processes may do so: they share the work, and each id
/// counts once among all of them.
///
/// ```no_run
/// # use engine_component::{Command, Data, Event};
/// use engine_service::command::{Aggregate, CommandHandler, Decision, Handler};
/// use engine_service::{Link, ReadError, Recorded};
///
/// #[derive(serde::Serialize, serde::Deserialize, Command)]
/// #[command(name = "shop.player.deposit", document, answer = u64)]
/// struct Deposit {
///     #[command(key)]
///     player: String,
///     coins: u64,
/// }
///
/// #[derive(serde::Serialize, serde::Deserialize, Event)]
/// #[event(name = "shop.Deposited", document)]
/// struct Deposited {
///     coins: u64,
/// }
///
/// struct Shop;
///
/// impl Aggregate for Shop {
///     const DOMAIN: &'static str = "shop";
///     const NAME: &'static str = "player";
///     type State = u64;
///
///     fn apply(&self, coins: &mut u64, event: &Recorded) -> Result<(), ReadError> {
///         *coins += event.read::<Deposited>()?.coins;
///         Ok(())
///     }
/// }
///
/// impl CommandHandler<Deposit> for Shop {
///     fn handle(&self, coins: &u64, deposit: &Deposit) -> Decision<u64> {
///         Decision::answer(coins + deposit.coins).event(&Deposited { coins: deposit.coins })
///     }
/// }
///
/// # async fn example(link: &Link) -> Result<(), engine_service::ServiceError> {
/// Handler::new(link, Shop).on::<Deposit>().run().await
/// # }
/// ```
pub struct Handler<A: Aggregate> {
    pub(super) link: Link,
    pub(super) rules: Arc<A>,
    actions: BTreeMap<&'static str, Box<dyn Action<A>>>,
    pub(super) limits: Limits,
    pub(super) gauge: Gauge,
}

impl<A: Aggregate> Handler<A> {
    /// With the rules of an aggregate, and no command yet.
    #[must_use]
    pub fn new(link: &Link, rules: A) -> Self {
        let [subject, _] = link.names().requests(A::DOMAIN, A::NAME);
        let gauge = Gauge::new(A::NAME, subject, super::GROUP);
        Self { link: link.clone(), rules: Arc::new(rules), actions: BTreeMap::new(), limits: Limits::default(), gauge }
    }

    /// And this type of command.
    ///
    /// # Panics
    /// When the command is for another kind of aggregate.
    #[must_use]
    pub fn on<C: Command>(mut self) -> Self
    where
        A: CommandHandler<C>,
    {
        let (domain, aggregate) = (C::DOMAIN, C::AGGREGATE);
        assert!(
            domain == A::DOMAIN && aggregate == A::NAME,
            "`{}` is no command for {}.{}",
            C::NAME,
            A::DOMAIN,
            A::NAME
        );
        self.actions.insert(C::ACTION, Box::new(Typed::<C>(PhantomData)));
        self
    }

    /// With other bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What it has done and has to do, for [`Presence`](crate::Presence).
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }
}

impl<A: Aggregate> fmt::Debug for Handler<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("aggregate", &A::NAME).field("actions", &self.actions.keys()).finish()
    }
}

/// A type of command, without its type.
trait Action<A: Aggregate>: Send + Sync {
    fn open(&self, envelope: &Envelope, payload: &[u8], link: &Link) -> Result<Box<dyn Opened<A>>, Problem>;
}

/// A command that was read.
trait Opened<A: Aggregate>: Send + Sync {
    fn key(&self) -> String;
    fn name(&self) -> &'static str;
    /// What becomes of it, and how that is written.
    fn decide(&self, rules: &A, state: &A::State) -> Result<(Outcome, Bytes), Problem>;
}

struct Typed<C>(PhantomData<fn() -> C>);

struct Read<C>(C);

impl<C: Command, A: CommandHandler<C>> Action<A> for Typed<C> {
    fn open(&self, envelope: &Envelope, payload: &[u8], link: &Link) -> Result<Box<dyn Opened<A>>, Problem> {
        let command = content::decode::<C>(payload, envelope.content, envelope.schema.as_ref(), link.upcasters());
        let command = command.map_err(|error| Problem::new(code::BAD_REQUEST, error))?;
        command.validate().map_err(|invalid| Problem::new(code::INVALID, invalid))?;
        Ok(Box::new(Read(command)))
    }
}

impl<C: Command, A: CommandHandler<C>> Opened<A> for Read<C> {
    fn key(&self) -> String {
        self.0.key()
    }

    fn name(&self) -> &'static str {
        C::NAME
    }

    fn decide(&self, rules: &A, state: &A::State) -> Result<(Outcome, Bytes), Problem> {
        let Decision { answer, events } = rules.handle(state, &self.0);
        let internal = |reason: String| Problem::new(code::INTERNAL, format!("the handler of `{}`: {reason}", C::NAME));
        let events = events.map_err(internal)?;
        let answer = rmp_serde::to_vec_named(&answer).map_err(|error| internal(error.to_string()))?;
        let outcome = Outcome { command: C::NAME.to_owned(), answer: answer.into(), events };
        let bytes = outcome.encode().map_err(|error| internal(format!("its answer and events have {error}")))?;
        Ok((outcome, bytes))
    }
}

/// A handler at work.
pub(super) struct Work<A: Aggregate> {
    pub(super) handler: Handler<A>,
    stream: Stream,
    stream_name: String,
    aggregates: Aggregates<A::State>,
}

impl<A: Aggregate> Work<A> {
    pub(super) async fn begin(handler: Handler<A>) -> Result<Self, ServiceError> {
        name::token("domain", A::DOMAIN)?;
        name::token("aggregate", A::NAME)?;
        handler.link.ensure_domain(A::DOMAIN).await?;
        let stream_name = handler.link.names().events(A::DOMAIN);
        let stream = handler.link.jet().get_stream(&stream_name).await;
        let stream = stream.map_err(|error| ServiceError::passing(format!("use the stream {stream_name}"), error))?;
        let aggregates = Aggregates::new(handler.limits.aggregates);
        Ok(Self { handler, stream, stream_name, aggregates })
    }

    /// The answer to a command, when it is durable.
    pub(super) async fn answer(
        &self,
        action: &str,
        by: Option<&str>,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<Blob, Problem> {
        let bad = |reason: String| Problem::new(code::BAD_REQUEST, reason);
        let action = self.handler.actions.get(action);
        let action = action.ok_or_else(|| bad(format!("{}.{} has no command of this name", A::DOMAIN, A::NAME)))?;
        let id = envelope.uuid().ok_or_else(|| bad("the id of a command is a UUID, in small letters".into()))?;
        let command = action.open(envelope, payload, &self.handler.link)?;
        let key = command.key();
        names::key(&key).map_err(|error| bad(error.to_string()))?;
        let subject = self.handler.link.names().outcome(A::DOMAIN, A::NAME, &key);
        let cell = self.aggregates.get(&key);
        // Fair: whoever came first is first.
        let mut folded = cell.lock().await;
        self.settle(&mut folded, &subject, id, &*command, (envelope, by)).await
    }

    /// Tries until the outcome of this id is in the history.
    async fn settle(
        &self,
        folded: &mut Folded<A::State>,
        subject: &str,
        id: Uuid,
        command: &dyn Opened<A>,
        asked: (&Envelope, Option<&str>),
    ) -> Result<Blob, Problem> {
        let unavailable = |error: ServiceError| match error {
            ServiceError::History { .. } => Problem::new(code::INTERNAL, error),
            error => Problem::new(code::UNAVAILABLE, error),
        };
        let envelope = self.envelope(asked.0, subject);
        let mut last = None;
        for tried in 0..self.handler.limits.tries.max(1) {
            if tried > 1 {
                Backoff::default().wait(tried).await;
            }
            if folded.doubtful
                && let Err(error) = self.catch_up(folded, subject).await
            {
                if !error.may_pass() {
                    return Err(unavailable(error));
                }
                last = Some(error);
                continue;
            }
            if let Some(sequence) = folded.handled.get(&id) {
                let stored = self.history(subject).at(*sequence).await.map_err(unavailable)?;
                let outcome = Outcome::decode(&stored.payload);
                let outcome = outcome.map_err(|error| Problem::new(code::INTERNAL, error))?;
                return if outcome.command == command.name() {
                    Ok(outcome.answer)
                } else {
                    let reason =
                        format!("the id {id} is that of a `{}`; each command has one of its own", outcome.command);
                    Err(Problem::new(code::BAD_REQUEST, reason))
                };
            }
            if folded.handled.len() >= self.handler.limits.outcomes {
                let reason = format!("{subject} has {} outcomes already, the most that are kept", folded.handled.len());
                return Err(Problem::new(code::FULL, reason));
            }
            let (outcome, bytes) = command.decide(&self.handler.rules, &folded.state)?;
            match self.append(folded.end, subject, (&envelope, asked.1), bytes).await {
                Ok(sequence) => {
                    let answer = outcome.answer.clone();
                    self.fold(folded, sequence, id, &envelope, outcome).map_err(unavailable)?;
                    return Ok(answer);
                }
                // Nobody knows whether it is stored; or somebody was quicker. The history says it.
                Err(error) if error.may_pass() => {
                    folded.doubtful = true;
                    last = Some(error);
                }
                // The server takes less than this crate writes.
                Err(error) => return Err(Problem::new(code::INTERNAL, error)),
            }
        }
        let reason = last.map_or_else(|| "other handlers were always quicker".to_owned(), |error| error.to_string());
        Err(Problem::new(code::UNAVAILABLE, reason))
    }

    /// The envelope of an outcome: the command's id, and in its chain.
    fn envelope(&self, command: &Envelope, subject: &str) -> Envelope {
        let key = subject.rsplit_once('.').map_or(subject, |(_, key)| key);
        Envelope {
            id: command.id.clone(),
            source: self.handler.link.source().to_owned(),
            kind: outcome::KIND.to_owned(),
            time: Some(OffsetDateTime::now_utc()),
            subject: Some(format!("{}/{key}", A::NAME)),
            schema: None,
            content: Content::MessagePack,
            correlation: Some(command.correlation.as_ref().unwrap_or(&command.id).clone()),
            causation: Some(command.id.clone()),
            trace: command.trace.as_ref().map(Trace::child),
        }
    }

    async fn append(
        &self,
        end: u64,
        subject: &str,
        (envelope, by): (&Envelope, Option<&str>),
        outcome: Bytes,
    ) -> Result<u64, ServiceError> {
        let what = || format!("append to {subject}");
        let mut headers = envelope.headers();
        // For audits: the server lets only those use the name who have it.
        if let Some(by) = by {
            headers.insert(BY, by);
        }
        // No id for the server's window of duplicates: this guard is stronger, lasts for ever and costs no memory.
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, end.to_string());
        let message = PublishMessage::build().headers(headers).payload(outcome);
        let sent = self.handler.link.jet().send_publish(subject.to_owned(), message).await;
        let sent = sent.map_err(|error| ServiceError::publish(&what(), &error))?;
        match sent.await {
            Ok(stored) => Ok(stored.sequence),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                Err(ServiceError::passing(what(), "another handler was quicker"))
            }
            Err(error) => Err(ServiceError::publish(&what(), &error)),
        }
    }

    fn history<'a>(&'a self, subject: &'a str) -> History<'a> {
        History { link: &self.handler.link, stream: &self.stream, name: &self.stream_name, subject }
    }

    /// Reads what others appended.
    async fn catch_up(&self, folded: &mut Folded<A::State>, subject: &str) -> Result<(), ServiceError> {
        for Stored { sequence, headers, payload, .. } in self.history(subject).behind(folded.end).await? {
            let broken = |reason: String| ServiceError::History { subject: subject.into(), sequence, reason };
            let envelope = Envelope::of_headers(Some(&headers)).map_err(|error| broken(error.to_string()))?;
            let id = envelope.uuid().filter(|_| envelope.kind == outcome::KIND);
            let id = id.ok_or_else(|| broken("it is no outcome".into()))?;
            let outcome = Outcome::decode(&payload).map_err(|error| broken(error.to_string()))?;
            self.fold(folded, sequence, id, &envelope, outcome)?;
        }
        folded.doubtful = false;
        Ok(())
    }

    fn fold(
        &self,
        folded: &mut Folded<A::State>,
        sequence: u64,
        id: Uuid,
        envelope: &Envelope,
        outcome: Outcome,
    ) -> Result<(), ServiceError> {
        let place = Place { sequence, delivered: 1, pending: 0 };
        let failed = |error: &dyn fmt::Display| ServiceError::History {
            subject: envelope.subject.clone().unwrap_or_default(),
            sequence,
            reason: error.to_string(),
        };
        for event in outcome.events(envelope, Some(place), self.handler.link.upcasters()) {
            if let Err(error) = self.handler.rules.apply(&mut folded.state, &event) {
                // Half of a message may be folded: begin anew with the next command.
                *folded = Folded::default();
                return Err(failed(&error));
            }
        }
        folded.end = sequence;
        folded.handled.insert(id, sequence);
        Ok(())
    }
}

/// An answer or a refusal, as MessagePack: `{"ok": answer}` or `{"error": {code, message}}`.
pub(super) fn reply(answer: &Result<Blob, Problem>) -> Bytes {
    match answer {
        // The answer is MessagePack already; around it is a map of one entry, with the key `ok`.
        Ok(answer) => [b"\x81\xa2ok", answer.as_ref()].concat().into(),
        Err(problem) => strict::encode(&engine_net::messages::Reply::<()>::Error(problem.clone())).into(),
    }
}
