//! A keyframe: a whole world, the coordinator's state, and the place in the log where both were so.
//!
//! It is stored as messages of its own: the state, cut into pieces; the parts of the world's
//! [image](engine_component::image); and last, so that half a keyframe is none, its head:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | `EKEY` |
//! | 4..6 | format, 1, little endian |
//! | 6..n-16 | [`Head`] as MessagePack |
//! | n-16..n | XXH3-128 of all before, little endian |

use bytes::{BufMut as _, Bytes, BytesMut};
use engine_component::WorldHash;
use engine_component::image::{ImageError, PartBytes, Snapshot};
use engine_net::messages::value::Blob;
use engine_net::strict;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128;

use super::chain::Position;
use crate::coordinator::MAX_STATE;

const MAGIC: &[u8; 4] = b"EKEY";
const FORMAT: u16 = 1;
/// Bytes of a head, at the most: the image's list of parts is in it.
const MAX_HEAD: usize = 8 << 20;
/// Bytes of a piece of the state.
const PIECE: usize = 256 << 10;
/// Bytes of a part of the image. A stream keeps it as one message, so that whoever reads it need not join pieces.
const PART: usize = 120 << 10;

/// What a keyframe is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Behind the last record that is in it.
    pub position: Position,
    /// The hash over the world and the events, as in that record.
    pub hash: WorldHash,
    /// Entities in the world.
    pub entities: u64,
    /// Bytes of the coordinator's state.
    state_bytes: u64,
    state_hash: Blob,
    /// The image's manifest.
    image: Blob,
}

/// Why a keyframe can't be used.
#[derive(Clone, Debug, Error)]
pub enum KeyframeError {
    /// The head is damaged.
    #[error("its head is damaged: {0}")]
    Head(String),
    /// The state is damaged.
    #[error("the coordinator's state in it is damaged: {0}")]
    State(String),
    /// The image is damaged.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// What is to be stored: a coordinator between two ticks.
#[derive(Debug)]
pub struct Keyframe {
    /// The coordinator's [state](crate::coordinator::Coordinator::state).
    pub state: Vec<u8>,
    /// A copy of its world.
    pub snapshot: Snapshot,
    /// The hash of both.
    pub hash: WorldHash,
}

impl Keyframe {
    /// Hands out the messages one after another, and makes the head of what they were. `position` is behind the
    /// last record that is in the keyframe.
    ///
    /// # Errors
    /// When the world is too large for an image.
    pub fn write(&self, position: Position, mut message: impl FnMut(Bytes)) -> Result<Bytes, KeyframeError> {
        for piece in self.state.chunks(PIECE) {
            message(Bytes::copy_from_slice(piece));
        }
        let mut parts = self.snapshot.parts(PartBytes::new(PART).unwrap_or_default());
        for part in parts.by_ref() {
            message(part.bytes.into());
        }
        let head = Head {
            position,
            hash: self.hash,
            entities: self.snapshot.entities() as u64,
            state_bytes: self.state.len() as u64,
            state_hash: xxh3_128(&self.state).to_le_bytes().to_vec().into(),
            image: parts.manifest()?.to_bytes().into(),
        };
        Ok(head.encode())
    }
}

impl Head {
    pub(crate) fn encode(&self) -> Bytes {
        let body = strict::encode(self);
        let mut bytes = BytesMut::with_capacity(body.len() + 22);
        bytes.put_slice(MAGIC);
        bytes.put_u16_le(FORMAT);
        bytes.put_slice(&body);
        let sum = xxh3_128(&bytes);
        bytes.put_u128_le(sum);
        bytes.freeze()
    }

    /// Reads a head.
    ///
    /// # Errors
    /// When it is none, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyframeError> {
        let refuse = |why: &str| KeyframeError::Head(why.to_owned());
        let (rest, sum) = bytes.split_last_chunk::<16>().ok_or_else(|| refuse("it is cut short"))?;
        if xxh3_128(rest) != u128::from_le_bytes(*sum) {
            return Err(refuse("its bytes are not those that were written"));
        }
        let body = rest.strip_prefix(MAGIC).ok_or_else(|| refuse("it is no head of a keyframe"))?;
        let (format, body) = body.split_first_chunk::<2>().ok_or_else(|| refuse("it is cut short"))?;
        if u16::from_le_bytes(*format) != FORMAT {
            return Err(KeyframeError::Head(format!(
                "its format is {}, this engine reads {FORMAT}",
                u16::from_le_bytes(*format)
            )));
        }
        let head: Self = strict::decode(body, MAX_HEAD).map_err(|error| KeyframeError::Head(error.to_string()))?;
        if head.state_bytes > MAX_STATE as u64 {
            return Err(KeyframeError::Head(format!("a state of {} bytes", head.state_bytes)));
        }
        Ok(head)
    }

    /// The image's manifest.
    #[must_use]
    pub fn image(&self) -> &[u8] {
        self.image.as_ref()
    }

    /// The messages that the state takes.
    #[must_use]
    pub fn state_pieces(&self) -> usize {
        (self.state_bytes as usize).div_ceil(PIECE)
    }

    /// Puts the state together.
    ///
    /// # Errors
    /// When the bytes are not those that were written.
    pub fn state(&self, pieces: &[Bytes]) -> Result<Vec<u8>, KeyframeError> {
        let state: Vec<u8> = pieces.concat();
        if state.len() as u64 != self.state_bytes {
            let text = format!("{} bytes, where {} were written", state.len(), self.state_bytes);
            return Err(KeyframeError::State(text));
        }
        if xxh3_128(&state).to_le_bytes() != self.state_hash.as_ref() {
            return Err(KeyframeError::State("its bytes are not those that were written".into()));
        }
        Ok(state)
    }
}
