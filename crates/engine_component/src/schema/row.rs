//! Is a row a value of its schema? Asked of every row that comes from outside.

use super::{FieldType, Schema};
use crate::data::StorageKind;
use crate::msgpack::{self, MsgError, Token, Walk};

/// Bytes that are no value of a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A Plain value or a tag of another length.
    #[error("`{name}` has {expected} bytes, not {found}")]
    Length {
        /// The component or event.
        name: String,
        /// Bytes of a value.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// NaN or an infinity where the schema refuses them.
    #[error("`{name}` is declared finite, byte {at} starts a NaN or an infinity")]
    NotFinite {
        /// The component or event.
        name: String,
        /// Where the float starts.
        at: usize,
    },
    /// A document that is not well-formed.
    #[error("the document `{name}` is refused: {reason}")]
    Document {
        /// The component or event.
        name: String,
        /// Why.
        reason: MsgError,
    },
    /// A document that is something else than a map.
    #[error("the document `{0}` is not a map")]
    NotAMap(String),
}

impl Schema {
    /// Checks the bytes of one value from outside: a Plain value has its length, a document is one
    /// well-formed MessagePack map, a tag is empty; floats are finite where the schema says so.
    ///
    /// # Errors
    /// When one of these does not hold.
    pub fn check_row(&self, bytes: &[u8]) -> Result<(), RowError> {
        match self.kind {
            StorageKind::Document => self.check_document(bytes),
            StorageKind::Plain | StorageKind::Tag if bytes.len() != self.stride() => {
                Err(RowError::Length { name: self.name.clone(), expected: self.stride(), found: bytes.len() })
            }
            StorageKind::Plain if self.finite => self.check_finite(bytes),
            StorageKind::Plain | StorageKind::Tag => Ok(()),
        }
    }

    /// Checks many Plain rows that lie back to back, finding the floats of the schema only once.
    ///
    /// # Errors
    /// When the bytes are not so many rows, or a float is not finite where the schema says so.
    pub fn check_rows(&self, bytes: &[u8], rows: usize) -> Result<(), RowError> {
        let expected = rows.saturating_mul(self.stride());
        if bytes.len() != expected {
            return Err(RowError::Length { name: self.name.clone(), expected, found: bytes.len() });
        }
        if self.finite && self.kind == StorageKind::Plain { self.check_finite(bytes) } else { Ok(()) }
    }

    fn check_finite(&self, bytes: &[u8]) -> Result<(), RowError> {
        let mut lanes = Vec::new();
        self.for_each_scalar(|ty, offset| {
            if matches!(ty, FieldType::F32 | FieldType::F64) {
                lanes.push((offset as usize, ty.size() as usize));
            }
        });
        for (row, value) in bytes.chunks_exact(self.stride()).enumerate() {
            for (offset, width) in &lanes {
                if !is_finite(&value[*offset..offset + width]) {
                    return Err(RowError::NotFinite { name: self.name.clone(), at: row * self.stride() + offset });
                }
            }
        }
        Ok(())
    }

    fn check_document(&self, bytes: &[u8]) -> Result<(), RowError> {
        let refuse = |reason| RowError::Document { name: self.name.clone(), reason };
        let mut walk = Walk::new(bytes, msgpack::MAX_DEPTH);
        if !matches!(walk.next().map_err(refuse)?, Some(Token::Map(_))) {
            return Err(RowError::NotAMap(self.name.clone()));
        }
        loop {
            let at = walk.at;
            let finite = match walk.next().map_err(refuse)? {
                None => break,
                Some(Token::F32(number)) => number.is_finite(),
                Some(Token::F64(number)) => number.is_finite(),
                Some(_) => true,
            };
            if self.finite && !finite {
                return Err(RowError::NotFinite { name: self.name.clone(), at });
            }
        }
        match bytes.len() - walk.at {
            0 => Ok(()),
            count => Err(refuse(MsgError::Trailing { count })),
        }
    }
}

fn is_finite(lane: &[u8]) -> bool {
    match lane {
        [a, b, c, d] => f32::from_le_bytes([*a, *b, *c, *d]).is_finite(),
        _ => f64::from_le_bytes(lane.try_into().expect("lanes are four or eight bytes")).is_finite(),
    }
}
