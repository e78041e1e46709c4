//! From messages to records: puts split ones together, and drops what a dead writer left unfinished.

use bytes::{Bytes, BytesMut};
use xxhash_rust::xxh3::Xxh3;

use super::{Body, Expected, Message, Piece, Record, RecordError, chain_hash};

/// Puts records together from the messages of a log, in order. Holds at most one record's parts.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    open: Vec<Piece>,
    bytes: u64,
    dropped: u64,
}

/// What is in a run of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The records that are whole, in order, each with its chain hash.
    pub records: Vec<(Record, u128)>,
    /// Parts that belong to no record.
    pub dropped: u64,
}

/// The records in a run of messages, which begins with the first message of a record.
///
/// Parts at the end whose last message isn't there count as dropped, so give whole runs.
///
/// # Errors
/// When a message is none, or when the pieces of a record don't belong together.
pub fn assemble(messages: &[Bytes]) -> Result<Assembled, RecordError> {
    let mut assembler = Assembler::default();
    let mut records = Vec::new();
    for bytes in messages {
        records.extend(assembler.push(bytes, Message::decode(bytes)?)?);
    }
    Ok(Assembled { records, dropped: assembler.dropped + assembler.open() as u64 })
}

impl Assembler {
    /// Takes the next message of the log, and the bytes that it was decoded from. Answers the record that it
    /// completes, with its chain hash.
    ///
    /// Only an epoch record may come where a piece of an open record has to: that writer's reign is over, and its parts
    /// are dropped.
    ///
    /// # Errors
    /// When another piece had to come, or when the pieces aren't what was split. The message counts as not taken.
    pub fn push(&mut self, bytes: &[u8], message: Message) -> Result<Option<(Record, u128)>, RecordError> {
        match message {
            Message::Whole(record) => {
                if matches!(record.body, Body::Tick(_)) && !self.open.is_empty() {
                    return Err(self.unexpected(record.index, 0, 0));
                }
                self.dropped += self.open.len() as u64;
                self.close();
                Ok(Some((record, chain_hash(bytes))))
            }
            Message::Part(piece) => {
                self.fits(&piece)?;
                self.bytes += piece.bytes.len() as u64;
                self.open.push(piece);
                Ok(None)
            }
            Message::Last(piece) => {
                self.fits(&piece)?;
                let body = self.join(&piece)?;
                self.close();
                Ok(Some((piece.head.with(Body::Tick(body)), chain_hash(bytes))))
            }
        }
    }

    /// Parts of a record that isn't whole yet.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Parts that were dropped because a new reign began before their record was whole.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn close(&mut self) {
        self.open.clear();
        self.bytes = 0;
    }

    fn unexpected(&self, index: u64, number: u32, parts: u32) -> RecordError {
        let expected = match self.open.first() {
            Some(first) => Expected::Next { index: first.head.index, number: self.open.len() as u32 },
            None => Expected::First,
        };
        RecordError::Piece { index, number, messages: parts + 1, expected }
    }

    /// Whether it is the next piece of the open record, or the first one of a new one, and not too much.
    fn fits(&self, piece: &Piece) -> Result<(), RecordError> {
        let same = self.open.first().is_none_or(|first| {
            (first.head, first.parts, first.body_bytes, first.whole)
                == (piece.head, piece.parts, piece.body_bytes, piece.whole)
        });
        let bytes = self.bytes + piece.bytes.len() as u64;
        if same && piece.number as usize == self.open.len() && bytes <= u64::from(piece.body_bytes) {
            return Ok(());
        }
        Err(self.unexpected(piece.head.index, piece.number, piece.parts))
    }

    fn join(&self, last: &Piece) -> Result<Bytes, RecordError> {
        let pieces = || self.open.iter().chain([last]).map(|piece| &piece.bytes);
        let mut hash = Xxh3::new();
        pieces().for_each(|piece| hash.update(piece));
        let computed = hash.digest128();
        let bytes: usize = pieces().map(Bytes::len).sum();
        if computed != last.whole || bytes != last.body_bytes as usize {
            let (index, parts, said) = (last.head.index, last.parts, last.whole);
            return Err(RecordError::Whole { index, parts, said, computed });
        }
        let mut body = BytesMut::with_capacity(bytes);
        pieces().for_each(|piece| body.extend_from_slice(piece));
        Ok(body.freeze())
    }
}
