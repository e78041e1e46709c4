//! The coordinator, apps and plugins of Engine.
//!
//! [`Coordinator`](coordinator::Coordinator) is a state machine that owns the world; the drivers connect
//! it to threads and to NATS; [`App`] is how users write a program that can be run in every topology.

pub mod ask;
pub mod coordinator;
pub mod event_queue;
pub mod local;
pub mod members;
pub mod merge;
pub mod plan;
pub mod pool;
pub mod receive;
pub mod schedule;
pub mod settings;
pub mod ship;
pub mod system_entry;
pub mod tick_run;
