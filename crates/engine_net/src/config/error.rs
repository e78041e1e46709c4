//! What can be wrong with a configuration.

use std::path::PathBuf;

use thiserror::Error;

use crate::name::NameError;

/// Why a configuration was refused; each says where the value came from.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration {}: {reason}; check the path (--config or ENGINE_CONFIG)", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The file isn't TOML.
    #[error("{} is not valid TOML: {reason}", path.display())]
    Syntax {
        /// Its path.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A key that nobody knows.
    #[error("{source_name}: unknown key `{key}`; {suggestion}")]
    UnknownKey {
        /// The file.
        source_name: String,
        /// The key with its table.
        key: String,
        /// The nearest known key, or all of them.
        suggestion: String,
    },
    /// A value that can't be understood.
    #[error("{source_name}: {reason}")]
    Value {
        /// The file and key, or the variable.
        source_name: String,
        /// What is wrong.
        reason: String,
    },
    /// Two ways to say who one is, in one place.
    #[error("{source_name} gives both {first} and {second}; give one of them")]
    TwoCredentials {
        /// The file, the environment or the flags.
        source_name: String,
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A context of the `nats` command that can't be used.
    #[error("context `{name}`: {reason}")]
    Context {
        /// Its name.
        name: String,
        /// Where it was looked for, and what is wrong.
        reason: String,
    },
    /// A password without a user, a certificate without a key.
    #[error("{given} is given without {missing}; give both or neither")]
    Half {
        /// What there is.
        given: &'static str,
        /// What there isn't.
        missing: &'static str,
    },
    /// A world or prefix that can't be part of a subject.
    #[error(transparent)]
    Name(#[from] NameError),
}
