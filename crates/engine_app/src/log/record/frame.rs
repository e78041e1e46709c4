//! From records to bytes and back, one message at a time.

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    Body, CHECKSUM_BYTES, Encoded, EpochBody, HEADER_BYTES, Head, MAX_BODY_BYTES, MAX_PARTS, MIN_MESSAGE_BYTES,
    OVERHEAD_BYTES, Record, RecordError, VERSION,
};

const MAGIC: [u8; 4] = *b"ELOG";
const EPOCH: u8 = 1;
const TICK: u8 = 2;
const PART: u8 = 3;

/// A message of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A record in one message.
    Whole(Record),
    /// A part: the record isn't there yet.
    Part(Piece),
    /// The last message of a split record.
    Last(Piece),
}

/// A message of a split record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The record.
    pub head: Head,
    /// The number of this piece, from 0; that of the last one is `parts`.
    pub number: u32,
    /// How many parts come before the last message; at least 1.
    pub parts: u32,
    /// Bytes of the body, all pieces together.
    pub body_bytes: u32,
    /// XXH3-128 of the body.
    pub whole: u128,
    /// The piece.
    pub bytes: Bytes,
}

/// The fields of a frame besides the head.
#[derive(Clone, Copy)]
struct Shape {
    kind: u8,
    parts: u32,
    number: u32,
    body_bytes: u32,
    whole: u128,
}

pub(super) fn encode(record: &Record, limit: usize) -> Result<Encoded, RecordError> {
    if limit < MIN_MESSAGE_BYTES {
        return Err(RecordError::Limit { limit });
    }
    let (head, whole_message) = (record.head(), |kind, body: &[u8]| {
        let shape = Shape { kind, parts: 0, number: 0, body_bytes: body.len() as u32, whole: 0 };
        let last = frame(&record.head(), shape, body);
        Encoded { parts: Vec::new(), chain: xxh3_128(&last), last }
    });
    let body = match &record.body {
        Body::Epoch(body) => return Ok(whole_message(EPOCH, &body.encode()?)),
        Body::Tick(body) => body,
    };
    let room = limit.min(u32::MAX as usize) - OVERHEAD_BYTES;
    let parts = body.len().div_ceil(room).saturating_sub(1);
    if body.len() > MAX_BODY_BYTES || parts > MAX_PARTS as usize {
        return Err(RecordError::TooLarge { bytes: body.len(), limit });
    }
    if parts == 0 {
        return Ok(whole_message(TICK, body));
    }
    let whole = xxh3_128(body);
    let mut messages: Vec<Bytes> = (0..)
        .zip(body.chunks(room))
        .map(|(number, piece)| {
            let kind = if number as usize == parts { TICK } else { PART };
            let shape = Shape { kind, parts: parts as u32, number, body_bytes: body.len() as u32, whole };
            frame(&head, shape, piece)
        })
        .collect();
    let last = messages.pop().unwrap_or_default();
    Ok(Encoded { parts: messages, chain: xxh3_128(&last), last })
}

fn frame(head: &Head, shape: Shape, piece: &[u8]) -> Bytes {
    let length = OVERHEAD_BYTES + piece.len();
    let mut bytes = BytesMut::with_capacity(length);
    bytes.put_slice(&MAGIC);
    bytes.put_u16_le(VERSION);
    bytes.put_u8(shape.kind);
    bytes.put_u8(0);
    bytes.put_u32_le(length as u32);
    bytes.put_u32_le(shape.parts);
    bytes.put_u32_le(shape.number);
    bytes.put_u32_le(shape.body_bytes);
    bytes.put_u64_le(head.index);
    bytes.put_u64_le(head.epoch);
    bytes.put_u64_le(head.tick);
    bytes.put_u128_le(head.nonce);
    bytes.put_u128_le(head.prev);
    bytes.put_u128_le(shape.whole);
    debug_assert_eq!(bytes.len(), HEADER_BYTES);
    bytes.put_slice(piece);
    bytes.put_u128_le(xxh3_128(&bytes));
    bytes.freeze()
}

