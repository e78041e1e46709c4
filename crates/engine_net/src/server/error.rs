//! Why there is no private server.

use std::path::PathBuf;

use thiserror::Error;

/// Why a private server could not be had.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Nowhere to be found and not to be fetched.
    #[error(
        "no nats-server to be found:{tried}\ninstall {} or newer (https://github.com/nats-io/nats-server/releases), or set NATS_SERVER to the program's path",
        crate::client::OLDEST_SERVER
    )]
    NotFound {
        /// One line for each place that was looked at.
        tried: String,
    },
    /// `NATS_SERVER` names something that can't be used.
    #[error("NATS_SERVER is {}, but {reason}; set it to the path of nats-server {} or newer, or unset it", path.display(), crate::client::OLDEST_SERVER)]
    Unusable {
        /// What it is set to.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory or file can't be made.
    #[error("can't write {}: {reason}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The program doesn't start.
    #[error("can't start {}: {reason}", binary.display())]
    Spawn {
        /// Which program.
        binary: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// It ended, or was not ready in time.
    #[error("nats-server {what}; the end of its log:\n{log}")]
    NotReady {
        /// What happened.
        what: String,
        /// Its last lines.
        log: String,
    },
    /// It was asked to freeze, and isn't there.
    #[error("the private server does not run; restart() starts it")]
    NotRunning,
    /// A signal could not be sent.
    #[error("can't signal nats-server: {reason}")]
    Signal {
        /// What the system says.
        reason: std::io::Error,
    },
}
