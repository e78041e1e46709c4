//! How a keyframe's parts become messages, and messages parts.
//!
//! ```text
//! message  = checksum u64 LE (xxh3 of all that follows), fragment…
//! fragment = length u32 LE, 1 u32 LE if the part goes on in the next fragment, else 0; bytes, zeros up to a multiple of 8
//! ```
//!
//! Small parts share a message, large ones take several. The manifest's message is `checksum, "EKF1", parts' messages
//! u32, their bytes u64, first sequence u64, last sequence u64, checksum of their checksums u64, manifest`.

use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const CHECKSUM: usize = 8;
const FRAGMENT: usize = 8;
const MAGIC: &[u8; 4] = b"EKF1";
const MANIFEST: usize = CHECKSUM + 4 + 4 + 8 * 4;

/// Cuts and joins parts into messages of about the same size.
pub(super) struct Packer<I> {
    parts: I,
    limit: usize,
    /// What is left of a part that didn't fit.
    rest: Option<Bytes>,
    first: bool,
}

impl<I: Iterator<Item = Bytes>> Packer<I> {
    pub(super) fn new(parts: I, limit: usize) -> Self {
        Self { parts, limit: limit.max(64), rest: None, first: true }
    }
}

impl<I: Iterator<Item = Bytes>> Iterator for Packer<I> {
    type Item = Bytes;

    /// One message; a keyframe without parts has one that is empty, too: the manifest's guard needs it.
    fn next(&mut self) -> Option<Bytes> {
        let mut message = BytesMut::with_capacity(self.limit);
        message.put_u64_le(0);
        loop {
            let room = self.limit.saturating_sub(message.len() + FRAGMENT) / 8 * 8;
            if room == 0 {
                break;
            }
            let Some(mut part) = self.rest.take().or_else(|| self.parts.next()) else { break };
            // A part that fits into the next message whole isn't cut.
            if part.len() > room && message.len() > CHECKSUM && part.len() + CHECKSUM + FRAGMENT <= self.limit {
                self.rest = Some(part);
                break;
            }
            let goes_on = part.len() > room;
            let now = part.split_to(part.len().min(room));
            message.put_u32_le(now.len() as u32);
            message.put_u32_le(goes_on.into());
            message.put_slice(&now);
            message.put_bytes(0, now.len().next_multiple_of(8) - now.len());
            if goes_on {
                self.rest = Some(part);
                break;
            }
        }
        if message.len() == CHECKSUM && !self.first {
            return None;
        }
        self.first = false;
        Some(seal(message))
    }
}

fn seal(mut message: BytesMut) -> Bytes {
    let sum = xxh3_64(&message[CHECKSUM..]);
    message[..CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    message.freeze()
}

/// A message without its checksum, if that is right.
fn open(message: &Bytes) -> Result<Bytes, &'static str> {
    let sum = checksum(message).ok_or("a message is too short")?;
    let rest = message.slice(CHECKSUM..);
    if xxh3_64(&rest) == sum { Ok(rest) } else { Err("a checksum is wrong") }
}

pub(super) fn checksum(message: &Bytes) -> Option<u64> {
    Some(u64::from_le_bytes(message.get(..CHECKSUM)?.try_into().ok()?))
}

/// Takes messages in order and gives parts in order.
#[derive(Debug, Default)]
pub(super) struct Unpacker {
    ready: VecDeque<Bytes>,
    open: BytesMut,
    goes_on: bool,
}

impl Unpacker {
    pub(super) fn take(&mut self, message: &Bytes) -> Result<(), &'static str> {
        let mut rest = open(message)?;
        while !rest.is_empty() {
            if rest.len() < FRAGMENT {
                return Err("a fragment is cut off");
            }
            let head = rest.split_to(FRAGMENT);
            let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let goes_on = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let padded = length.next_multiple_of(8);
            if goes_on > 1 || rest.len() < padded {
                return Err("a fragment is cut off");
            }
            let bytes = rest.split_to(padded).slice(..length);
            if goes_on == 1 || self.goes_on {
                self.open.extend_from_slice(&bytes);
            }
            match (goes_on == 1, self.goes_on) {
                (false, true) => self.ready.push_back(self.open.split().freeze()),
                (false, false) => self.ready.push_back(bytes),
                (true, _) => {}
            }
            self.goes_on = goes_on == 1;
        }
        Ok(())
    }

    pub(super) fn part(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Whether a part has begun that was not ended.
    pub(super) fn is_open(&self) -> bool {
        self.goes_on
    }
}

