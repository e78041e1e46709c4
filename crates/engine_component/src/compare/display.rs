//! A comparison as text: first what there is of differences, then entity by entity.

use std::fmt::{self, Display, Formatter};

use super::{
    Comparison, ComponentDifference, ComponentTotal, EntityDifference, FieldDifference, SchemaDifference, Shown, Whose,
};
use crate::schema::put_value;

/// Letters of a value, at the most.
const LETTERS: usize = 80;

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return write!(f, "the same: {} entities", self.counts.both);
        }
        let counts = &self.counts;
        write!(f, "entities in both: {}, of which differ: {}", counts.both, counts.differ)?;
        if counts.moved > 0 {
            write!(f, ", in another row: {}", counts.moved)?;
        }
        write!(f, "; only in a: {}; only in b: {}", counts.only_a, counts.only_b)?;
        if let Some((a, b)) = &self.settings {
            write!(f, "\nrows_per_shard: {} → {}", a.rows_per_shard, b.rows_per_shard)?;
        }
        if let Some((a, b)) = self.next_entity {
            write!(f, "\nnext entity: #{a} → #{b}")?;
        }
        self.schemas.iter().try_for_each(|schema| write!(f, "\n{schema}"))?;
        self.components.iter().try_for_each(|total| write!(f, "\n{total}"))?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n{difference}"))?;
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "\n… and more entities: {more}"),
        }
    }
}

impl Display for Whose {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "-",
            Self::B => "+",
            Self::Both => "~",
        })
    }
}

impl Display for SchemaDifference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { component, whose, .. } = self;
        match (&self.diff, whose) {
            (Some(diff), _) => write!(f, "schema of {component}, of a, and offered by b:\n{diff}"),
            (None, Whose::A) => write!(f, "schema of {component}: only a has it"),
            (None, _) => write!(f, "schema of {component}: only b has it"),
        }
    }
}

impl Display for ComponentTotal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { component, differ, only_a, only_b } = self;
        write!(f, "{component}: differ: {differ}; only in a: {only_a}; only in b: {only_b}")
    }
}

impl Display for EntityDifference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.whose, self.entity)?;
        self.components.iter().try_for_each(|component| write!(f, "\n{component}"))
    }
}

impl Display for ComponentDifference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, FieldDifference { path, a, b }) in self.fields.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            let name = &self.component;
            match self.whose {
                Whose::Both => write!(f, "{line}      {name}{dot}{path}: {a} → {b}")?,
                Whose::A => write!(f, "{line}    - {name} {a}")?,
                Whose::B => write!(f, "{line}    + {name} {b}")?,
            }
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n      {}: and more fields: {more}", self.component),
        }
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("none"),
            Self::Bytes(bytes) => write!(f, "({bytes} bytes)"),
            Self::Value(value) => {
                let mut text = String::new();
                put_value(&mut text, value);
                match text.char_indices().nth(LETTERS) {
                    Some((end, _)) => write!(f, "{}…", &text[..end]),
                    None => f.write_str(&text),
                }
            }
        }
    }
}
