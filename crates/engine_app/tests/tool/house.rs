//! A server whose accounts `engine acl` made, and its users.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine_net::client;
use engine_net::config::{ConnectionConfig, Credentials, Secret};
use engine_net::server::{PrivateCredentials, PrivateServer, ServerOptions};

use crate::world::{command, engine, text};

/// A server that knows these roles, and what each of them is told.
pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: PrivateServer,
}

impl House {
    /// What `engine acl` makes of these arguments.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        let made = engine(&ConnectionConfig::default(), &[&["acl"], arguments, &["--out", out]].concat());
        assert!(made.status.success(), "{}", text(&made.stderr));
        let extra = std::fs::read_to_string(folder.path().join("nats-accounts.conf")).unwrap();
        let credentials = PrivateCredentials::Open;
        let options = ServerOptions { jetstream: true, credentials, extra, ..ServerOptions::default() };
        Self { server: PrivateServer::start(&options).unwrap(), folder }
    }

    /// What the environment file of a user says.
    fn variables(&self, user: &str) -> Vec<(String, String)> {
        let file = std::fs::read_to_string(self.folder.path().join(format!("{user}.env"))).unwrap();
        let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        file.lines().map(pair).collect()
    }

    pub(crate) fn config(&self, user: &str) -> ConnectionConfig {
        self.config_of(user, "NATS_")
    }

    /// Of the same in the account of the log.
    pub(crate) fn log_config(&self, user: &str) -> ConnectionConfig {
        self.config_of(user, "NATS_LOG_")
    }

    fn config_of(&self, user: &str, prefix: &str) -> ConnectionConfig {
        let variables = self.variables(user);
        let of = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let name = |key: &str| format!("{prefix}{key}");
        ConnectionConfig {
            inbox_prefix: of(&name("INBOX")).unwrap(),
            identity: of("ENGINE_IDENTITY"),
            ..ConnectionConfig::new(
                self.server.url(),
                Credentials::UserPassword {
                    user: of(&name("USER")).unwrap(),
                    password: Secret::new(of(&name("PASSWORD")).unwrap()),
                },
            )
        }
    }

    pub(crate) fn start(&self, user: &str, arguments: &[&str]) -> Child {
        let mut command = command(&ConnectionConfig::default(), arguments);
        command.env("NATS_URL", self.server.url()).envs(self.variables(user));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn run(&self, user: &str, arguments: &[&str]) -> std::process::Output {
        self.start(user, arguments).wait_with_output().unwrap()
    }

    pub(crate) fn says(&self, user: &str, arguments: &[&str]) -> String {
        let output = self.run(user, arguments);
        assert!(output.status.success(), "{user}: {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

/// Tries subjects as a user; those that the server refuses are exactly the forbidden ones.
pub(crate) fn tries(config: &ConnectionConfig, allowed: [&[&str]; 2], forbidden: [&[&str]; 2]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = Arc::new(Mutex::new(BTreeSet::new()));
    let heard = refused.clone();
    let expected: BTreeSet<String> = {
        let verbs = ["Publish", "Subscription"].into_iter().zip(forbidden);
        verbs.flat_map(|(verb, subjects)| subjects.iter().map(move |subject| format!("{verb} to {subject}"))).collect()
    };
    runtime.block_on(async {
        let hear = move |event| {
            if let async_nats::Event::ServerError(error) = event {
                // `… Permissions Violation for Publish to "subject"`
                let text = error.to_string();
                let (_, what) = text.rsplit_once(" for ").unwrap_or(("", &text));
                let what = what.split(" using queue").next().unwrap_or_default().replace('"', "");
                heard.lock().unwrap().insert(what);
            }
        };
        let client = client::connect_with(config, "somebody", hear).await.unwrap().client;
        let mut open = Vec::new();
        for [publish, subscribe] in [allowed, forbidden] {
            for subject in subscribe {
                open.push(client.subscribe((*subject).to_owned()).await.unwrap());
            }
            for subject in publish {
                client.publish((*subject).to_owned(), "".into()).await.unwrap();
            }
        }
        client.flush().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while refused.lock().unwrap().len() < expected.len() {
            assert!(Instant::now() < deadline, "not refused: {:?}", &expected - &refused.lock().unwrap());
            tokio::task::yield_now().await;
        }
        // What came before the last refusal was heard before it.
        assert_eq!(*refused.lock().unwrap(), expected);
    });
}

/// Nobody in the house may do these, whoever he is.
pub(crate) const NOBODY_PUBLISHES: [&str; 9] = [
    "$JS.API.STREAM.DELETE.ENGINE_LOG_main",
    "$JS.API.STREAM.LIST",
    "$SYS.REQ.SERVER.PING",
    "engine_log.main.tick",
    "engine_key.main.1.0.0.manifest",
    "engine_lease.main",
    "engine.other.coord.hello",
    "engine.other.command.world.entity.spawn",
    "_INBOX.other.coordinator.one.x",
];
pub(crate) const NOBODY_SUBSCRIBES: [&str; 8] = [
    ">",
    "engine.>",
    "engine.main.>",
    "engine.other.coord.tick",
    "_INBOX.>",
    "_INBOX.main.>",
    "$SYS.>",
    "engine_log.>",
];

pub(crate) fn with<'s>(own: &[&'s str], all: &[&'s str]) -> Vec<&'s str> {
    own.iter().chain(all).copied().collect()
}
