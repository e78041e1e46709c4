//! The shape of a configuration file, as JSON Schema: for editors that complete and check it while it is written.

use std::any::TypeId;

use clap::{Arg, ArgAction, Args, Command};
use engine_net::config::{ConnectionArgs, SETTINGS};
use serde_json::{Map, Value, json};

use super::arguments;

/// The schema of a file for these roles.
#[must_use]
pub fn schema(roles: &[(&str, Command)]) -> Value {
    let connection = ConnectionArgs::augment_args(Command::new("connection"));
    let mut top = Map::new();
    let mut tables: Map<String, Value> = Map::new();
    for setting in &SETTINGS {
        let flag = setting.flag();
        let Some(arg) = connection.get_arguments().find(|arg| arg.get_long() == Some(&flag[2..])) else { continue };
        let property = property(arg, setting.key == "url");
        match setting.table {
            None => drop(top.insert(setting.key.to_owned(), property)),
            Some(table) => insert(&mut tables, table, setting.key, property),
        }
    }
    for (role, command) in roles {
        for arg in arguments(command) {
            let key = arg.get_long().unwrap_or_default().replace('-', "_");
            insert(&mut tables, role, &key, property(arg, matches!(arg.get_action(), ArgAction::Append)));
        }
    }
    let tables = tables.into_iter().map(|(name, properties)| {
        (name, json!({ "type": "object", "additionalProperties": false, "properties": properties }))
    });
    top.extend(tables);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of Engine",
        "type": "object",
        "additionalProperties": false,
        "properties": top,
    })
}

fn insert(tables: &mut Map<String, Value>, table: &str, key: &str, property: Value) {
    if let Value::Object(properties) = tables.entry(table).or_insert_with(|| json!({})) {
        properties.insert(key.to_owned(), property);
    }
}

fn property(arg: &Arg, may_be_list: bool) -> Value {
    let mut property = Map::new();
    if let Some(help) = arg.get_help() {
        let help = help.to_string();
        // Where else it may be said, and what it is else, is no part of what it means.
        property.insert("description".to_owned(), help.split(" [env: ").next().unwrap_or_default().into());
    }
    let kind = kind(arg);
    let shape = if may_be_list { json!([kind, "array"]) } else { kind.into() };
    property.insert("type".to_owned(), shape);
    if may_be_list {
        property.insert("items".to_owned(), json!({ "type": kind }));
    }
    if let Some(default) = arg.get_default_values().first().and_then(|default| default.to_str()) {
        let default = match kind {
            "string" => default.into(),
            _ => serde_json::from_str(default).unwrap_or_else(|_| default.into()),
        };
        if !matches!(arg.get_action(), ArgAction::SetTrue) {
            property.insert("default".to_owned(), default);
        }
    }
    Value::Object(property)
}

fn kind(arg: &Arg) -> &'static str {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return "boolean";
    }
    let of = arg.get_value_parser().type_id();
    let is = |types: &[TypeId]| types.iter().any(|kind| of == *kind);
    let integers =
        [TypeId::of::<u8>(), TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()];
    if is(&[TypeId::of::<bool>()]) {
        "boolean"
    } else if is(&integers) {
        "integer"
    } else if is(&[TypeId::of::<f64>(), TypeId::of::<f32>()]) {
        "number"
    } else {
        "string"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::CoordinatorArgs;

    #[test]
    fn every_setting_is_there_with_its_type() {
        let command = CoordinatorArgs::augment_args(Command::new("coordinator"));
        let schema = schema(&[("coordinator", command)]);
        let of = |table: &str, key: &str| schema["properties"][table]["properties"][key].clone();
        assert_eq!(schema["properties"]["world"]["type"], "string");
        assert_eq!(of("nats", "url")["type"], json!(["string", "array"]));
        assert_eq!(
            (of("nats", "ping_ms")["type"].clone(), of("nats", "tls")["type"].clone()),
            (json!("integer"), json!("boolean"))
        );
        assert_eq!(
            of("coordinator", "rate"),
            json!({ "description": "Ticks a second", "type": "number", "default": 60 })
        );
        assert_eq!(of("coordinator", "expect")["items"]["type"], "string");
        assert_eq!(of("coordinator", "keep_events")["type"], json!(["string", "array"]));
        assert_eq!(of("coordinator", "paused")["type"], "boolean");
        assert!(of("coordinator", "nats_url").is_null() && of("coordinator", "help").is_null());
        assert_eq!(schema["properties"]["nats"]["additionalProperties"], false);
    }
}
