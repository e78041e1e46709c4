//! A walk over MessagePack bytes that allocates nothing, trusts nothing and needs no schema.
//!
//! Documents from outside are walked once before they are stored: lengths that the bytes don't hold,
//! nesting without end and trailing bytes are refused there. The same walk finds the entities inside of
//! documents, by their extension type.

use std::ops::Range;

use crate::Entity;

/// Depth of arrays and maps in a document, at the most.
pub const MAX_DEPTH: usize = 32;

/// Bytes that are not one well-formed MessagePack value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MsgError {
    /// The bytes end inside of a value, or a length says more than there is.
    #[error("MessagePack: the value at byte {at} goes beyond the end")]
    Truncated {
        /// Where the value starts.
        at: usize,
    },
    /// Arrays and maps inside of each other, too many.
    #[error("MessagePack: nested deeper than {limit} at byte {at}")]
    TooDeep {
        /// Where.
        at: usize,
        /// Allowed depth.
        limit: usize,
    },
    /// The byte `0xc1`, which stands for nothing.
    #[error("MessagePack: byte {at} has no meaning")]
    Reserved {
        /// Where.
        at: usize,
    },
    /// A string that is not UTF-8.
    #[error("MessagePack: the string at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where.
        at: usize,
    },
    /// Something follows the value.
    #[error("MessagePack: {count} bytes follow the value")]
    Trailing {
        /// How many bytes.
        count: usize,
    },
}

/// Checks that the bytes start with a well-formed value; gives its length.
///
/// # Errors
/// When they don't, or arrays and maps are nested deeper than `max_depth`.
///
/// ```
/// use engine_component::msgpack;
/// assert_eq!(msgpack::check(&[0x92, 1, 2, 0xff], 4), Ok(3));
/// assert!(msgpack::check(&[0xdd, 0xff, 0xff, 0xff, 0xff], 4).is_err());
/// ```
pub fn check(bytes: &[u8], max_depth: usize) -> Result<usize, MsgError> {
    let mut walk = Walk::new(bytes, max_depth);
    while walk.next()?.is_some() {}
    Ok(walk.at)
}

/// Checks that the bytes are one well-formed value and nothing else.
///
/// # Errors
/// As [`check`], and when bytes follow the value.
pub fn check_whole(bytes: &[u8], max_depth: usize) -> Result<(), MsgError> {
    match bytes.len() - check(bytes, max_depth)? {
        0 => Ok(()),
        count => Err(MsgError::Trailing { count }),
    }
}

/// Replaces every entity in a value by what `replace` makes of it. Stops where the bytes are malformed.
pub fn for_each_entity(bytes: &mut [u8], mut replace: impl FnMut(Entity) -> Entity) {
    let mut at = 0;
    while let Ok((token, next)) = token(bytes, at) {
        if let Token::Extension(Entity::EXTENSION, body) = token
            && let Ok(number) = <[u8; 8]>::try_from(&bytes[body.clone()])
        {
            let entity = replace(Entity::from_bits(u64::from_le_bytes(number)));
            bytes[body].copy_from_slice(&entity.to_bits().to_le_bytes());
        }
        at = next;
    }
}

/// The value of an entry of a map, by its key, as its bytes; `None` when there is none, or this is no map.
///
/// ```
/// use engine_component::msgpack;
/// let map = [0x82, 0xa1, b'a', 1, 0xa1, b'b', 0x92, 2, 3];
/// assert_eq!(msgpack::entry(&map, "b"), Some(&map[6..]));
/// assert_eq!(msgpack::entry(&map, "c"), None);
/// ```
#[must_use]
pub fn entry<'a>(map: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let (head, mut at) = token(map, 0).ok()?;
    let Token::Map(entries) = head else { return None };
    for _ in 0..entries {
        let (name, value) = token(map, at).ok()?;
        let value = if matches!(name, Token::Str(_)) { value } else { at + check(&map[at..], MAX_DEPTH).ok()? };
        let length = check(map.get(value..)?, MAX_DEPTH).ok()?;
        if matches!(name, Token::Str(range) if &map[range.clone()] == key.as_bytes()) {
            return map.get(value..value + length);
        }
        at = value + length;
    }
    None
}

