//! What a connection to NATS needs to know, and where it comes from.
//!
//! Defaults < context of the `nats` command < file (TOML) < environment < flags. The layers are one type, [`ConnectionArgs`], so that
//! a setting is declared once; [`ConnectionConfig`] is what they amount to, checked and complete.
//! Secrets are [`Secret`]s and never appear in `Debug` output or in an error.
//!
//! ```toml
//! world = "arena"
//! [nats]
//! url = "nats://10.0.0.1:4222"
//! user = "coordinator"
//! ```

mod args;
mod context;
mod effective;
mod error;
mod file;
mod finish;
mod layers;
mod login;
mod secret;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Duration};

pub use args::{ConnectionArgs, SETTINGS, Setting, TABLES};
pub use effective::{Effective, Origin};
pub use error::ConfigError;
pub use file::ConfigFile;
pub use layers::{Layers, ROLES, environment, reason_of};
pub use secret::{Secret, ServerUrls};

use crate::name::NameError;
use crate::subject::Subjects;

/// Who one is, for the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// A user of the server's configuration.
    UserPassword {
        /// Its name.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// A token that all clients share.
    Token(Secret),
    /// A file with a user JWT and its seed, as `nsc` writes it.
    File(PathBuf),
    /// The seed (`SU…`) of a user nkey, or the path of a file that holds it.
    Nkey(Secret),
}

/// Encryption of the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Don't talk to a server without it.
    pub required: bool,
    /// Shake hands before the server's greeting; the server needs `handshake_first`.
    pub first: bool,
    /// Authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate, if the server asks for one.
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
}

/// How the world log is reached, where that differs from the world: it may live in an account of its own, which
/// only coordinators can enter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConnection {
    /// Its servers, if they are others.
    pub urls: Option<Vec<String>>,
    /// Who one is there, if it is somebody else.
    pub credentials: Option<Credentials>,
    /// Its prefix of reply subjects, if it is another.
    pub inbox_prefix: Option<String>,
    /// A user of the server's system account, to ask whether it syncs before it acknowledges.
    pub system: Option<Credentials>,
}

impl LogConnection {
    /// What makes another process reach the log as this one does, beside
    /// [`ConnectionConfig::to_environment`]. It holds secrets: for coordinators only.
    #[must_use]
    pub fn to_environment(&self) -> Vec<(&'static str, String)> {
        const LOG: [&str; 5] =
            ["NATS_LOG_USER", "NATS_LOG_PASSWORD", "NATS_LOG_TOKEN", "NATS_LOG_CREDS", "NATS_LOG_NKEY"];
        // The system account has no tokens and nkeys of ours.
        const SYSTEM: [&str; 5] = ["NATS_LOG_SYSTEM_USER", "NATS_LOG_SYSTEM_PASSWORD", "", "NATS_LOG_SYSTEM_CREDS", ""];
        let mut variables = Vec::new();
        variables.extend(self.urls.iter().map(|urls| ("NATS_LOG_URL", urls.join(","))));
        variables.extend(self.inbox_prefix.iter().map(|inbox| ("NATS_LOG_INBOX", inbox.clone())));
        variables.extend(self.credentials.iter().flat_map(|credentials| credentials.to_environment(LOG)));
        variables.extend(self.system.iter().flat_map(|credentials| credentials.to_environment(SYSTEM)));
        variables.retain(|(name, _)| !name.is_empty());
        variables
    }
}

