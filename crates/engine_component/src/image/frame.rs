//! The 48 bytes that parts and manifest begin with, and readers of numbers that never read past the end.

use twox_hash::XxHash3_128;
use xxhash_rust::xxh3::xxh3_64;

use super::error::{ImageError, Place, Problem};
use crate::WorldHash;

/// Bytes of a part or a manifest, at the most: whatever claims to be more is none.
pub const MAX_PART: usize = 1 << 20;

pub(super) const HEAD: usize = 48;
const MAGIC: [u8; 4] = *b"EIMG";
const FORMAT: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Part = 1,
    Manifest = 2,
}

/// A part or a manifest whose bytes are those that were written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) number: u32,
    pub(super) world: WorldHash,
    pub(super) hash: u128,
    pub(super) body: &'a [u8],
}

/// Completes bytes whose first [`HEAD`] are free; the hash that is written into them.
pub(super) fn seal(bytes: &mut [u8], kind: Kind, number: u32, world: WorldHash) -> u128 {
    let body = u32::try_from(bytes.len() - HEAD).expect("parts are at most a megabyte");
    bytes[0..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[6..8].copy_from_slice(&[kind as u8, 0]);
    bytes[8..12].copy_from_slice(&number.to_le_bytes());
    bytes[12..16].copy_from_slice(&body.to_le_bytes());
    bytes[16..32].copy_from_slice(&world.0.to_le_bytes());
    let hash = hash_of(bytes);
    bytes[32..48].copy_from_slice(&hash.to_le_bytes());
    hash
}

/// In one go: hashing in steps takes three times as long.
fn hash_of(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot_with_seed(xxh3_64(&bytes[..32]), &bytes[HEAD..])
}

/// Reads the head of a part or a manifest, and checks the hash of everything.
pub(super) fn open(bytes: &[u8], kind: Kind, place: Place) -> Result<Frame<'_>, ImageError> {
    if bytes.len() < HEAD || bytes.len() > MAX_PART {
        return Err(place.refuse(Problem::Shape(format!("{} bytes, where {HEAD} to {MAX_PART} are", bytes.len()))));
    }
    let mut head = Numbers::new(&bytes[..HEAD], place);
    let (magic, format, found) = (head.array::<4>()?, u16::from_le_bytes(head.array()?), head.array::<2>()?);
    if magic != MAGIC {
        return Err(place.refuse(Problem::shape("it does not begin with EIMG")));
    }
    if format != FORMAT {
        return Err(place.refuse(Problem::Format(format)));
    }
    let (number, body, world, hash) = (head.u32()?, head.u32()?, WorldHash(head.u128()?), head.u128()?);
    if body as usize != bytes.len() - HEAD {
        let text = format!("{} bytes follow its head instead of {body}", bytes.len() - HEAD);
        return Err(place.refuse(Problem::Shape(text)));
    }
    let actual = hash_of(bytes);
    if actual != hash {
        return Err(place.refuse(Problem::Damaged { expected: hash, found: actual }));
    }
    if found != [kind as u8, 0] {
        return Err(place.refuse(Problem::Shape(format!("its kind is {}, not {}", found[0], kind as u8))));
    }
    Ok(Frame { number, world, hash, body: &bytes[HEAD..] })
}

/// Numbers one after another, each refused when the bytes end before it does.
pub(super) struct Numbers<'a> {
    bytes: &'a [u8],
    place: Place,
}

impl<'a> Numbers<'a> {
    pub(super) fn new(bytes: &'a [u8], place: Place) -> Self {
        Self { bytes, place }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], ImageError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            let text = format!("{count} bytes are missing their last {}", count - self.bytes.len());
            return Err(self.place.refuse(Problem::Shape(text)));
        };
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        Ok(self.take(N)?.try_into().expect("just taken"))
    }

    pub(super) fn u32(&mut self) -> Result<u32, ImageError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ImageError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, ImageError> {
        self.array().map(u128::from_le_bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }

    /// # Errors
    /// When bytes are left.
    pub(super) fn end(&self) -> Result<(), ImageError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(self.place.refuse(Problem::Shape(format!("{left} bytes follow its end")))),
        }
    }
}
