//! Dead letters: messages that a consumer gave up, kept with the reason until somebody decides about them.
//!
//! The server says of each message that was given too often, or ended as poison, which one it was. Those advisories are
//! kept in a stream, since nobody may be listening; the [`Collector`] fetches the messages they are about into the
//! stream of dead letters, each once. [`DeadLetters`] lists, shows, tries again and drops them.

mod collector;
mod letters;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;

pub use collector::Collector;
pub use letters::{DeadLetters, Letter};

use crate::{Link, ServiceError};

/// What the headers of a dead letter are called; those of the message itself stay.
pub mod header {
    /// Why it was given up.
    pub const REASON: &str = "engine-dead-reason";
    /// The domain that it belongs to.
    pub const DOMAIN: &str = "engine-dead-domain";
    /// The stream that it is from.
    pub const STREAM: &str = "engine-dead-stream";
    /// The consumer that gave it up.
    pub const CONSUMER: &str = "engine-dead-consumer";
    /// Its sequence there.
    pub const SEQUENCE: &str = "engine-dead-sequence";
    /// The subject that it had.
    pub const SUBJECT: &str = "engine-dead-subject";
    /// How often it was given.
    pub const DELIVERIES: &str = "engine-dead-deliveries";
    /// What all of them begin with.
    pub(crate) const ROOT: &str = "engine-dead-";
}

/// Bytes of a reason, at the most.
const MAX_REASON: usize = 300;

/// Which message was given up by whom, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) domain: String,
    pub(crate) stream: String,
    pub(crate) consumer: String,
    pub(crate) sequence: u64,
    pub(crate) deliveries: u64,
    pub(crate) reason: String,
}

/// Stores a dead letter, once: there is one subject for each, and the server refuses a second message on it.
pub(crate) async fn bury(
    link: &Link,
    why: &Reason,
    subject: &str,
    headers: Option<&HeaderMap>,
    payload: &Bytes,
) -> Result<(), ServiceError> {
    let what = format!("keep the dead letter {} of {}", why.sequence, why.stream);
    let mut all = carried(headers);
    let reason: String =
        why.reason.chars().filter(char::is_ascii).filter(|c| !c.is_ascii_control()).take(MAX_REASON).collect();
    all.insert(header::REASON, reason);
    all.insert(header::DOMAIN, why.domain.as_str());
    all.insert(header::STREAM, why.stream.as_str());
    all.insert(header::CONSUMER, why.consumer.as_str());
    all.insert(header::SEQUENCE, why.sequence.to_string());
    all.insert(header::SUBJECT, subject);
    all.insert(header::DELIVERIES, why.deliveries.to_string());
    all.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
    // Streams have sequences of their own, so the letter's name tells which it is from.
    let kind = if why.stream == link.names().commands(&why.domain) { "c" } else { "e" };
    let place = link.names().dead(&why.domain, &why.consumer, &format!("{kind}{}", why.sequence));
    let message = PublishMessage::build().headers(all).payload(payload.clone());
    let sent = link.jet().send_publish(place, message).await.map_err(|error| ServiceError::publish(&what, &error))?;
    match sent.await {
        Ok(_) => Ok(()),
        // It is there already.
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(()),
        Err(error) => Err(ServiceError::publish(&what, &error)),
    }
}

/// The headers of a message that go with it: none that the server acts on, none of an earlier death.
pub(crate) fn carried(headers: Option<&HeaderMap>) -> HeaderMap {
    let mut all = HeaderMap::new();
    let lines = headers.into_iter().flat_map(HeaderMap::iter);
    for (name, values) in lines {
        let text: &str = name.as_ref();
        let is_ours = text.starts_with("Nats-") || text.starts_with(header::ROOT);
        for value in values.iter().filter(|_| !is_ours) {
            all.append(name.clone(), value.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_the_server_acts_on_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("ce-id", "7"), ("Nats-Rollup", "all"), ("Nats-Msg-Id", "7"), (header::REASON, "before")]
        {
            headers.insert(name, value);
        }
        let carried = carried(Some(&headers));
        assert_eq!((carried.len(), carried.get("ce-id").map(async_nats::HeaderValue::as_str)), (1, Some("7")));
    }
}
