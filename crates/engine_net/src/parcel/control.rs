//! Messages of one chunk that keep a job going: asking for chunks, and saying that a job failed.
//!
//! They travel on the subjects of the parcels they are about, with the same prefix, and a MessagePack map
//! as the body. `working` has an empty map.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::prefix::{ChunkKind, ChunkPrefix};
use crate::strict::{self, DecodeError};

/// Bytes of such a message, at the most.
pub const MAX_CONTROL_BYTES: usize = 256 * 1024;
/// Chunk numbers in one message, at the most; who misses more asks again.
pub const MAX_MISSING: usize = 4096;

/// The body of `missing` and of `resend`: chunks that are to be sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The kind of parcel: 1 job, 2 shared input, 3 result.
    pub of: u8,
    /// The numbers of the chunks; none means all of them.
    pub chunks: Vec<u16>,
}

impl Missing {
    /// The chunks that are wanted, of so many; none when more numbers are given than may be.
    #[must_use]
    pub fn wanted(&self, count: usize) -> Option<Vec<usize>> {
        if self.chunks.len() > MAX_MISSING {
            return None;
        }
        if self.chunks.is_empty() {
            return Some((0..count).collect());
        }
        let mut wanted: Vec<usize> = self.chunks.iter().map(|number| usize::from(*number)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|number| *number < count);
        Some(wanted)
    }
}

/// The body of `failed`: the system ended with an error, or panicked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// What kind of failure: `panic`, `error`, `adapt`, `refused`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A control message as a payload. `to` is the prefix of the job that it is about.
#[must_use]
pub fn encode<T: Serialize>(to: &ChunkPrefix, kind: ChunkKind, body: &T) -> Bytes {
    let mut payload = to.answer(kind).encode().to_vec();
    payload.extend(strict::encode(body));
    Bytes::from(payload)
}

/// A `working` message.
#[must_use]
pub fn working(to: &ChunkPrefix) -> Bytes {
    let mut payload = to.answer(ChunkKind::Working).encode().to_vec();
    payload.push(0x80);
    Bytes::from(payload)
}

/// The body of a control message.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    strict::decode(body, MAX_CONTROL_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_of(chunks: &[u16]) -> Missing {
        Missing { of: ChunkKind::Job as u8, chunks: chunks.to_vec() }
    }

    #[test]
    fn control_messages_travel() {
        let to = ChunkPrefix {
            kind: ChunkKind::Job,
            attempt: 0,
            job: 4,
            epoch: 1,
            tick: 2,
            chunk: 7,
            chunks: 8,
            instance: 3,
        };
        let missing = Missing { of: ChunkKind::Job as u8, chunks: vec![2, 5] };
        let payload = encode(&to, ChunkKind::Missing, &missing);
        let (prefix, body) = ChunkPrefix::decode(&payload).unwrap();
        assert_eq!((prefix.kind, prefix.job, prefix.chunk, prefix.chunks), (ChunkKind::Missing, 4, 0, 1));
        assert_eq!(decode::<Missing>(body), Ok(missing));
        assert_eq!(missing_of(&[5, 2, 5, 99]).wanted(9), Some(vec![2, 5]));
        assert_eq!(missing_of(&[]).wanted(2), Some(vec![0, 1]));
        assert_eq!(missing_of(&[0; MAX_MISSING + 1]).wanted(9), None);
        assert!(decode::<Failed>(body).is_err());
        assert!(decode::<Missing>(&body[..3]).is_err());
        assert_eq!(ChunkPrefix::decode(&working(&to)).unwrap().0.kind, ChunkKind::Working);
    }
}
