//! Is a schema sound? Asked of every schema before it is registered, since most come over the wire.

use serde_json::Value;

use super::{Field, FieldType, Schema, json};
use crate::data::StorageKind;
use crate::name::{self, NameError};

/// Fields of a schema, those of nested structs included, at the most.
pub const MAX_FIELDS: usize = 256;
/// Depth of nested arrays and structs, at the most.
pub const MAX_DEPTH: usize = 8;
/// Bytes of a Plain value, at the most.
pub const MAX_SIZE: u32 = 65_536;
/// Alignment of a Plain value, at the most.
pub const MAX_ALIGN: u32 = 16;
/// Bytes of a type's declaration in a document, at the most.
const MAX_TEXT: usize = 256;
/// Bytes of a default, written as JSON, at the most.
const MAX_DEFAULT: usize = 4096;

/// A schema that contradicts itself or goes beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The name of the schema.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name of a field.
    #[error("`{}` is no name of a field: use A-Z a-z 0-9 _", .0.chars().take(80).collect::<String>().escape_debug())]
    FieldName(String),
    /// Two fields with one name.
    #[error("there are two fields `{0}`")]
    Twice(String),
    /// Too many fields.
    #[error("there are more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// Types inside of types, too many.
    #[error("the type of field `{0}` is nested deeper than {MAX_DEPTH}")]
    TooDeep(String),
    /// A size beyond the limit, or none.
    #[error("a value has {0} bytes: 1 to {MAX_SIZE} are allowed")]
    Size(u32),
    /// An alignment that is none.
    #[error("{0} is no alignment: 1, 2, 4, 8 or {MAX_ALIGN} are, and they divide the size")]
    Align(u32),
    /// A field that overlaps with the one before it, or leaves a gap.
    #[error("field `{field}` starts at byte {found} instead of {expected}: fields lie back to back, in order")]
    Offset {
        /// The field.
        field: String,
        /// Where the fields before it end.
        expected: u64,
        /// Where it is said to start.
        found: u32,
    },
    /// Fields that don't fill the value.
    #[error("the fields have {fields} bytes together, the value has {size}")]
    Gap {
        /// Sum of the sizes of the fields.
        fields: u64,
        /// The size of the value.
        size: u32,
    },
    /// A type that this kind of storage does not have.
    #[error("field `{field}` of a {kind} cannot be of type {ty}", kind = .kind.as_str())]
    Type {
        /// The field.
        field: String,
        /// The storage.
        kind: StorageKind,
        /// The type.
        ty: String,
    },
    /// A tag with data, or a document with a size.
    #[error("a {} has {what}", .kind.as_str())]
    Data {
        /// The storage.
        kind: StorageKind,
        /// What it has and should not have.
        what: &'static str,
    },
    /// A default that is no value of its field.
    #[error("the default of field `{field}` is refused: {reason}")]
    Default {
        /// The field.
        field: String,
        /// Why.
        reason: String,
    },
}

impl Schema {
    /// Checks a schema that may come from outside.
    ///
    /// # Errors
    /// When names, sizes, offsets, types or defaults don't fit together or go beyond a limit.
    pub fn check(&self) -> Result<(), SchemaError> {
        name::check(&self.name)?;
        let mut budget = MAX_FIELDS;
        check_fields(&self.fields, 0, &mut budget)?;
        match self.kind {
            StorageKind::Plain => check_plain(self)?,
            StorageKind::Document => check_document(self)?,
            StorageKind::Tag => check_empty(self, !self.fields.is_empty())?,
        }
        self.fields.iter().try_for_each(|field| check_default(self, field))
    }
}

fn check_fields(fields: &[Field], depth: usize, budget: &mut usize) -> Result<(), SchemaError> {
    *budget = budget.checked_sub(fields.len()).ok_or(SchemaError::TooManyFields)?;
    for (index, field) in fields.iter().enumerate() {
        if !is_field_name(&field.name) {
            return Err(SchemaError::FieldName(field.name.clone()));
        }
        if fields[..index].iter().any(|before| before.name == field.name) {
            return Err(SchemaError::Twice(field.name.clone()));
        }
        if let Some(was) = field.was.as_ref().filter(|was| !is_field_name(was)) {
            return Err(SchemaError::FieldName(was.clone()));
        }
        check_nested(field, &field.ty, depth, budget)?;
    }
    Ok(())
}

