//! The entities inside of values. In JSON, where scenes are saved and loaded, and in stored rows, where
//! entities that had no number get one.

use serde_json::Value;

use super::{Field, FieldType, Schema, document};
use crate::data::StorageKind;
use crate::{Entity, msgpack};

impl Schema {
    /// Whether a value may name entities. Any document may.
    #[must_use]
    pub fn may_hold_entities(&self) -> bool {
        let mut holds = self.kind == StorageKind::Document;
        self.for_each_scalar(|ty, _| holds |= *ty == FieldType::Entity);
        holds
    }

    /// Visits every entity of a stored value.
    pub fn visit_entities(&self, row: &[u8], visit: &mut dyn FnMut(Entity)) {
        match self.kind {
            StorageKind::Document => msgpack::visit_entities(row, visit),
            StorageKind::Plain => self.for_each_scalar(|ty, offset| {
                let field = row.get(offset as usize..).and_then(<[u8]>::first_chunk::<8>);
                if let Some(field) = field.filter(|_| *ty == FieldType::Entity) {
                    visit(Entity::from_bits(u64::from_le_bytes(*field)));
                }
            }),
            StorageKind::Tag => {}
        }
    }

    /// Visits what stands for an entity in a value: a number, or whatever a file has in its place. In
    /// documents that is a field that is declared as an entity or as a list of them, and the inside of
    /// every `{"$entity": …}`. Parts that are not of the schema are passed over; [`Self::value_to_row`]
    /// refuses them.
    ///
    /// ```
    /// use engine_component::{Component, Data, Entity};
    /// #[derive(Clone, Copy, Component)]
    /// #[component(name = "doc.Pair")]
    /// #[repr(C)]
    /// struct Pair { both: [Entity; 2] }
    ///
    /// let mut value = serde_json::json!({"both": ["boss", 7]});
    /// Pair::schema().for_each_entity_value(&mut value, &mut |entity| {
    ///     if entity == "boss" { *entity = 3.into() }
    /// });
    /// assert_eq!(value, serde_json::json!({"both": [3, 7]}));
    /// ```
    pub fn for_each_entity_value(&self, value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
        match self.kind {
            StorageKind::Plain => in_component(&self.fields, value, visit),
            StorageKind::Document => in_document(&self.fields, value, visit),
            StorageKind::Tag => {}
        }
    }
}

fn in_component(fields: &[Field], value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match fields {
        // A component with nothing but one unnamed field is that field.
        [field] if field.name == "0" && value.get("0").is_none() => in_field(&field.ty, value, visit),
        fields => in_fields(fields, value, visit),
    }
}

fn in_fields(fields: &[Field], value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Array(items) => {
            fields.iter().zip(items).for_each(|(field, item)| in_field(&field.ty, item, visit));
        }
        Value::Object(map) => {
            for field in fields {
                if let Some(item) = map.get_mut(&field.name) {
                    in_field(&field.ty, item, visit);
                }
            }
        }
        _ => {}
    }
}

fn in_field(ty: &FieldType, value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match ty {
        FieldType::Entity => visit(inner(value)),
        FieldType::Struct(fields) => in_fields(fields, value, visit),
        FieldType::Array(item, _) => {
            value.as_array_mut().into_iter().flatten().for_each(|value| in_field(item, value, visit));
        }
        _ => {}
    }
}

fn in_document(fields: &[Field], value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    let Value::Object(map) = value else { return };
    for (name, value) in map {
        let declared = fields.iter().any(|field| field.name == *name && document::holds_entities(field));
        match value {
            Value::Array(items) if declared => items.iter_mut().for_each(|item| visit(inner(item))),
            Value::Null => {}
            value if declared => visit(inner(value)),
            value => marked(value, visit),
        }
    }
}

/// Every `{"$entity": …}`.
fn marked(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Object(map) if map.len() == 1 && map.contains_key("$entity") => {
            map.values_mut().for_each(&mut *visit);
        }
        Value::Object(map) => map.values_mut().for_each(|value| marked(value, visit)),
        Value::Array(items) => items.iter_mut().for_each(|value| marked(value, visit)),
        _ => {}
    }
}

/// `{"$entity": 7}` is as good as `7`.
fn inner(value: &mut Value) -> &mut Value {
    if value.as_object().is_some_and(|map| map.len() == 1 && map.contains_key("$entity")) {
        &mut value["$entity"]
    } else {
        value
    }
}
