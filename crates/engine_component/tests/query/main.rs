//! Queries over parts and over a world. All of it runs under Miri:
//! `cargo +nightly miri test -p engine_component --test query`.

mod bodies;
mod query_descriptor;
mod query_documents;
mod query_filters;
mod query_items;
mod query_parts;
mod query_threads;
mod query_world;
