//! The wire of Engine: subjects, messages and chunks; and, with the feature `client`, the NATS client.
//!
//! The pure half knows bytes and names only: no clock, no thread, no socket; it builds for
//! `wasm32-unknown-unknown`. Whatever it decodes comes from outside: every length is checked before it
//! is used, nothing is allocated because a message says so, and nothing panics.
//!
//! * [`subject`]: which subject carries what.
//! * [`headers`]: what a receiver knows of a control message without decoding it.
//! * [`envelope`]: what is known of an event or a command of programs outside without decoding it.
//! * [`handled`]: commands that systems answer.
//! * [`messages`]: the control messages, MessagePack maps, and their versions.
//! * [`parcel`]: jobs, shared inputs and results, that travel as numbered chunks.
//! * [`descriptor`]: how a system declares itself.
//!
//! `docs/protocol.md` describes the same for other languages.

pub mod descriptor;
pub mod envelope;
pub mod handled;
pub mod headers;
pub mod messages;
pub mod name;
pub mod parcel;
pub mod prefix;
pub mod strict;
pub mod subject;

#[cfg(feature = "client")]
pub mod child;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod config;
#[cfg(feature = "client")]
pub mod http;
#[cfg(feature = "client")]
pub mod io;
#[cfg(feature = "client")]
pub mod otlp;
#[cfg(feature = "client")]
pub mod server;
#[cfg(feature = "client")]
pub mod service;
#[cfg(feature = "client")]
pub mod shm;
#[cfg(feature = "client")]
pub mod streams;

pub use prefix::{ChunkKind, ChunkPrefix};
pub use subject::{Subject, Subjects};

/// The version of the protocol: of the subjects, the chunk prefix and the meaning of the messages.
///
/// A coordinator refuses instances of another one. Fields that are added to messages don't change it.
pub const PROTOCOL: u32 = 3;
