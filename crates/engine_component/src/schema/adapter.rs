//! Reads values that were stored by another build's schema, and writes them back where that is possible.
//!
//! A Plain adapter is a list of copies and conversions that is worked through per row, starting from a row
//! of the reader's defaults. A document adapter renames fields and fills in missing ones; what it doesn't
//! know stays as it was.

use super::{Field, FieldType, Schema, document};
use crate::msgpack::{self, MAX_DEPTH, MsgError, Token};

/// The way from stored values to a reader's values.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    stored: usize,
    /// A row of the reader's defaults.
    blank: Vec<u8>,
    copies: Vec<Copy>,
    widened: Vec<Widen>,
    fields: Vec<DocumentField>,
    writable: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Copy {
    from: usize,
    to: usize,
    length: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Widen {
    from: FieldType,
    at: usize,
    to: FieldType,
    out: usize,
}

/// A reader's field of a document: the stored name, and the default as MessagePack.
#[derive(Clone, Debug, PartialEq)]
struct DocumentField {
    name: String,
    stored: Option<String>,
    default: Option<Vec<u8>>,
}

impl Adapter {
    /// Converts Plain rows. `stored` holds `rows` rows of the stored schema, `out` as many of the reader's.
    ///
    /// # Panics
    /// When the lengths don't say the same as `rows`.
    pub fn read(&self, stored: &[u8], out: &mut [u8], rows: usize) {
        self.check(stored, out, rows);
        for (from, to) in stored.chunks_exact(self.stored).zip(out.chunks_exact_mut(self.blank.len())) {
            to.copy_from_slice(&self.blank);
            for copy in &self.copies {
                to[copy.to..copy.to + copy.length].copy_from_slice(&from[copy.from..copy.from + copy.length]);
            }
            for widen in &self.widened {
                widen.apply(from, to);
            }
        }
    }

    /// Writes the reader's Plain rows over the stored ones. Stored fields that the reader doesn't know keep
    /// their values, fields that only the reader has are not kept.
    ///
    /// # Panics
    /// When the lengths don't say the same as `rows`, or the adapter is not [`Self::writable`].
    pub fn write_back(&self, mine: &[u8], stored: &mut [u8], rows: usize) {
        assert!(self.writable, "a field was widened: its values don't go back");
        self.check(stored, mine, rows);
        for (to, from) in stored.chunks_exact_mut(self.stored).zip(mine.chunks_exact(self.blank.len())) {
            for copy in &self.copies {
                to[copy.from..copy.from + copy.length].copy_from_slice(&from[copy.to..copy.to + copy.length]);
            }
        }
    }

    /// Whether values go back without loss: not when the reader's numbers are wider.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// Converts a document.
    ///
    /// # Errors
    /// When the stored bytes are not a well-formed map.
    pub fn read_document(&self, stored: &[u8]) -> Result<Vec<u8>, MsgError> {
        let entries = Entries::of(stored)?;
        let value = |field: &DocumentField| {
            let found = field.stored.as_ref().and_then(|name| entries.get(name)).map(<[u8]>::to_vec);
            found.or_else(|| field.default.clone()).map(|value| (field.name.clone(), value))
        };
        Ok(write_map(self.fields.iter().filter_map(value)))
    }

    /// The stored document with the fields of the reader's document put in.
    ///
    /// # Errors
    /// When either is not a well-formed map.
    ///
    /// # Panics
    /// When the adapter is not [`Self::writable`].
    pub fn write_document(&self, mine: &[u8], stored: &[u8]) -> Result<Vec<u8>, MsgError> {
        assert!(self.writable, "a field was widened: its values don't go back");
        let (mine, stored) = (Entries::of(mine)?, Entries::of(stored)?);
        let reader_of = |name: &str| self.fields.iter().find(|field| field.stored.as_deref() == Some(name));
        let kept = stored.0.iter().map(|(name, value)| {
            let new = reader_of(name).and_then(|field| mine.get(&field.name));
            ((*name).to_owned(), new.unwrap_or(value).to_vec())
        });
        let added = self.fields.iter().filter_map(|field| {
            let name = field.stored.as_ref().filter(|name| stored.get(name).is_none())?;
            Some((name.clone(), mine.get(&field.name)?.to_vec()))
        });
        Ok(write_map(kept.chain(added)))
    }

    fn check(&self, stored: &[u8], mine: &[u8], rows: usize) {
        assert_eq!(stored.len(), rows * self.stored, "stored bytes are so many rows");
        assert_eq!(mine.len(), rows * self.blank.len(), "the reader's bytes are so many rows");
    }
}

impl Widen {
    fn apply(&self, from: &[u8], to: &mut [u8]) {
        let from = &from[self.at..][..self.from.size() as usize];
        let to = &mut to[self.out..][..self.to.size() as usize];
        let float = match self.from {
            FieldType::F32 => f64::from(f32::from_le_bytes(from.try_into().expect("cut to the size of the type"))),
            FieldType::U8 | FieldType::U16 | FieldType::U32 => integer(from, 0) as f64,
            _ => integer(from, sign(from)) as f64,
        };
        match self.to {
            FieldType::F32 => to.copy_from_slice(&(float as f32).to_le_bytes()),
            FieldType::F64 => to.copy_from_slice(&float.to_le_bytes()),
            _ => {
                let fill =
                    if matches!(self.from, FieldType::I8 | FieldType::I16 | FieldType::I32) { sign(from) } else { 0 };
                to.copy_from_slice(&integer(from, fill).to_le_bytes()[..to.len()]);
            }
        }
    }
}

/// The byte that a two's complement number is continued with.
fn sign(bytes: &[u8]) -> u8 {
    if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 }
}

