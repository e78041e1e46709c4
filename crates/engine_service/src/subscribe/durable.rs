//! Events from the stream, each until its handler says what became of it.
//!
//! The server keeps the place, the number of deliveries and what is unacknowledged. Here are the bounds, the pauses, and
//! the words in which a message is given up: those who collect dead letters read them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use engine_net::name;
use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::verdict::{EventHandler, Verdict};
use crate::names::Pattern;
use crate::recorded::{Place, Recorded};
use crate::{Backoff, Gauge, Link, ServiceError};

/// Where a consumer that is new begins. One that is there already goes on where it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// With the first event that there is.
    #[default]
    Beginning,
    /// With the event of this sequence.
    Sequence(u64),
    /// With the first one of this time or later.
    Time(OffsetDateTime),
    /// With what is published from now on.
    New,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that were not given to anybody yet.
    pub pending: u64,
    /// Messages that were given and not acknowledged.
    pub unacknowledged: usize,
    /// Of those, how many were given more than once.
    pub redelivered: usize,
}

/// A durable subscription.
///
/// ```no_run
/// # async fn example(link: &engine_service::Link) -> Result<(), engine_service::ServiceError> {
/// use engine_service::Recorded;
/// use engine_service::subscribe::{Durable, Verdict};
///
/// let audit = Durable::new(link, "audit", "shop.>")?.at_a_time(16).max_deliver(5);
/// audit
///     .run(|event: Recorded| async move {
///         println!("{} {}", event.envelope.id, event.name());
///         Verdict::Done
///     })
///     .await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Durable {
    link: Link,
    name: String,
    pattern: Pattern,
    start: StartAt,
    at_a_time: usize,
    max_deliver: u32,
    ack_wait: Duration,
    backoff: Backoff,
    gauge: Gauge,
}

