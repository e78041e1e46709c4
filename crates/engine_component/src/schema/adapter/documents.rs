//! Documents: fields are renamed, missing ones are filled in, and what the reader doesn't know stays.

use super::super::{Field, FieldType, Schema, document};
use super::AdaptError;
use super::numbers::Number;
use crate::msgpack::{self, MAX_DEPTH, MsgError, Token};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct DocumentAdapter {
    /// The reader's fields.
    fields: Vec<ReaderField>,
    /// The stored fields, in the order in which new documents have them.
    stored: Vec<StoredField>,
    lacks: Vec<String>,
}

/// The stored name, and the default as MessagePack.
#[derive(Clone, Debug, PartialEq)]
struct ReaderField {
    name: String,
    stored: Option<String>,
    default: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq)]
struct StoredField {
    name: String,
    /// What the reader calls it, when it knows it.
    reader: Option<String>,
    /// A document without it is none.
    required: bool,
    /// The type of numbers that the reader holds wider.
    narrow: Option<FieldType>,
    default: Option<Vec<u8>>,
}

impl DocumentAdapter {
    pub(super) fn new(stored: &Schema) -> Self {
        let stored = stored.fields.iter().map(|field| StoredField {
            name: field.name.clone(),
            reader: None,
            required: !document::is_optional(field),
            narrow: None,
            default: default_of(field),
        });
        Self { fields: Vec::new(), stored: stored.collect(), lacks: Vec::new() }
    }

    pub(super) fn lacks(&self) -> &[String] {
        &self.lacks
    }

    pub(super) fn field(&mut self, field: &Field, stored: Option<&Field>) {
        let known = stored.and_then(|stored| self.stored.iter_mut().find(|known| known.name == stored.name));
        if let (Some(known), Some(stored)) = (known, stored) {
            known.reader = Some(field.name.clone());
            known.narrow = number_type(stored).filter(|_| stored.ty != field.ty);
        }
        let stored = stored.map(|stored| stored.name.clone());
        self.fields.push(ReaderField { name: field.name.clone(), stored, default: default_of(field) });
    }

    pub(super) fn finish(mut self) -> Self {
        let lacks = self.stored.iter().filter(|field| field.reader.is_none() && field.required);
        self.lacks = lacks.filter(|field| field.default.is_none()).map(|field| field.name.clone()).collect();
        self
    }

    pub(super) fn read(&self, stored: &[u8]) -> Result<Vec<u8>, MsgError> {
        let entries = Entries::of(stored)?;
        let value = |field: &ReaderField| {
            let found = field.stored.as_ref().and_then(|name| entries.get(name)).map(<[u8]>::to_vec);
            found.or_else(|| field.default.clone()).map(|value| (field.name.clone(), value))
        };
        Ok(write_map(self.fields.iter().filter_map(value)))
    }

    pub(super) fn write_back(&self, mine: &[u8], stored: &[u8]) -> Result<Vec<u8>, AdaptError> {
        let (mine, stored) = (Entries::of(mine)?, Entries::of(stored)?);
        let mut written = Vec::with_capacity(stored.0.len());
        for (name, value) in &stored.0 {
            let field = self.stored.iter().find(|field| field.name == *name);
            let value = match field {
                Some(field) if field.reader.is_some() => field.of(&mine, Some(value))?,
                _ => Some(value.to_vec()),
            };
            written.extend(value.map(|value| ((*name).to_owned(), value)));
        }
        for field in self.stored.iter().filter(|field| field.reader.is_some() && stored.get(&field.name).is_none()) {
            written.extend(field.of(&mine, None)?.map(|value| (field.name.clone(), value)));
        }
        Ok(write_map(written.into_iter()))
    }

    pub(super) fn make(&self, mine: &[u8]) -> Result<Vec<u8>, AdaptError> {
        let mine = Entries::of(mine)?;
        let mut made = Vec::with_capacity(self.stored.len());
        for field in &self.stored {
            let value = if field.reader.is_some() { field.of(&mine, None)? } else { field.default.clone() };
            made.extend(value.map(|value| (field.name.clone(), value)));
        }
        Ok(write_map(made.into_iter()))
    }
}

impl StoredField {
    /// The reader's value as it is stored; none when it is left out and may be.
    fn of(&self, mine: &Entries<'_>, before: Option<&[u8]>) -> Result<Option<Vec<u8>>, AdaptError> {
        let left_out = || AdaptError::LeftOut(self.name.clone());
        let Some(value) = self.reader.as_ref().and_then(|name| mine.get(name)) else {
            return if self.required { Err(left_out()) } else { Ok(None) };
        };
        let (token, _) = msgpack::token(value, 0)?;
        if token == Token::Nil && self.required && before.is_none_or(|before| before != value) {
            return Err(left_out());
        }
        match (&self.narrow, number(&token)) {
            (Some(ty), Some(number)) => number.pack(ty).map(Some).ok_or_else(|| AdaptError::Number {
                field: self.name.clone(),
                value: number.to_string(),
                stored: ty.to_string(),
            }),
            _ => Ok(Some(value.to_vec())),
        }
    }
}

fn number(token: &Token) -> Option<Number> {
    match token {
        Token::Unsigned(number) => Some(Number::Unsigned(*number)),
        Token::Signed(number) => Some(Number::Signed(*number)),
        Token::F32(number) => Some(Number::Float(f64::from(*number))),
        Token::F64(number) => Some(Number::Float(*number)),
        _ => None,
    }
}

/// The type, when the field is declared as a number.
fn number_type(field: &Field) -> Option<FieldType> {
    let FieldType::Text(text) = &field.ty else { return None };
    text.parse().ok().filter(|ty| !matches!(ty, FieldType::Entity | FieldType::Array(..) | FieldType::Struct(_)))
}

fn default_of(field: &Field) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let default = field.default.as_ref().filter(|value| document::put_field(field, value, &mut bytes)).is_some();
    default.then_some(bytes)
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