impl Message {
    /// Reads a message. Everything is checked before anything is allocated; pieces share the memory of `bytes`.
    ///
    /// # Errors
    /// When it isn't, byte for byte, what [`Record::encode`] makes of some record.
    pub fn decode(bytes: &Bytes) -> Result<Self, RecordError> {
        let fields = Fields::check(bytes)?;
        let Shape { kind, parts, number, body_bytes, whole } = fields.shape()?;
        let head = fields.head();
        let piece = bytes.slice(HEADER_BYTES..bytes.len() - CHECKSUM_BYTES);
        Ok(match kind {
            EPOCH => Self::Whole(head.with(Body::Epoch(EpochBody::decode(&piece)?))),
            _ if parts == 0 => Self::Whole(head.with(Body::Tick(piece))),
            TICK => Self::Last(Piece { head, number, parts, body_bytes, whole, bytes: piece }),
            _ => Self::Part(Piece { head, number, parts, body_bytes, whole, bytes: piece }),
        })
    }

    /// What it says of its record.
    #[must_use]
    pub fn head(&self) -> Head {
        match self {
            Self::Whole(record) => record.head(),
            Self::Part(piece) | Self::Last(piece) => piece.head,
        }
    }
}

/// A message whose magic, version, length and checksum are right.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn check(bytes: &'a [u8]) -> Result<Self, RecordError> {
        if bytes.len() < OVERHEAD_BYTES {
            return Err(RecordError::Short { bytes: bytes.len() });
        }
        let fields = Self(bytes);
        let found = fields.array::<4>(0);
        if found != MAGIC {
            return Err(RecordError::Magic { found });
        }
        let found = u16::from_le_bytes(fields.array(4));
        if found != VERSION {
            return Err(RecordError::Version { found });
        }
        let said = fields.u32(8);
        if said as usize != bytes.len() {
            return Err(RecordError::Length { said, bytes: bytes.len() });
        }
        let at = bytes.len() - CHECKSUM_BYTES;
        let (said, computed) = (fields.u128(at), xxh3_128(&bytes[..at]));
        if said != computed {
            return Err(RecordError::Checksum { at, said, computed });
        }
        Ok(fields)
    }

    /// The caller has checked that they are there: all offsets are below [`OVERHEAD_BYTES`], or that of the checksum.
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.0[at..at + N]);
        array
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    fn u128(&self, at: usize) -> u128 {
        u128::from_le_bytes(self.array(at))
    }

    fn head(&self) -> Head {
        Head { index: self.u64(24), epoch: self.u64(32), tick: self.u64(40), nonce: self.u128(48), prev: self.u128(64) }
    }

    /// The other fields, each with a value that [`encode`] would have given it.
    fn shape(&self) -> Result<Shape, RecordError> {
        let (parts, number, body_bytes, whole) = (self.u32(12), self.u32(16), self.u32(20), self.u128(80));
        let shape = Shape { kind: self.0[6], parts, number, body_bytes, whole };
        let piece = (self.0.len() - OVERHEAD_BYTES) as u64;
        let (body, pieces) = (u64::from(body_bytes), u64::from(parts) + 1);
        let split = parts > 0;
        let number_fits = match shape.kind {
            PART => number < parts,
            _ => number == parts,
        };
        // Of a split body no piece is empty, and the others need room besides this one.
        let body_fits = if split { body >= piece + pieces - 1 && piece > 0 } else { body == piece };
        let checks = [
            (matches!(shape.kind, EPOCH | TICK | PART), 6, "kind", u128::from(shape.kind)),
            (self.0[7] == 0, 7, "the spare byte", u128::from(self.0[7])),
            (parts <= MAX_PARTS && split >= (shape.kind == PART), 12, "parts", u128::from(parts)),
            (!(split && shape.kind == EPOCH), 12, "parts", u128::from(parts)),
            (number_fits, 16, "number", u128::from(number)),
            (body_fits && body <= MAX_BODY_BYTES as u64, 20, "body", u128::from(body_bytes)),
            (self.u64(24) > 0, 24, "index", 0),
            (self.u64(32) > 0, 32, "epoch", 0),
            (split || whole == 0, 80, "whole", whole),
        ];
        match checks.into_iter().find(|(right, ..)| !right) {
            Some((_, at, field, found)) => Err(RecordError::Field { at, field, found }),
            None => Ok(shape),
        }
    }
}
