//! The settings of a connection as flags; the same type holds what a file or the environment says.

use std::path::PathBuf;

use clap::Args;

use super::{Secret, ServerUrls};

/// Flags for the connection to NATS, to be flattened into a program's own arguments.
///
/// `clap` doesn't read the environment here: the file comes below it, see
/// [`resolve`](ConnectionArgs::resolve).
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Configuration file, TOML [env: ENGINE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// World, part of every subject [env: ENGINE_WORLD] [default: main]
    #[arg(long, value_name = "NAME")]
    pub world: Option<String>,
    /// First token of every subject [env: ENGINE_PREFIX] [default: engine]
    #[arg(long, value_name = "NAME")]
    pub prefix: Option<String>,
    /// Who one is to the world, in the subjects of what one asks for, if the server's permissions want that [env: ENGINE_IDENTITY]
    #[arg(long, value_name = "NAME")]
    pub identity: Option<String>,
    /// Context of the `nats` command, below file and environment [env: NATS_CONTEXT]
    #[arg(long, value_name = "NAME")]
    pub nats_context: Option<String>,
    /// Servers, separated by commas [env: NATS_URL] [default: nats://127.0.0.1:4222]
    #[arg(long, value_name = "URL")]
    pub nats_url: Option<ServerUrls>,
    /// User [env: NATS_USER]
    #[arg(long, value_name = "NAME")]
    pub nats_user: Option<String>,
    /// Password; others see flags, so prefer the variable [env: NATS_PASSWORD]
    #[arg(long, value_name = "PASSWORD")]
    pub nats_password: Option<Secret>,
    /// Token; others see flags, so prefer the variable [env: NATS_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub nats_token: Option<Secret>,
    /// Credentials file [env: NATS_CREDS]
    #[arg(long, value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,
    /// File with the seed of an nkey; or, from the variable, the seed itself [env: NATS_NKEY]
    #[arg(long, value_name = "FILE")]
    pub nats_nkey: Option<Secret>,
    /// Refuse servers without TLS [env: NATS_TLS]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub nats_tls: Option<bool>,
    /// TLS before the server's greeting [env: NATS_TLS_FIRST]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub nats_tls_first: Option<bool>,
    /// Certificate authorities, instead of the system's [env: NATS_TLS_CA]
    #[arg(long, value_name = "FILE")]
    pub nats_tls_ca: Option<PathBuf>,
    /// Client certificate [env: NATS_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub nats_tls_cert: Option<PathBuf>,
    /// Key of the client certificate [env: NATS_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub nats_tls_key: Option<PathBuf>,
    /// Prefix of reply subjects [env: NATS_INBOX] [default: _INBOX]
    #[arg(long, value_name = "SUBJECT")]
    pub nats_inbox: Option<String>,
    /// JetStream domain in which the world's log is [env: NATS_DOMAIN]
    #[arg(long, value_name = "NAME")]
    pub nats_domain: Option<String>,
    /// A dead server is noticed after three of these [env: NATS_PING_MS] [default: 500]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..))]
    pub nats_ping_ms: Option<u64>,
    /// How long one attempt to connect may take [env: NATS_CONNECT_MS] [default: 5000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..))]
    pub nats_connect_ms: Option<u64>,
    /// Wait for a server that isn't there yet [env: NATS_WAIT] [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub nats_wait: Option<bool>,
    /// The longest pause between attempts to reconnect [env: NATS_RECONNECT_MS] [default: 500]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub nats_reconnect_ms: Option<u64>,
    /// Give up after so many attempts to reconnect [env: NATS_MAX_RECONNECTS] [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub nats_max_reconnects: Option<u64>,
    /// Servers of the world log, if they are others [env: NATS_LOG_URL]
    #[arg(long, value_name = "URL", help_heading = "World log")]
    pub log_url: Option<ServerUrls>,
    /// User of the log's account, which nobody but coordinators should have [env: NATS_LOG_USER]
    #[arg(long, value_name = "NAME", help_heading = "World log")]
    pub log_user: Option<String>,
    /// Password; others see flags, so prefer the variable [env: NATS_LOG_PASSWORD]
    #[arg(long, value_name = "PASSWORD", help_heading = "World log")]
    pub log_password: Option<Secret>,
    /// Token; others see flags, so prefer the variable [env: NATS_LOG_TOKEN]
    #[arg(long, value_name = "TOKEN", help_heading = "World log")]
    pub log_token: Option<Secret>,
    /// Credentials file [env: NATS_LOG_CREDS]
    #[arg(long, value_name = "FILE", help_heading = "World log")]
    pub log_creds: Option<PathBuf>,
    /// File with the seed of an nkey; or, from the variable, the seed itself [env: NATS_LOG_NKEY]
    #[arg(long, value_name = "FILE", help_heading = "World log")]
    pub log_nkey: Option<Secret>,
    /// Prefix of the log's reply subjects [env: NATS_LOG_INBOX]
    #[arg(long, value_name = "SUBJECT", help_heading = "World log")]
    pub log_inbox: Option<String>,
    /// User of the server's system account, to ask whether it syncs [env: NATS_LOG_SYSTEM_USER]
    #[arg(long, value_name = "NAME", help_heading = "World log")]
    pub log_system_user: Option<String>,
    /// Its password [env: NATS_LOG_SYSTEM_PASSWORD]
    #[arg(long, value_name = "PASSWORD", help_heading = "World log")]
    pub log_system_password: Option<Secret>,
    /// Credentials file of such a user [env: NATS_LOG_SYSTEM_CREDS]
    #[arg(long, value_name = "FILE", help_heading = "World log")]
    pub log_system_creds: Option<PathBuf>,
}

