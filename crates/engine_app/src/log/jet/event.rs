//! What the streams tell their owner.

use std::time::Duration;

use bytes::Bytes;
use engine_net::client::ServerFacts;

use super::{JetError, KeyframeId, Kind};

/// An operation whose end arrives as a [`JetEvent`]; each token is answered exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(super) u64);

/// A record as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the stream, from 1.
    pub sequence: u64,
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub payload: Bytes,
}

/// Why an append was certainly not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The log is longer than expected, or another epoch has begun. After a [`Lost`] this may be the answer to
    /// the second sending of what was stored at the first: read before drawing conclusions.
    WrongLast {
        /// In the server's words; the number in it may be the stream's last or the epoch's.
        description: String,
    },
    /// The stream, the account or the disk is full.
    Full {
        /// In the server's words.
        description: String,
    },
    /// There is no such stream, or JetStream is off, or not yet up after a restart.
    NobodyListens,
    /// The connection is down; nothing was sent, and nothing will be.
    NotConnected,
    /// This user may not publish there.
    Denied {
        /// Where.
        subject: String,
    },
    /// Anything else.
    Other {
        /// The server's number (`err_code`).
        code: u64,
        /// In its words.
        description: String,
    },
}

/// Why it isn't known whether an append was stored: read the record at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No answer in time; it may still be stored after this.
    TimedOut(Duration),
    /// The connection was lost. What was not yet written to it never will be.
    Disconnected,
}

/// How a question about the lease ended.
#[derive(Clone, Debug)]
pub enum LeaseAnswer {
    /// It is ours, and ends when its time to live is over.
    Held {
        /// What the next renewal or release has to name.
        revision: u64,
    },
    /// It was given back.
    Released,
    /// It is somebody else's, or was changed since the revision that was named.
    Taken(LeaseState),
    /// Not known: no answer, or no connection. It may or may not have been written; read it.
    Unknown(JetError),
}

/// The lease as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseState {
    /// Who has it, in the words that it was acquired with; `None` when it is free.
    pub holder: Option<Bytes>,
    /// The revision; grows with each change, 0 when there never was one or it has expired.
    pub revision: u64,
    /// How many seconds it lives since it was put, when it is held.
    pub seconds: Option<u32>,
}

/// What happens on the connection of the log.
#[derive(Clone, Debug)]
pub enum JetEvent {
    /// The append is stored, as durable as the mode says.
    Acked {
        /// Which one.
        token: Token,
        /// Its place.
        sequence: u64,
        /// The server had its id already: nothing was stored this time, and `sequence` is where it was.
        duplicate: bool,
    },
    /// The append is not stored.
    Refused {
        /// Which one.
        token: Token,
        /// Why.
        reason: Refusal,
    },
    /// Whether the append is stored is not known.
    Lost {
        /// Which one.
        token: Token,
        /// Why.
        why: Lost,
    },
    /// What stands at a place of the log.
    Read {
        /// Which question.
        token: Token,
        /// The record, or none when there is nothing there.
        record: Result<Option<Record>, JetError>,
    },
    /// The end of a question about the lease.
    Lease {
        /// Which question.
        token: Token,
        /// How it ended.
        answer: LeaseAnswer,
    },
    /// The lease changed hands, was renewed, given back, or has expired; only while it is watched.
    LeaseSeen(LeaseState),
    /// What the lease is, as it was asked for.
    LeaseRead {
        /// Which question.
        token: Token,
        /// What it is.
        state: Result<LeaseState, JetError>,
    },
    /// A keyframe is complete, or failed.
    Keyframe {
        /// Which order.
        token: Token,
        /// Its name.
        id: KeyframeId,
        /// Bytes that it takes, or why there is none.
        result: Result<u64, JetError>,
    },
    /// Old records or keyframes are gone.
    Removed {
        /// Which order.
        token: Token,
        /// How many messages were removed.
        result: Result<u64, JetError>,
    },
    /// The connection of the log is lost; everything under way on it has been told as lost.
    Down {
        /// What is known of the reason.
        reason: String,
    },
    /// It is back.
    Up {
        /// The server, perhaps another one.
        server: ServerFacts,
    },
    /// The server complains, or the connection can't be made again.
    Trouble {
        /// In its words.
        text: String,
    },
}
