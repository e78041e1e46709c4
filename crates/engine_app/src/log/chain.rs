//! Whether a log is whole: nothing is missing, nothing was changed, and nobody wrote after the end of their reign.
//!
//! Whoever reads a log feeds its messages to a [`Verifier`], from the first one, or from the [`Position`] that a
//! keyframe names. What it lets through is:
//!
//! - messages whose sequences have no gap,
//! - records whose index is one more than that of the one before, and whose `prev` is its chain hash,
//! - epoch records with an epoch above the last one, and its last tick,
//! - tick records of the reign that began last, by the writer that began it, of the last tick (a standing record) or
//!   of the next one.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::record::{Assembler, Body, Head, Message, Record, RecordError};

/// A place in a log: after a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The sequence of the record's last message in the stream; 0 before the first one.
    pub seq: u64,
    /// The index of the record: how many there are up to here since the world began.
    pub index: u64,
    /// Its chain hash.
    #[serde(with = "hex")]
    pub chain: u128,
    /// The reign that wrote it.
    pub epoch: u64,
    /// The sequence of the epoch record with which that reign began.
    pub epoch_seq: u64,
    /// The last tick.
    pub tick: u64,
}

impl Position {
    /// Before the first record of a world.
    pub const GENESIS: Self = Self { seq: 0, index: 0, chain: 0, epoch: 0, epoch_seq: 0, tick: 0 };

    /// Where a record leads to from here, whose last message is at `seq`.
    #[must_use]
    pub(super) fn after(&self, head: &Head, begins: bool, seq: u64, chain: u128) -> Self {
        let epoch_seq = if begins { seq } else { self.epoch_seq };
        Self { seq, index: head.index, chain, epoch: head.epoch, epoch_seq, tick: head.tick }
    }
}

/// Chain hashes as text: 128-bit numbers have no place in JSON, nor in MessagePack.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(chain: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{chain:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(&text, 16).ok().filter(|_| digits);
        number.ok_or_else(|| D::Error::custom("a chain hash has 32 hexadecimal digits"))
    }
}

/// A log isn't whole, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the log breaks at sequence {seq}, record {index}, tick {tick}: {breach}")]
pub struct ChainError {
    /// The sequence of the message that can't be the next one.
    pub seq: u64,
    /// The record that it belongs to; when it can't be read, the one that had to come.
    pub index: u64,
    /// The tick of that record; when it can't be read, the last tick before.
    pub tick: u64,
    /// What is wrong.
    pub breach: Breach,
}

/// What is wrong with the next message of a log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Breach {
    /// Messages are missing, or come twice.
    #[error("sequence {expected} had to come")]
    Sequence {
        /// What had to come.
        expected: u64,
    },
    /// Records are missing, or come twice.
    #[error("record {expected} had to come")]
    Index {
        /// What had to come.
        expected: u64,
    },
    /// It follows another record than the one before it.
    #[error("it follows a record with the chain hash {found:032x}, and the one before it has {expected:032x}")]
    Prev {
        /// The chain hash of the record before.
        expected: u128,
        /// What this one names.
        found: u128,
    },
    /// A reign that can't begin, or that isn't the present one.
    #[error("{}", epoch_text(*.found, *.last, *.begins))]
    Epoch {
        /// The present reign.
        last: u64,
        /// The record's.
        found: u64,
        /// Whether it is an epoch record.
        begins: bool,
    },
    /// Not by the writer that began this reign.
    #[error("it was written by {found:032x}, and the reign is that of {expected:032x}")]
    Nonce {
        /// The nonce of the writer that began the reign.
        expected: u128,
        /// The record's.
        found: u128,
    },
    /// A tick was left out, or comes late.
    #[error("the last tick was {last}{}", if *.begins { ", and an epoch record names it" } else { "" })]
    Tick {
        /// The last tick.
        last: u64,
        /// Whether it is an epoch record.
        begins: bool,
    },
    /// The message isn't one of a log, or not the piece of a record that had to come.
    #[error(transparent)]
    Record(#[from] RecordError),
}

