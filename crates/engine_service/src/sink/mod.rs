//! Events to the outside: to a web server, to other subjects, to whatever can be written to.
//!
//! A sink says of each event whether it took it, couldn't now, or never will. The [`SinkRunner`] around it is a durable
//! subscription with a circuit breaker: while the outside is down, events wait in the stream, a few in memory, and one
//! is tried now and then. Waiting is no delivery: nothing becomes a dead letter because the other side was restarted.

mod breaker;
mod nats;
mod webhook;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use breaker::{Breaker, BreakerSettings, State};
pub use nats::NatsSink;
pub use webhook::{WebhookSettings, WebhookSink};

use crate::subscribe::{Durable, Verdict};
use crate::{Recorded, ServiceError};

/// Why a sink did not take an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It will never take it: the event becomes a dead letter. This is no fault of the other side, and the breaker
    /// doesn't count it.
    #[error("refused: {0}")]
    Refused(String),
    /// It may take it later.
    #[error("failed: {reason}")]
    Failed {
        /// What is known of it.
        reason: String,
        /// When to try again, if the other side said so.
        after: Option<Duration>,
    },
}

impl SinkError {
    /// It may take it later.
    #[must_use]
    pub fn failed(reason: impl std::fmt::Display) -> Self {
        Self::Failed { reason: reason.to_string(), after: None }
    }
}

/// Something outside that takes events.
pub trait Sink: Send + Sync + 'static {
    /// Gives it one. The same event may come twice, after a crash: by its id the other side can tell.
    fn deliver(&self, event: &Recorded) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// Runs a sink.
#[derive(Debug)]
pub struct SinkRunner<S> {
    durable: Durable,
    sink: Arc<S>,
    breaker: Breaker,
}

impl<S: Sink> SinkRunner<S> {
    /// Gives the events of a subscription to a sink.
    #[must_use]
    pub fn new(durable: Durable, sink: S, breaker: BreakerSettings) -> Self {
        Self { durable, sink: Arc::new(sink), breaker: Breaker::new(breaker) }
    }

    /// Its breaker, to be looked at.
    #[must_use]
    pub fn breaker(&self) -> Breaker {
        self.breaker.clone()
    }

    /// Its subscription, to be looked at.
    #[must_use]
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    /// Gives events until it is dropped.
    ///
    /// # Errors
    /// As [`Durable::run`].
    pub async fn run(&self) -> Result<(), ServiceError> {
        let (sink, breaker) = (self.sink.clone(), self.breaker.clone());
        let deliver = move |event: Recorded| {
            let (sink, breaker) = (sink.clone(), breaker.clone());
            async move {
                let permission = breaker.permitted().await;
                let taken = sink.deliver(&event).await;
                match taken {
                    Ok(()) => {
                        permission.succeeded();
                        Verdict::Done
                    }
                    Err(SinkError::Refused(reason)) => {
                        permission.succeeded();
                        Verdict::Poison { reason }
                    }
                    Err(SinkError::Failed { reason, after }) => {
                        permission.failed();
                        Verdict::Retry { after, reason }
                    }
                }
            }
        };
        self.durable.run(deliver).await
    }
}
