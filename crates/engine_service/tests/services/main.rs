//! Services on real servers: what is promised, and what happens when things break.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod chest;
mod commands;
mod dead_letters;
mod events;
mod place;
mod projections;
mod questions;
mod sinks;
