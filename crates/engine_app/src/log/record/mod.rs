//! A record of the log, and the messages that it travels in.
//!
//! A record is one message; when it is larger than a message may be, *parts* with the beginning of its body come
//! right before it. The record exists once its last message does: parts without one are what a dead writer left
//! behind, and are ignored.
//!
//! All numbers are little endian:
//!
//! ```text
//!  0  [4]   magic    "ELOG"
//!  4  u16   version  1
//!  6  u8    kind     1 epoch · 2 tick · 3 part
//!  7  u8    -        0
//!  8  u32   bytes    of the whole message, the checksum included
//! 12  u32   parts    messages with the beginning of the body; 0 unless it is split
//! 16  u32   number   of a part, from 0; of the last message of a split record: the same as `parts`; otherwise 0
//! 20  u32   body     bytes of the record's body, all pieces together
//! 24  u64   index    of the record: how many there are up to it since the world began, so the first one has 1
//! 32  u64   epoch    the reign that wrote it
//! 40  u64   tick     of an epoch record: the last tick before it
//! 48  u128  nonce    of the writer
//! 64  u128  prev     chain hash of the record before; 0 for the first one
//! 80  u128  whole    of a split record: XXH3-128 of the body; otherwise 0
//! 96  …     piece    the body, or this message's piece of it
//! -16 u128  checksum XXH3-128 of all bytes before it
//! ```
//!
//! The *chain hash* of a record is the XXH3-128 of its last message, checksum included.
//!
//! The body of a tick record is the coordinator's. That of an epoch record:
//!
//! ```text
//!  0  u32   format   of the bodies of the tick records that follow
//!  4  u32   pid      of the coordinator
//!  8  u64   wall_ms  milliseconds since 1970, for people only
//! 16  u16   length   of the host's name, 255 at the most
//! 18  …     host     UTF-8
//! ```

mod assemble;
mod epoch;
mod frame;

use bytes::Bytes;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128;

pub use assemble::{Assembled, Assembler, assemble};
pub use epoch::{EpochBody, MAX_HOST_BYTES};
pub use frame::{Message, Piece};

/// The version of the framing.
pub const VERSION: u16 = 1;
/// Bytes of a message before its piece of the body.
pub const HEADER_BYTES: usize = 96;
/// Bytes of a message besides its piece of the body.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + CHECKSUM_BYTES;
/// Bytes of a record's body, at the most.
pub const MAX_BODY_BYTES: usize = 64 << 20;
/// Parts before the last message of a record, at the most.
pub const MAX_PARTS: u32 = 4096;
/// The smallest limit that messages can be held to: an epoch record fits, it is never split.
pub const MIN_MESSAGE_BYTES: usize = 512;

const CHECKSUM_BYTES: usize = 16;

/// A record: the beginning of a reign, or what the world was given for a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How many records there are up to this one since the world began; the first one has 1.
    pub index: u64,
    /// The reign that wrote it.
    pub epoch: u64,
    /// The tick; of an epoch record, the last tick before it.
    pub tick: u64,
    /// The writer's: no other writer of this log ever has the same.
    pub nonce: u128,
    /// The chain hash of the record before; 0 for the first one.
    pub prev: u128,
    /// What it says.
    pub body: Body,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A reign begins.
    Epoch(EpochBody),
    /// What the world was given. A second record of the same tick is a *standing* one: inputs that were applied while
    /// the world stood still.
    Tick(Bytes),
}

/// What is said of a record in each of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// See [`Record::index`].
    pub index: u64,
    /// See [`Record::epoch`].
    pub epoch: u64,
    /// See [`Record::tick`].
    pub tick: u64,
    /// See [`Record::nonce`].
    pub nonce: u128,
    /// See [`Record::prev`].
    pub prev: u128,
}

/// The messages of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// What comes before the last message, in order; mostly nothing.
    pub parts: Vec<Bytes>,
    /// The message that makes the record.
    pub last: Bytes,
    /// The record's chain hash: what the next one names as `prev`.
    pub chain: u128,
}

