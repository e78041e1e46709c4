//! Values as JSON: how editors, scenes and ad-hoc queries read and write components by field name.
//!
//! Numbers of a Plain value are JSON numbers, an entity is its number, arrays are arrays, structs are
//! objects (or, when written, arrays in the order of the fields). JSON has no NaN and no infinities: they
//! are the strings `"NaN"`, `"inf"` and `"-inf"`. A component with nothing but one unnamed field is that
//! field. What MessagePack has and JSON has not is described in `document.rs`.

use serde_json::{Map, Value};

use super::row::RowError;
use super::{Field, FieldType, Schema, declared, document};
use crate::data::StorageKind;
use crate::msgpack::MsgError;

/// A JSON value that is no value of a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// A field that the schema does not have.
    #[error("`{name}` has no field `{}`{}", field.escape_debug(), suggestion(nearest.as_deref()))]
    Unknown {
        /// The component or event.
        name: String,
        /// The field that was given.
        field: String,
        /// The name that is most like it.
        nearest: Option<String>,
    },
    /// A field without a default was not given.
    #[error("field `{field}` of `{name}` is missing, and it has no default")]
    Missing {
        /// The component or event.
        name: String,
        /// The field.
        field: String,
    },
    /// A value of another type or range.
    #[error("{} wants {expected}, not {found}", place(name, path))]
    Wrong {
        /// The component or event.
        name: String,
        /// The field, and the way inside of it; empty for the whole value.
        path: String,
        /// What the schema says.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The value makes a row that the schema refuses.
    #[error(transparent)]
    Row(#[from] RowError),
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(": is `{nearest}` meant?"))
}

fn place(name: &str, path: &str) -> String {
    if path.is_empty() { format!("`{name}`") } else { format!("field `{path}` of `{name}`") }
}

impl Schema {
    /// The JSON of a row.
    ///
    /// # Errors
    /// When the bytes are no row of this schema.
    pub fn row_to_value(&self, bytes: &[u8]) -> Result<Value, RowError> {
        let malformed = |reason: MsgError| RowError::Document { name: self.name.clone(), reason };
        match self.kind {
            StorageKind::Document => {
                self.check_row(bytes)?;
                document::row_to_value(&self.fields, bytes).map_err(malformed)
            }
            StorageKind::Plain | StorageKind::Tag if bytes.len() != self.stride() => {
                Err(RowError::Length { name: self.name.clone(), expected: self.stride(), found: bytes.len() })
            }
            StorageKind::Plain => Ok(match self.unnamed() {
                Some(field) => from_bytes(&field.ty, bytes),
                None => object_from_bytes(&self.fields, bytes),
            }),
            StorageKind::Tag => Ok(Value::Object(Map::new())),
        }
    }

    /// The bytes of a JSON value: a Plain row, a MessagePack map, or nothing for a tag. Fields that are not
    /// given get their default.
    ///
    /// # Errors
    /// When a field is unknown, missing without a default, or of another type or range; the error names it.
    pub fn value_to_row(&self, value: &Value) -> Result<Vec<u8>, ValueError> {
        let row = match self.kind {
            StorageKind::Plain => self.plain_row(value)?,
            StorageKind::Document => self.document_row(value)?,
            StorageKind::Tag => self.tag_row(value)?,
        };
        self.check_row(&row)?;
        Ok(row)
    }

    /// The one field of a component that is only a wrapper: `struct Health(f32)`.
    fn unnamed(&self) -> Option<&Field> {
        match self.fields.as_slice() {
            [field] if field.name == "0" => Some(field),
            _ => None,
        }
    }

    fn plain_row(&self, value: &Value) -> Result<Vec<u8>, ValueError> {
        let mut row = Vec::with_capacity(self.stride());
        let wrong = |problem: Problem| problem.of(self);
        if let Some(field) = self.unnamed().filter(|_| value.get("0").is_none() && !is_empty(value)) {
            put(&field.ty, value, &mut row).map_err(wrong)?;
            return Ok(row);
        }
        if let Value::Array(items) = value {
            put_in_order(&self.fields, items, &mut row).map_err(wrong)?;
            return Ok(row);
        }
        let map = self.object(value)?;
        for field in &self.fields {
            let Some(value) = map.get(&field.name).or(field.default.as_ref()) else { return Err(self.missing(field)) };
            put(&field.ty, value, &mut row).map_err(|problem| wrong(problem.inside(&field.name)))?;
        }
        Ok(row)
    }

