//! From the server's advisories to dead letters.

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::RawMessageErrorKind;
use futures_util::StreamExt;
use serde::Deserialize;

use super::{Reason, bury};
use crate::command::later;
use crate::{Backoff, Link, ServiceError};

/// Bytes of an advisory, at the most.
const MAX_ADVISORY: usize = 16 * 1024;

/// Collects the dead letters of one domain. Any number of processes may.
#[derive(Clone, Debug)]
pub struct Collector {
    link: Link,
    domain: String,
}

/// What both kinds of advisories say.
#[derive(Debug, Deserialize)]
struct Advisory {
    #[serde(rename = "type")]
    kind: String,
    stream: String,
    consumer: String,
    stream_seq: u64,
    #[serde(default)]
    deliveries: u64,
    #[serde(default)]
    reason: Option<String>,
}

impl Collector {
    /// For a domain.
    ///
    /// # Errors
    /// When it is no name.
    pub fn new(link: &Link, domain: &str) -> Result<Self, ServiceError> {
        engine_net::name::token("domain", domain)?;
        Ok(Self { link: link.clone(), domain: domain.to_owned() })
    }

    /// Collects until it is dropped. A lost server is waited for.
    ///
    /// # Errors
    /// When the streams are not what they have to be.
    pub async fn run(&self) -> Result<(), ServiceError> {
        self.link.ensure_domain(&self.domain).await?;
        let mut failed = 0;
        loop {
            if let Err(error) = self.collect().await {
                failed += 1;
                tracing::debug!(domain = self.domain, %error, "dead letters are not collected: trying again");
            }
            Backoff::default().wait(failed.clamp(1, 8)).await;
        }
    }

    async fn collect(&self) -> Result<(), ServiceError> {
        let stream = self.link.names().advisories(&self.domain);
        let failed = |error: &dyn std::fmt::Display| ServiceError::passing(format!("read the stream {stream}"), error);
        let config = pull::Config {
            durable_name: Some("collector".into()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(30),
            max_ack_pending: 64,
            ..pull::Config::default()
        };
        let consumer: PullConsumer =
            self.link.jet().create_consumer_on_stream(config, stream.as_str()).await.map_err(|error| failed(&error))?;
        let messages = consumer.stream().max_messages_per_batch(16).heartbeat(Duration::from_secs(1));
        let mut messages = messages.expires(Duration::from_secs(5)).messages().await.map_err(|error| failed(&error))?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| failed(&error))?;
            if let Err(error) = self.one(&message).await {
                // It must not keep those behind it.
                tracing::warn!(domain = self.domain, %error, "a dead letter is not collected: trying again later");
                later(&message).await;
                continue;
            }
            // Only now: a crash in between collects it again, and it is stored once.
            message.ack().await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    async fn one(&self, message: &Message) -> Result<(), ServiceError> {
        let Some(advisory) = read(&message.payload) else {
            tracing::warn!(subject = %message.subject, "an advisory that can't be read is dropped");
            return Ok(());
        };
        let names = self.link.names();
        // What the stream captures is from the server; all the same nobody may have a letter from elsewhere buried here.
        if ![names.events(&self.domain), names.commands(&self.domain)].contains(&advisory.stream) {
            return Ok(());
        }
        let what = || format!("read message {} of {}", advisory.stream_seq, advisory.stream);
        let stream = self.link.jet().get_stream(&advisory.stream).await;
        let stream = stream.map_err(|error| ServiceError::passing(what(), error))?;
        let letter = match stream.get_raw_message(advisory.stream_seq).await {
            Ok(letter) => letter,
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                tracing::warn!(
                    stream = advisory.stream,
                    sequence = advisory.stream_seq,
                    "a dead letter is gone already"
                );
                return Ok(());
            }
            Err(error) => return Err(ServiceError::passing(what(), error)),
        };
        let why = Reason {
            domain: self.domain.clone(),
            reason: advisory.why(),
            stream: advisory.stream,
            consumer: advisory.consumer,
            sequence: advisory.stream_seq,
            deliveries: advisory.deliveries,
        };
        bury(&self.link, &why, &letter.subject, Some(&letter.headers), &letter.payload).await
    }
}

impl Advisory {
    fn why(&self) -> String {
        match (&self.reason, self.kind.ends_with("max_deliver")) {
            (Some(reason), _) if !reason.is_empty() => reason.clone(),
            (_, true) => format!("given {} times, and never acknowledged", self.deliveries),
            _ => "ended".to_owned(),
        }
    }
}

fn read(payload: &[u8]) -> Option<Advisory> {
    let advisory: Advisory = serde_json::from_slice(payload.get(..payload.len().min(MAX_ADVISORY))?).ok()?;
    engine_net::name::is_token(&advisory.consumer).then_some(advisory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_advisories_are_read() {
        let text = br#"{"type":"io.nats.jetstream.advisory.v1.max_deliver","id":"x","timestamp":"t","stream":"S",
            "consumer":"c","stream_seq":7,"deliveries":3}"#;
        assert_eq!(read(text).unwrap().why(), "given 3 times, and never acknowledged");
        let text = br#"{"type":"io.nats.jetstream.advisory.v1.terminated","stream":"S","consumer":"c","consumer_seq":1,
            "stream_seq":7,"deliveries":1,"reason":"no such player"}"#;
        assert_eq!(read(text).unwrap().why(), "no such player");
        for bad in [&b""[..], b"{}", br#"{"type":"x","stream":"S","consumer":"a.>","stream_seq":1}"#, &[b'['; 40_000]] {
            assert!(read(bad).is_none());
        }
    }
}
