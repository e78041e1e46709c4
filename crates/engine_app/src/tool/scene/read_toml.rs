//! TOML: a list of tables `entity`.

use engine_component::schema::nearest;
use engine_net::messages::value::Value;
use toml::de::{DeTable, DeValue};

use super::{Part, SceneEntry, SceneError, Tree};
use crate::tool::assign::float;

pub(super) fn entities(text: &str) -> Result<Vec<SceneEntry>, SceneError> {
    let lines = Lines::of(text);
    let root = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.at(span.start));
        SceneError::new(line, error.message())
    })?;
    let mut entities = Vec::new();
    for (key, value) in root.into_inner() {
        let line = lines.at(key.span().start);
        if key.get_ref() != "entity" {
            let hint = nearest(key.get_ref(), ["entity"].into_iter())
                .map_or("entities are written as [[entity]]", |_| "did you mean [[entity]]?");
            return Err(SceneError::new(line, format_args!("`{}` is nothing that a scene has; {hint}", key.get_ref())));
        }
        let DeValue::Array(items) = value.into_inner() else {
            return Err(SceneError::new(line, "`entity` is a list of tables: write [[entity]], with two brackets"));
        };
        for item in items {
            let line = lines.at(item.span().start);
            let DeValue::Table(table) = item.into_inner() else {
                return Err(SceneError::new(line, "an entity is a table: write [[entity]]"));
            };
            entities.push(SceneEntry::new(line, parts(table, &lines)?)?);
        }
    }
    Ok(entities)
}

fn parts(table: DeTable<'_>, lines: &Lines) -> Result<Vec<Part>, SceneError> {
    let part = |(key, value): (toml::Spanned<toml::de::DeString<'_>>, toml::Spanned<DeValue<'_>>)| {
        let line = lines.at(key.span().start);
        let tree = match value.into_inner() {
            DeValue::Table(table) => Tree::Table(parts(table, lines)?),
            value => Tree::Value(scalar(value, line)?),
        };
        Ok(Part { key: key.into_inner().into_owned(), line, tree })
    };
    table.into_iter().map(part).collect()
}

fn scalar(value: DeValue<'_>, line: usize) -> Result<Value, SceneError> {
    Ok(match value {
        DeValue::String(text) => text.into_owned().into(),
        DeValue::Integer(number) => {
            let (text, radix) = (number.as_str(), number.radix());
            match (u64::from_str_radix(text, radix), i64::from_str_radix(text, radix)) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => return Err(SceneError::new(line, format_args!("{text} has more than 64 bits"))),
            }
        }
        DeValue::Float(number) => {
            let text = number.as_str();
            float(text.parse().map_err(|_| SceneError::new(line, format_args!("{text} is no number")))?)
        }
        DeValue::Boolean(flag) => flag.into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(items) => {
            items.into_iter().map(|item| scalar(item.into_inner(), line)).collect::<Result<Value, _>>()?
        }
        DeValue::Table(table) => {
            let entry = |(key, value): (toml::Spanned<toml::de::DeString<'_>>, toml::Spanned<DeValue<'_>>)| {
                Ok((key.into_inner().into_owned(), scalar(value.into_inner(), line)?))
            };
            Value::Object(table.into_iter().map(entry).collect::<Result<_, SceneError>>()?)
        }
    })
}

/// Where the lines of a text start.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|start| *start <= byte)
    }
}
