//! Writes entities down, in either format, so that the same entities are the same text.

use std::collections::BTreeMap;
use std::fmt::Write;

use engine_component::Entity;
use engine_net::messages::query::QueryRow;
use engine_net::messages::value::Value;

use super::Format;
use crate::tool::schemas::Schemas;

/// Which number an entity has in the file.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    given: BTreeMap<Entity, u64>,
    keep: bool,
}

impl Numbers {
    /// `keep` leaves entities the numbers of their world; else they are numbered 1, 2, 3 … as they are added.
    #[must_use]
    pub fn new(keep: bool) -> Self {
        Self { given: BTreeMap::new(), keep }
    }

    /// Adds an entity; one that is there keeps its number.
    pub fn add(&mut self, entity: Entity) -> u64 {
        let next = if self.keep { entity.to_bits() } else { self.given.len() as u64 + 1 };
        *self.given.entry(entity).or_insert(next)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.given.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// The number; 0 for an entity that is not in the file.
    #[must_use]
    pub fn of(&self, entity: Entity) -> u64 {
        self.given.get(&entity).copied().unwrap_or(0)
    }
}

/// Writes rows as text.
#[derive(Debug)]
pub struct Writer<'a> {
    /// How.
    pub format: Format,
    /// What the components look like.
    pub schemas: &'a Schemas,
    /// References to entities that are not in the file; they were written as 0.
    pub dangling: usize,
}

impl Writer<'_> {
    /// The text of an entity.
    ///
    /// # Errors
    /// When the format has no words for a value.
    pub fn entity(&mut self, row: &QueryRow, numbers: &Numbers) -> Result<String, String> {
        let mut components = row.components.clone();
        for (name, value) in &mut components {
            let Some(schema) = self.schemas.get(name) else { continue };
            schema.for_each_entity_value(value, &mut |reference| {
                if let Some(number) = reference.as_u64().filter(|number| *number != 0) {
                    let written = numbers.of(Entity::from_bits(number));
                    self.dangling += usize::from(written == 0);
                    *reference = written.into();
                }
            });
        }
        let number = numbers.of(row.entity);
        let mut text = String::new();
        match self.format {
            Format::Lines => {
                write!(text, "{{\"entity\":{number}").expect("a string takes everything");
                for (name, value) in &components {
                    write!(text, ",{}:{value}", Value::from(name.as_str())).expect("a string takes everything");
                }
                text.push_str("}\n");
            }
            Format::Toml => {
                writeln!(text, "[[entity]]\nentity = {number}").expect("a string takes everything");
                for (name, value) in &components {
                    text.push_str(&key(name));
                    text.push_str(" = ");
                    put_toml(&mut text, value)
                        .map_err(|reason| format!("entity {}, `{name}`: {reason}", row.entity))?;
                    text.push('\n');
                }
                text.push('\n');
            }
        }
        Ok(text)
    }
}

fn put_toml(out: &mut String, value: &Value) -> Result<(), String> {
    match value {
        Value::Null => return Err("TOML has no null inside of a list; save it as lines of JSON (.jsonl)".into()),
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                put_toml(out, item)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            // A key without a value is how TOML says null.
            let given: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            out.push_str(if given.is_empty() { "{" } else { "{ " });
            for (index, (name, value)) in given.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                out.push_str(&key(name));
                out.push_str(" = ");
                put_toml(out, value)?;
            }
            out.push_str(if given.is_empty() { "}" } else { " }" });
        }
        scalar => write!(out, "{scalar}").expect("a string takes everything"),
    }
    Ok(())
}

fn key(name: &str) -> String {
    let bare =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if bare { name.to_owned() } else { quoted(name) }
}

/// TOML's basic strings are JSON's, but for DEL, which has to be escaped.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
