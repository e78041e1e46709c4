//! Events while somebody listens: at most once, and nothing is kept for who was away.

use std::collections::VecDeque;

use async_nats::Subscriber;
use engine_component::Event;
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};

use crate::names::Pattern;
use crate::recorded::{ReadError, Recorded};
use crate::{Link, ServiceError};

/// A live subscription.
///
/// ```no_run
/// # async fn example(link: &engine_service::Link) -> Result<(), engine_service::ServiceError> {
/// use engine_service::subscribe::Live;
///
/// let mut events = Live::open(link, "arena.>").await?;
/// while let Some(event) = events.next().await {
///     println!("{}", event.name());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Live {
    link: Link,
    pattern: Pattern,
    messages: SelectAll<Subscriber>,
    waiting: VecDeque<Recorded>,
    refused: u64,
}

impl Live {
    /// Listens for events of these names; returns when the server knows.
    ///
    /// # Errors
    /// When the pattern is none, or the connection was given up.
    pub async fn open(link: &Link, pattern: &str) -> Result<Self, ServiceError> {
        Self::open_in(link, pattern, None).await
    }

    /// The same, and each event goes to one member of the group only.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_group(link: &Link, pattern: &str, group: &str) -> Result<Self, ServiceError> {
        engine_net::name::token("queue group", group)?;
        Self::open_in(link, pattern, Some(group)).await
    }

    async fn open_in(link: &Link, pattern: &str, group: Option<&str>) -> Result<Self, ServiceError> {
        let pattern = Pattern::new(pattern)?;
        let failed =
            |error: &dyn std::fmt::Display| ServiceError::passing(format!("listen to {}", pattern.as_str()), error);
        let (names, client) = (link.names(), link.client());
        let mut all = Vec::new();
        // Those of commands are in the outcomes of their domain.
        for subject in [names.event(pattern.as_str()), names.outcome(pattern.domain(), "*", "*")] {
            let subscribed = match group {
                Some(group) => client.queue_subscribe(subject, group.to_owned()).await,
                None => client.subscribe(subject).await,
            };
            all.push(subscribed.map_err(|error| failed(&error))?);
        }
        client.flush().await.map_err(|error| failed(&error))?;
        Ok(Self { link: link.clone(), pattern, messages: select_all(all), waiting: VecDeque::new(), refused: 0 })
    }

    /// The next one; `None` when the connection was given up. What can't be read is left out and counted.
    pub async fn next(&mut self) -> Option<Recorded> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let message = self.messages.next().await?;
            match Recorded::all(message.headers.as_ref(), &message.payload, None, self.link.upcasters()) {
                Ok(events) => {
                    self.waiting.extend(events.into_iter().filter(|event| self.pattern.matches(event.name())));
                }
                Err(error) => {
                    self.refused += 1;
                    tracing::debug!(subject = %message.subject, %error, "a message is no event");
                }
            }
        }
    }

    /// The next one of this type, and its value. Others are skipped.
    pub async fn next_of<E: Event>(&mut self) -> Option<Result<(Recorded, E), ReadError>> {
        loop {
            let event = self.next().await?;
            if event.is::<E>() {
                return Some(event.read::<E>().map(|value| (event, value)));
            }
        }
    }

    /// How many messages were left out.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}
