//! How two schemas of one name differ, for people: a line per difference.

use std::fmt;

use super::{Field, Schema, text};
use crate::data::StorageKind;

/// The differences of two schemas: what one side has, and what the other offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaDiff {
    lines: Vec<String>,
}

impl SchemaDiff {
    /// The differences between the schema that values are stored by and the one that is offered.
    #[must_use]
    pub fn between(stored: &Schema, offered: &Schema) -> Self {
        let mut diff = Self { lines: Vec::new() };
        diff.differ("name", &stored.name, &offered.name);
        diff.differ("version", &stored.version, &offered.version);
        diff.differ("storage", &stored.kind.as_str(), &offered.kind.as_str());
        diff.differ("size", &stored.size, &offered.size);
        diff.differ("alignment", &stored.align, &offered.align);
        diff.differ("finite", &stored.finite, &offered.finite);
        for field in &stored.fields {
            match offered.field(&field.name) {
                Some(other) => diff.differ(
                    &format!("field `{}`", field.name),
                    &shown(field, stored.kind),
                    &shown(other, offered.kind),
                ),
                None => diff.lines.push(format!("field `{}`: {}, not offered", field.name, shown(field, stored.kind))),
            }
        }
        for field in offered.fields.iter().filter(|field| stored.field(&field.name).is_none()) {
            diff.lines.push(format!("field `{}`: not there, offered {}", field.name, shown(field, offered.kind)));
        }
        diff
    }

    /// Whether the schemas say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds why one cannot be read as the other.
    pub(super) fn because(mut self, reasons: Vec<String>) -> Self {
        self.lines.extend(reasons);
        self
    }

    fn differ<T: PartialEq + fmt::Display>(&mut self, what: &str, stored: &T, offered: &T) {
        if stored != offered {
            self.lines.push(format!("{what}: {stored}, offered {offered}"));
        }
    }
}

fn shown(field: &Field, kind: StorageKind) -> String {
    let mut shown = field.ty.to_string();
    if kind == StorageKind::Plain {
        shown += &format!(" at byte {}", field.offset);
    }
    if let Some(default) = &field.default {
        shown += " = ";
        text::put_value(&mut shown, default);
    }
    if let Some(was) = &field.was {
        shown += &format!(" (was `{was}`)");
    }
    shown
}

impl fmt::Display for SchemaDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}  {line}")?;
        }
        Ok(())
    }
}
