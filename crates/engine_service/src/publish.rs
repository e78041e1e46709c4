//! Events that are kept in the stream of their domain, or only shown to whoever listens.
//!
//! A kept event carries its id for the server's window of duplicates (two minutes), so that one that is sent again after
//! a lost acknowledgement is stored once. That holds for the tries of one call; a program that is killed between sending
//! and noting that it did must give its events ids of its own and send them again within the window, or be a
//! [command handler](crate::command), which has no such window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use engine_component::Event;
use futures_util::stream::{self, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::content::{encode, known};
use crate::envelope::{Content, Envelope};
use crate::{Backoff, Link, ServiceError};

/// How long one event is tried, below the window in which the server knows its id.
const TRY_FOR: Duration = Duration::from_secs(30);

/// Publishes events.
///
/// ```no_run
/// # use engine_component::Event;
/// # #[derive(Event)]
/// # #[event(name = "shop.Opened")]
/// # struct Opened;
/// # async fn example(link: &engine_service::Link) -> Result<(), engine_service::ServiceError> {
/// use engine_service::publish::Publisher;
///
/// let publisher = Publisher::new(link);
/// let stored = publisher.publish(&Opened).await?;
/// println!("stored at {}", stored.sequence);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Publisher {
    link: Link,
    content: Content,
    room: Arc<Semaphore>,
    most: usize,
}

/// Where an event is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Whether it was there already, with this id.
    pub duplicate: bool,
}

/// An event and its envelope, as they will be sent.
#[derive(Clone, Debug)]
pub struct Prepared {
    subject: String,
    envelope: Envelope,
    payload: Bytes,
}

impl Publisher {
    /// With MessagePack, and as many on their way as the link's settings allow.
    #[must_use]
    pub fn new(link: &Link) -> Self {
        let most = link.settings().publishes_in_flight.max(1);
        Self { link: link.clone(), content: Content::default(), room: Arc::new(Semaphore::new(most)), most }
    }

    /// With payloads of another spelling.
    #[must_use]
    pub fn with_content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// Checks an event and gives it an envelope, which may be changed before it is sent.
    ///
    /// # Errors
    /// When the event is refused by its own type, or too long.
    pub fn prepare<E: Event>(&self, event: &E) -> Result<Prepared, ServiceError> {
        let what = || format!("publish `{}`", E::NAME);
        event.validate().map_err(|invalid| ServiceError::lasting(what(), invalid))?;
        let payload = encode(event, self.content)?;
        let mut envelope = Envelope::new(self.link.source(), E::NAME);
        envelope.content = self.content;
        envelope.schema = Some(known::<E>().reference.clone());
        Ok(Prepared { subject: self.link.names().event(E::NAME), envelope, payload })
    }

    /// Keeps an event: comes back when the stream has it.
    ///
    /// # Errors
    /// When the event is refused, or no stream said in time that it has it. Then it may be stored or not.
    pub async fn publish<E: Event>(&self, event: &E) -> Result<Stored, ServiceError> {
        self.send(self.prepare(event)?).await
    }

    /// Keeps many, several of them on their way at a time. They are sent in their order, and so are the results; one
    /// whose acknowledgement is lost is sent again behind others.
    pub async fn publish_all<E: Event>(&self, events: &[E]) -> Vec<Result<Stored, ServiceError>> {
        let sent = stream::iter(events).then(async |event| {
            let event = self.prepare(event)?;
            let room = self.room().await?;
            let sent = self.hand_over(&event).await;
            Ok::<_, ServiceError>((event, room, sent))
        });
        let stored = sent.map(|sent| async move {
            let (event, _room, sent) = sent?;
            self.settle(&event, sent).await
        });
        stored.buffered(self.most).collect().await
    }

    /// Keeps what was prepared.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn send(&self, event: Prepared) -> Result<Stored, ServiceError> {
        let _room = self.room().await?;
        let sent = self.hand_over(&event).await;
        self.settle(&event, sent).await
    }

    async fn room(&self) -> Result<OwnedSemaphorePermit, ServiceError> {
        let room = self.room.clone().acquire_owned().await;
        room.map_err(|error| ServiceError::lasting("publish", error))
    }

    /// Gives an event to the connection; the acknowledgement comes later.
    async fn hand_over(&self, event: &Prepared) -> Result<PublishAckFuture, PublishError> {
        let mut headers = event.envelope.headers();
        headers.insert(NATS_MESSAGE_ID, event.envelope.message_id());
        let message = PublishMessage::build().headers(headers).payload(event.payload.clone());
        self.link.jet().send_publish(event.subject.clone(), message).await
    }

    /// Waits for the acknowledgement, and sends the event again with the same id while there is none.
    async fn settle(
        &self,
        event: &Prepared,
        mut sent: Result<PublishAckFuture, PublishError>,
    ) -> Result<Stored, ServiceError> {
        let (started, mut tried) = (Instant::now(), 0);
        loop {
            let error = match sent {
                Err(error) => error,
                Ok(acknowledged) => match acknowledged.await {
                    Ok(stored) => return Ok(Stored { sequence: stored.sequence, duplicate: stored.duplicate }),
                    Err(error) => error,
                },
            };
            let error = ServiceError::publish(&format!("publish `{}`", event.envelope.kind), &error);
            if !error.may_pass() || started.elapsed() > TRY_FOR {
                return Err(error);
            }
            tried += 1;
            Backoff::default().wait(tried).await;
            sent = self.hand_over(event).await;
        }
    }

    /// Shows an event to whoever listens in this moment. Where its domain has a stream it is kept all the same, but
    /// nobody waits for that.
    ///
    /// # Errors
    /// When the event is refused, or the connection was given up.
    pub async fn show<E: Event>(&self, event: &E) -> Result<(), ServiceError> {
        let Prepared { subject, envelope, payload } = self.prepare(event)?;
        let sent = self.link.client().publish_with_headers(subject, envelope.headers(), payload).await;
        sent.map_err(|error| ServiceError::passing(format!("publish `{}`", E::NAME), error))
    }

    /// How many are on their way.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.most - self.room.available_permits()
    }
}

impl Prepared {
    /// With an id of one's own.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.envelope.id = id.into();
        self
    }

    /// As a consequence of another message.
    #[must_use]
    pub fn caused_by(mut self, cause: &Envelope) -> Self {
        self.envelope = self.envelope.caused_by(cause);
        self
    }

    /// About something.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.envelope.subject = Some(subject.into());
        self
    }

    /// Its envelope.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}