/// The checksum of checksums.
#[derive(Default)]
pub(super) struct Digest(Xxh3);

impl Digest {
    pub(super) fn add(&mut self, message: &Bytes) {
        self.0.update(&checksum(message).unwrap_or_default().to_le_bytes());
    }

    pub(super) fn finish(&self) -> u64 {
        self.0.digest()
    }
}

/// What the manifest's message says beside the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) messages: u32,
    pub(super) bytes: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) digest: u64,
}

pub(super) fn seal_manifest(contents: &Contents, manifest: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(MANIFEST + manifest.len());
    message.put_u64_le(0);
    message.put_slice(MAGIC);
    message.put_u32_le(contents.messages);
    for number in [contents.bytes, contents.first, contents.last, contents.digest] {
        message.put_u64_le(number);
    }
    message.put_slice(manifest);
    seal(message)
}

pub(super) fn open_manifest(message: &Bytes) -> Result<(Contents, Bytes), &'static str> {
    let rest = open(message)?;
    if rest.len() < MANIFEST - CHECKSUM || &rest[..4] != MAGIC {
        return Err("the manifest is of another kind");
    }
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&rest[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let messages = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]);
    let contents = Contents { messages, bytes: number(8), first: number(16), last: number(24), digest: number(32) };
    Ok((contents, rest.slice(MANIFEST - CHECKSUM..)))
}

/// Bytes of a manifest's message beside the manifest.
pub(super) const MANIFEST_OVERHEAD: usize = MANIFEST;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sizes: &[usize]) -> Vec<Bytes> {
        sizes.iter().enumerate().map(|(n, size)| Bytes::from(vec![n as u8 + 1; *size])).collect()
    }

    fn unpack(messages: &[Bytes]) -> Result<Vec<Bytes>, &'static str> {
        let (mut unpacker, mut parts) = (Unpacker::default(), Vec::new());
        for message in messages {
            unpacker.take(message)?;
            parts.extend(std::iter::from_fn(|| unpacker.part()));
        }
        assert!(!unpacker.is_open());
        Ok(parts)
    }

    #[test]
    fn parts_come_back_as_they_were_whatever_their_size() {
        for sizes in [&[][..], &[0], &[1, 0, 7, 8, 9], &[1000], &[100, 5, 4000, 3, 112, 113, 120], &[128; 20]] {
            let parts = parts(sizes);
            let messages: Vec<_> = Packer::new(parts.clone().into_iter(), 128).collect();
            assert!(!messages.is_empty() && messages.iter().all(|message| message.len() <= 128), "{sizes:?}");
            assert_eq!(unpack(&messages).unwrap(), parts, "{sizes:?}");
        }
    }

    #[test]
    fn a_flipped_bit_and_a_cut_end_are_seen() {
        let message = Packer::new(parts(&[40]).into_iter(), 128).next().unwrap();
        for byte in 0..message.len() {
            let mut bad = message.to_vec();
            bad[byte] ^= 4;
            assert!(unpack(&[bad.into()]).is_err(), "byte {byte}");
            assert!(unpack(&[message.slice(..byte)]).is_err(), "{byte} bytes");
        }
    }

    #[test]
    fn a_manifest_knows_its_parts() {
        let contents = Contents { messages: 3, bytes: 300, first: 7, last: 12, digest: 99 };
        let sealed = seal_manifest(&contents, b"manifest");
        assert_eq!(open_manifest(&sealed).unwrap(), (contents, Bytes::from_static(b"manifest")));
        assert!(open_manifest(&sealed.slice(..20)).is_err());
        assert_eq!(sealed.len(), MANIFEST_OVERHEAD + 8);
    }
}
