//! What may be changed while a world runs: its settings, as people write them.
//!
//! They stand in a key-value bucket beside the world's log ([`crate::log::jet::Bucket`]), each with a revision. Whoever
//! leads takes them between two ticks and records what it took, so that whoever repeats the ticks takes the same.
//! Here is only what they look like: a value that is wrong is refused whole, with a reason that says what is right.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// Bytes of a value, at the most.
pub const MAX_VALUE: usize = 1024;
/// Ticks a second, at the least: in a slower world nobody could tell that it runs.
pub const LEAST_RATE: f64 = 0.01;
/// Ticks a second, at the most.
pub const MOST_RATE: f64 = 10_000.0;
/// Bytes of a filter for the log, at the most.
const MAX_FILTER: usize = 256;
/// Characters of a foreign key or value that are repeated in a reason.
const SHOWN: usize = 40;

/// The name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Ticks a second.
    Rate,
    /// What a coordinator's process logs.
    LogLevel,
    /// Whether the world stands still.
    Paused,
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rate, Self::LogLevel, Self::Paused];

    /// As it stands in the bucket.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::LogLevel => "log_level",
            Self::Paused => "paused",
        }
    }

    /// What a value is, for people.
    #[must_use]
    pub fn means(self) -> &'static str {
        match self {
            Self::Rate => "ticks a second, 0.01 to 10000",
            Self::LogLevel => "what the coordinator logs: `warn`, or `info,engine_app=debug`",
            Self::Paused => "`true` or `false`",
        }
    }

    /// The key of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// The names of all of them, for people.
    #[must_use]
    pub fn known() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// A setting with its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// Ticks a second: a tick is one part in so many of a second of simulated time from now on.
    Rate(f64),
    /// What the process of the coordinator logs. No part of the world; recorded so that the next one has it.
    LogLevel(String),
    /// The world stands still, or goes on.
    Paused(bool),
}

impl Setting {
    /// Its name.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Rate(_) => Key::Rate,
            Self::LogLevel(_) => Key::LogLevel,
            Self::Paused(_) => Key::Paused,
        }
    }

    /// Its value, as it is written.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Rate(rate) => rate.to_string(),
            Self::LogLevel(filter) => filter.clone(),
            Self::Paused(paused) => paused.to_string(),
        }
    }

    /// Whether the value may be. Those of records are looked at as well: their bytes come from elsewhere.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self) -> Result<(), Wrong> {
        let wrong = || Wrong::Value { key: self.key(), value: shown(&self.value()), reason: String::new() };
        match self {
            Self::Rate(rate) if !(LEAST_RATE..=MOST_RATE).contains(rate) => Err(wrong()),
            Self::LogLevel(filter) => read_filter(filter).map(drop),
            Self::Rate(_) | Self::Paused(_) => Ok(()),
        }
    }

    fn read(key: Key, text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        let wrong = || Wrong::Value { key, value: shown(text), reason: String::new() };
        let setting = match key {
            Key::Rate => Self::Rate(text.parse().map_err(|_| wrong())?),
            Key::LogLevel => Self::LogLevel(text.to_owned()),
            Key::Paused => Self::Paused(text.parse().map_err(|_| wrong())?),
        };
        setting.check().map(|()| setting)
    }
}

/// Reads a filter of the log. Values of fields are no patterns: those could be made to cost as much as one likes.
///
/// # Errors
/// When it is none.
pub(crate) fn read_filter(text: &str) -> Result<EnvFilter, Wrong> {
    let wrong = |reason: String| Wrong::Value { key: Key::LogLevel, value: shown(text), reason };
    if text.is_empty() || text.len() > MAX_FILTER {
        return Err(wrong(format!(": 1 to {MAX_FILTER} bytes are allowed")));
    }
    EnvFilter::builder().with_regex(false).parse(text).map_err(|error| wrong(format!(": {error}")))
}

/// What stands in the bucket under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, whatever it is.
    pub key: String,
    /// Which entry of the bucket it is.
    pub revision: u64,
    /// The value, whatever it is.
    pub value: Bytes,
}

impl Entry {
    /// What it sets.
    ///
    /// # Errors
    /// When nobody has such a setting, or it may not have this value.
    pub fn read(&self) -> Result<Setting, Wrong> {
        let key = Key::of(&self.key).ok_or_else(|| Wrong::Key { key: shown(&self.key) })?;
        if self.value.len() > MAX_VALUE {
            return Err(Wrong::TooLong { key, bytes: self.value.len() });
        }
        let text = std::str::from_utf8(&self.value).map_err(|_| Wrong::NoText { key })?;
        Setting::read(key, text)
    }
}

/// Why an entry is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Nobody knows the key.
    #[error("there is no setting `{key}`; there are: {}", Key::known())]
    Key {
        /// Its beginning.
        key: String,
    },
    /// The value is too long to be looked at.
    #[error("{bytes} bytes, where {MAX_VALUE} are the most; `{}` is {}", key.name(), key.means())]
    TooLong {
        /// The key.
        key: Key,
        /// Its bytes.
        bytes: usize,
    },
    /// The value is no text.
    #[error("the value is no UTF-8 text; `{}` is {}", key.name(), key.means())]
    NoText {
        /// The key.
        key: Key,
    },
    /// The value may not be.
    #[error("`{value}` is no value of it{reason}; `{}` is {}", key.name(), key.means())]
    Value {
        /// The key.
        key: Key,
        /// The beginning of the value.
        value: String,
        /// What is known besides.
        reason: String,
    },
}

/// The beginning of what somebody wrote, without what could steer a terminal.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, value: impl Into<Bytes>) -> Result<Setting, String> {
        let entry = Entry { key: key.into(), revision: 1, value: value.into() };
        entry.read().map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        assert_eq!(read("rate", " 30\n"), Ok(Setting::Rate(30.0)));
        assert_eq!(read("rate", "0.5"), Ok(Setting::Rate(0.5)));
        assert_eq!(read("paused", "true"), Ok(Setting::Paused(true)));
        assert_eq!(read("log_level", "info,engine_app=debug").unwrap().value(), "info,engine_app=debug");
    }

    #[test]
    fn hostile_values_are_refused_with_what_would_be_right() {
        for rate in ["0", "-1", "NaN", "inf", "1e9", "", "30 Hz", "-0", "1e-300", "30,5"] {
            let reason = read("rate", rate).unwrap_err();
            assert!(reason.contains("0.01 to 10000"), "{rate}: {reason}");
        }
        for paused in ["yes", "1", "TRUE", ""] {
            assert!(read("paused", paused).unwrap_err().contains("`true` or `false`"), "{paused}");
        }
        let long = "a".repeat(MAX_FILTER + 1);
        for filter in ["engine=loud", "", "a=b=c", &long] {
            assert!(read("log_level", filter.to_owned()).is_err(), "{filter}");
        }
        assert!(read("rate", vec![0xff, 0xfe]).unwrap_err().contains("no UTF-8 text"));
        let reason = read("rate", vec![b'9'; 1 << 20]).unwrap_err();
        assert!(reason.starts_with("1048576 bytes"), "{reason}");
    }

    #[test]
    fn a_key_that_nobody_knows_is_named_with_those_that_are_known() {
        let reason = read("rat", "30").unwrap_err();
        assert_eq!(reason, "there is no setting `rat`; there are: rate, log_level, paused");
        let reason = read(&"\u{1b}[2J".repeat(1000), "30").unwrap_err();
        assert!(!reason.contains('\u{1b}') && reason.len() < 600, "{reason}");
    }
}
