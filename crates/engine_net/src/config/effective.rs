//! What settings are in the end, and where each comes from: for people.

use std::{path::PathBuf, time::Duration};

use super::{
    ConnectionArgs, ConnectionConfig, Layers,
    args::{SETTINGS, Setting},
};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A context of the `nats` command, in this file.
    Context(PathBuf),
    /// File and line.
    File(String),
    /// A variable of the environment.
    Variable(String),
    /// The command line.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Context(path) => write!(f, "context {}", path.display()),
            Self::File(place) => f.write_str(place),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A setting as it is in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The table that it has in a file; none at the top.
    pub table: Option<String>,
    /// Its key there.
    pub key: String,
    /// Its value, for people: secrets are not shown. None when there is none.
    pub value: Option<String>,
    /// Where that comes from.
    pub origin: Origin,
}

impl Layers {
    /// Every setting with its origin, in the order of [`SETTINGS`]. Of several ways to log in, the one that counts.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        let merged = self.merged().shown();
        let [flags, environment, file] = [&self.flags, &self.environment, &self.file].map(ConnectionArgs::shown);
        let context = self.context.as_ref().map(|(path, layer)| (path, layer.shown()));
        let one = |(number, setting): (usize, &Setting)| {
            let origin = if merged[number].is_none() {
                Origin::Default
            } else if flags[number].is_some() {
                Origin::Flag(setting.flag())
            } else if environment[number].is_some() {
                Origin::Variable(setting.variable.to_owned())
            } else if file[number].is_some() {
                Origin::File(self.places[number].clone())
            } else {
                context.as_ref().map_or(Origin::Default, |(path, _)| Origin::Context((*path).clone()))
            };
            Effective {
                table: setting.table.map(str::to_owned),
                key: setting.key.to_owned(),
                value: merged[number].clone().or_else(|| default_of(setting)),
                origin,
            }
        };
        SETTINGS.iter().enumerate().map(one).collect()
    }
}

/// What a setting is when nobody says anything.
fn default_of(setting: &Setting) -> Option<String> {
    let default = ConnectionConfig::default();
    let ms = |time: Duration| Some(time.as_millis().to_string());
    match (setting.table, setting.key) {
        (None, "world") => Some(default.world),
        (None, "prefix") => Some(default.prefix),
        (Some("nats"), "url") => Some(default.urls.join(",")),
        (Some("nats"), "inbox") => Some(default.inbox_prefix),
        (Some("nats"), "tls" | "tls_first" | "wait") => Some("false".to_owned()),
        (Some("nats"), "ping_ms") => ms(default.ping_interval),
        (Some("nats"), "connect_ms") => ms(default.connect_timeout),
        (Some("nats"), "reconnect_ms") => ms(default.reconnect_max_delay),
        _ => None,
    }
}
