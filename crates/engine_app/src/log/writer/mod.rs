//! Appends records to the log, several at a time, and never believes more than was proved.
//!
//! Every message is published under two conditions that the server checks: the stream's last sequence is the one
//! before the message's own place (known ahead, because all that is in the log is appended like this), and the last
//! epoch record is the one that began this reign. The first keeps the order. The second keeps out a deposed writer:
//! with two messages in flight, the new reign's epoch record may take the place of the first, and then the second
//! follows in sequence.
//!
//! ```text
//!            appended                    sent                       acknowledged, all before it stored
//! (nothing) ----------> Waiting --------------------> Sent --------------------------------> durable
//!                          ^                            |  lost, refused, reconnected           ^
//!                          |      nothing is there      v                                       |
//!                          +------------------------ Unknown --- read: these very bytes --------+
//!                                                       |
//!                                                       +--- read: another writer's ---> deposed
//! ```
//!
//! An acknowledgement that is lost says nothing: the message may be stored, may be on its way, or may be gone. It is
//! never sent again before its place was read. That is done for the first message whose fate is unknown, then for the
//! next, while nothing else is sent. A message that is sent again is the same, byte for byte, under the same
//! conditions: if the first copy arrives after all, the second is refused, and reading finds it.

mod entry;
mod resolve;
mod settings;

use std::collections::VecDeque;

use bytes::Bytes;
use thiserror::Error;

use super::chain::Position;
use super::record::{Body, EpochBody, Record, RecordError};
use entry::{Entry, Status};
use resolve::{Reading, Trouble};

pub use settings::Limits;

/// Which message an answer is about: its place in the stream, and the attempt. Reads count attempts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// Half of the writer's nonce: an answer to another writer of this process means nothing to this one.
    writer: u64,
    seq: u64,
    attempt: u32,
    read: bool,
}

/// On which subject a message is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Epoch records: never purged, and what the guard looks at.
    Epoch,
    /// Tick records, and the last messages of split ones.
    Tick,
    /// Parts of split records.
    Part,
}

/// A message for the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Names the attempt in the answer.
    pub token: Token,
    /// Where to.
    pub subject: Subject,
    /// The message.
    pub bytes: Bytes,
    /// Condition: the last sequence of the whole stream.
    pub expected_last_seq: u64,
    /// Condition: the last sequence on the subject of epoch records; 0 when there has to be none.
    pub guard_seq: u64,
    /// The same for each attempt, and for nothing else in any log: the record's index and the writer's nonce.
    pub msg_id: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Publish, and hand in [`acked`](Writer::acked), [`refused`](Writer::refused) or [`lost`](Writer::lost).
    Publish(Publish),
    /// Read the message at a sequence, from the stream's leader (a direct get may be answered by a replica that is
    /// behind), and hand in [`read`](Writer::read) or [`lost`](Writer::lost).
    Read {
        /// Names the read in the answer.
        token: Token,
        /// Which message.
        seq: u64,
    },
    /// Read the last message on the subject of epoch records, from the stream's leader, and hand in
    /// [`read`](Writer::read) or [`lost`](Writer::lost).
    ReadEpoch {
        /// Names the read in the answer.
        token: Token,
    },
}

/// Why the server didn't store a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The stream's last sequence is another one. Servers say the same when the guard fails, and to duplicates.
    WrongLastSequence,
    /// The last epoch record is another one: someone else reigns.
    GuardFailed,
    /// The stream has reached its limits.
    Full,
    /// Something else, in the server's words.
    Other(String),
}

/// Why nothing goes forward at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StallReason {
    /// The stream has reached its limits: make room.
    Full,
    /// No answers: no connection, no server, no leader of the stream, or a very slow one.
    NoAnswer,
    /// The server refuses, and the place of the message is empty.
    Contradiction,
    /// What the server says.
    Other(String),
}

/// How the writer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Writing,
    /// The fate of a message is unknown, and is being found out.
    Doubtful,
    /// It is tried again and again, ever more slowly. Nothing is lost; when enough is queued, nothing more is taken.
    Stalled {
        /// Why.
        reason: StallReason,
        /// Since when nothing was stored although it should have been.
        since: u64,
    },
    /// Someone else reigns, or the log went on before this reign began. Final.
    Deposed {
        /// The other's epoch, if it was seen. When it is smaller than this writer's, an older reign appended more
        /// before this one could begin: read on, and begin again.
        by: Option<u64>,
    },
    /// The stream isn't what it was: somebody must look at it. Final.
    Damaged {
        /// What was seen.
        what: String,
    },
}

