//! Looking at dead letters, and deciding about them.

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use bytes::Bytes;
use engine_net::name;
use time::OffsetDateTime;

use super::{carried, header};
use crate::envelope::Envelope;
use crate::{Link, Recorded, ServiceError};

/// A dead letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its number among the dead letters: what it is shown, tried again and dropped by.
    pub number: u64,
    /// When it was collected.
    pub at: OffsetDateTime,
    /// The domain that it belongs to.
    pub domain: String,
    /// The stream that it is from.
    pub stream: String,
    /// Its sequence there.
    pub sequence: u64,
    /// The consumer that gave it up.
    pub consumer: String,
    /// The subject that it had.
    pub subject: String,
    /// Why it was given up.
    pub reason: String,
    /// How often it had been given.
    pub deliveries: u64,
    /// Its envelope, if it has a good one.
    pub envelope: Option<Envelope>,
    /// Its payload.
    pub payload: Bytes,
    headers: async_nats::HeaderMap,
}

/// The dead letters of a world.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    link: Link,
    stream: Stream,
    name: String,
}

impl DeadLetters {
    /// Those of the link's world.
    ///
    /// # Errors
    /// When there is no stream of them: no domain of the world has any streams.
    pub async fn open(link: &Link) -> Result<Self, ServiceError> {
        let name = link.names().dead_letters();
        let what = format!("open the stream {name}");
        let hint =
            |error: &dyn std::fmt::Display| format!("{error}; no service of this world has made its streams yet");
        let stream = link.jet().get_stream(&name).await;
        let stream = stream.map_err(|error| ServiceError::passing(what, hint(&error)))?;
        Ok(Self { link: link.clone(), stream, name })
    }

    /// Those from a number on, in order, so many at the most.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub async fn list(&self, from: u64, most: usize) -> Result<Vec<Letter>, ServiceError> {
        self.list_of(None, None, from, most).await
    }

    /// The same, of one domain, of the consumers of one name, or both. The server leaves out all others.
    ///
    /// # Errors
    /// As [`list`](Self::list), and when one of the two is no name.
    pub async fn list_of(
        &self,
        domain: Option<&str>,
        consumer: Option<&str>,
        from: u64,
        most: usize,
    ) -> Result<Vec<Letter>, ServiceError> {
        domain.map_or(Ok(()), |domain| name::token("domain", domain))?;
        consumer.map_or(Ok(()), |consumer| name::token("consumer", consumer))?;
        let all = self.link.names().dead(domain.unwrap_or("*"), consumer.unwrap_or("*"), "*");
        let mut letters = Vec::new();
        let mut next = from.max(1);
        while letters.len() < most {
            let found = self.stream.raw_message_builder().sequence(next).next_by_subject(all.clone()).send().await;
            match found {
                Ok(message) => {
                    next = message.sequence + 1;
                    letters.push(letter(message));
                }
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(letters)
    }

    /// The one of a number.
    ///
    /// # Errors
    /// When there is none, or the stream can't be read.
    pub async fn get(&self, number: u64) -> Result<Letter, ServiceError> {
        match self.stream.get_raw_message(number).await {
            Ok(message) => Ok(letter(message)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                Err(ServiceError::lasting(format!("find dead letter {number}"), "there is none of this number"))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Gives one to those who gave it up once more, and to nobody else, with as many deliveries as a new one has. Then
    /// it is no dead letter any more.
    ///
    /// A crash between the two may give it twice; the server knows its id for two minutes.
    ///
    /// # Errors
    /// When the streams can't be reached. Then it is a dead letter still.
    pub async fn replay(&self, number: u64) -> Result<Letter, ServiceError> {
        let letter = self.get(number).await?;
        let names = self.link.names();
        // Submitted commands are read by their handlers alone.
        let subject = match names.behind("submit", &letter.subject) {
            Some(_) => letter.subject.clone(),
            None => names.again(&letter.domain, &letter.consumer),
        };
        let mut headers = carried(Some(&letter.headers));
        headers.insert(NATS_MESSAGE_ID, format!("again/{}/{number}", self.name));
        let what = format!("replay dead letter {number}");
        let message = PublishMessage::build().headers(headers).payload(letter.payload.clone());
        let sent = self.link.jet().send_publish(subject, message).await;
        sent.map_err(|error| ServiceError::publish(&what, &error))?
            .await
            .map_err(|error| ServiceError::publish(&what, &error))?;
        self.drop(number).await?;
        Ok(letter)
    }

    /// Forgets one.
    ///
    /// # Errors
    /// When there is none, or the stream can't be reached.
    pub async fn drop(&self, number: u64) -> Result<(), ServiceError> {
        let dropped = self.stream.delete_message(number).await;
        dropped.map(drop).map_err(|error| ServiceError::lasting(format!("drop dead letter {number}"), error))
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> ServiceError {
        ServiceError::passing(format!("read the stream {}", self.name), error)
    }
}

impl Letter {
    /// The values that were in it, for people; why not, where it can't be read.
    #[must_use]
    pub fn values(&self) -> Vec<(String, Result<serde_json::Value, String>)> {
        let none = std::sync::Arc::default();
        match Recorded::all(Some(&self.headers), &self.payload, None, &none) {
            Err(error) => vec![("message".into(), Err(error.to_string()))],
            Ok(events) => events
                .iter()
                .map(|event| (event.name().to_owned(), event.value().map_err(|error| error.to_string())))
                .collect(),
        }
    }
}

fn letter(message: StreamMessage) -> Letter {
    let text = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default();
    let number = |name: &str| text(name).parse().unwrap_or(0);
    Letter {
        number: message.sequence,
        at: message.time,
        domain: text(header::DOMAIN),
        stream: text(header::STREAM),
        sequence: number(header::SEQUENCE),
        consumer: text(header::CONSUMER),
        subject: text(header::SUBJECT),
        reason: text(header::REASON),
        deliveries: number(header::DELIVERIES),
        envelope: Envelope::of_headers(Some(&message.headers)).ok(),
        payload: message.payload,
        headers: message.headers,
    }
}
