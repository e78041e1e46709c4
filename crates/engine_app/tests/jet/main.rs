//! The world log's streams on real servers: what is promised, and what happens when things break.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod appends;
mod faults;
mod figures;
mod keyframes;
mod leases;
mod marks;
mod opening;
mod place;
mod reading;
