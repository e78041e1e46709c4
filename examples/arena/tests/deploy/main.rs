//! What is in `deploy/`, tried: nats-server, coordinators, instances and Prometheus with its configuration, and the
//! program that goes into the image (ARENA_PROGRAM; the one of this build when that is not set).
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod figures;
mod house;
mod program;
mod prometheus;
mod systems;
