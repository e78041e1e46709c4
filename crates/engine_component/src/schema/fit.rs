//! Can a reader use what is stored? Two builds of a component meet here.
//!
//! Fields are matched by name, or by the name that one of them had before. Numbers may be wider on the
//! reader's side, fields may stand elsewhere, the reader may lack some, and have others that the store
//! lacks when they have a default.

use super::adapter::{Adapter, Build};
use super::{Field, FieldType, Schema, SchemaDiff, json};
use crate::data::StorageKind;

/// What a reader can do with stored values.
#[derive(Clone, Debug, PartialEq)]
pub enum Fit {
    /// The bytes are the same: nothing is copied.
    Exact,
    /// Values are converted on the reader's side.
    Compatible(Adapter),
    /// They mean different things; the difference says which.
    Incompatible(SchemaDiff),
}

/// How values that are stored by one schema can be read by another.
///
/// Version, defaults, former names, `finite` and who may see them don't matter for bytes that are there, so schemas that
/// differ in nothing else fit exactly.
#[must_use]
pub fn fit(stored: &Schema, reader: &Schema) -> Fit {
    if stored.name != reader.name || stored.kind != reader.kind {
        return Fit::Incompatible(SchemaDiff::between(stored, reader));
    }
    if same_bytes(stored, reader) {
        return Fit::Exact;
    }
    let mut build = Build::new(stored, reader);
    let mut reasons = Vec::new();
    for field in &reader.fields {
        let fits = match stored.kind {
            StorageKind::Document => document_field(stored, reader, field, &mut build),
            StorageKind::Plain | StorageKind::Tag => plain_field(stored, reader, field, &mut build),
        };
        reasons.extend(fits.err());
    }
    if reasons.is_empty() {
        Fit::Compatible(build.finish(stored))
    } else {
        Fit::Incompatible(SchemaDiff::between(stored, reader).because(reasons))
    }
}

fn same_bytes(stored: &Schema, reader: &Schema) -> bool {
    let same = |(a, b): (&Field, &Field)| a.name == b.name && a.ty == b.ty && a.offset == b.offset;
    stored.size == reader.size
        && stored.fields.len() == reader.fields.len()
        && stored.fields.iter().zip(&reader.fields).all(same)
}

/// The stored field that a reader's field means. A former name only counts when nothing has it today:
/// a field that moved on must not be taken for the one that has its name now.
fn matching<'s>(stored: &'s Schema, reader: &Schema, field: &Field) -> Option<&'s Field> {
    stored.field(&field.name).or_else(|| {
        stored.fields.iter().find(|candidate| {
            let renamed_by_reader = field.was.as_ref() == Some(&candidate.name);
            let renamed_by_store = candidate.was.as_ref() == Some(&field.name);
            (renamed_by_reader || renamed_by_store) && reader.field(&candidate.name).is_none()
        })
    })
}

fn plain_field(stored: &Schema, reader: &Schema, field: &Field, build: &mut Build) -> Result<(), String> {
    if let Some(from) = matching(stored, reader, field) {
        return convert(&field.name, (&from.ty, from.offset), (&field.ty, field.offset), build)
            .map_err(|()| format!("field `{}`: {} cannot be read as {}", field.name, from.ty, field.ty));
    }
    let bytes = json::default_bytes(field).ok_or_else(|| no_default(field))?;
    build.default_at(field.offset as usize, &bytes);
    Ok(())
}

fn no_default(field: &Field) -> String {
    format!("field `{}`: not stored, and without a default", field.name)
}

/// `from` and `to` are types with their places.
fn convert(name: &str, from: (&FieldType, u32), to: (&FieldType, u32), build: &mut Build) -> Result<(), ()> {
    let ((from, at), (to, out)) = (from, to);
    match (from, to) {
        (FieldType::Array(a, n), FieldType::Array(b, m)) if n == m && a != b => (0..*n).try_for_each(|i| {
            let name = format!("{name}[{i}]");
            convert(&name, (a, at + i * a.size()), (b, out + i * b.size()), build)
        }),
        (FieldType::Struct(a), FieldType::Struct(b)) if from != to => b.iter().try_for_each(|field| {
            let part = a.iter().find(|part| part.name == field.name).ok_or(())?;
            let name = format!("{name}.{}", field.name);
            convert(&name, (&part.ty, at + part.offset), (&field.ty, out + field.offset), build)
        }),
        _ if from == to => {
            build.copy(at as usize, out as usize, to.size() as usize);
            Ok(())
        }
        _ if widens(from, to) => {
            build.widen(name, (from, at as usize), (to, out as usize));
            Ok(())
        }
        _ => Err(()),
    }
}

/// Whether every number of one type is a number of the other.
pub(super) fn widens(from: &FieldType, to: &FieldType) -> bool {
    use FieldType::{F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(
        (from, to),
        (U8, U16 | U32 | U64 | I16 | I32 | I64 | F32 | F64)
            | (U16, U32 | U64 | I32 | I64 | F32 | F64)
            | (U32, U64 | I64 | F64)
            | (I8, I16 | I32 | I64 | F32 | F64)
            | (I16, I32 | I64 | F32 | F64)
            | (I32, I64 | F64)
            | (F32, F64)
    )
}

fn document_field(stored: &Schema, reader: &Schema, field: &Field, build: &mut Build) -> Result<(), String> {
    match matching(stored, reader, field) {
        Some(from) if reads_document(&from.ty, &field.ty) => {
            build.field(field, Some(from));
            Ok(())
        }
        Some(from) => Err(format!("field `{}`: {} cannot be read as {}", field.name, from.ty, field.ty)),
        None if field.default.is_some() || super::document::is_optional(field) => {
            build.field(field, None);
            Ok(())
        }
        None => Err(no_default(field)),
    }
}

/// MessagePack says of each number what it is, so wider numbers and options need no conversion.
fn reads_document(from: &FieldType, to: &FieldType) -> bool {
    let (FieldType::Text(from), FieldType::Text(to)) = (from, to) else { return false };
    let number = |text: &str| text.parse::<FieldType>().ok();
    let wider = number(from).zip(number(to)).is_some_and(|(from, to)| widens(&from, &to));
    let inner = to.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>'));
    from == to || wider || inner == Some(from.as_str())
}
