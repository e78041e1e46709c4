//! `cargo xtask simulate`: a whole cluster on virtual time, thousands of schedules a minute.

use std::ffi::OsString;

use anyhow::Result;

use crate::command::Cmd;
use crate::report::Outcome;

/// Schedules of a run of all steps.
const SCHEDULES: &str = "5000";

pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    arguments.iter().fold(simulator(), Cmd::arg).run()
}

/// The step of `cargo xtask test`.
pub(crate) fn check() -> Result<Outcome> {
    simulator().args("--schedules").args(SCHEDULES).run()?;
    Ok(Outcome::Passed)
}

/// The profile of the tests: it is built already, and fast enough.
fn simulator() -> Cmd {
    Cmd::cargo("run --quiet --package engine_sim --bin simulate --")
}
