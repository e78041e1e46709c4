//! How an instance gets the memory that it may map: descriptors, sent over a socket.
//!
//! The coordinator listens on an abstract socket, which is no file, and sends its name and a token in the answer to a
//! registration. Who connects, is of the same user, and says the token gets what was offered for it, once. To have
//! got and mapped it proves that both are on one host and may share memory; no names of hosts are compared.
//!
//! ```text
//! (1) accepted ── another user: closed
//!  |
//! (2) hello ───── unknown token, garbage, late: closed
//!  |  offer and two descriptors are sent
//! (3) answer ──── not "mapped", late: closed
//!  |
//!     joined is called
//! ```
//!
//! Everything waits in one thread of its own, for all connections at once; nothing here is waited for by a tick.

mod connection;
mod join;
mod listener;

pub use join::join;
pub use listener::Handover;

use std::sync::Arc;
use std::time::Duration;

use super::{Arena, Segment};

/// Connections at a time; more wait until one of them is over.
pub const MOST_CONNECTIONS: usize = 16;

/// Offers that nobody has come for; more are refused.
pub const MOST_OFFERS: usize = 256;

/// How long somebody who has connected may take.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What an instance may map.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The columns, to be read.
    pub arena: Arc<Arena>,
    /// Where it computes into.
    pub output: Arc<Segment>,
}
