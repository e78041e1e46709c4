//! The first 32 bytes of every chunk: what it belongs to, without decoding anything.
//!
//! Chunks are many; headers would cost 0.8 µs each, these bytes cost nothing. All numbers are little
//! endian:
//!
//! ```text
//!  0  u8   kind       1 job · 2 shared input · 3 result · 4 missing · 5 resend · 6 failed · 7 working
//!  1  u8   version    2
//!  2  u16  attempt
//!  4  u32  job        of a shared input: the node
//!  8  u64  epoch
//! 16  u64  tick
//! 24  u16  chunk      0 ≤ chunk < chunks
//! 26  u16  chunks
//! 28  u32  instance   the slot that the coordinator gave the instance when it registered
//! ```

use thiserror::Error;

/// Bytes of a prefix.
pub const PREFIX_BYTES: usize = 32;
/// The version of the layout of prefixes, manifests and sections.
pub const CHUNK_VERSION: u8 = 2;

/// What a chunk is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ChunkKind {
    /// A job for an instance.
    Job = 1,
    /// What all jobs of a node at an instance share: views, resources, events.
    Shared = 2,
    /// The result of a job.
    Result = 3,
    /// An instance asks for chunks of a job or shared input.
    Missing = 4,
    /// The coordinator asks for a result, or for chunks of one.
    Resend = 5,
    /// An instance could not run a job.
    Failed = 6,
    /// An instance has the whole job and is not done with it: the answer to an early resend.
    Working = 7,
}

impl ChunkKind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Job,
            2 => Self::Shared,
            3 => Self::Result,
            4 => Self::Missing,
            5 => Self::Resend,
            6 => Self::Failed,
            7 => Self::Working,
            _ => return None,
        })
    }

    /// Whether chunks of this kind are assembled to a parcel; the others are one message each.
    #[must_use]
    pub fn is_parcel(self) -> bool {
        matches!(self, Self::Job | Self::Shared | Self::Result)
    }
}

/// The prefix of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkPrefix {
    /// What the chunk is a part of.
    pub kind: ChunkKind,
    /// Which attempt at the job; counts from 0.
    pub attempt: u16,
    /// The job, unique in its tick; of a shared input, the node.
    pub job: u32,
    /// The reign of the coordinator.
    pub epoch: u64,
    /// The tick.
    pub tick: u64,
    /// The number of this chunk.
    pub chunk: u16,
    /// The number of chunks in all; at least 1.
    pub chunks: u16,
    /// The slot of the instance that computes the job.
    pub instance: u32,
}

/// What is the same in all chunks of one parcel, and in nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParcelId {
    /// The reign of the coordinator.
    pub epoch: u64,
    /// The tick.
    pub tick: u64,
    /// Job, shared input or result.
    pub kind: ChunkKind,
    /// The job, or the node.
    pub job: u32,
    /// Which attempt at the job.
    pub attempt: u16,
    /// The slot of the instance.
    pub instance: u32,
}

/// Why a payload has no valid prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PrefixError {
    /// Fewer than 32 bytes.
    #[error("{0} bytes are no chunk: its prefix alone has 32")]
    Short(usize),
    /// A version that this build doesn't know.
    #[error("chunk version {0}, where {CHUNK_VERSION} is spoken")]
    Version(u8),
    /// A kind that doesn't exist.
    #[error("chunk kind {0} doesn't exist")]
    Kind(u8),
    /// A chunk number outside of the number of chunks.
    #[error("chunk {chunk} of {chunks}")]
    Number {
        /// The number of the chunk.
        chunk: u16,
        /// The number of chunks.
        chunks: u16,
    },
}

impl ChunkPrefix {
    /// The parcel that the chunk belongs to.
    #[must_use]
    pub fn parcel(&self) -> ParcelId {
        ParcelId {
            epoch: self.epoch,
            tick: self.tick,
            kind: self.kind,
            job: self.job,
            attempt: self.attempt,
            instance: self.instance,
        }
    }

    /// The same job, another kind, one chunk: for answers and control messages.
    #[must_use]
    pub fn answer(&self, kind: ChunkKind) -> Self {
        Self { kind, chunk: 0, chunks: 1, ..*self }
    }

    /// The 32 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; PREFIX_BYTES] {
        let mut bytes = [0; PREFIX_BYTES];
        bytes[0] = self.kind as u8;
        bytes[1] = CHUNK_VERSION;
        bytes[2..4].copy_from_slice(&self.attempt.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.job.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.tick.to_le_bytes());
        bytes[24..26].copy_from_slice(&self.chunk.to_le_bytes());
        bytes[26..28].copy_from_slice(&self.chunks.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.instance.to_le_bytes());
        bytes
    }

    /// The prefix of a payload, and the body behind it.
    pub fn decode(payload: &[u8]) -> Result<(Self, &[u8]), PrefixError> {
        let Some((b, body)) = payload.split_first_chunk::<PREFIX_BYTES>() else {
            return Err(PrefixError::Short(payload.len()));
        };
        if b[1] != CHUNK_VERSION {
            return Err(PrefixError::Version(b[1]));
        }
        let prefix = Self {
            kind: ChunkKind::of(b[0]).ok_or(PrefixError::Kind(b[0]))?,
            attempt: u16::from_le_bytes([b[2], b[3]]),
            job: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
            epoch: u64::from_le_bytes([b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]),
            tick: u64::from_le_bytes([b[16], b[17], b[18], b[19], b[20], b[21], b[22], b[23]]),
            chunk: u16::from_le_bytes([b[24], b[25]]),
            chunks: u16::from_le_bytes([b[26], b[27]]),
            instance: u32::from_le_bytes([b[28], b[29], b[30], b[31]]),
        };
        if prefix.chunk >= prefix.chunks {
            return Err(PrefixError::Number { chunk: prefix.chunk, chunks: prefix.chunks });
        }
        Ok((prefix, body))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix() -> ChunkPrefix {
        ChunkPrefix {
            kind: ChunkKind::Result,
            attempt: 2,
            job: 70_000,
            epoch: 5,
            tick: 1 << 40,
            chunk: 3,
            chunks: 9,
            instance: 17,
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut bytes = prefix().encode().to_vec();
        bytes.extend(b"body");
        assert_eq!(ChunkPrefix::decode(&bytes), Ok((prefix(), &b"body"[..])));
    }

    #[test]
    fn bad_prefixes_are_refused() {
        let good = prefix().encode();
        assert_eq!(ChunkPrefix::decode(&good[..31]), Err(PrefixError::Short(31)));
        let mut bad = good;
        bad[1] = 1;
        assert_eq!(ChunkPrefix::decode(&bad), Err(PrefixError::Version(1)));
        let mut bad = good;
        bad[0] = 0;
        assert_eq!(ChunkPrefix::decode(&bad), Err(PrefixError::Kind(0)));
        let mut bad = good;
        bad[26..28].fill(0);
        assert_eq!(ChunkPrefix::decode(&bad), Err(PrefixError::Number { chunk: 3, chunks: 0 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((prefix, body)) = ChunkPrefix::decode(&bytes) {
                prop_assert_eq!(&prefix.encode()[..], &bytes[..32]);
                prop_assert_eq!(body.len(), bytes.len() - 32);
            }
        }
    }
}
