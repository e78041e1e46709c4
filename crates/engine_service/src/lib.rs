//! Events, commands and queries for programs *around* a world: shops, matchmakers, audits, dashboards.
//!
//! A world's systems talk through the tick. What stands outside of it talks through here: messages with an
//! [`Envelope`](envelope::Envelope) in their headers, typed by the same derives as components, kept by JetStream where
//! they must not be lost.
//!
//! * [`Link`]: a connection, and the streams of a domain.
//! * [`publish`]: events that are kept, or only shown.
//! * [`subscribe`]: events live, or from a stream with retries, by name and wildcard.
//! * [`command`]: what is asked of an aggregate and answered when it is durable, exactly once for each id.
//! * [`projection`]: events folded into a bucket that can be read, and rebuilt.
//! * [`sink`]: events to the outside, behind a circuit breaker.
//! * [`dead`]: messages that nobody could handle, and how they come back.
//! * [`query`]: requests that change nothing.
//!
//! All runners are futures: to stop one, drop it. Each of them may be killed at any point, and goes on where it was.
//!
//! `docs/services.md` says how to write each part, and what is promised.

pub mod command;
pub mod content;
pub mod dead;
mod error;
mod link;
pub mod names;
mod outcome;
mod presence;
pub mod projection;
pub mod publish;
pub mod query;
mod reader;
mod recorded;
mod retry;
pub mod sink;
mod streams;
pub mod subscribe;
pub mod upcast;

pub use engine_net::envelope;
pub use error::ServiceError;
pub use link::{Link, Settings};
pub use presence::{Gauge, Presence};
pub use recorded::{Place, ReadError, Recorded};
pub use retry::Backoff;
