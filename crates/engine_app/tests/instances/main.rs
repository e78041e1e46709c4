//! A coordinator and its instances, as two state machines that are handed each other's messages, and once
//! more over a real nats-server: what an instance makes of a job is what the coordinator's own process makes
//! of it.

#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "helpers of tests may fail as tests do")]

mod adapted;
mod changed;
mod loopback;
mod processes;
mod shared;
mod spawned;
