//! A stream's messages in order, each once, from a sequence on: what folds events reads through this.
//!
//! The consumer behind it has no acknowledgements and is made anew whenever it is silent, or leaves one out. What is
//! given out is checked to follow what was given before, by the numbers that the consumer gave it.

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};

use crate::{Backoff, Link, ServiceError};

/// A message of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) sequence: u64,
    /// How many wait behind it.
    pub(crate) pending: u64,
    pub(crate) headers: Option<async_nats::HeaderMap>,
    pub(crate) payload: Bytes,
}

#[derive(Debug)]
pub(crate) struct Reader {
    link: Link,
    stream: String,
    filters: Vec<String>,
    /// The first sequence that was not given out yet.
    next: u64,
    open: Option<Open>,
}

struct Open {
    messages: pull::Stream,
    /// The number that the consumer gives to its next message.
    number: u64,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(link: &Link, stream: String, filters: Vec<String>, from: u64) -> Self {
        Self { link: link.clone(), stream, filters, next: from.max(1), open: None }
    }

    /// The next one; waits for it, and for the server.
    pub(crate) async fn next(&mut self) -> Read {
        let mut failed = 0;
        loop {
            match self.try_next().await {
                Ok(Some(read)) => return read,
                Ok(None) => {}
                Err(error) => tracing::debug!(stream = self.stream, %error, "reading again"),
            }
            self.open = None;
            failed += 1;
            Backoff::default().wait(failed).await;
        }
    }

    /// The next one, if it is here already.
    pub(crate) fn now(&mut self) -> Option<Read> {
        let open = self.open.as_mut()?;
        match open.messages.next().now_or_never()? {
            Some(Ok(message)) => {
                let read = self.accept(message);
                if read.is_none() {
                    self.open = None;
                }
                read
            }
            _ => {
                self.open = None;
                None
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<Read>, ServiceError> {
        let failed = |error: &dyn std::fmt::Display| ServiceError::passing("read the stream", error);
        if self.open.is_none() {
            self.open = Some(self.connect().await?);
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        match open.messages.next().await {
            Some(Ok(message)) => Ok(self.accept(message)),
            Some(Err(error)) => Err(failed(&error)),
            None => Ok(None),
        }
    }

    async fn connect(&self) -> Result<Open, ServiceError> {
        let failed =
            |error: &dyn std::fmt::Display| ServiceError::passing(format!("read the stream {}", self.stream), error);
        let config = pull::Config {
            filter_subjects: self.filters.clone(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next },
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(15),
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer: PullConsumer = self
            .link
            .jet()
            .create_consumer_on_stream(config, self.stream.as_str())
            .await
            .map_err(|error| failed(&error))?;
        let messages = consumer.stream().max_messages_per_batch(512).heartbeat(Duration::from_millis(500));
        let messages = messages.expires(Duration::from_secs(3)).messages().await.map_err(|error| failed(&error))?;
        Ok(Open { messages, number: 1 })
    }

    /// `None` when one was left out before it.
    fn accept(&mut self, message: Message) -> Option<Read> {
        let open = self.open.as_mut()?;
        let (sequence, pending) = {
            let info = message.info().ok()?;
            if info.consumer_sequence != open.number || info.stream_sequence < self.next {
                return None;
            }
            (info.stream_sequence, info.pending)
        };
        open.number += 1;
        self.next = sequence + 1;
        let message = message.message;
        Some(Read { sequence, pending, headers: message.headers, payload: message.payload })
    }
}