    fn document_row(&self, value: &Value) -> Result<Vec<u8>, ValueError> {
        let map = self.object(value)?;
        let mut given = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            match map.get(&field.name).or(field.default.as_ref()) {
                Some(value) => {
                    if let FieldType::Text(declared) = &field.ty {
                        declared::check(declared, value).map_err(|problem| problem.inside(&field.name).of(self))?;
                    }
                    given.push((field, value));
                }
                None if document::is_optional(field) => {}
                None => return Err(self.missing(field)),
            }
        }
        document::row(&given).map_err(|(field, problem)| problem.inside(&field.name).of(self))
    }

    fn tag_row(&self, value: &Value) -> Result<Vec<u8>, ValueError> {
        match value {
            Value::Null | Value::Bool(true) => Ok(Vec::new()),
            value => self.object(value).map(|_| Vec::new()),
        }
    }

    /// The object, when all its fields are known.
    fn object<'v>(&self, value: &'v Value) -> Result<&'v Map<String, Value>, ValueError> {
        let Value::Object(map) = value else { return Err(Problem::new("an object", value).of(self)) };
        match map.keys().find(|key| self.field(key).is_none()) {
            None => Ok(map),
            Some(unknown) => Err(ValueError::Unknown {
                name: self.name.clone(),
                field: unknown.clone(),
                nearest: nearest(unknown, self.fields.iter().map(|field| field.name.as_str())),
            }),
        }
    }

    fn missing(&self, field: &Field) -> ValueError {
        ValueError::Missing { name: self.name.clone(), field: field.name.clone() }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// Whether a default is a value of its field, and finite where the schema says so.
pub(super) fn check_default(schema: &Schema, field: &Field, default: &Value) -> Result<(), ValueError> {
    let only = Schema {
        fields: vec![Field { offset: 0, default: None, ..field.clone() }],
        size: field.ty.size(),
        ..schema.clone()
    };
    let mut map = Map::new();
    map.insert(field.name.clone(), default.clone());
    only.value_to_row(&Value::Object(map)).map(drop)
}

/// The bytes of a field's default in a Plain row.
pub(super) fn default_bytes(field: &Field) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    put(&field.ty, field.default.as_ref()?, &mut bytes).ok()?;
    Some(bytes)
}

/// What is wrong with a value, and where: the path is collected on the way out.
pub(super) struct Problem {
    path: String,
    expected: String,
    found: String,
}

impl Problem {
    pub(super) fn new(expected: impl Into<String>, found: &Value) -> Self {
        Self { path: String::new(), expected: expected.into(), found: describe(found) }
    }

    pub(super) fn inside(mut self, field: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{field}{dot}{}", self.path);
        self
    }

    fn of(self, schema: &Schema) -> ValueError {
        ValueError::Wrong { name: schema.name.clone(), path: self.path, expected: self.expected, found: self.found }
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(map) if map.len() <= 8 => {
            format!(
                "an object with the fields [{}]",
                map.keys().map(String::as_str).collect::<Vec<_>>().join(", ").escape_debug()
            )
        }
        Value::Object(map) => format!("an object with {} fields", map.len()),
        Value::String(text) => format!("\"{}\"", text.chars().take(40).collect::<String>().escape_debug()),
        scalar => scalar.to_string(),
    }
}

fn object_from_bytes(fields: &[Field], bytes: &[u8]) -> Value {
    let part = |field: &Field| &bytes[field.offset as usize..][..field.ty.size() as usize];
    Value::Object(fields.iter().map(|field| (field.name.clone(), from_bytes(&field.ty, part(field)))).collect())
}

/// The JSON of the bytes of a field, of which there are exactly as many as the type has.
pub(super) fn from_bytes(ty: &FieldType, bytes: &[u8]) -> Value {
    fn read<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.try_into().expect("callers cut the bytes to the size of the type")
    }
    match ty {
        FieldType::U8 => u8::from_le_bytes(read(bytes)).into(),
        FieldType::U16 => u16::from_le_bytes(read(bytes)).into(),
        FieldType::U32 => u32::from_le_bytes(read(bytes)).into(),
        FieldType::U64 | FieldType::Entity => u64::from_le_bytes(read(bytes)).into(),
        FieldType::I8 => i8::from_le_bytes(read(bytes)).into(),
        FieldType::I16 => i16::from_le_bytes(read(bytes)).into(),
        FieldType::I32 => i32::from_le_bytes(read(bytes)).into(),
        FieldType::I64 => i64::from_le_bytes(read(bytes)).into(),
        FieldType::F32 => from_float(shortest(f32::from_le_bytes(read(bytes)))),
        FieldType::F64 => from_float(f64::from_le_bytes(read(bytes))),
        FieldType::Array(item, _) => {
            bytes.chunks_exact(item.size() as usize).map(|bytes| from_bytes(item, bytes)).collect()
        }
        FieldType::Struct(fields) => object_from_bytes(fields, bytes),
        FieldType::Text(_) => Value::Null,
    }
}

