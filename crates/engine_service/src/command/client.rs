//! Whoever gives commands: each is asked for until it is answered, always with the same id.

use std::time::{Duration, Instant};

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::PublishMessage;
use async_nats::{Request, RequestErrorKind};
use bytes::Bytes;
use engine_component::Command;
use engine_net::messages::Reply;
use engine_net::strict;

use super::code;
use crate::content::{MAX_PAYLOAD, encode, known};
use crate::envelope::{Content, Envelope};
use crate::{Backoff, Link, ServiceError};

/// How long a client tries.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one try.
    pub one: Duration,
    /// For all of them.
    pub all: Duration,
    /// Between them.
    pub backoff: Backoff,
}

impl Default for Patience {
    fn default() -> Self {
        Self { one: Duration::from_secs(3), all: Duration::from_secs(30), backoff: Backoff::default() }
    }
}

/// Gives commands.
#[derive(Clone, Debug)]
pub struct Client {
    link: Link,
    content: Content,
    patience: Patience,
}

impl Client {
    /// With MessagePack and the default patience.
    #[must_use]
    pub fn new(link: &Link) -> Self {
        Self { link: link.clone(), content: Content::default(), patience: Patience::default() }
    }

    /// With another patience.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// With payloads of another spelling.
    #[must_use]
    pub fn with_content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// An envelope for a command. Whoever keeps its id before the command is given can give it again after a crash.
    #[must_use]
    pub fn envelope<C: Command>(&self) -> Envelope {
        let mut envelope = Envelope::new(self.link.source(), C::NAME);
        envelope.content = self.content;
        envelope.schema = Some(known::<C>().reference.clone());
        envelope
    }

    /// Gives a command and waits for its answer: it is durable then.
    ///
    /// # Errors
    /// When it is refused, or nobody answered in time. In the second case nobody knows whether it was done: give it
    /// again with the same id ([`command_as`](Self::command_as)).
    pub async fn command<C: Command>(&self, command: &C) -> Result<C::Answer, ServiceError> {
        self.command_as(&self.envelope::<C>(), command).await
    }

    /// The same with an envelope of one's own. The same id is the same command: it gets the same answer, and is done
    /// once.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn command_as<C: Command>(&self, envelope: &Envelope, command: &C) -> Result<C::Answer, ServiceError> {
        let payload = checked(command, envelope.content)?;
        let subject = self.link.names().subjects().command(C::DOMAIN, C::AGGREGATE, C::ACTION);
        let started = Instant::now();
        let mut tries = 0;
        loop {
            let problem = match self.ask(&subject, envelope, &payload).await {
                Ok(answer) => match answer {
                    Reply::Ok(answer) => return Ok(answer),
                    Reply::Error(problem) if code::passes(&problem.code) => problem.to_string(),
                    Reply::Error(problem) => return Err(ServiceError::Refused { what: C::NAME.into(), problem }),
                },
                Err(Failed::Lasting(error)) => return Err(error),
                Err(Failed::Passing(reason)) => reason,
            };
            tries += 1;
            let pause = self.patience.backoff.pause(tries);
            if started.elapsed() + pause >= self.patience.all {
                return Err(ServiceError::NoAnswer { what: C::NAME.into(), tries, last: problem });
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        subject: &str,
        envelope: &Envelope,
        payload: &Bytes,
    ) -> Result<Reply<T>, Failed> {
        let request = Request::new().headers(envelope.headers()).payload(payload.clone());
        let request = request.timeout(Some(self.patience.one));
        let answer = self.link.client().send_request(subject.to_owned(), request).await;
        let answer = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Failed::Passing("nobody handles it".into()),
            RequestErrorKind::MaxPayloadExceeded => Failed::Lasting(ServiceError::lasting(subject, error)),
            _ => Failed::Passing(error.to_string()),
        })?;
        let unclear = |error: strict::DecodeError| {
            Failed::Lasting(ServiceError::lasting(format!("understand the answer to {subject}"), error))
        };
        strict::decode(&answer.payload, MAX_PAYLOAD).map_err(unclear)
    }

    /// Leaves a command in the stream: it is done when a handler comes to it, once, and nobody is told the answer. Comes
    /// back when the stream has it, with its id.
    ///
    /// # Errors
    /// When it is refused by its own type, or no stream said in time that it has it.
    pub async fn submit<C: Command>(&self, command: &C) -> Result<String, ServiceError> {
        let envelope = self.envelope::<C>();
        self.submit_as(&envelope, command).await.map(|()| envelope.id)
    }

    /// The same with an envelope of one's own.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn submit_as<C: Command>(&self, envelope: &Envelope, command: &C) -> Result<(), ServiceError> {
        let payload = checked(command, envelope.content)?;
        let subject = self.link.names().submit(C::DOMAIN, C::AGGREGATE, C::ACTION);
        let what = format!("submit `{}`", C::NAME);
        let mut headers = envelope.headers();
        // An id counts for each aggregate, as it does where the command is handled.
        headers.insert(NATS_MESSAGE_ID, format!("{}/{}", command.key(), envelope.message_id()));
        let started = Instant::now();
        let mut tries = 0;
        loop {
            let message = PublishMessage::build().headers(headers.clone()).payload(payload.clone());
            let error = match self.link.jet().send_publish(subject.clone(), message).await {
                Err(error) => error,
                Ok(sent) => match sent.await {
                    Ok(_) => return Ok(()),
                    Err(error) => error,
                },
            };
            let error = ServiceError::publish(&what, &error);
            if !error.may_pass() || started.elapsed() >= self.patience.all {
                return Err(error);
            }
            tries += 1;
            self.patience.backoff.wait(tries).await;
        }
    }
}

enum Failed {
    Passing(String),
    Lasting(ServiceError),
}

/// The payload of a command that its own type doesn't refuse.
fn checked<C: Command>(command: &C, content: Content) -> Result<Bytes, ServiceError> {
    let what = || format!("give the command `{}`", C::NAME);
    command.validate().map_err(|invalid| ServiceError::lasting(what(), invalid))?;
    crate::names::key(&command.key())?;
    Ok(encode(command, content)?)
}