impl Credentials {
    /// As variables of these names: user, password, token, credentials file, nkey.
    fn to_environment(&self, names: [&'static str; 5]) -> Vec<(&'static str, String)> {
        match self {
            Self::None => Vec::new(),
            Self::UserPassword { user, password } => {
                vec![(names[0], user.clone()), (names[1], password.expose().to_owned())]
            }
            Self::Token(token) => vec![(names[2], token.expose().to_owned())],
            Self::File(path) => vec![(names[3], path.display().to_string())],
            Self::Nkey(seed) => vec![(names[4], seed.expose().to_owned())],
        }
    }
}

/// Where the servers are, who one is there, and how patient one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Servers of one cluster; any of them will do. Without credentials: those are in `credentials`.
    pub urls: Vec<String>,
    /// Who one is.
    pub credentials: Credentials,
    /// Encryption.
    pub tls: Tls,
    /// What is different for the world log.
    pub log: LogConnection,
    /// The JetStream domain of the log's streams, if it is not the server's own.
    pub domain: Option<String>,
    /// First token of every subject.
    pub prefix: String,
    /// Second token of every subject.
    pub world: String,
    /// Who one is to the world: a token of the subjects of commands and watches, if one has a name.
    pub identity: Option<String>,
    /// Replies arrive below `<inbox_prefix>.<name of the connection>`: private where the server's
    /// permissions say so.
    pub inbox_prefix: String,
    /// A frozen server or a cut network is noticed after three of these.
    pub ping_interval: Duration,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// Whether to wait for a server that isn't there yet, instead of failing.
    pub wait_for_server: bool,
    /// The longest pause between two attempts to connect.
    pub reconnect_max_delay: Duration,
    /// Attempts to reconnect before a connection is given up; `None` never gives up.
    pub max_reconnects: Option<usize>,
    /// Messages that wait in one subscription before more are dropped (and a slow consumer reported).
    pub subscription_capacity: usize,
    /// Messages that wait to be written before `publish` refuses more.
    pub publish_capacity: usize,
    /// Bytes that wait to be written before `publish` refuses more.
    pub publish_bytes: usize,
    /// Events that wait for the program before subscriptions are no longer read.
    pub event_capacity: usize,
    /// Bytes of messages that the program may hold before subscriptions are no longer read.
    pub event_bytes: usize,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            urls: vec!["nats://127.0.0.1:4222".into()],
            credentials: Credentials::None,
            tls: Tls::default(),
            log: LogConnection::default(),
            domain: None,
            prefix: "engine".into(),
            world: "main".into(),
            identity: None,
            inbox_prefix: "_INBOX".into(),
            ping_interval: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(5),
            wait_for_server: false,
            reconnect_max_delay: Duration::from_millis(500),
            max_reconnects: None,
            subscription_capacity: 8192,
            publish_capacity: 16 * 1024,
            publish_bytes: 64 << 20,
            event_capacity: 64 * 1024,
            event_bytes: 256 << 20,
        }
    }
}

impl ConnectionConfig {
    /// A configuration for one server, everything else as by default.
    #[must_use]
    pub fn new(url: impl Into<String>, credentials: Credentials) -> Self {
        Self { urls: vec![url.into()], credentials, ..Self::default() }
    }

    /// The root of JetStream's own subjects, in the domain that it is in.
    #[must_use]
    pub fn jetstream(&self) -> String {
        match &self.domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        }
    }

    /// The subjects of the world, as this one uses them.
    ///
    /// # Errors
    /// When one of the names can't stand in a subject.
    pub fn subjects(&self) -> Result<Subjects, NameError> {
        Subjects::new(&self.prefix, &self.world)?.with_identity(self.identity.as_deref())
    }

    /// The servers, for people.
    #[must_use]
    pub fn servers(&self) -> String {
        self.urls.join(", ")
    }

    /// How to reach the world log: as the world, where nothing else was said.
    #[must_use]
    pub fn log_connection(&self) -> Self {
        let mut config = self.clone();
        let log = &self.log;
        config.urls = log.urls.clone().unwrap_or(config.urls);
        config.credentials = log.credentials.clone().unwrap_or(config.credentials);
        config.inbox_prefix = log.inbox_prefix.clone().unwrap_or(config.inbox_prefix);
        config
    }

    /// The environment that makes another process connect as this one does. How the log is reached isn't part of
    /// it: that is for coordinators only, see [`LogConnection::to_environment`].
    ///
    /// It holds secrets: hand it to a child, never to a log.
    #[must_use]
    pub fn to_environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("NATS_URL", self.urls.join(",")),
            ("ENGINE_PREFIX", self.prefix.clone()),
            ("ENGINE_WORLD", self.world.clone()),
            ("NATS_INBOX", self.inbox_prefix.clone()),
            ("NATS_PING_MS", self.ping_interval.as_millis().to_string()),
            ("NATS_TLS", self.tls.required.to_string()),
            ("NATS_TLS_FIRST", self.tls.first.to_string()),
        ];
        let names = ["NATS_USER", "NATS_PASSWORD", "NATS_TOKEN", "NATS_CREDS", "NATS_NKEY"];
        variables.extend(self.identity.iter().map(|identity| ("ENGINE_IDENTITY", identity.clone())));
        variables.extend(self.domain.iter().map(|domain| ("NATS_DOMAIN", domain.clone())));
        variables.extend(self.credentials.to_environment(names));
        let files = [("NATS_TLS_CA", &self.tls.ca), ("NATS_TLS_CERT", &self.tls.cert), ("NATS_TLS_KEY", &self.tls.key)];
        variables
            .extend(files.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?.display().to_string()))));
        variables
    }
}