/// The number that an `f32` is written as: 0.1 and not 0.10000000149011612.
pub(super) fn shortest(number: f32) -> f64 {
    match number.to_string().parse::<f64>() {
        Ok(short) if short as f32 == number => short,
        _ => f64::from(number),
    }
}

pub(super) fn from_float(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "inf".into(),
        None => "-inf".into(),
    }
}

fn put_in_order(fields: &[Field], items: &[Value], out: &mut Vec<u8>) -> Result<(), Problem> {
    if items.len() != fields.len() {
        return Err(Problem::new(format!("{} values", fields.len()), &Value::Array(items.to_vec())));
    }
    fields
        .iter()
        .zip(items)
        .try_for_each(|(field, item)| put(&field.ty, item, out).map_err(|problem| problem.inside(&field.name)))
}

/// Appends the bytes of a field.
fn put(ty: &FieldType, value: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
    let wrong = || Problem::new(ty.to_string(), value);
    let unsigned = |max: u64| value.as_u64().filter(|number| *number <= max).ok_or_else(wrong);
    let signed = |bits: u32| value.as_i64().filter(|number| *number >> (bits - 1) == *number >> 63).ok_or_else(wrong);
    match ty {
        FieldType::U8 => out.extend((unsigned(u64::from(u8::MAX))? as u8).to_le_bytes()),
        FieldType::U16 => out.extend((unsigned(u64::from(u16::MAX))? as u16).to_le_bytes()),
        FieldType::U32 => out.extend((unsigned(u64::from(u32::MAX))? as u32).to_le_bytes()),
        FieldType::U64 => out.extend(unsigned(u64::MAX)?.to_le_bytes()),
        FieldType::I8 => out.extend((signed(8)? as i8).to_le_bytes()),
        FieldType::I16 => out.extend((signed(16)? as i16).to_le_bytes()),
        FieldType::I32 => out.extend((signed(32)? as i32).to_le_bytes()),
        FieldType::I64 => out.extend(signed(64)?.to_le_bytes()),
        FieldType::Entity => out.extend(document::entity(value).ok_or_else(wrong)?.to_le_bytes()),
        FieldType::F32 => out.extend(narrow(to_float(value).ok_or_else(wrong)?).ok_or_else(wrong)?.to_le_bytes()),
        FieldType::F64 => out.extend(to_float(value).ok_or_else(wrong)?.to_le_bytes()),
        FieldType::Array(item, count) => {
            let items = value.as_array().filter(|items| items.len() == *count as usize).ok_or_else(wrong)?;
            for (index, value) in items.iter().enumerate() {
                put(item, value, out).map_err(|problem| problem.inside(&format!("[{index}]")))?;
            }
        }
        FieldType::Struct(fields) => put_struct(fields, value, out).map_err(|problem| problem.unwrap_or_else(wrong))?,
        FieldType::Text(_) => return Err(wrong()),
    }
    Ok(())
}

/// `Err(None)` when the value as a whole is wrong.
fn put_struct(fields: &[Field], value: &Value, out: &mut Vec<u8>) -> Result<(), Option<Problem>> {
    match value {
        Value::Array(items) if items.len() == fields.len() => put_in_order(fields, items, out).map_err(Some),
        // As many as there are, and each of them found: so no unknown ones.
        Value::Object(map) if map.len() == fields.len() => fields.iter().try_for_each(|field| {
            let part = map.get(&field.name).ok_or(None)?;
            put(&field.ty, part, out).map_err(|problem| Some(problem.inside(&field.name)))
        }),
        _ => Err(None),
    }
}

pub(super) fn to_float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// As `f32`; `None` when a finite number gets infinite by that.
fn narrow(number: f64) -> Option<f32> {
    let narrow = number as f32;
    (narrow.is_finite() || !number.is_finite()).then_some(narrow)
}

/// The known name that is most like an unknown one, when one is like it at all.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if unknown.len() > 64 {
        return None;
    }
    let (distance, name) = known.map(|name| (distance(unknown, name), name)).min()?;
    (distance <= 1 + name.len() / 3).then(|| name.to_owned())
}

/// Letters to insert, remove or replace, case aside.
fn distance(left: &str, right: &str) -> usize {
    let right = right.to_ascii_lowercase();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.to_ascii_lowercase().bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replace = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