/// Visits every entity in a value. Stops where the bytes are malformed.
pub fn visit_entities(bytes: &[u8], mut visit: impl FnMut(Entity)) {
    let mut at = 0;
    while let Ok((token, next)) = token(bytes, at) {
        if let Token::Extension(Entity::EXTENSION, body) = token
            && let Ok(number) = <[u8; 8]>::try_from(&bytes[body])
        {
            visit(Entity::from_bits(u64::from_le_bytes(number)));
        }
        at = next;
    }
}

/// One value, or the head of an array or map. Ranges are those of the body in the walked bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Str(Range<usize>),
    Bin(Range<usize>),
    Extension(i8, Range<usize>),
    Array(usize),
    Map(usize),
}

impl Token {
    /// The number of values that follow as parts of this one.
    fn parts(&self) -> usize {
        match self {
            Self::Array(count) => *count,
            Self::Map(count) => *count * 2,
            _ => 0,
        }
    }
}

/// The token at `at`, and where the next one starts.
pub(crate) fn token(bytes: &[u8], at: usize) -> Result<(Token, usize), MsgError> {
    let mut reader = Reader { bytes, at, start: at };
    let token = reader.token()?;
    // Each part has a byte at least: a claim of billions is refused before anybody counts.
    if token.parts() > bytes.len() - reader.at {
        return Err(MsgError::Truncated { at });
    }
    Ok((token, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    start: usize,
}

impl Reader<'_> {
    fn range(&mut self, length: usize) -> Result<Range<usize>, MsgError> {
        if self.bytes.len() - self.at < length {
            return Err(MsgError::Truncated { at: self.start });
        }
        self.at += length;
        Ok(self.at - length..self.at)
    }

    fn big_endian<const N: usize>(&mut self) -> Result<[u8; N], MsgError> {
        let range = self.range(N)?;
        Ok(self.bytes[range].try_into().expect("the range is of that length"))
    }

    /// A length of `width` bytes: 1, 2 or 4.
    fn length(&mut self, width: u32) -> Result<usize, MsgError> {
        Ok(match width {
            1 => usize::from(u8::from_be_bytes(self.big_endian()?)),
            2 => usize::from(u16::from_be_bytes(self.big_endian()?)),
            _ => u32::from_be_bytes(self.big_endian()?) as usize,
        })
    }

    fn string(&mut self, length: usize) -> Result<Token, MsgError> {
        let range = self.range(length)?;
        match std::str::from_utf8(&self.bytes[range.clone()]) {
            Ok(_) => Ok(Token::Str(range)),
            Err(_) => Err(MsgError::NotUtf8 { at: self.start }),
        }
    }

    fn extension(&mut self, length: usize) -> Result<Token, MsgError> {
        let kind = i8::from_be_bytes(self.big_endian()?);
        self.range(length).map(|range| Token::Extension(kind, range))
    }

    fn token(&mut self) -> Result<Token, MsgError> {
        let [head] = self.big_endian()?;
        Ok(match head {
            0x00..=0x7f => Token::Unsigned(u64::from(head)),
            0x80..=0x8f => Token::Map(usize::from(head & 15)),
            0x90..=0x9f => Token::Array(usize::from(head & 15)),
            0xa0..=0xbf => self.string(usize::from(head & 31))?,
            0xc0 => Token::Nil,
            0xc1 => return Err(MsgError::Reserved { at: self.start }),
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4..=0xc6 => {
                let length = self.length(1 << (head - 0xc4))?;
                Token::Bin(self.range(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(1 << (head - 0xc7))?;
                self.extension(length)?
            }
            0xca => Token::F32(f32::from_be_bytes(self.big_endian()?)),
            0xcb => Token::F64(f64::from_be_bytes(self.big_endian()?)),
            0xcc => Token::Unsigned(u64::from(u8::from_be_bytes(self.big_endian()?))),
            0xcd => Token::Unsigned(u64::from(u16::from_be_bytes(self.big_endian()?))),
            0xce => Token::Unsigned(u64::from(u32::from_be_bytes(self.big_endian()?))),
            0xcf => Token::Unsigned(u64::from_be_bytes(self.big_endian()?)),
            0xd0 => Token::Signed(i64::from(i8::from_be_bytes(self.big_endian()?))),
            0xd1 => Token::Signed(i64::from(i16::from_be_bytes(self.big_endian()?))),
            0xd2 => Token::Signed(i64::from(i32::from_be_bytes(self.big_endian()?))),
            0xd3 => Token::Signed(i64::from_be_bytes(self.big_endian()?)),
            0xd4..=0xd8 => self.extension(1 << (head - 0xd4))?,
            0xd9..=0xdb => {
                let length = self.length(1 << (head - 0xd9))?;
                self.string(length)?
            }
            0xdc | 0xdd => Token::Array(self.length(2 << (head - 0xdc))?),
            0xde | 0xdf => Token::Map(self.length(2 << (head - 0xde))?),
            0xe0..=0xff => Token::Signed(i64::from(head.cast_signed())),
        })
    }
}

/// The tokens of one value, in order, with the nesting counted.
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
    max_depth: usize,
    /// Parts still to come, per open array or map; the value itself at the bottom.
    open: smallvec::SmallVec<[usize; 16]>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(bytes: &'a [u8], max_depth: usize) -> Self {
        Self { bytes, at: 0, max_depth, open: smallvec::smallvec![1] }
    }

    /// The next token; `None` after the end of the value.
    pub(crate) fn next(&mut self) -> Result<Option<Token>, MsgError> {
        while self.open.last() == Some(&0) {
            self.open.pop();
        }
        let Some(left) = self.open.last_mut() else { return Ok(None) };
        *left -= 1;
        let (token, next) = token(self.bytes, self.at)?;
        if matches!(token, Token::Array(_) | Token::Map(_)) {
            if self.open.len() > self.max_depth {
                return Err(MsgError::TooDeep { at: self.at, limit: self.max_depth });
            }
            self.open.push(token.parts());
        }
        self.at = next;
        Ok(Some(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_encoder_writes_is_well_formed() {
        let value = serde_json::json!({
            "null": null, "flag": true, "small": 5, "negative": -3, "large": u64::MAX, "low": i64::MIN,
            "half": 0.5, "text": "x".repeat(300), "list": (0..1000).collect::<Vec<_>>(), "deep": [[[{"a": []}]]],
        });
        let bytes = rmp_serde::to_vec_named(&value).unwrap();
        assert_eq!(check_whole(&bytes, 8), Ok(()));
        for length in 0..bytes.len() {
            assert!(matches!(check(&bytes[..length], 8), Err(MsgError::Truncated { .. })), "{length}");
        }
    }

    #[test]
    fn claims_beyond_the_bytes_are_refused_at_once() {
        for head in [0xdd, 0xdf, 0xdb, 0xc6, 0xc9] {
            let bytes = [head, 0xff, 0xff, 0xff, 0xff, 0, 0];
            assert_eq!(check(&bytes, 8), Err(MsgError::Truncated { at: 0 }), "{head:x}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
        assert_eq!(check(&nested(32), 32), Ok(33));
        assert_eq!(check(&nested(33), 32), Err(MsgError::TooDeep { at: 32, limit: 32 }));
        assert!(check(&nested(1_000_000), 32).is_err());
        let empty_inside = [vec![0x91; 32], vec![0x90]].concat();
        assert!(check(&empty_inside, 32).is_err());
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert_eq!(check(&[0xc1], 4), Err(MsgError::Reserved { at: 0 }));
        assert_eq!(check(&[0xa1, 0xff], 4), Err(MsgError::NotUtf8 { at: 0 }));
        assert_eq!(check_whole(&[1, 2, 3], 4), Err(MsgError::Trailing { count: 2 }));
        assert_eq!(check(&[], 4), Err(MsgError::Truncated { at: 0 }));
    }

    #[test]
    fn entities_are_found_wherever_they_are() {
        let list = [Entity::from_bits(3), Entity::provisional(7)];
        let mut bytes = rmp_serde::to_vec_named(&(1_u8, "text", list)).unwrap();
        let mut seen = Vec::new();
        for_each_entity(&mut bytes, |entity| {
            seen.push(entity);
            if entity.is_provisional() { Entity::from_bits(99) } else { entity }
        });
        assert_eq!(seen, list);
        seen.clear();
        visit_entities(&bytes, |entity| seen.push(entity));
        assert_eq!(seen, [Entity::from_bits(3), Entity::from_bits(99)]);
        let back: (u8, String, [Entity; 2]) = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(back.2, [Entity::from_bits(3), Entity::from_bits(99)]);
    }
}
