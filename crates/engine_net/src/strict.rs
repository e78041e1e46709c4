//! Control messages as MessagePack, decoded strictly.
//!
//! The decoder library is lenient: it accepts bytes after the value, a thousand levels of nesting, and
//! vectors of small things that become large. So a message is first measured, by a walk that needs no
//! memory, against a limit of bytes and of depth; only then it is decoded. A length in a message is never
//! believed: the walk fails where the bytes end.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Levels of nesting in a message, at the most.
pub const MAX_DEPTH: usize = 32;

/// Why a message was refused before or while it was decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// More bytes than the message may have.
    #[error("{length} bytes, where at most {limit} are accepted")]
    TooLong {
        /// The bytes that came.
        length: usize,
        /// The bytes that are accepted.
        limit: usize,
    },
    /// Lists or maps inside of each other, too many.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// The bytes end inside of a value.
    #[error("ends in the middle of a value")]
    Truncated,
    /// There is more after the value.
    #[error("{0} bytes after the end of the value")]
    Trailing(usize),
    /// Not MessagePack, or not the message that was expected.
    #[error("{0}")]
    Malformed(String),
}

/// A value as MessagePack: structs as maps with their field names.
///
/// # Panics
/// When the value can't be encoded. Messages consist of maps, lists, numbers, text and bytes; these can.
#[must_use]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("messages consist of maps, lists, numbers, text and bytes")
}

/// Decodes exactly one value of at most `limit` bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    decode_nested::<T, MAX_DEPTH>(bytes, limit)
}

/// As [`decode`], of what may be nested otherwise: a value that holds messages is deeper than those are.
pub fn decode_nested<T: DeserializeOwned, const DEPTH: usize>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { length: bytes.len(), limit });
    }
    let length = measure_within::<DEPTH>(bytes)?;
    if length < bytes.len() {
        return Err(DecodeError::Trailing(bytes.len() - length));
    }
    rmp_serde::from_slice(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))
}

/// The length of the first value in the bytes; it is complete, well formed, and nested at most
/// [`MAX_DEPTH`] deep. Needs no memory besides the stack, and time linear in that length.
pub fn measure(bytes: &[u8]) -> Result<usize, DecodeError> {
    measure_within::<MAX_DEPTH>(bytes)
}

fn measure_within<const DEPTH: usize>(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut open = [0_u64; DEPTH];
    let mut depth = 0;
    let mut at = 0;
    loop {
        let head = Head::read(bytes.get(at..).ok_or(DecodeError::Truncated)?)?;
        at = at.checked_add(head.length).filter(|end| *end <= bytes.len()).ok_or(DecodeError::Truncated)?;
        if head.items > 0 {
            *open.get_mut(depth).ok_or(DecodeError::TooDeep(DEPTH))? = head.items;
            depth += 1;
            continue;
        }
        while depth > 0 {
            open[depth - 1] -= 1;
            if open[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

/// The first bytes of a value: how long it is without its items, and how many items follow.
struct Head {
    length: usize,
    items: u64,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let marker = *bytes.first().ok_or(DecodeError::Truncated)?;
        let size = |width: usize| be(bytes, width).ok_or(DecodeError::Truncated);
        let flat = |length: u64| Ok(Self { length: usize::try_from(length).unwrap_or(usize::MAX), items: 0 });
        match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => flat(1),
            0x80..=0x8f => Ok(Self { length: 1, items: u64::from(marker & 0x0f) * 2 }),
            0x90..=0x9f => Ok(Self { length: 1, items: u64::from(marker & 0x0f) }),
            0xa0..=0xbf => flat(1 + u64::from(marker & 0x1f)),
            0xc4 | 0xd9 => flat(2 + size(1)?),
            0xc5 | 0xda => flat(3 + size(2)?),
            0xc6 | 0xdb => flat(5 + size(4)?),
            0xc7 => flat(3 + size(1)?),
            0xc8 => flat(4 + size(2)?),
            0xc9 => flat(6 + size(4)?),
            0xcc | 0xd0 => flat(2),
            0xcd | 0xd1 => flat(3),
            0xca | 0xce | 0xd2 => flat(5),
            0xcb | 0xcf | 0xd3 => flat(9),
            0xd4..=0xd8 => flat(2 + (1 << (marker - 0xd4))),
            0xdc => Ok(Self { length: 3, items: size(2)? }),
            0xdd => Ok(Self { length: 5, items: size(4)? }),
            0xde => Ok(Self { length: 3, items: size(2)? * 2 }),
            0xdf => Ok(Self { length: 5, items: size(4)? * 2 }),
            0xc1 => Err(DecodeError::Malformed("the byte 0xc1 is no MessagePack".to_owned())),
        }
    }
}

/// The big-endian number of `width` bytes behind a marker.
fn be(bytes: &[u8], width: usize) -> Option<u64> {
    let digits = bytes.get(1..=width)?;
    Some(digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn bytes_after_the_value_are_refused() {
        let mut bytes = encode(&vec![1, 2, 3]);
        assert_eq!(decode::<Vec<u8>>(&bytes, 100), Ok(vec![1, 2, 3]));
        bytes.push(0xc0);
        assert_eq!(decode::<Vec<u8>>(&bytes, 100), Err(DecodeError::Trailing(1)));
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = encode(&serde_json::json!({"a": [1, 2.5, "x"], "b": {"c": null}, "d": 70000}));
        for end in 0..bytes.len() {
            assert_eq!(decode::<Value>(&bytes[..end], 100), Err(DecodeError::Truncated), "{end}");
        }
    }

    #[test]
    fn nesting_of_ten_thousand_and_of_a_million_is_refused() {
        for levels in [33, 10_000, 1_000_000] {
            let mut bytes = vec![0x91; levels];
            bytes.push(0xc0);
            assert_eq!(decode::<Value>(&bytes, 2_000_000), Err(DecodeError::TooDeep(MAX_DEPTH)));
        }
        let mut bytes = vec![0x91; 32];
        bytes.push(0xc0);
        assert_eq!(measure(&bytes), Ok(33));
    }

    #[test]
    fn claims_of_four_billion_are_truncated() {
        for bomb in [
            &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
            &[0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0],
            &[0xc6, 0xff, 0xff, 0xff, 0xff, 1],
            &[0xdb, 0xff, 0xff, 0xff, 0xff],
            &[0xc9, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(decode::<Value>(bomb, 100), Err(DecodeError::Truncated));
        }
    }

    #[test]
    fn long_messages_are_not_even_walked() {
        let error = decode::<Value>(&[0xc0; 101], 100).unwrap_err();
        assert_eq!(error, DecodeError::TooLong { length: 101, limit: 100 });
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(length) = measure(&bytes) {
                prop_assert!(length <= bytes.len());
            }
            let _ = decode::<Value>(&bytes, 1000);
        }
    }
}