fn is_field_name(name: &str) -> bool {
    name.len() <= name::MAX_NAME && name::is_token(name)
}

fn check_nested(field: &Field, ty: &FieldType, depth: usize, budget: &mut usize) -> Result<(), SchemaError> {
    if depth > MAX_DEPTH {
        return Err(SchemaError::TooDeep(field.name.clone()));
    }
    match ty {
        FieldType::Array(item, _) => check_nested(field, item, depth + 1, budget),
        FieldType::Struct(fields) => check_fields(fields, depth + 1, budget),
        _ => Ok(()),
    }
}

fn check_plain(schema: &Schema) -> Result<(), SchemaError> {
    if schema.size == 0 || schema.size > MAX_SIZE {
        return Err(SchemaError::Size(schema.size));
    }
    if !schema.align.is_power_of_two() || schema.align > MAX_ALIGN || !schema.size.is_multiple_of(schema.align) {
        return Err(SchemaError::Align(schema.align));
    }
    check_tiles(&schema.fields, schema.size)
}

/// Fields lie back to back and fill the whole.
fn check_tiles(fields: &[Field], size: u32) -> Result<(), SchemaError> {
    let mut end = 0_u64;
    for field in fields {
        if u64::from(field.offset) != end {
            return Err(SchemaError::Offset { field: field.name.clone(), expected: end, found: field.offset });
        }
        check_sized(field, &field.ty)?;
        end += u64::from(field.ty.size());
    }
    if end == u64::from(size) { Ok(()) } else { Err(SchemaError::Gap { fields: end, size }) }
}

fn check_sized(field: &Field, ty: &FieldType) -> Result<(), SchemaError> {
    match ty {
        FieldType::Array(item, count) if *count > 0 => check_sized(field, item),
        FieldType::Struct(fields) if !fields.is_empty() => check_tiles(fields, ty.size()),
        FieldType::Array(..) | FieldType::Struct(_) | FieldType::Text(_) => {
            Err(SchemaError::Type { field: field.name.clone(), kind: StorageKind::Plain, ty: ty.to_string() })
        }
        _ => Ok(()),
    }
}

fn check_document(schema: &Schema) -> Result<(), SchemaError> {
    check_empty(schema, schema.fields.iter().any(|field| field.offset != 0))?;
    for field in &schema.fields {
        match &field.ty {
            FieldType::Text(text)
                if text.len() <= MAX_TEXT && text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"') => {}
            ty => {
                let ty = ty.to_string().chars().take(80).collect::<String>().escape_debug().to_string();
                return Err(SchemaError::Type { field: field.name.clone(), kind: StorageKind::Document, ty });
            }
        }
    }
    Ok(())
}

fn check_empty(schema: &Schema, data: bool) -> Result<(), SchemaError> {
    let what = match (schema.size, schema.align, data) {
        (0, 1, false) => return Ok(()),
        (0, 1, true) => "fields with data in it",
        _ => "no size and no alignment",
    };
    Err(SchemaError::Data { kind: schema.kind, what })
}

fn check_default(schema: &Schema, field: &Field) -> Result<(), SchemaError> {
    let Some(default) = &field.default else { return Ok(()) };
    let refuse = |reason: String| SchemaError::Default { field: field.name.clone(), reason };
    if depth_of(default) > crate::msgpack::MAX_DEPTH - 1 {
        return Err(refuse("it is nested too deep".into()));
    }
    let mut text = String::new();
    super::text::put_value(&mut text, default);
    if text.len() > MAX_DEFAULT {
        return Err(refuse(format!("it has {} bytes as JSON, {MAX_DEFAULT} are allowed", text.len())));
    }
    json::check_default(schema, field, default).map_err(|error| refuse(error.to_string()))
}

/// Stops counting where it is too deep anyway.
fn depth_of(value: &Value) -> usize {
    fn below(value: &Value, left: usize) -> usize {
        let parts: &mut dyn Iterator<Item = &Value> = match value {
            _ if left == 0 => return 0,
            Value::Array(items) => &mut items.iter(),
            Value::Object(map) => &mut map.values(),
            _ => return 0,
        };
        1 + parts.map(|part| below(part, left - 1)).max().unwrap_or(0)
    }
    below(value, crate::msgpack::MAX_DEPTH + 1)
}
