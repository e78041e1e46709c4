//! Questions to JetStream, with errors that say what was tried.
//!
//! The client library answers a denied publish with a time-out: the server's complaint arrives as an event of
//! its own. Here the two are brought together.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Client, Event, HeaderMap, Message, Request, RequestErrorKind,
    jetstream::{message::StreamMessage, stream::RawMessage},
};
use bytes::Bytes;
use engine_net::config::ConnectionConfig;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{JetError, error::code};

/// How often a question is asked that nobody answers.
const ATTEMPTS: u32 = 3;

/// Names the subject of the expected last subject sequence; the client library has no constant for it.
pub(super) const GUARD_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// What the server refused on one connection, for those who wait for an answer that won't come.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaints(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    subjects: Mutex<Vec<(&'static str, String)>>,
    /// How often the connection was lost.
    losses: AtomicU64,
    news: Notify,
}

impl Complaints {
    /// Takes note of an event of the connection; says what was denied, if something was.
    pub(super) fn hear(&self, event: &Event) -> Option<(&'static str, String)> {
        let error = match event {
            Event::ServerError(error) => error,
            Event::Disconnected => {
                self.0.losses.fetch_add(1, Ordering::AcqRel);
                self.0.news.notify_waiters();
                return None;
            }
            _ => return None,
        };
        let denied = denied(&error.to_string())?;
        let mut subjects = self.0.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        // Subjects are few; a flood must not be kept.
        if subjects.len() < 64 && !subjects.contains(&denied) {
            subjects.push(denied.clone());
        }
        drop(subjects);
        self.0.news.notify_waiters();
        Some(denied)
    }

    fn about(&self, subject: &str, inbox: &str) -> Option<(&'static str, String)> {
        let subjects = self.0.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        subjects.iter().find(|(_, denied)| denied == subject || denied.starts_with(inbox)).cloned()
    }

    fn forget(&self, subject: &str) {
        self.0.subjects.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, denied)| denied != subject);
    }

    /// How often the connection was lost so far, for [`until`](Self::until).
    pub(super) fn losses(&self) -> u64 {
        self.0.losses.load(Ordering::Acquire)
    }

    /// Waits until no answer will come any more: the subject was denied, or the connection was lost since.
    pub(super) async fn until(&self, subject: &str, inbox: &str, losses: u64, what: &str) -> JetError {
        loop {
            let mut news = std::pin::pin!(self.0.news.notified());
            news.as_mut().enable();
            if let Some((verb, subject)) = self.about(subject, inbox) {
                return JetError::Denied { what: what.into(), verb, subject };
            }
            if self.losses() != losses {
                return JetError::Disconnected { what: what.into() };
            }
            news.await;
        }
    }
}

/// `Permissions Violation for Publish to "subject"`, or `… for Subscription to "subject"`.
fn denied(text: &str) -> Option<(&'static str, String)> {
    let verbs = [("publish on", "Publish to \""), ("subscribe to", "Subscription to \"")];
    verbs.into_iter().find_map(|(verb, words)| {
        let (_, rest) = text.split_once(words)?;
        Some((verb, rest.split_once('"')?.0.to_owned()))
    })
}

/// The answer to a publish that was stored.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Ack {
    #[serde(rename = "seq")]
    pub(super) sequence: u64,
    #[serde(default)]
    pub(super) duplicate: bool,
}

#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Deserialize)]
struct Failed {
    error: Problem,
}

/// Reads an answer of JetStream: what was asked for, or its number and words for the reason.
pub(super) fn understand<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Result<(u64, String), String>> {
    if let Ok(Failed { error }) = serde_json::from_slice(payload) {
        let number = if error.err_code == 0 { error.code } else { error.err_code };
        return Err(Ok((number, error.description)));
    }
    serde_json::from_slice(payload).map_err(|error| Err(error.to_string()))
}

/// One connection, to ask on.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) client: Client,
    pub(super) complaints: Complaints,
    /// How long an answer may take.
    pub(super) limit: Duration,
    /// What all replies' subjects begin with.
    pub(super) inbox: String,
    /// Where JetStream's own interface is.
    pub(super) interface: String,
}

impl Api {
    pub(super) fn new(client: Client, complaints: Complaints, limit: Duration, config: &ConnectionConfig) -> Self {
        let whole = client.new_inbox();
        let inbox = whole.rsplit_once('.').map_or(whole.as_str(), |(prefix, _)| prefix).to_owned();
        Self { client, complaints, limit, inbox, interface: config.jetstream() }
    }

