//! Real processes and a real nats-server: the same world, bit for bit, in every topology, and whatever dies.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod cluster;
mod durable;
mod past;
mod topologies;
