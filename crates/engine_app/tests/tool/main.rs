//! The `engine` program, as its users run it: real processes, a real nats-server, and a coordinator.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod acl;
mod acl_domain;
mod acl_kept;
mod config;
mod coordinator;
mod dead_letters;
mod doctor;
mod entities;
mod failing;
mod handled;
mod health;
mod house;
mod logs;
mod otlp;
mod past;
mod probes;
mod scene_files;
mod scenes;
mod services;
mod settings;
mod shell;
mod sim;
mod top;
mod trace;
mod world;
