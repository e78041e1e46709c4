//! Connecting to NATS, with errors that say what was tried, where, and what to do next.
//!
//! Wrong credentials fail at once (the client library alone would retry them silently for ever); a server
//! that isn't there is retried with back-off if the configuration says so; a server that is too old for
//! what the engine promises is refused.

mod error;
mod version;

use std::time::{Duration, Instant};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerInfo};

pub use error::ConnectError;
pub use version::{OLDEST_SERVER, Version};

use crate::config::{ConnectionConfig, Credentials};

/// What the server said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// The name that it was given, or gave itself.
    pub name: String,
    /// Its version, as it was written.
    pub version: String,
    /// Bytes of headers and payload of one message, at the most.
    pub max_payload: usize,
    /// The number that it gave to this connection.
    pub client_id: u64,
}

impl From<ServerInfo> for ServerFacts {
    fn from(info: ServerInfo) -> Self {
        Self { name: info.server_name, version: info.version, max_payload: info.max_payload, client_id: info.client_id }
    }
}

/// A connection that is open and whose server is new enough.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The client; a clone is another handle of the same connection.
    pub client: Client,
    /// What the server said when it was connected to.
    pub server: ServerFacts,
}

/// Connects under a name, which the server shows in its lists and which is part of the inboxes' subject.
pub async fn connect(config: &ConnectionConfig, name: &str) -> Result<Connection, ConnectError> {
    connect_with(config, name, |_| {}).await
}

/// The same, and `on_event` hears of everything that happens to the connection. It must not block.
pub async fn connect_with(
    config: &ConnectionConfig,
    name: &str,
    on_event: impl Fn(Event) + Clone + Send + Sync + 'static,
) -> Result<Connection, ConnectError> {
    let started = Instant::now();
    let mut backoff = Backoff::new(config.reconnect_max_delay);
    loop {
        let on_event = on_event.clone();
        let options = options(config, name).await?.event_callback(move |event| {
            on_event(event);
            std::future::ready(())
        });
        match options.connect(config.urls.as_slice()).await {
            Ok(client) => return accept(client),
            Err(error) => {
                let error = explain(config, &error);
                if !(config.wait_for_server && error.may_pass()) {
                    return Err(error);
                }
                if backoff.worth_a_line() {
                    tracing::warn!(servers = config.servers(), waited = ?started.elapsed(), "waiting for NATS: {error}");
                }
                tokio::time::sleep(backoff.next_pause()).await;
            }
        }
    }
}

/// Pauses that double up to a limit, and lines in the log that become rarer alike.
struct Backoff {
    pause: Duration,
    limit: Duration,
    attempts: u32,
}

impl Backoff {
    fn new(limit: Duration) -> Self {
        Self { pause: Duration::from_millis(20).min(limit), limit, attempts: 0 }
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.limit);
        pause
    }

    /// The 1st, 2nd, 4th, 8th … attempt.
    fn worth_a_line(&mut self) -> bool {
        self.attempts += 1;
        self.attempts.is_power_of_two()
    }
}

fn accept(client: Client) -> Result<Connection, ConnectError> {
    let server = ServerFacts::from(client.server_info());
    match Version::parse(&server.version) {
        Some(version) if version >= OLDEST_SERVER => Ok(Connection { client, server }),
        _ => {
            let info = client.server_info();
            Err(ConnectError::TooOld { server: format!("{}:{}", info.host, info.port), version: server.version })
        }
    }
}

async fn options(config: &ConnectionConfig, name: &str) -> Result<ConnectOptions, ConnectError> {
    let limit = config.reconnect_max_delay;
    let mut options = ConnectOptions::new()
        .name(name)
        .custom_inbox_prefix(inbox_prefix(config, name))
        .ping_interval(config.ping_interval)
        .connection_timeout(config.connect_timeout)
        .subscription_capacity(config.subscription_capacity)
        .client_capacity(config.publish_capacity)
        .max_reconnects(config.max_reconnects)
        .reconnect_delay_callback(move |attempts| reconnect_delay(attempts, limit))
        .require_tls(config.tls.required);
    if config.tls.first {
        options = options.tls_first();
    }
    if let Some(ca) = &config.tls.ca {
        options = options.add_root_certificates(readable(ca)?);
    }
    if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
        options = options.add_client_certificate(readable(cert)?, readable(key)?);
    }
    log_in(options, &config.credentials)
}

fn log_in(options: ConnectOptions, credentials: &Credentials) -> Result<ConnectOptions, ConnectError> {
    Ok(match credentials {
        Credentials::None => options,
        Credentials::UserPassword { user, password } => {
            options.user_and_password(user.clone(), password.expose().to_owned())
        }
        Credentials::Token(token) => options.token(token.expose().to_owned()),
        Credentials::File(path) => {
            let text = read(path)?;
            let bad = |_| ConnectError::File { path: path.clone(), reason: "it holds no user JWT with a seed".into() };
            options.credentials(&text).map_err(bad)?
        }
        // A seed of a user begins with SU; everything else is the path of a file.
        Credentials::Nkey(seed) if seed.expose().starts_with("SU") => options.nkey(seed.expose().to_owned()),
        Credentials::Nkey(path) => options.nkey(seed_of(&read(path.expose().as_ref())?).to_owned()),
    })
}

