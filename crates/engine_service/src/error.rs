//! What can go wrong between a program and the servers.

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use engine_net::client::ConnectError;
use engine_net::messages::Problem;
use engine_net::name::NameError;
use engine_net::streams::StreamError;

use crate::content::ContentError;
use crate::envelope::EnvelopeError;

/// Why something was not done: what was tried, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A name that can't be part of a subject.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Headers that are no envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A payload that is no value of its type.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A server did not do it, or did not say so.
    #[error("can't {what}: {reason}")]
    Server {
        /// What was tried.
        what: String,
        /// What is known of the reason.
        reason: String,
        /// Whether the same may succeed later.
        passes: bool,
    },
    /// A stream is not there, or not what the promises rest on.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A command was refused.
    #[error("{}: {} ({})", .what, .problem.message, .problem.code)]
    Refused {
        /// What was asked.
        what: String,
        /// Why not.
        problem: Problem,
    },
    /// Nobody answered in the time that there was.
    #[error("no answer to {what} within {tries} tries; is somebody running who answers it? The last try: {last}")]
    NoAnswer {
        /// What was asked.
        what: String,
        /// How often.
        tries: u32,
        /// How the last one failed.
        last: String,
    },
    /// The history of an aggregate has a hole.
    #[error("the history of {subject} is broken at {sequence}: {reason}; it was changed by somebody else")]
    History {
        /// Its subject.
        subject: String,
        /// Where.
        sequence: u64,
        /// How.
        reason: String,
    },
}

impl ServiceError {
    /// Of something that may succeed later.
    pub(crate) fn passing(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Server { what: what.into(), reason: reason.to_string(), passes: true }
    }

    /// Of something that won't.
    pub(crate) fn lasting(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Server { what: what.into(), reason: reason.to_string(), passes: false }
    }

    /// Of a publish whose acknowledgement is an error, or never came: then nobody knows whether it is stored.
    pub(crate) fn publish(what: &str, error: &PublishError) -> Self {
        use PublishErrorKind as Kind;
        match error.kind() {
            Kind::MaxPayloadExceeded => Self::lasting(what, error),
            Kind::StreamNotFound => Self::passing(what, format!("{error}; there is no stream for it, or no JetStream")),
            _ => Self::passing(what, error),
        }
    }

    /// Whether the same may succeed later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect(error) => error.may_pass(),
            Self::Server { passes, .. } => *passes,
            Self::NoAnswer { .. } | Self::Stream(StreamError::Server { .. }) => true,
            _ => false,
        }
    }
}