/// Why a record isn't taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The reign has not begun: its epoch record isn't durable yet.
    #[error("the reign has not begun: its epoch record is not stored yet")]
    NotBegun,
    /// As much is queued as may be: ask [`Writer::can_append`] before.
    #[error("{records} records with {bytes} bytes wait for the log: no more are taken until some are stored")]
    Queued {
        /// Records that wait.
        records: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// Deposed or damaged.
    #[error("this writer's reign is over: {0:?}")]
    Over(State),
    /// Not the last tick, nor the next.
    #[error("a record of tick {tick} can't follow one of tick {last}")]
    Tick {
        /// The last record's.
        last: u64,
        /// This one's.
        tick: u64,
    },
    /// It can't be made a record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// How a reign begins.
#[derive(Clone, Debug)]
pub struct Begin {
    /// After the last record of the log, as verified.
    pub position: Position,
    /// The sequence of the log's last message: larger than the position's when a dead writer left parts behind.
    pub last_seq: u64,
    /// The number of the reign; raised to one more than the last one if it is less.
    pub epoch: u64,
    /// Of this writer, and of no other ever: draw it anew for each reign.
    pub nonce: u128,
    /// Who reigns.
    pub body: EpochBody,
}

/// Appends records to the log. See the module's text.
#[derive(Debug)]
pub struct Writer {
    limits: Limits,
    epoch: u64,
    nonce: u128,
    /// The sequence of the own epoch record.
    epoch_seq: u64,
    /// After the last record that is durable.
    durable: Position,
    /// After the last record that was appended.
    end: Position,
    /// The last message that was appended.
    end_seq: u64,
    /// What isn't durable yet, in order.
    entries: VecDeque<Entry>,
    records: usize,
    bytes: usize,
    /// The read that is under way; always of the first entry.
    reading: Option<Reading>,
    reads: u32,
    /// The server's answers contradict each other, unless someone else reigns: the next read is of the epoch record.
    contradicted: bool,
    trouble: Option<Trouble>,
    over: Option<State>,
    outputs: VecDeque<Output>,
    #[cfg(test)]
    pub(super) mistake: Option<Mistake>,
}

/// What a writer must not do, so that tests can show that they would see it.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A lost acknowledgement counts as one.
    LostIsStored,
    /// What is lost is sent again without a look, and a refusal of that is taken for a duplicate.
    BlindRetry,
    /// Whatever is found counts as one's own.
    AnyoneIsMe,
}

impl Writer {
    /// Begins a reign: the first output is its epoch record. Until that is durable, no record is taken.
    ///
    /// # Errors
    /// When the name of the host is too long, or the limits don't hold an epoch record.
    pub fn begin(begin: Begin, limits: Limits, now: u64) -> Result<Self, RecordError> {
        let Begin { position, last_seq, epoch, nonce, body } = begin;
        let epoch = epoch.max(position.epoch.saturating_add(1));
        let mut writer = Self {
            limits,
            epoch,
            nonce,
            epoch_seq: last_seq.saturating_add(1),
            durable: position,
            end: position,
            end_seq: last_seq,
            entries: VecDeque::new(),
            records: 0,
            bytes: 0,
            reading: None,
            reads: 0,
            contradicted: false,
            trouble: None,
            over: None,
            outputs: VecDeque::new(),
            #[cfg(test)]
            mistake: None,
        };
        writer.enqueue(position.tick, Body::Epoch(body))?;
        writer.pump(now);
        Ok(writer)
    }

    /// The number of the reign.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the epoch record is durable.
    #[must_use]
    pub fn began(&self) -> bool {
        self.durable.epoch == self.epoch
    }

    /// Whether a record would be taken.
    #[must_use]
    pub fn can_append(&self) -> bool {
        self.over.is_none()
            && self.began()
            && self.records < self.limits.queued
            && self.bytes < self.limits.queued_bytes
    }

