//! The coordinator by hand: a script says what arrives, and when. No thread, no clock, no server.
#![allow(clippy::unwrap_used, reason = "tests")]

mod deadlines;
mod durable;
mod fusion;
mod handled;
mod jobs;
mod kept_events;
mod membership;
mod outcomes;
mod outside;
mod recording;
mod recovery;
mod replay;
mod requests;
mod resident;
mod run_time;
mod script;
mod speculation;
