//! Memory that processes share: real processes, some of which do what they shouldn't.
#![cfg(all(feature = "client", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod child;
mod columns;
mod ends;
mod hostile;
mod sockets;
mod world;
