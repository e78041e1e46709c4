//! Documents as JSON and back.
//!
//! MessagePack has values that JSON has not. They become objects with one key that starts with `$`:
//! `{"$entity": 7}` an entity, `{"$bin": "00ff"}` bytes, `{"$ext": [5, "00ff"]}` another extension,
//! `{"$float": "NaN"}` what is no JSON number, `{"$map": [[key, value], …]}` a map with keys that are not
//! strings or start with `$`. In fields that are declared as entities, or as lists of them, an entity is
//! just its number.

use std::fmt::Write;

use rmp::encode;
use serde_json::{Map, Number, Value};

use super::json::{Problem, from_float, shortest, to_float};
use super::{Field, FieldType};
use crate::Entity;
use crate::msgpack::{MAX_DEPTH, MsgError, Token, Walk};

/// Whether a field is declared as an entity, or as entities and nothing else.
pub(super) fn holds_entities(field: &Field) -> bool {
    let FieldType::Text(text) = &field.ty else { return false };
    matches!(text.as_str(), "Entity" | "Option<Entity>" | "Vec<Entity>") || text.starts_with("[Entity; ")
}

/// Whether a value needs no such field.
pub(super) fn is_optional(field: &Field) -> bool {
    matches!(&field.ty, FieldType::Text(text) if text.starts_with("Option<"))
}

/// The JSON of a document that the schema's check has accepted.
pub(super) fn row_to_value(fields: &[Field], bytes: &[u8]) -> Result<Value, MsgError> {
    let mut value = to_value(bytes)?;
    for field in fields.iter().filter(|field| holds_entities(field)) {
        match value.get_mut(&field.name) {
            Some(Value::Array(items)) => items.iter_mut().for_each(only_the_number),
            Some(item) => only_the_number(item),
            None => {}
        }
    }
    Ok(value)
}

fn only_the_number(value: &mut Value) {
    if let Some(number) = entity(value) {
        *value = number.into();
    }
}

/// The number of an entity: `7` or `{"$entity": 7}`.
pub(super) fn entity(value: &Value) -> Option<u64> {
    match value {
        Value::Object(map) if map.len() == 1 => map.get("$entity")?.as_u64(),
        value => value.as_u64(),
    }
}

/// The JSON of one MessagePack value.
pub(super) fn to_value(bytes: &[u8]) -> Result<Value, MsgError> {
    read(&mut Walk::new(bytes, MAX_DEPTH), bytes)
}

fn read(walk: &mut Walk<'_>, bytes: &[u8]) -> Result<Value, MsgError> {
    let at = walk.at;
    let token = walk.next()?.ok_or(MsgError::Truncated { at })?;
    Ok(match token {
        Token::Nil => Value::Null,
        Token::Bool(flag) => flag.into(),
        Token::Unsigned(number) => number.into(),
        Token::Signed(number) => number.into(),
        Token::F32(number) => float(shortest(number)),
        Token::F64(number) => float(number),
        Token::Str(range) => String::from_utf8_lossy(&bytes[range]).into(),
        Token::Bin(range) => special("$bin", hex(&bytes[range]).into()),
        Token::Extension(Entity::EXTENSION, range) if range.len() == 8 => {
            let number = bytes[range].try_into().expect("just measured");
            special("$entity", u64::from_le_bytes(number).into())
        }
        Token::Extension(kind, range) => special("$ext", vec![kind.into(), Value::from(hex(&bytes[range]))].into()),
        Token::Array(count) => (0..count).map(|_| read(walk, bytes)).collect::<Result<Vec<_>, _>>()?.into(),
        Token::Map(count) => {
            let pair = |walk: &mut Walk<'_>| Ok((read(walk, bytes)?, read(walk, bytes)?));
            map((0..count).map(|_| pair(walk)).collect::<Result<Vec<_>, MsgError>>()?)
        }
    })
}

fn map(pairs: Vec<(Value, Value)>) -> Value {
    if pairs.iter().all(|(key, _)| key.as_str().is_some_and(|key| !key.starts_with('$'))) {
        return pairs.into_iter().map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), value)).collect();
    }
    special("$map", pairs.into_iter().map(|(key, value)| Value::from(vec![key, value])).collect())
}

