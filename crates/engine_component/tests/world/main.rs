//! Worlds against plain models: whatever is done to both, they hold the same.

#![allow(clippy::unwrap_used, reason = "tests")]

mod commands;
mod hash;
mod hooks;
mod model;
mod structure;