impl ConnectionArgs {
    /// What is given, in the order of [`SETTINGS`], for people: secrets are not shown.
    pub(super) fn shown(&self) -> [Option<String>; SETTINGS.len()] {
        // Without `..`, so that a new setting can't be forgotten here.
        let Self {
            config: _,
            world,
            prefix,
            identity,
            nats_context,
            nats_url,
            nats_user,
            nats_password,
            nats_token,
            nats_creds,
            nats_nkey,
            nats_tls,
            nats_tls_first,
            nats_tls_ca,
            nats_tls_cert,
            nats_tls_key,
            nats_inbox,
            nats_domain,
            nats_ping_ms,
            nats_connect_ms,
            nats_wait,
            nats_reconnect_ms,
            nats_max_reconnects,
            log_url,
            log_user,
            log_password,
            log_token,
            log_creds,
            log_nkey,
            log_inbox,
            log_system_user,
            log_system_password,
            log_system_creds,
        } = self;
        let hidden = |secret: &Option<Secret>| secret.as_ref().map(|_| "(secret)".to_owned());
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let urls = |urls: &Option<ServerUrls>| urls.as_ref().map(|urls| urls.addresses().join(","));
        let number = |number: &Option<u64>| number.map(|number| number.to_string());
        let is = |is: &Option<bool>| is.map(|is| is.to_string());
        [
            world.clone(),
            prefix.clone(),
            identity.clone(),
            nats_context.clone(),
            urls(nats_url),
            nats_user.clone(),
            hidden(nats_password),
            hidden(nats_token),
            path(nats_creds),
            hidden(nats_nkey),
            is(nats_tls),
            is(nats_tls_first),
            path(nats_tls_ca),
            path(nats_tls_cert),
            path(nats_tls_key),
            nats_inbox.clone(),
            nats_domain.clone(),
            number(nats_ping_ms),
            number(nats_connect_ms),
            is(nats_wait),
            number(nats_reconnect_ms),
            number(nats_max_reconnects),
            urls(log_url),
            log_user.clone(),
            hidden(log_password),
            hidden(log_token),
            path(log_creds),
            hidden(log_nkey),
            log_inbox.clone(),
            log_system_user.clone(),
            hidden(log_system_password),
            path(log_system_creds),
        ]
    }
}

/// A setting's key in a file, and its variable. The flag follows: `[nats] url` is `--nats-url`.
#[derive(Debug)]
pub struct Setting {
    /// The table that it is in; none at the top of the file.
    pub table: Option<&'static str>,
    /// Its key there.
    pub key: &'static str,
    /// Its variable.
    pub variable: &'static str,
}

impl Setting {
    /// Its flag.
    #[must_use]
    pub fn flag(&self) -> String {
        let key = self.key.replace('_', "-");
        self.table.map_or_else(|| format!("--{key}"), |table| format!("--{table}-{key}"))
    }
}

/// The tables of a file that hold settings of connections.
pub const TABLES: [&str; 2] = ["nats", "log"];

const fn top(key: &'static str, variable: &'static str) -> Setting {
    Setting { table: None, key, variable }
}

const fn nats(key: &'static str, variable: &'static str) -> Setting {
    Setting { table: Some("nats"), key, variable }
}

const fn log(key: &'static str, variable: &'static str) -> Setting {
    Setting { table: Some("log"), key, variable }
}

/// Every setting that a file and the environment may give; a test holds it beside the flags.
pub const SETTINGS: [Setting; 32] = [
    top("world", "ENGINE_WORLD"),
    top("prefix", "ENGINE_PREFIX"),
    top("identity", "ENGINE_IDENTITY"),
    nats("context", "NATS_CONTEXT"),
    nats("url", "NATS_URL"),
    nats("user", "NATS_USER"),
    nats("password", "NATS_PASSWORD"),
    nats("token", "NATS_TOKEN"),
    nats("creds", "NATS_CREDS"),
    nats("nkey", "NATS_NKEY"),
    nats("tls", "NATS_TLS"),
    nats("tls_first", "NATS_TLS_FIRST"),
    nats("tls_ca", "NATS_TLS_CA"),
    nats("tls_cert", "NATS_TLS_CERT"),
    nats("tls_key", "NATS_TLS_KEY"),
    nats("inbox", "NATS_INBOX"),
    nats("domain", "NATS_DOMAIN"),
    nats("ping_ms", "NATS_PING_MS"),
    nats("connect_ms", "NATS_CONNECT_MS"),
    nats("wait", "NATS_WAIT"),
    nats("reconnect_ms", "NATS_RECONNECT_MS"),
    nats("max_reconnects", "NATS_MAX_RECONNECTS"),
    log("url", "NATS_LOG_URL"),
    log("user", "NATS_LOG_USER"),
    log("password", "NATS_LOG_PASSWORD"),
    log("token", "NATS_LOG_TOKEN"),
    log("creds", "NATS_LOG_CREDS"),
    log("nkey", "NATS_LOG_NKEY"),
    log("inbox", "NATS_LOG_INBOX"),
    log("system_user", "NATS_LOG_SYSTEM_USER"),
    log("system_password", "NATS_LOG_SYSTEM_PASSWORD"),
    log("system_creds", "NATS_LOG_SYSTEM_CREDS"),
];
