//! The world against a plain model of it: structure, changes, hooks, commands and the world hash.

#![allow(clippy::unwrap_used, reason = "tests")]

mod batch;
mod changes;
mod commands;
mod compare;
mod hash;
mod hooks;
mod image;
mod image_damage;
mod journal;
mod model;
mod structure;
mod values;