    /// Sends, and waits for one answer.
    pub(super) async fn request(
        &self,
        what: &str,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, JetError> {
        self.complaints.forget(subject);
        let losses = self.complaints.losses();
        let mut request = Request::new().payload(payload).timeout(Some(self.limit));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = tokio::select! {
            biased;
            answer = self.client.send_request(subject.to_owned(), request) => answer,
            error = self.complaints.until(subject, &self.inbox, losses, what) => return Err(error),
        };
        let answer = answer.map_err(|error| match error.kind() {
            RequestErrorKind::TimedOut => JetError::NoAnswer { what: what.into(), limit: self.limit },
            RequestErrorKind::NoResponders => {
                JetError::Server { what: what.into(), code: code::NOBODY, description: "nobody listens".into() }
            }
            _ => JetError::Answer { what: what.into(), reason: error.to_string() },
        })?;
        Ok(answer)
    }

    /// Sends, and understands the answer as JSON.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<T, JetError> {
        let answer = self.request(what, subject, headers, payload).await?;
        understand(&answer.payload).map_err(|problem| match problem {
            Ok((code, description)) => JetError::Server { what: what.into(), code, description },
            Err(reason) => JetError::Answer { what: what.into(), reason },
        })
    }

    /// Asks JetStream's own interface; `operation` is what follows `$JS.API.` or `$JS.<domain>.API.`. All that is asked may be asked twice:
    /// a question that was lost with the connection is.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        what: &str,
        operation: &str,
        question: &Value,
    ) -> Result<T, JetError> {
        let payload = if question.is_null() { Bytes::new() } else { Bytes::from(question.to_string()) };
        let subject = format!("{}.{operation}", self.interface);
        let mut attempts = 0;
        loop {
            let answer = self.ask(what, &subject, None, payload.clone()).await;
            attempts += 1;
            match answer {
                Err(JetError::Disconnected { .. } | JetError::NoAnswer { .. }) if attempts < ATTEMPTS => {}
                answer => return answer,
            }
        }
    }

    /// A message of a stream, from the stream's leader: what was acknowledged is seen. `which` is `{"seq": …}` or
    /// `{"last_by_subj": …}`.
    pub(super) async fn get(&self, stream: &str, which: &Value) -> Result<Option<StreamMessage>, JetError> {
        #[derive(Deserialize)]
        struct Answer {
            message: RawMessage,
        }
        let mut what = format!("read from the stream {stream}");
        let _ = write!(what, " {which}");
        let answer = self.call::<Answer>(&what, &format!("STREAM.MSG.GET.{stream}"), which).await;
        match answer {
            Ok(Answer { message }) => {
                let unclear = |error: async_nats::Error| JetError::Answer { what, reason: error.to_string() };
                StreamMessage::try_from(message).map(Some).map_err(unclear)
            }
            Err(JetError::Server { code: code::NO_MESSAGE, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last message on a subject, from the stream's leader.
    pub(super) async fn last(&self, stream: &str, subject: &str) -> Result<Option<StreamMessage>, JetError> {
        self.get(stream, &json!({ "last_by_subj": subject })).await
    }

    /// Removes the messages on a subject (wildcards are allowed) before a sequence, or all of them.
    pub(super) async fn purge(&self, stream: &str, subject: &str, before: Option<u64>) -> Result<u64, JetError> {
        #[derive(Deserialize)]
        struct Answer {
            purged: u64,
        }
        // Sequence 0 would mean "all of them".
        let question = match before {
            Some(0 | 1) => return Ok(0),
            Some(before) => json!({ "filter": subject, "seq": before }),
            None => json!({ "filter": subject }),
        };
        let what = format!("remove `{subject}` from the stream {stream}");
        let answer: Answer = self.call(&what, &format!("STREAM.PURGE.{stream}"), &question).await?;
        Ok(answer.purged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_names_its_subject() {
        let text = "nats: Permissions Violation for Publish to \"engine_log.w.tick\"";
        assert_eq!(denied(text), Some(("publish on", "engine_log.w.tick".into())));
        let text = "permissions violation for Subscription to \"_INBOX.x.*\" using queue \"q\"";
        assert_eq!(denied(text), Some(("subscribe to", "_INBOX.x.*".into())));
        assert_eq!(denied("maximum connections exceeded"), None);
    }

    #[test]
    fn an_answer_is_an_ack_or_a_reason() {
        let ack: Ack = understand(br#"{"stream":"L","seq":7}"#).unwrap();
        assert_eq!((ack.sequence, ack.duplicate), (7, false));
        let refused = br#"{"error":{"code":400,"err_code":10071,"description":"wrong"},"stream":"L","seq":0}"#;
        assert_eq!(understand::<Ack>(refused).unwrap_err(), Ok((10071, "wrong".into())));
        assert!(understand::<Ack>(b"{}").unwrap_err().is_err());
    }
}
