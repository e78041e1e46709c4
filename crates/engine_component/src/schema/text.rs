//! The canonical text of a schema: what two builds compare, and what the hash is made of.

use std::fmt::Write;

use serde_json::Value;

use super::{Field, Schema};
use crate::data::StorageKind;

pub(super) fn canonical(schema: &Schema) -> String {
    let mut out = format!("{} version {} {}", schema.name, schema.version, schema.kind.as_str());
    if schema.kind == StorageKind::Plain {
        put(&mut out, format_args!(" size {} align {}", schema.size, schema.align));
    }
    if schema.finite {
        out.push_str(" finite");
    }
    if let Some(word) = schema.access.word() {
        put(&mut out, format_args!(" {word}"));
    }
    for field in &schema.fields {
        out.push('\n');
        put_field(&mut out, field, schema.kind);
    }
    out.push('\n');
    out
}

fn put_field(out: &mut String, field: &Field, kind: StorageKind) {
    put(out, format_args!("{}: {}", field.name, field.ty));
    if kind == StorageKind::Plain {
        put(out, format_args!(" @{}", field.offset));
    }
    if let Some(default) = &field.default {
        out.push_str(" = ");
        put_value(out, default);
    }
    if let Some(was) = &field.was {
        put(out, format_args!(" was {was}"));
    }
}

/// JSON without spaces and with sorted keys, whatever order the map of `serde_json` keeps in this build.
pub(crate) fn put_value(out: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                put_value(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                put(out, format_args!("{}:", Value::from(key.as_str())));
                put_value(out, item);
            }
            out.push('}');
        }
        scalar => put(out, format_args!("{scalar}")),
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes everything");
}