fn epoch_text(found: u64, last: u64, begins: bool) -> String {
    match begins {
        true => format!("reign {found} begins after reign {last}: each has a higher number than the one before"),
        false => format!("it is of reign {found}, and the present one is {last}"),
    }
}

/// Reads a log, message by message.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// After the last whole record.
    at: Position,
    /// The last message, of whatever record.
    seq: u64,
    /// The writer of the present reign; unknown after a keyframe, until its next record.
    nonce: Option<u128>,
    assembler: Assembler,
}

impl Verifier {
    /// From the first message of a world's log.
    #[must_use]
    pub fn new() -> Self {
        Self::from(Position::GENESIS)
    }

    /// From a position: the next message is the one after [`Position::seq`].
    #[must_use]
    pub fn from(position: Position) -> Self {
        Self { at: position, seq: position.seq, nonce: None, assembler: Assembler::default() }
    }

    /// Takes the next message. Answers the record that it completes: `None` for a part.
    ///
    /// # Errors
    /// When the log isn't whole. The message counts as not taken: nothing after it can be trusted.
    pub fn feed(&mut self, seq: u64, bytes: &Bytes) -> Result<Option<Record>, ChainError> {
        let (index, tick) = (self.at.index.saturating_add(1), self.at.tick);
        let unread = |breach: Breach| ChainError { seq, index, tick, breach };
        let expected = self.seq.saturating_add(1);
        if seq != expected {
            return Err(unread(Breach::Sequence { expected }));
        }
        let message = Message::decode(bytes).map_err(|error| unread(error.into()))?;
        let head = message.head();
        let begins = matches!(&message, Message::Whole(Record { body: Body::Epoch(_), .. }));
        let at = |breach: Breach| ChainError { seq, index: head.index, tick: head.tick, breach };
        self.check(&head, begins).map_err(at)?;
        let whole = self.assembler.push(bytes, message).map_err(|error| at(error.into()))?;
        self.seq = seq;
        self.nonce = Some(head.nonce);
        Ok(whole.map(|(record, chain)| {
            self.at = self.at.after(&head, begins, seq, chain);
            record
        }))
    }

    /// Takes a message whatever it is: a mistake on purpose.
    pub(super) fn feed_unchecked(&mut self, seq: u64, bytes: &Bytes) -> Option<Record> {
        let message = Message::decode(bytes).ok()?;
        let head = message.head();
        let begins = matches!(&message, Message::Whole(Record { body: Body::Epoch(_), .. }));
        let (record, chain) = self.assembler.push(bytes, message).ok()??;
        (self.seq, self.at) = (seq, self.at.after(&head, begins, seq, chain));
        Some(record)
    }

    fn check(&self, head: &Head, begins: bool) -> Result<(), Breach> {
        let last = &self.at;
        let expected = last.index.saturating_add(1);
        if head.index != expected {
            return Err(Breach::Index { expected });
        }
        if head.prev != last.chain {
            return Err(Breach::Prev { expected: last.chain, found: head.prev });
        }
        let reigns = if begins { head.epoch > last.epoch } else { head.epoch == last.epoch };
        if !reigns {
            return Err(Breach::Epoch { last: last.epoch, found: head.epoch, begins });
        }
        if let Some(expected) = self.nonce.filter(|nonce| !begins && *nonce != head.nonce) {
            return Err(Breach::Nonce { expected, found: head.nonce });
        }
        let in_time = head.tick == last.tick || (!begins && Some(head.tick) == last.tick.checked_add(1));
        if !in_time {
            return Err(Breach::Tick { last: last.tick, begins });
        }
        Ok(())
    }

    /// After the last whole record. A keyframe that is made of what was read so far belongs here.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// The sequence of the last message, be it a part: what a writer of the next reign has to name as the last one.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.seq
    }

    /// Parts that dead writers left unfinished, so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.assembler.dropped()
    }
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}
