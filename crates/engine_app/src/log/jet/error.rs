//! What can go wrong with the streams, in words that say what to do.

use std::time::Duration;

use engine_net::{client::ConnectError, name::NameError};
use thiserror::Error;

/// Why something could not be done with the world log.
#[derive(Clone, Debug, Error)]
pub enum JetError {
    /// No connection, no JetStream, or a server that is too old.
    #[error("the world log: {0}")]
    Connect(ConnectError),
    /// The world's name can't be part of a subject.
    #[error(transparent)]
    World(#[from] NameError),
    /// A stream is there, and is not as it must be.
    #[error("the stream {stream} has `{setting}` = {found}, but {wanted} is needed; {advice}")]
    Setting {
        /// Which stream.
        stream: String,
        /// Which of its settings.
        setting: &'static str,
        /// What it has to be.
        wanted: String,
        /// What it is.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The world has none.
    #[error(
        "world `{world}` has no log on this server: name another world with --world, or start its coordinator with \
         --durability server"
    )]
    NoLog {
        /// Its name.
        world: String,
    },
    /// The server said no.
    #[error("can't {what}: the server says `{description}` (error {code}){}", advice(*.code))]
    Server {
        /// What was tried.
        what: String,
        /// The server's number for it (`err_code`), or the status of its answer.
        code: u64,
        /// In its words.
        description: String,
    },
    /// The user may not do it.
    #[error(
        "can't {what}: this user may not {verb} `{subject}`; allow it in the server's permissions, or give the log's own credentials (NATS_LOG_USER, NATS_LOG_CREDS, …)"
    )]
    Denied {
        /// What was tried.
        what: String,
        /// `publish on` or `subscribe to`.
        verb: &'static str,
        /// Which subject.
        subject: String,
    },
    /// Nobody answered in time.
    #[error("can't {what}: no answer within {limit:?}; is the server overloaded, or without a leader for the stream?")]
    NoAnswer {
        /// What was tried.
        what: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection was lost meanwhile.
    #[error("can't {what}: the connection to the server was lost; it is tried again by itself")]
    Disconnected {
        /// What was tried.
        what: String,
    },
    /// An answer that makes no sense.
    #[error("can't {what}: the server's answer is not understood ({reason})")]
    Answer {
        /// What was tried.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server doesn't sync before it acknowledges.
    #[error(
        "durability `disk` was asked for, but nats-server {server} acknowledges before it syncs; set `jetstream {{ sync_interval: always }}` in its configuration and restart it, or ask for durability `server`"
    )]
    NotSynced {
        /// Which server.
        server: String,
    },
    /// Nobody could be asked whether the server syncs.
    #[error(
        "durability `disk` was asked for, but whether the server syncs before it acknowledges can't be verified: {reason}; give credentials of its system account (NATS_LOG_SYSTEM_USER, …), or let the log's account import `$SYS.REQ.SERVER.PING.VARZ` from it, or ask for durability `server`"
    )]
    SyncUnknown {
        /// Why not.
        reason: String,
    },
    /// A record is missing.
    #[error(
        "the stream {stream} has no message {sequence}, but later ones; the log is damaged there: start from a keyframe after it, or restore a copy"
    )]
    Gap {
        /// Which stream.
        stream: String,
        /// The first that is missing.
        sequence: u64,
    },
    /// Something is there, and is not what was written.
    #[error("{what} is damaged: {reason}; use an older one, or restore a copy")]
    Damaged {
        /// What.
        what: String,
        /// How one sees it.
        reason: String,
    },
    /// More than the server takes in one message.
    #[error("{what} has {bytes} bytes, and the server takes {limit} in one message; raise its max_payload")]
    TooLarge {
        /// What.
        what: String,
        /// Its size.
        bytes: usize,
        /// The server's limit, less the headers.
        limit: usize,
    },
    /// Too much is under way.
    #[error("{messages} appends of {bytes} bytes are under way; wait for their answers")]
    Full {
        /// How many.
        messages: usize,
        /// How much.
        bytes: usize,
    },
    /// Whoever had it written could not finish it.
    #[error("{what} is given up")]
    GivenUp {
        /// What.
        what: String,
    },
    /// The thread has ended.
    #[error("the connection of the world log is closed")]
    Closed,
}

/// Its text is part of the whole one: as a source it would be told twice.
impl From<ConnectError> for JetError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl JetError {
    /// Whether a stream or the server's store has no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        const FULL: [u64; 4] =
            [code::STORE_FAILED, code::ACCOUNT_RESOURCES, code::INSUFFICIENT_RESOURCES, code::STORAGE_EXCEEDED];
        matches!(self, Self::Server { code, .. } if FULL.contains(code))
    }
}

impl JetError {
    /// Whether it may pass: a cluster that was just started, or that lost a server, has no leader for a while.
    pub(super) fn may_pass(&self) -> bool {
        const PASSING: [u64; 2] = [code::NOBODY, code::CLUSTER_UNAVAILABLE];
        match self {
            Self::Server { code, .. } => PASSING.contains(code),
            Self::NoAnswer { .. } | Self::Disconnected { .. } => true,
            _ => false,
        }
    }
}

/// JetStream's error numbers that the engine meets.
pub(super) mod code {
    pub(crate) const ACCOUNT_RESOURCES: u64 = 10002;
    pub(crate) const CLUSTER_UNAVAILABLE: u64 = 10008;
    pub(crate) const INSUFFICIENT_RESOURCES: u64 = 10023;
    pub(crate) const NO_MESSAGE: u64 = 10037;
    pub(crate) const STORAGE_EXCEEDED: u64 = 10047;
    pub(crate) const NAME_IN_USE: u64 = 10058;
    pub(crate) const STREAM_NOT_FOUND: u64 = 10059;
    pub(crate) const OVERLAP: u64 = 10065;
    pub(crate) const WRONG_LAST: u64 = 10071;
    pub(crate) const REPLICAS: u64 = 10074;
    pub(crate) const STORE_FAILED: u64 = 10077;
    /// Two appends with an expected sequence in one moment, in a cluster.
    pub(crate) const WRONG_LAST_CONSTANT: u64 = 10164;
    /// The number of a 503, when nobody listens.
    pub(crate) const NOBODY: u64 = 503;
}

fn advice(number: u64) -> &'static str {
    match number {
        code::STORAGE_EXCEEDED | code::INSUFFICIENT_RESOURCES => {
            "; ask for less (log_bytes, key_bytes), or raise `max_file_store` of the server"
        }
        code::ACCOUNT_RESOURCES => "; ask for less (log_bytes, key_bytes), or raise the account's limits",
        code::STORE_FAILED => {
            "; the stream is full: truncate the log behind a keyframe, or raise its limit (log_bytes, key_bytes)"
        }
        code::REPLICAS => "; three replicas need a cluster: ask for one",
        code::OVERLAP => {
            "; another stream of this account captures the log's subjects: remove it, or give the log an account of its own"
        }
        code::STREAM_NOT_FOUND => "; was it deleted while in use?",
        code::NOBODY => "; JetStream is off for this account, or the stream is gone",
        _ => "",
    }
}