    /// Appends the record of a tick: of the next one, or another of the last one, when the world stood still. Answers
    /// the position after it, which the log has once the record is [durable](Self::durable).
    ///
    /// # Errors
    /// When the reign has not begun or is over, when too much is queued, or when it can't be the next record.
    pub fn append(&mut self, tick: u64, body: Bytes, now: u64) -> Result<Position, AppendError> {
        if let Some(over) = &self.over {
            return Err(AppendError::Over(over.clone()));
        }
        if !self.began() {
            return Err(AppendError::NotBegun);
        }
        if !self.can_append() {
            return Err(AppendError::Queued { records: self.records, bytes: self.bytes });
        }
        let last = self.end.tick;
        if tick != last && Some(tick) != last.checked_add(1) {
            return Err(AppendError::Tick { last, tick });
        }
        self.enqueue(tick, Body::Tick(body))?;
        self.pump(now);
        Ok(self.end)
    }

    /// How far the log is proved to go: the index of the last durable record, and its tick.
    #[must_use]
    pub fn durable(&self) -> (u64, u64) {
        (self.durable.index, self.durable.tick)
    }

    /// After the last durable record.
    #[must_use]
    pub fn position(&self) -> Position {
        self.durable
    }

    /// After the last record that was appended.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// Records that were appended and aren't durable yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.records
    }

    /// How the writer is.
    #[must_use]
    pub fn state(&self) -> State {
        if let Some(over) = &self.over {
            return over.clone();
        }
        if let Some(stalled) = self.trouble.as_ref().and_then(Trouble::stalled) {
            return stalled;
        }
        let unknown = self.reading.is_some() || self.entries.iter().any(|entry| entry.status == Status::Unknown);
        if unknown { State::Doubtful } else { State::Writing }
    }

    /// The next thing to be done. Ask again until there is nothing more, after every other call.
    pub fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`clock`](Self::clock) is to be called at the latest; `None` when nothing waits for it.
    #[must_use]
    pub fn wakes_at(&self) -> Option<u64> {
        if self.over.is_some() {
            return None;
        }
        let sent = self.entries.iter().filter(|entry| entry.is_sent()).map(|entry| entry.sent);
        let answers = sent.chain(self.reading.as_ref().map(|reading| reading.sent)).min();
        let retry = self.trouble.as_ref().and_then(|trouble| trouble.until);
        answers.map(|sent| sent.saturating_add(self.limits.patience)).into_iter().chain(retry).min()
    }

    /// Gives up the reign, without another output. What isn't durable yet may be stored or not.
    pub fn step_down(&mut self) {
        if self.over.is_none() {
            self.end_with(State::Deposed { by: None });
        }
    }

    fn end_with(&mut self, over: State) {
        self.over = Some(over);
        self.entries.clear();
        self.outputs.clear();
        (self.records, self.bytes, self.reading, self.trouble) = (0, 0, None, None);
    }

    /// Makes the messages of the next record, and their places.
    fn enqueue(&mut self, tick: u64, body: Body) -> Result<(), RecordError> {
        let begins = matches!(body, Body::Epoch(_));
        let index = self.end.index.saturating_add(1);
        let record = Record { index, epoch: self.epoch, tick, nonce: self.nonce, prev: self.end.chain, body };
        let encoded = record.encode(self.limits.message_bytes)?;
        let msg_id = format!("{index}-{:032x}", self.nonce);
        for (number, part) in encoded.parts.into_iter().enumerate() {
            self.place(Subject::Part, part, format!("{msg_id}.{number}"), None);
        }
        let after = self.end.after(&record.head(), begins, self.end_seq.saturating_add(1), encoded.chain);
        self.place(if begins { Subject::Epoch } else { Subject::Tick }, encoded.last, msg_id, Some(after));
        self.end = after;
        self.records += 1;
        Ok(())
    }

    fn place(&mut self, subject: Subject, bytes: Bytes, msg_id: String, after: Option<Position>) {
        self.end_seq = self.end_seq.saturating_add(1);
        self.bytes += bytes.len();
        let token = Token { writer: self.nonce as u64, seq: self.end_seq, attempt: 0, read: false };
        self.entries.push_back(Entry::new(token, subject, bytes, msg_id, after));
    }

    #[cfg(test)]
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }
}