impl Durable {
    /// With a name of its own: all that have it share the work, and the place is kept under it.
    ///
    /// # Errors
    /// When one of the two is no name.
    pub fn new(link: &Link, name: &str, pattern: &str) -> Result<Self, ServiceError> {
        name::token("consumer", name)?;
        let pattern = Pattern::new(pattern)?;
        let gauge = Gauge::new(name, link.names().event(pattern.as_str()), name);
        Ok(Self {
            link: link.clone(),
            name: name.to_owned(),
            pattern,
            start: StartAt::default(),
            at_a_time: 32,
            max_deliver: 8,
            ack_wait: Duration::from_secs(30),
            backoff: Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(60) },
            gauge,
        })
    }

    /// Where it begins, if it is new.
    #[must_use]
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.start = start;
        self
    }

    /// Messages that are handled at a time. With 1 they are handled in order, but for those that come again.
    #[must_use]
    pub fn at_a_time(mut self, at_a_time: usize) -> Self {
        self.at_a_time = at_a_time.clamp(1, 4096);
        self
    }

    /// Deliveries of one message, at the most; then it is a dead letter. 0 is no limit.
    #[must_use]
    pub fn max_deliver(mut self, max_deliver: u32) -> Self {
        self.max_deliver = max_deliver;
        self
    }

    /// After how long a message of a process that is gone is given to another one. While a handler works, the server is
    /// told three times in this time.
    #[must_use]
    pub fn ack_wait(mut self, ack_wait: Duration) -> Self {
        self.ack_wait = ack_wait.max(Duration::from_millis(100));
        self
    }

    /// Pauses before a message is given again.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// What it has done and has to do, for [`Presence`](crate::Presence).
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    fn stream(&self) -> String {
        self.link.names().events(self.pattern.domain())
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> ServiceError {
        ServiceError::passing(format!("consume {} as {}", self.pattern.as_str(), self.name), error)
    }

    /// How much waits, as the server says.
    ///
    /// # Errors
    /// When it doesn't, or the consumer was never run.
    pub async fn depth(&self) -> Result<Depth, ServiceError> {
        let consumer = self.link.jet().get_consumer_from_stream::<pull::Config, _, _>(&self.name, self.stream()).await;
        let mut consumer = consumer.map_err(|error| self.failed(&error))?;
        let info = consumer.info().await.map_err(|error| self.failed(&error))?;
        Ok(Depth {
            pending: info.num_pending,
            unacknowledged: info.num_ack_pending,
            redelivered: info.num_redelivered as usize,
        })
    }

    async fn consumer(&self) -> Result<PullConsumer, ServiceError> {
        let (names, domain) = (self.link.names(), self.pattern.domain());
        let deliver_policy = match self.start {
            StartAt::Beginning => DeliverPolicy::All,
            StartAt::Sequence(start_sequence) => {
                DeliverPolicy::ByStartSequence { start_sequence: start_sequence.max(1) }
            }
            StartAt::Time(start_time) => DeliverPolicy::ByStartTime { start_time },
            StartAt::New => DeliverPolicy::New,
        };
        let wanted = pull::Config {
            durable_name: Some(self.name.clone()),
            filter_subjects: vec![
                names.event(self.pattern.as_str()),
                names.outcome(domain, "*", "*"),
                // What was a dead letter of this consumer and is to be tried again.
                names.again(domain, &self.name),
            ],
            ack_policy: AckPolicy::Explicit,
            deliver_policy,
            ack_wait: self.ack_wait,
            max_deliver: if self.max_deliver == 0 { -1 } else { i64::from(self.max_deliver) },
            max_ack_pending: self.at_a_time as i64,
            ..pull::Config::default()
        };
        let stream = self.stream();
        // Where one begins can't be changed: one that is there keeps that.
        let found = self.link.jet().get_consumer_from_stream::<pull::Config, _, _>(&self.name, &stream).await;
        let wanted = match found {
            Ok(found) => pull::Config { deliver_policy: found.cached_info().config.deliver_policy, ..wanted },
            Err(_) => wanted,
        };
        self.link.jet().create_consumer_on_stream(wanted, stream).await.map_err(|error| self.failed(&error))
    }

    /// Makes the consumer, so that nothing from now on is missed, and comes back.
    ///
    /// # Errors
    /// When the streams are not what they have to be.
    pub async fn prepare(&self) -> Result<(), ServiceError> {
        self.link.ensure_domain(self.pattern.domain()).await?;
        self.consumer().await.map(drop)
    }

    /// Handles events until it is dropped. A lost server is waited for.
    ///
    /// # Errors
    /// When the streams are not what they have to be.
    pub async fn run<H: EventHandler>(&self, handler: H) -> Result<(), ServiceError> {
        self.link.ensure_domain(self.pattern.domain()).await?;
        let handler = Arc::new(handler);
        let mut failed = 0_u32;
        loop {
            let started = Instant::now();
            if let Err(error) = self.consume(&handler).await {
                // One that worked for a while and then lost its server did not fail often.
                failed = if started.elapsed() > Duration::from_secs(10) { 1 } else { failed.saturating_add(1) };
                tracing::debug!(consumer = self.name, %error, "events are not read: trying again");
            }
            Backoff::default().wait(failed.max(1)).await;
        }
    }

    async fn consume<H: EventHandler>(&self, handler: &Arc<H>) -> Result<(), ServiceError> {
        let consumer = self.consumer().await?;
        let batch = self.at_a_time.min(256);
        let messages = consumer.stream().max_messages_per_batch(batch).heartbeat(Duration::from_secs(1));
        let mut messages =
            messages.expires(Duration::from_secs(5)).messages().await.map_err(|error| self.failed(&error))?;
        // They end with this future: what they had is given again.
        let mut tasks = JoinSet::new();
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| self.failed(&error))?;
            while tasks.len() >= self.at_a_time {
                tasks.join_next().await;
            }
            while tasks.try_join_next().is_some() {}
            let (this, handler) = (self.clone(), handler.clone());
            tasks.spawn(async move {
                if let Err(error) = this.one(&*handler, &message).await {
                    tracing::debug!(consumer = this.name, %error, "a message waits for its next delivery");
                }
            });
            self.gauge.waits(tasks.len());
        }
        Ok(())
    }

    async fn one<H: EventHandler>(&self, handler: &H, message: &Message) -> Result<(), async_nats::Error> {
        let started = Instant::now();
        let info = message.info()?;
        let delivered = u32::try_from(info.delivered).unwrap_or(u32::MAX);
        let place = Place { sequence: info.stream_sequence, delivered, pending: info.pending };
        let verdict =
            match Recorded::all(message.headers.as_ref(), &message.payload, Some(place), self.link.upcasters()) {
                Ok(events) => self.judge(handler, events, message).await,
                Err(error) => Verdict::poison(error),
            };
        let problem = match &verdict {
            Verdict::Done => None,
            Verdict::Retry { reason, .. } | Verdict::Poison { reason } => Some(reason.as_str()),
        };
        self.gauge.count(started.elapsed(), problem);
        match verdict {
            Verdict::Done => message.ack().await,
            Verdict::Retry { reason, .. } if self.max_deliver > 0 && delivered >= self.max_deliver => {
                end(message, &format!("given up after {delivered} deliveries: {reason}")).await
            }
            Verdict::Retry { after, .. } => {
                let pause = after.unwrap_or_else(|| self.backoff.pause(delivered));
                message.ack_with(AckKind::Nak(Some(pause))).await
            }
            Verdict::Poison { reason } => end(message, &reason).await,
        }
    }

    /// All events of one message: one that fails must not keep the others from their handler. The worst verdict counts
    /// for all of them. Meanwhile the server hears that it is worked on.
    async fn judge<H: EventHandler>(&self, handler: &H, events: Vec<Recorded>, message: &Message) -> Verdict {
        let mut progress = tokio::time::interval(self.ack_wait / 3);
        progress.tick().await;
        let mut work = std::pin::pin!(async {
            let mut worst = Verdict::Done;
            for event in events.into_iter().filter(|event| self.pattern.matches(event.name())) {
                worst = worst.or_worse(handler.handle(event).await);
            }
            worst
        });
        loop {
            tokio::select! {
                verdict = &mut work => return verdict,
                _ = progress.tick() => {
                    let _ = message.ack_with(AckKind::Progress).await;
                }
            }
        }
    }
}

/// Ends a message for good. The reason is part of the server's advisory, which the client library has no word for.
async fn end(message: &Message, reason: &str) -> Result<(), async_nats::Error> {
    let Some(reply) = message.reply.clone() else { return Ok(()) };
    let shown: String = reason.chars().take(256).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Ok(message.context.client().publish(reply, format!("+TERM {shown}").into()).await?)
}
