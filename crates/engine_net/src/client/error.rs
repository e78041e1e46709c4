//! Why there is no connection.

use std::path::PathBuf;

use thiserror::Error;

use super::OLDEST_SERVER;

/// Why a connection was not made: what was tried, where, and what to do.
#[derive(Clone, Debug, Error)]
pub enum ConnectError {
    /// Nobody listens, or the name doesn't resolve, or nobody answers.
    #[error(
        "no NATS server at {servers}: {reason}; start one (nats-server), or set NATS_URL, or NATS_WAIT=true to wait for it"
    )]
    NoServer {
        /// Where.
        servers: String,
        /// What the system says.
        reason: String,
    },
    /// The server doesn't know these credentials.
    #[error(
        "the NATS server at {servers} refused the connection {who} ({reason}); check NATS_USER and NATS_PASSWORD, NATS_TOKEN, NATS_CREDS or NATS_NKEY"
    )]
    Refused {
        /// Where.
        servers: String,
        /// As whom.
        who: String,
        /// What the server says.
        reason: String,
    },
    /// The server lacks what the engine relies on.
    #[error(
        "the NATS server at {server} is version {version}, and {OLDEST_SERVER} or newer is needed; upgrade it, or set NATS_URL to another one"
    )]
    TooOld {
        /// Where.
        server: String,
        /// Its version.
        version: String,
    },
    /// Asked for JetStream, and there is none.
    #[error(
        "no JetStream on the NATS server {server}: {reason}; start it with `-js`, give the account `jetstream: enabled`, or run without durability"
    )]
    NoJetStream {
        /// Which server.
        server: String,
        /// What it says.
        reason: String,
    },
    /// Encryption failed.
    #[error(
        "no TLS with {servers}: {reason}; check NATS_TLS_CA, NATS_TLS_CERT, NATS_TLS_KEY, and NATS_TLS_FIRST against the server's `tls` block"
    )]
    Tls {
        /// Where.
        servers: String,
        /// What the library says.
        reason: String,
    },
    /// Not an address.
    #[error(
        "`{servers}` is no address of a NATS server ({reason}); write nats://HOST:PORT or tls://HOST:PORT in NATS_URL"
    )]
    Address {
        /// What was given.
        servers: String,
        /// What is wrong.
        reason: String,
    },
    /// A credentials file, key or certificate can't be used.
    #[error("can't use {}: {reason}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No thread for the connections.
    #[error("can't start the I/O thread: {reason}")]
    Thread {
        /// What the system says.
        reason: String,
    },
}

impl ConnectError {
    /// Whether the same attempt may succeed later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NoServer { .. })
    }
}
