//! Queries: requests that change nothing, answered by any of those who can.
//!
//! They are on `query.<service>.<name>`, a token longer than the coordinator's own. Nothing about them is kept: whoever
//! asked and got no answer asks again.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Message, Request};
use engine_net::messages::{Problem, Reply};
use engine_net::{name, strict};
use futures_util::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::command::code;
use crate::{Gauge, Link, ServiceError};

/// Bytes of a question or an answer, at the most.
const MAX_BYTES: usize = 960 * 1024;

/// Something that can be asked.
pub trait Question: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Who is asked: a token.
    const SERVICE: &'static str;
    /// For what: a token.
    const NAME: &'static str;
    /// What is answered.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// Asks, once.
///
/// # Errors
/// When nobody answers in this time, or whoever does refuses.
pub async fn ask<Q: Question>(link: &Link, question: &Q, within: Duration) -> Result<Q::Answer, ServiceError> {
    let what = || format!("{}.{}", Q::SERVICE, Q::NAME);
    let request = Request::new().payload(strict::encode(question).into()).timeout(Some(within));
    let subject = link.names().query(Q::SERVICE, Q::NAME);
    let answer = link.client().send_request(subject, request).await;
    let answer = answer.map_err(|error| ServiceError::NoAnswer { what: what(), tries: 1, last: error.to_string() })?;
    let answer: Reply<Q::Answer> = strict::decode(&answer.payload, MAX_BYTES)
        .map_err(|error| ServiceError::lasting(format!("understand the answer to {}", what()), error))?;
    answer.into_result().map_err(|problem| ServiceError::Refused { what: what(), problem })
}

type Answering = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;
type Respond = Arc<dyn Fn(&[u8]) -> Answering + Send + Sync>;

/// Answers questions, in a group with all that do so.
pub struct Answers {
    link: Link,
    service: String,
    respond: BTreeMap<&'static str, Respond>,
    gauge: Gauge,
    at_a_time: usize,
}

impl Answers {
    /// For a service.
    ///
    /// # Errors
    /// When it is no name.
    pub fn new(link: &Link, service: &str) -> Result<Self, ServiceError> {
        name::token("service", service)?;
        let gauge = Gauge::new("query", link.names().query(service, "*"), service);
        Ok(Self { link: link.clone(), service: service.to_owned(), respond: BTreeMap::new(), gauge, at_a_time: 256 })
    }

    /// And this question.
    #[must_use]
    pub fn on<Q: Question, F, R>(mut self, answer: F) -> Self
    where
        F: Fn(Q) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Q::Answer, Problem>> + Send + 'static,
    {
        let respond: Respond = Arc::new(move |payload: &[u8]| -> Answering {
            match strict::decode::<Q>(payload, MAX_BYTES) {
                Ok(question) => {
                    let answer = answer(question);
                    Box::pin(async move { encode(answer.await) })
                }
                Err(error) => Box::pin(std::future::ready(encode::<()>(Err(Problem::new(code::BAD_REQUEST, error))))),
            }
        });
        self.respond.insert(Q::NAME, respond);
        self
    }

    /// What it has done and has to do, for [`Presence`](crate::Presence).
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// Answers until it is dropped.
    ///
    /// # Errors
    /// When it can't listen, or the connection was given up.
    pub async fn run(self) -> Result<(), ServiceError> {
        let subject = self.link.names().query(&self.service, "*");
        let failed = |error: &dyn fmt::Display| ServiceError::passing(format!("listen on {subject}"), error);
        let subscribed = self.link.client().queue_subscribe(subject.clone(), self.service.clone()).await;
        let mut questions = subscribed.map_err(|error| failed(&error))?;
        let room = Arc::new(Semaphore::new(self.at_a_time));
        let mut tasks = JoinSet::new();
        while let Some(message) = questions.next().await {
            while tasks.try_join_next().is_some() {}
            let asked = message.subject.rsplit_once('.').map_or("", |(_, name)| name);
            let respond = self.respond.get(asked).cloned();
            let permit = room.clone().try_acquire_owned().ok();
            self.gauge.waits(self.at_a_time - room.available_permits());
            let (link, gauge) = (self.link.clone(), self.gauge.clone());
            tasks.spawn(async move {
                let started = Instant::now();
                let (answer, error) = match (respond, &permit) {
                    (None, _) => refuse(code::BAD_REQUEST, "this service has no query of this name"),
                    (_, None) => refuse(code::OVERLOADED, "too many questions at once"),
                    (Some(respond), Some(_)) => (respond(&message.payload).await, None),
                };
                gauge.count(started.elapsed(), error);
                send(&link, &message, answer).await;
                drop(permit);
            });
        }
        Err(failed(&"the connection is closed"))
    }
}

fn refuse(code: &'static str, reason: &str) -> (Vec<u8>, Option<&'static str>) {
    (encode::<()>(Err(Problem::new(code, reason))), Some(code))
}

fn encode<T: Serialize>(answer: Result<T, Problem>) -> Vec<u8> {
    let reply = match answer {
        Ok(answer) => Reply::Ok(answer),
        Err(problem) => Reply::Error(problem),
    };
    rmp_serde::to_vec_named(&reply)
        .unwrap_or_else(|error| strict::encode(&Reply::<()>::Error(Problem::new(code::INTERNAL, error))))
}

async fn send(link: &Link, message: &Message, answer: Vec<u8>) {
    let Some(to) = message.reply.as_ref().filter(|to| link.may_answer(to.as_str())) else { return };
    if let Err(error) = link.client().publish(to.clone(), answer.into()).await {
        tracing::debug!(%error, "an answer was not sent");
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("service", &self.service).field("queries", &self.respond.keys()).finish()
    }
}