fn integer(bytes: &[u8], fill: u8) -> i64 {
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(wide)
}

/// The entries of a map, each value as its bytes.
struct Entries<'a>(Vec<(&'a str, &'a [u8])>);

impl<'a> Entries<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, MsgError> {
        let (Token::Map(count), mut at) = msgpack::token(bytes, 0)? else { return Err(MsgError::Reserved { at: 0 }) };
        let mut entries = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let (Token::Str(name), value) = msgpack::token(bytes, at)? else { return Err(MsgError::Reserved { at }) };
            let end = value + msgpack::check(&bytes[value..], MAX_DEPTH)?;
            let name = std::str::from_utf8(&bytes[name]).map_err(|_| MsgError::NotUtf8 { at })?;
            entries.push((name, &bytes[value..end]));
            at = end;
        }
        Ok(Self(entries))
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|entry| entry.0 == name).map(|entry| entry.1)
    }
}

fn write_map(entries: impl Iterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
    let entries: Vec<_> = entries.collect();
    let mut out = Vec::with_capacity(64);
    rmp::encode::write_map_len(&mut out, entries.len() as u32).expect("a vector takes everything");
    for (name, value) in entries {
        rmp::encode::write_str(&mut out, &name).expect("a vector takes everything");
        out.extend(value);
    }
    out
}

/// An adapter in the making.
pub(super) struct Build(Adapter);

impl Build {
    pub(super) fn new(stored: &Schema, reader: &Schema) -> Self {
        Self(Adapter {
            stored: stored.stride(),
            blank: vec![0; reader.stride()],
            copies: Vec::new(),
            widened: Vec::new(),
            fields: Vec::new(),
            writable: true,
        })
    }

    pub(super) fn default_at(&mut self, offset: usize, bytes: &[u8]) {
        self.0.blank[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Copies of neighbours become one.
    pub(super) fn copy(&mut self, from: usize, to: usize, length: usize) {
        match self.0.copies.last_mut() {
            Some(last) if last.from + last.length == from && last.to + last.length == to => last.length += length,
            _ => self.0.copies.push(Copy { from, to, length }),
        }
    }

    pub(super) fn widen(&mut self, from: FieldType, at: usize, to: FieldType, out: usize) {
        self.0.writable = false;
        self.0.widened.push(Widen { from, at, to, out });
    }

    pub(super) fn field(&mut self, field: &Field, stored: Option<&str>, same: bool) {
        let mut bytes = Vec::new();
        let default = field.default.as_ref().filter(|value| document::put_field(field, value, &mut bytes)).is_some();
        self.0.writable &= same;
        self.0.fields.push(DocumentField {
            name: field.name.clone(),
            stored: stored.map(str::to_owned),
            default: default.then_some(bytes),
        });
    }

    pub(super) fn finish(self) -> Adapter {
        self.0
    }
}
