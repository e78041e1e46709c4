//! The configuration file of a private server.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use crate::config::{Credentials, Secret};

/// What a private server is to be like.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// With JetStream, its streams in the server's directory.
    pub jetstream: bool,
    /// JetStream in an account of its own that only [`log_config`](super::PrivateServer::log_config) can
    /// enter: nobody who may only talk to the engine can reach the log. Implies `jetstream`.
    pub log_account: bool,
    /// Write streams through to the disk before they are acknowledged.
    pub sync_always: bool,
    /// Where streams are kept; in the server's temporary directory by default.
    pub store: Option<PathBuf>,
    /// Who may connect.
    pub credentials: PrivateCredentials,
    /// Bytes of a message, at the most; the server's default is 1 MiB.
    pub max_payload: Option<usize>,
    /// A fixed port instead of a free one.
    pub port: Option<u16>,
    /// The program, instead of looking for one.
    pub binary: Option<PathBuf>,
    /// How much garbage the server's runtime lets pile up, in percent of what is live. Payloads are
    /// garbage at once, and at Go's own 100 it collects many times a second.
    pub gogc: u32,
    /// How many cores the server may use at once; as many as there are when not given. Where it shares few
    /// cores with those who talk through it, one is often faster: it wakes fewer threads.
    pub cores: Option<u32>,
    /// More lines for the configuration file.
    pub extra: String,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            jetstream: false,
            log_account: false,
            sync_always: false,
            store: None,
            credentials: PrivateCredentials::RandomPassword,
            max_payload: None,
            port: None,
            binary: None,
            gogc: 400,
            cores: None,
            extra: String::new(),
        }
    }
}

/// Who may connect to a private server.
#[derive(Clone, Debug)]
pub enum PrivateCredentials {
    /// One user with a random password: nobody else on this machine can enter.
    RandomPassword,
    /// One user with this password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// Whoever has this token.
    Token(Secret),
    /// Everybody on this machine.
    Open,
}

/// The server's users, with their passwords decided.
#[derive(Clone, Debug)]
pub(super) struct Users {
    pub(super) main: Credentials,
    pub(super) log: Option<Credentials>,
}

impl Users {
    pub(super) fn new(options: &ServerOptions) -> Self {
        let main = match &options.credentials {
            PrivateCredentials::Open if options.log_account => random_user("engine"),
            // Users of accounts have passwords; a token exists only for the whole server.
            PrivateCredentials::Token(_) if options.log_account => random_user("engine"),
            PrivateCredentials::RandomPassword => random_user("engine"),
            PrivateCredentials::Password { user, password } => {
                Credentials::UserPassword { user: user.clone(), password: password.clone() }
            }
            PrivateCredentials::Token(token) => Credentials::Token(token.clone()),
            PrivateCredentials::Open => Credentials::None,
        };
        Self { main, log: options.log_account.then(|| random_user("log")) }
    }
}

fn random_user(name: &str) -> Credentials {
    Credentials::UserPassword { user: name.into(), password: Secret::random() }
}

/// The file's text; port 0 asks for a free one.
pub(super) fn render(options: &ServerOptions, users: &Users, port: u16, directory: &Path) -> String {
    let mut text = String::new();
    let port = if port == 0 { -1 } else { i32::from(port) };
    let directory = directory.to_string_lossy();
    // `no_fast_producer_stall`: one reader that stands still must not slow everyone.
    let _ = writeln!(text, "listen: \"127.0.0.1:{port}\"\nports_file_dir: {}", quoted(&directory));
    let _ = writeln!(text, "no_fast_producer_stall: true");
    if let Some(bytes) = options.max_payload {
        let _ = writeln!(text, "max_payload: {bytes}");
    }
    if options.jetstream || options.log_account {
        let store =
            options.store.as_ref().map_or_else(|| format!("{directory}/store"), |path| path.display().to_string());
        let sync = if options.sync_always { ", sync_interval: always" } else { "" };
        let _ = writeln!(text, "jetstream {{ store_dir: {}{sync} }}", quoted(&store));
    }
    match (&users.main, &users.log) {
        (main, Some(log)) => {
            let _ = writeln!(text, "accounts {{");
            let _ = writeln!(text, "  ENGINE {{ users: [{}] }}", user(main));
            // The log's user may ask whether the server syncs before it acknowledges, and nothing else of it.
            let _ = writeln!(
                text,
                "  LOG {{ jetstream: enabled, users: [{}], imports: [{{ service: {{ account: SYS, subject: \"{VARZ}\" }} }}] }}",
                user(log)
            );
            let _ = writeln!(
                text,
                "  SYS {{ users: [], exports: [{{ service: \"{VARZ}\", accounts: [LOG], response: stream }}] }}\n}}\nsystem_account: SYS"
            );
        }
        (Credentials::Token(token), None) => {
            let _ = writeln!(text, "authorization {{ token: {} }}", quoted(token.expose()));
        }
        (Credentials::None | Credentials::File(_) | Credentials::Nkey(_), None) => {}
        (main, None) => {
            let _ = writeln!(text, "authorization {{ users: [{}] }}", user(main));
        }
    }
    text + &options.extra
}

/// What every server of a cluster answers with its settings.
const VARZ: &str = "$SYS.REQ.SERVER.PING.VARZ";

fn user(credentials: &Credentials) -> String {
    match credentials {
        Credentials::UserPassword { user, password } => {
            format!("{{ user: {}, password: {} }}", quoted(user), quoted(password.expose()))
        }
        _ => String::new(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
