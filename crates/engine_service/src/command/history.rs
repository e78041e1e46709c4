//! Reading the history of an aggregate: all outcomes on its subject, in order and without a gap.
//!
//! Each outcome carries the end that it was appended behind, since the server keeps that header. So a reader knows
//! whether the last message is the next one, and notices what was removed or written by somebody else.

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_SEQUENCE, NATS_SUBJECT};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;

use crate::{Link, ServiceError};

/// Messages that one question asks for.
const BATCH: u64 = 256;
/// Bytes that a server sends for one question, at the most (and one message more).
const BATCH_BYTES: usize = 4 << 20;

/// One outcome, as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    /// The end that it was appended behind.
    pub(super) behind: u64,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

impl Stored {
    fn new(sequence: u64, headers: HeaderMap, payload: Bytes) -> Option<Self> {
        let behind = headers.get(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE)?.as_str().parse().ok()?;
        Some(Self { sequence, behind, headers, payload })
    }
}

/// The history of one aggregate.
pub(super) struct History<'a> {
    pub(super) link: &'a Link,
    pub(super) stream: &'a Stream,
    pub(super) name: &'a str,
    pub(super) subject: &'a str,
}

impl History<'_> {
    /// Everything behind a sequence. What was acknowledged is seen: the stream's leader says where the end is.
    pub(super) async fn behind(&self, end: u64) -> Result<Vec<Stored>, ServiceError> {
        let Some(last) = self.last().await? else {
            return if end == 0 { Ok(Vec::new()) } else { Err(self.broken(end, "it is shorter than it was")) };
        };
        if last.sequence == end {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut at = end;
        // Mostly there is one more than was known, and then this is it.
        while last.behind != at && at < last.sequence {
            let before = at;
            for stored in self.batch(at + 1).await? {
                if stored.sequence >= last.sequence {
                    break;
                }
                self.follows(at, &stored)?;
                at = stored.sequence;
                found.push(stored);
            }
            if at == before {
                // A copy of the stream that lags behind; another one answers next time.
                return Err(ServiceError::passing(self.what(), "a copy of the stream lags behind"));
            }
        }
        self.follows(at, &last)?;
        found.push(last);
        Ok(found)
    }

    /// The outcome at a sequence.
    pub(super) async fn at(&self, sequence: u64) -> Result<Stored, ServiceError> {
        let message = self.stream.get_raw_message(sequence).await;
        let message = message.map_err(|error| ServiceError::passing(self.what(), error))?;
        Stored::new(sequence, message.headers, message.payload).ok_or_else(|| self.broken(sequence, "it has no guard"))
    }

    async fn last(&self) -> Result<Option<Stored>, ServiceError> {
        let message = match self.stream.get_last_raw_message_by_subject(self.subject).await {
            Ok(message) => message,
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
            Err(error) => return Err(ServiceError::passing(self.what(), error)),
        };
        let sequence = message.sequence;
        let stored = Stored::new(sequence, message.headers, message.payload);
        stored.ok_or_else(|| self.broken(sequence, "it has no guard")).map(Some)
    }

    /// Some in order, from a sequence on.
    async fn batch(&self, from: u64) -> Result<Vec<Stored>, ServiceError> {
        let passing = |reason: String| ServiceError::passing(self.what(), reason);
        let client = self.link.client();
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| passing(error.to_string()))?;
        let question = json!({ "seq": from, "next_by_subj": self.subject, "batch": BATCH, "max_bytes": BATCH_BYTES });
        let subject = format!("{}.DIRECT.GET.{}", self.link.jet_api(), self.name);
        let sent = client.publish_with_reply(subject, inbox, question.to_string().into()).await;
        sent.map_err(|error| passing(error.to_string()))?;
        let mut found = Vec::new();
        loop {
            let answer = tokio::time::timeout(self.link.settings().answer_timeout, answers.next()).await;
            let message = answer.map_err(|_| passing("no answer".into()))?;
            let message = message.ok_or_else(|| passing("the connection is closed".into()))?;
            // A status is the end: there is no more, or as much as was asked for.
            let (None, Some(headers)) = (message.status, message.headers) else { return Ok(found) };
            let sequence = headers.get(NATS_SEQUENCE).and_then(|text| text.as_str().parse().ok());
            let is_it = headers.get(NATS_SUBJECT).is_some_and(|subject| subject.as_str() == self.subject);
            let (Some(sequence), true) = (sequence, is_it) else {
                return Err(passing("an answer to something else".into()));
            };
            let stored = Stored::new(sequence, headers, message.payload);
            found.push(stored.ok_or_else(|| self.broken(sequence, "it has no guard"))?);
        }
    }

    fn follows(&self, end: u64, next: &Stored) -> Result<(), ServiceError> {
        if next.behind == end { Ok(()) } else { Err(self.broken(next.sequence, "what is before it is gone")) }
    }

    fn what(&self) -> String {
        format!("read the history {}", self.subject)
    }

    fn broken(&self, sequence: u64, reason: &str) -> ServiceError {
        ServiceError::History { subject: self.subject.to_owned(), sequence, reason: reason.to_owned() }
    }
}
