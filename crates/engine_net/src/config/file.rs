//! The configuration file: what it says, and on which line.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use engine_component::schema::nearest;
use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::ConfigError;

/// A configuration file that was read. It may hold secrets.
#[derive(Clone)]
pub struct ConfigFile {
    path: PathBuf,
    table: Table,
    /// The line of each key, by its table.
    lines: BTreeMap<(Option<String>, String), usize>,
}

impl std::fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ConfigFile {
    /// The file that is given, else that of `ENGINE_CONFIG`, if any.
    ///
    /// # Errors
    /// When it can't be read, or is not TOML.
    pub fn find(
        given: Option<PathBuf>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ConfigError> {
        let variable = || environment("ENGINE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        given.or_else(variable).map(|path| Self::read(&path)).transpose()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or is not TOML.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable { path: path.into(), reason })?;
        Self::parse(path, &text)
    }

    /// Understands a file's text; `path` is for messages.
    ///
    /// # Errors
    /// When it is not TOML.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let line = |at: usize| 1 + text[..at].matches('\n').count();
        // `message` and not the whole error: that one quotes the line, which may hold a password.
        let bad = |error: toml::de::Error| ConfigError::Syntax {
            path: path.into(),
            reason: match error.span() {
                Some(span) => format!("line {}: {}", line(span.start), error.message()),
                None => error.message().to_owned(),
            },
        };
        let table = text.parse().map_err(bad)?;
        let mut lines = BTreeMap::new();
        for (key, value) in DeTable::parse(text).map_err(bad)?.into_inner() {
            let (name, at) = (key.get_ref().to_string(), line(key.span().start));
            if let DeValue::Table(inner) = value.get_ref() {
                let inner = inner.keys().map(|key| (key.get_ref().to_string(), line(key.span().start)));
                lines.extend(inner.map(|(key, at)| ((Some(name.clone()), key), at)));
            }
            lines.insert((None, name), at);
        }
        Ok(Self { path: path.into(), table, lines })
    }

    /// Where it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses tables where values belong.
    ///
    /// # Errors
    /// For the first of these keys that is a table.
    pub fn check_values(&self, table: Option<&str>, keys: &[&str]) -> Result<(), ConfigError> {
        let inner = match table {
            None => Some(&self.table),
            Some(name) => self.table.get(name).and_then(Value::as_table),
        };
        let is_table = |key: &&&str| inner.is_some_and(|inner| inner.get(**key).is_some_and(Value::is_table));
        let Some(key) = keys.iter().find(is_table) else { return Ok(()) };
        let section = table.map_or_else(String::new, |table| format!("{table}."));
        let reason = format!("`{section}{key}` has a value, and is no table");
        Err(ConfigError::Value { source_name: self.place(table, key), reason })
    }

    /// A value, as one would write it behind a flag: at the top of the file, or of a table.
    #[must_use]
    pub fn text(&self, table: Option<&str>, key: &str) -> Option<String> {
        let table = match table {
            Some(name) => self.table.get(name)?.as_table()?,
            None => &self.table,
        };
        table.get(key).filter(|value| !value.is_table()).map(text_of)
    }

    /// File and line of a key, for messages: `engine.toml:7`.
    #[must_use]
    pub fn place(&self, table: Option<&str>, key: &str) -> String {
        let path = self.path.display();
        match self.lines.get(&(table.map(str::to_owned), key.to_owned())) {
            Some(line) => format!("{path}:{line}"),
            None => path.to_string(),
        }
    }

    /// Refuses keys that nobody knows, and names the nearest known one.
    ///
    /// # Errors
    /// For the first key of the table, or of the top of the file, that is none of `known`.
    pub fn check_keys(&self, table: Option<&str>, known: &[&str]) -> Result<(), ConfigError> {
        let keys = match table {
            None => &self.table,
            Some(name) => match self.table.get(name) {
                None => return Ok(()),
                Some(Value::Table(table)) => table,
                Some(_) => {
                    let reason = format!("`{name}` must be a table: [{name}]");
                    return Err(ConfigError::Value { source_name: self.place(None, name), reason });
                }
            },
        };
        let Some(key) = keys.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
        let suggestion = match nearest(key, known.iter().copied()) {
            Some(near) => format!("is `{near}` meant?"),
            None => format!("known are {}", known.join(", ")),
        };
        let section = table.map_or_else(String::new, |table| format!(" [{table}]:"));
        let source_name = format!("{}:{section}", self.place(table, key));
        Err(ConfigError::UnknownKey {
            source_name: source_name.trim_end_matches(':').into(),
            key: key.clone(),
            suggestion,
        })
    }
}

/// A TOML value as one would write it behind a flag.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_lines() {
        let file = ConfigFile::parse(Path::new("e.toml"), "a = 1\n\n[nats]\n# here\nurl = ['x', 'y']\n").unwrap();
        assert_eq!((file.place(None, "a"), file.place(Some("nats"), "url")), ("e.toml:1".into(), "e.toml:5".into()));
        assert_eq!(
            (file.text(None, "a").unwrap(), file.text(Some("nats"), "url").unwrap()),
            ("1".into(), "x,y".into())
        );
        assert_eq!((file.text(None, "nats"), file.text(Some("log"), "url")), (None, None));
        assert_eq!(file.place(None, "b"), "e.toml");
    }

    #[test]
    fn what_it_says_is_not_shown_by_accident() {
        let file = ConfigFile::parse(Path::new("e.toml"), "[nats]\npassword = 'hush'").unwrap();
        assert!(!format!("{file:?}").contains("hush"));
    }
}
