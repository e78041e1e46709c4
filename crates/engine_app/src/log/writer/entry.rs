//! A message that isn't durable yet.

use bytes::Bytes;

use super::super::chain::Position;
use super::{Publish, Subject, Token};

/// What is known of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// To be sent; if it was sent before, its place was empty since.
    Waiting,
    /// On its way, or its answer is.
    Sent,
    /// It may be stored or not: its place has to be read.
    Unknown,
    /// In its place; what is before it may not be.
    Stored,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Its place, and the last attempt: 0 before the first.
    pub(super) token: Token,
    pub(super) subject: Subject,
    pub(super) bytes: Bytes,
    msg_id: String,
    /// After the record whose last message this is; `None` for a part.
    pub(super) after: Option<Position>,
    pub(super) status: Status,
    /// When the last attempt was sent.
    pub(super) sent: u64,
    /// All before it was durable when that was sent.
    pub(super) was_first: bool,
    /// That attempt was refused for the stream's last sequence.
    pub(super) refused: bool,
}

impl Entry {
    pub(super) fn new(token: Token, subject: Subject, bytes: Bytes, msg_id: String, after: Option<Position>) -> Self {
        let status = Status::Waiting;
        Self { token, subject, bytes, msg_id, after, status, sent: 0, was_first: false, refused: false }
    }

    pub(super) fn is_sent(&self) -> bool {
        self.status == Status::Sent
    }

    /// The next attempt.
    pub(super) fn send(&mut self, guard_seq: u64, first: bool, now: u64) -> Publish {
        self.token.attempt += 1;
        (self.status, self.sent, self.was_first, self.refused) = (Status::Sent, now, first, false);
        Publish {
            token: self.token,
            subject: self.subject,
            bytes: self.bytes.clone(),
            expected_last_seq: self.token.seq - 1,
            guard_seq,
            msg_id: self.msg_id.clone(),
        }
    }
}
