//! Queries over parts and over a world. All of it runs under Miri:
//! `cargo +nightly miri test -p engine_component --test query`.

#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "tests")]

mod bodies;
mod descriptor;
mod documents;
mod filters;
mod items;
mod parts;
mod threads;
mod world;
