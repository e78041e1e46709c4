//! The coordinator, apps and plugins of Engine.
//!
//! [`Coordinator`](coordinator::Coordinator) is a state machine that owns the world; the drivers connect
//! it to threads and to NATS; [`App`] is how users write a program that can be run in every topology.

pub mod acl;
mod app;
pub mod ask;
pub mod config;
pub mod coordinator;
pub mod dev;
pub mod driver;
pub mod event_queue;
mod figures;
pub mod health;
mod host_memory;
pub mod kept;
pub mod local;
pub mod log;
pub mod logging;
pub mod members;
pub mod merge;
mod otlp;
pub mod past;
pub mod phases;
pub mod plan;
pub mod pool;
pub mod receive;
pub mod record;
mod reign;
mod result_digest;
mod roles;
mod row_waits;
pub mod run_time;
pub mod schedule;
mod services;
pub mod settings;
pub mod ship;
pub mod staged;
pub mod system_entry;
mod telemetry;
pub mod tick_run;
pub mod tool;
mod waiting;

pub use app::{App, AppOption, Blueprint, Outcome, Plugin, Result, Start};
pub use driver::Stop;
pub use roles::{CoordinatorArgs, SystemArgs, WorldArgs, epoch_of_now, run_coordinator, start_log};
pub use settings::{Settings, TimeMode};
pub use telemetry::Telemetry;
