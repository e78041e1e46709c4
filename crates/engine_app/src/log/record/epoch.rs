//! The body of an epoch record: who reigns from here on.

use bytes::{BufMut, BytesMut};

use super::{HEADER_BYTES, RecordError};

/// Bytes of the name of a host, at the most.
pub const MAX_HOST_BYTES: usize = 255;

const FIXED_BYTES: usize = 18;

/// Who reigns from here on, and how the bodies of the following tick records are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochBody {
    /// The host of the coordinator.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// The format of the bodies of tick records.
    pub format: u32,
    /// Milliseconds since 1970 by the host's clock. For people only: nothing is ever decided by it.
    pub wall_ms: u64,
}

impl EpochBody {
    pub(super) fn encode(&self) -> Result<BytesMut, RecordError> {
        let length = self.host.len();
        if length > MAX_HOST_BYTES {
            return Err(RecordError::Field { at: HEADER_BYTES + 16, field: "length", found: length as u128 });
        }
        let mut bytes = BytesMut::with_capacity(FIXED_BYTES + length);
        bytes.put_u32_le(self.format);
        bytes.put_u32_le(self.pid);
        bytes.put_u64_le(self.wall_ms);
        bytes.put_u16_le(length as u16);
        bytes.put_slice(self.host.as_bytes());
        Ok(bytes)
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, RecordError> {
        let wrong = |at: usize, field, found: usize| RecordError::Field { at, field, found: found as u128 };
        let Some((fixed, host)) = body.split_first_chunk::<FIXED_BYTES>() else {
            return Err(wrong(20, "body", body.len()));
        };
        let length = usize::from(u16::from_le_bytes([fixed[16], fixed[17]]));
        if length > MAX_HOST_BYTES || length != host.len() {
            return Err(wrong(HEADER_BYTES + 16, "length", length));
        }
        let at = HEADER_BYTES + FIXED_BYTES;
        let host = std::str::from_utf8(host).map_err(|error| RecordError::Host { at: at + error.valid_up_to() })?;
        let word = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        Ok(Self {
            host: host.to_owned(),
            format: word(0),
            pid: word(4),
            wall_ms: u64::from(word(8)) | u64::from(word(12)) << 32,
        })
    }
}
