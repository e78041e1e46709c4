//! A nats-server of one's own: for `dev`, for tests, for examples.
//!
//! It listens on a free port of the loopback interface, asks for a random password, lives in a temporary
//! directory, and ends with the process that started it, even if that one is killed (on Linux). Methods that freeze,
//! kill and restart it are there for tests of what happens then.

mod configuration;
mod directory;
mod error;
mod keeper;
mod locate;
mod process;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use configuration::{PrivateCredentials, ServerOptions};
pub use error::ServerError;
pub use locate::{FETCHED_VERSION, locate};

use configuration::Users;
use directory::OwnDirectory;
use process::ServerProcess;

use crate::config::{ConnectionConfig, Credentials};

/// How long a server may take until it listens.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running server; dropping it ends the server and removes its directory.
#[derive(Debug)]
pub struct PrivateServer {
    process: Option<ServerProcess>,
    binary: PathBuf,
    options: ServerOptions,
    users: Users,
    port: u16,
    // Declared last: the server is gone before its directory goes.
    directory: OwnDirectory,
}

impl PrivateServer {
    /// Starts a server, finding or fetching the program first, and returns when it listens.
    pub fn start(options: &ServerOptions) -> Result<Self, ServerError> {
        let binary = match &options.binary {
            Some(path) => path.clone(),
            None => locate(&mut |line| eprintln!("{line}"))?,
        };
        let directory = OwnDirectory::new()?;
        let mut server = Self {
            process: None,
            binary,
            users: Users::new(options),
            port: options.port.unwrap_or(0),
            options: options.clone(),
            directory,
        };
        server.launch()?;
        Ok(server)
    }

    /// Starts the process with the port that it had, or a free one the first time.
    fn launch(&mut self) -> Result<(), ServerError> {
        let text = configuration::render(&self.options, &self.users, self.port, self.directory.path());
        let mut process = ServerProcess::spawn(&self.binary, &text, self.directory.path(), &self.options)?;
        self.port = process.wait_until_ready(READY_WITHIN)?;
        self.process = Some(process);
        Ok(())
    }

    /// Its address, without credentials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port; a restart keeps it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How to connect to it.
    #[must_use]
    pub fn config(&self) -> ConnectionConfig {
        ConnectionConfig::new(self.url(), self.users.main.clone())
    }

    /// How to connect to the account of the world log, if the options asked for one of its own.
    #[must_use]
    pub fn log_config(&self) -> Option<ConnectionConfig> {
        let credentials: Credentials = self.users.log.clone()?;
        Some(ConnectionConfig::new(self.url(), credentials))
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// Its directory: configuration, log, streams.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it wrote to its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        process::log_of(self.directory.path())
    }

    /// Ends it at once, as a crash does; [`restart`](Self::restart) brings it back.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks it to end, and waits until it has: streams are written out.
    pub fn stop(&mut self) -> Result<(), ServerError> {
        match self.process.take() {
            Some(process) => process.stop(Duration::from_secs(10)),
            None => Ok(()),
        }
    }

    /// Starts it again on the same port with the same streams; it is killed first if it still runs.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.kill();
        self.launch()
    }

    /// The same with other options; the port and the users stay.
    pub fn restart_with(&mut self, change: impl FnOnce(&mut ServerOptions)) -> Result<(), ServerError> {
        self.kill();
        change(&mut self.options);
        self.launch()
    }

    /// Freezes it: connections stay open, nothing moves.
    #[cfg(unix)]
    pub fn pause(&self) -> Result<(), ServerError> {
        self.running()?.signal(libc::SIGSTOP)
    }

    /// Lets it go on after [`pause`](Self::pause).
    #[cfg(unix)]
    pub fn resume(&self) -> Result<(), ServerError> {
        self.running()?.signal(libc::SIGCONT)
    }

    #[cfg(unix)]
    fn running(&self) -> Result<&ServerProcess, ServerError> {
        self.process.as_ref().ok_or(ServerError::NotRunning)
    }
}