fn special(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

fn float(number: f64) -> Value {
    match from_float(number) {
        Value::String(word) => special("$float", word.into()),
        number => number,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string takes everything");
        out
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// The map of these fields.
pub(super) fn row<'f>(given: &[(&'f Field, &Value)]) -> Result<Vec<u8>, (&'f Field, Problem)> {
    let mut out = Vec::with_capacity(64);
    sure(encode::write_map_len(&mut out, given.len() as u32));
    for (field, value) in given {
        sure(encode::write_str(&mut out, &field.name));
        let writer = Writer { entities: holds_entities(field), out: &mut out };
        writer.put(value, 1).map_err(|problem| (*field, problem))?;
    }
    Ok(out)
}

/// Appends a value as MessagePack; used for defaults.
pub(super) fn put_field(field: &Field, value: &Value, out: &mut Vec<u8>) -> bool {
    Writer { entities: holds_entities(field), out }.put(value, 1).is_ok()
}

fn sure<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.expect("a vector takes everything")
}

struct Writer<'o> {
    /// Numbers are entities.
    entities: bool,
    out: &'o mut Vec<u8>,
}

impl Writer<'_> {
    fn put(mut self, value: &Value, depth: usize) -> Result<(), Problem> {
        self.value(value, depth)
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Problem> {
        if depth > MAX_DEPTH {
            return Err(Problem::new(format!("no more than {MAX_DEPTH} levels"), &Value::Null));
        }
        match value {
            Value::Null => sure(encode::write_nil(self.out)),
            Value::Bool(flag) => sure(encode::write_bool(self.out, *flag)),
            Value::Number(number) => self.number(number),
            Value::String(text) => sure(encode::write_str(self.out, text)),
            Value::Array(items) => {
                sure(encode::write_array_len(self.out, items.len() as u32));
                items.iter().try_for_each(|item| self.value(item, depth + 1))?;
            }
            Value::Object(map) => match map.iter().next() {
                Some((key, inner)) if map.len() == 1 && key.starts_with('$') => {
                    self.special(key, inner, depth).ok_or_else(|| Problem::new("a known `$` form", value))??;
                }
                _ => {
                    sure(encode::write_map_len(self.out, map.len() as u32));
                    for (key, item) in map {
                        sure(encode::write_str(self.out, key));
                        self.value(item, depth + 1)?;
                    }
                }
            },
        }
        Ok(())
    }

    fn number(&mut self, number: &Number) {
        match (number.as_u64(), number.as_i64()) {
            (Some(number), _) if self.entities => self.entity(number),
            (Some(number), _) => drop(sure(encode::write_uint(self.out, number))),
            (_, Some(number)) => drop(sure(encode::write_sint(self.out, number))),
            _ => sure(encode::write_f64(self.out, number.as_f64().unwrap_or(f64::NAN))),
        }
    }

    fn entity(&mut self, number: u64) {
        sure(encode::write_ext_meta(self.out, 8, Entity::EXTENSION));
        self.out.extend(number.to_le_bytes());
    }

    /// `None` when there is no such form.
    fn special(&mut self, key: &str, inner: &Value, depth: usize) -> Option<Result<(), Problem>> {
        match key {
            "$entity" => self.entity(inner.as_u64()?),
            "$bin" => sure(encode::write_bin(self.out, &unhex(inner.as_str()?)?)),
            "$float" => sure(encode::write_f64(self.out, to_float(inner)?)),
            "$ext" => {
                let [kind, body] = inner.as_array()?.as_slice() else { return None };
                let body = unhex(body.as_str()?)?;
                let kind = i8::try_from(kind.as_i64()?).ok()?;
                sure(encode::write_ext_meta(self.out, body.len() as u32, kind));
                self.out.extend(body);
            }
            "$map" => {
                let pairs = inner.as_array()?;
                sure(encode::write_map_len(self.out, pairs.len() as u32));
                for pair in pairs {
                    let [key, value] = pair.as_array()?.as_slice() else { return None };
                    if let Err(problem) = self.value(key, depth + 1).and_then(|()| self.value(value, depth + 1)) {
                        return Some(Err(problem));
                    }
                }
            }
            _ => return None,
        }
        Some(Ok(()))
    }
}