/// The first line that is a seed; the rest may be comments.
fn seed_of(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| line.starts_with("SU")).unwrap_or_else(|| text.trim())
}

fn read(path: &std::path::Path) -> Result<String, ConnectError> {
    std::fs::read_to_string(path).map_err(|error| ConnectError::File { path: path.into(), reason: error.to_string() })
}

fn readable(path: &std::path::Path) -> Result<std::path::PathBuf, ConnectError> {
    let opened = std::fs::File::open(path);
    opened.map_err(|error| ConnectError::File { path: path.into(), reason: error.to_string() })?;
    Ok(path.to_owned())
}

/// The first attempt at once, then 4, 8, 16 ms … up to the limit: a server that restarts is away for
/// some tens of milliseconds, and a hundred instances must not all knock in the same moment.
fn reconnect_delay(attempts: usize, limit: Duration) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doubled = Duration::from_millis(2 << attempts.min(20)).min(limit);
    doubled.mul_f64(0.75 + 0.25 * f64::from(jitter()) / 255.0)
}

fn jitter() -> u8 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0).to_le_bytes()[0]
}

/// Replies of one connection arrive below this: `_INBOX.<name>`.
pub(crate) fn inbox_prefix(config: &ConnectionConfig, name: &str) -> String {
    let legal = |byte: char| if byte.is_ascii_alphanumeric() || byte == '-' || byte == '.' { byte } else { '_' };
    let tokens: String = name.chars().map(legal).collect();
    let tokens: Vec<_> = tokens.split('.').filter(|token| !token.is_empty()).collect();
    let parts = std::iter::once(config.inbox_prefix.as_str()).chain(tokens);
    parts.collect::<Vec<_>>().join(".")
}

fn explain(config: &ConnectionConfig, error: &async_nats::ConnectError) -> ConnectError {
    let servers = config.servers();
    let reason = reason_of(error);
    let refused =
        || ConnectError::Refused { servers: servers.clone(), who: who(&config.credentials), reason: reason.clone() };
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => refused(),
        ConnectErrorKind::ServerParse => ConnectError::Address { servers, reason },
        ConnectErrorKind::Tls => ConnectError::Tls { servers, reason },
        // The library has no kind for these two; the texts are the server's and rustls'.
        _ if says(&reason, &["authentication", "authorization", "expired"]) => refused(),
        _ if says(&reason, &["certificate", "tls", "handshake"]) => ConnectError::Tls { servers, reason },
        _ => ConnectError::NoServer { servers, reason },
    }
}

fn says(reason: &str, words: &[&str]) -> bool {
    let reason = reason.to_lowercase();
    words.iter().any(|word| reason.contains(word))
}

/// The innermost reason: the library's own words around it add nothing.
fn reason_of(error: &async_nats::ConnectError) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn who(credentials: &Credentials) -> String {
    match credentials {
        Credentials::None => "without credentials".into(),
        Credentials::UserPassword { user, .. } => format!("as user `{user}`"),
        Credentials::Token(_) => "with a token".into(),
        Credentials::File(path) => format!("with the credentials of {}", path.display()),
        Credentials::Nkey(_) => "with an nkey".into(),
    }
}

/// Makes sure that this connection's account may use JetStream.
pub async fn require_jetstream(connection: &Connection, config: &ConnectionConfig) -> Result<(), ConnectError> {
    let server = connection.server.name.clone();
    let missing = |reason: String| ConnectError::NoJetStream { server: server.clone(), reason };
    let request = async_nats::Request::new().timeout(Some(Duration::from_secs(3)));
    let answer = connection.client.send_request(format!("{}.INFO", config.jetstream()), request).await;
    let answer = answer.map_err(|error| match error.kind() {
        async_nats::RequestErrorKind::NoResponders => missing("it is not switched on".into()),
        async_nats::RequestErrorKind::TimedOut => {
            missing("no answer; perhaps the user may not publish on `$JS.API.>`".into())
        }
        _ => missing(error.to_string()),
    })?;
    #[derive(serde::Deserialize)]
    struct Info {
        error: Option<Problem>,
    }
    #[derive(serde::Deserialize)]
    struct Problem {
        description: Option<String>,
    }
    let info: Info = serde_json::from_slice(&answer.payload).map_err(|error| missing(error.to_string()))?;
    match info.error {
        None => Ok(()),
        Some(problem) => Err(missing(problem.description.unwrap_or_else(|| "the server refused".into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_differ() {
        let limit = Duration::from_millis(500);
        assert_eq!(reconnect_delay(1, limit), Duration::ZERO);
        assert!(reconnect_delay(2, limit) <= Duration::from_millis(8));
        for attempts in [10, 1000, usize::MAX] {
            let delay = reconnect_delay(attempts, limit);
            assert!(delay <= limit && delay >= limit.mul_f64(0.74), "{delay:?}");
        }
    }

    #[test]
    fn a_name_can_not_break_out_of_the_inbox() {
        let config = ConnectionConfig::default();
        assert_eq!(inbox_prefix(&config, "coordinator.1/0"), "_INBOX.coordinator.1_0");
        assert_eq!(inbox_prefix(&config, "a..>.* b"), "_INBOX.a._.__b");
    }

    #[test]
    fn the_seed_is_found_among_comments() {
        assert_eq!(seed_of("# a key\n  SUABC \n"), "SUABC");
    }
}