/// Why bytes are no record, or a record can't become messages.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Fewer bytes than the frame alone has.
    #[error("{bytes} bytes are no message of the log: its frame alone has {OVERHEAD_BYTES}")]
    Short {
        /// The bytes that are there.
        bytes: usize,
    },
    /// It begins otherwise.
    #[error("bytes 0 to 3 are {found:02x?} instead of \"ELOG\": this is no message of a world log")]
    Magic {
        /// What is there.
        found: [u8; 4],
    },
    /// Written by a newer engine.
    #[error("byte 4: version {found} of the log's framing, where {VERSION} is known: read it with a newer engine")]
    Version {
        /// What is there.
        found: u16,
    },
    /// Fewer or more bytes than it says.
    #[error("byte 8: the message says that it has {said} bytes, and has {bytes}: it was cut, or something was added")]
    Length {
        /// What the message says.
        said: u32,
        /// The bytes that are there.
        bytes: usize,
    },
    /// Something was changed.
    #[error("the checksum at byte {at} is {said:032x}, of these bytes it would be {computed:032x}: they were changed")]
    Checksum {
        /// Where the checksum is.
        at: usize,
        /// What it is.
        said: u128,
        /// What it would be.
        computed: u128,
    },
    /// A field that has a value it can't have: the writer was wrong, the bytes are as it wrote them.
    #[error("byte {at}: {field} can't be {found} here")]
    Field {
        /// Where it begins.
        at: usize,
        /// Its name in the table.
        field: &'static str,
        /// What it is.
        found: u128,
    },
    /// The host's name isn't text.
    #[error("byte {at}: the name of the host isn't UTF-8")]
    Host {
        /// Where it begins.
        at: usize,
    },
    /// Pieces of a record that don't belong together.
    #[error("record {index}: its message {number} of {messages} isn't the one that has to come here, {expected}")]
    Piece {
        /// The record.
        index: u64,
        /// The piece that came.
        number: u32,
        /// The pieces of the record.
        messages: u32,
        /// What has to come.
        expected: Expected,
    },
    /// The pieces together aren't the body that was split.
    #[error("record {index}: the hash of its {parts} parts and last message is {computed:032x}, not {said:032x}")]
    Whole {
        /// The record.
        index: u64,
        /// How many parts.
        parts: u32,
        /// The hash that each of its messages names.
        said: u128,
        /// The hash of the pieces.
        computed: u128,
    },
    /// More than a record may have.
    #[error(
        "a body of {bytes} bytes needs more than {MAX_PARTS} parts of {limit} bytes, or has more than {MAX_BODY_BYTES} bytes"
    )]
    TooLarge {
        /// The body's bytes.
        bytes: usize,
        /// The limit of a message.
        limit: usize,
    },
    /// Messages can't be that small.
    #[error("messages of at most {limit} bytes: at least {MIN_MESSAGE_BYTES} are needed")]
    Limit {
        /// The limit.
        limit: usize,
    },
}

/// Which piece has to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A piece of the record whose first parts are here.
    Next {
        /// That record.
        index: u64,
        /// The number of the piece.
        number: u32,
    },
    /// The first piece of a record.
    First,
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Next { index, number } => write!(f, "message {number} of record {index}"),
            Self::First => f.write_str("the first one of a record"),
        }
    }
}

impl Record {
    /// What is said of it in each of its messages.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { index: self.index, epoch: self.epoch, tick: self.tick, nonce: self.nonce, prev: self.prev }
    }

    /// Its messages, none of them larger than `limit` bytes. What the transport adds, headers for instance, is to be
    /// subtracted from the limit before.
    ///
    /// # Errors
    /// When the limit is below [`MIN_MESSAGE_BYTES`], when the body has more than [`MAX_BODY_BYTES`], when it would
    /// need more than [`MAX_PARTS`], or when the name of a host is longer than [`MAX_HOST_BYTES`].
    pub fn encode(&self, limit: usize) -> Result<Encoded, RecordError> {
        frame::encode(self, limit)
    }
}

impl Head {
    fn with(self, body: Body) -> Record {
        Record { index: self.index, epoch: self.epoch, tick: self.tick, nonce: self.nonce, prev: self.prev, body }
    }
}

/// The chain hash of a record, given its last message.
#[must_use]
pub fn chain_hash(last: &[u8]) -> u128 {
    xxh3_128(last)
}
