//! `cargo xtask simulate`: a whole cluster on virtual time, thousands of schedules a minute.

use std::ffi::OsString;

use anyhow::Result;

use crate::command::Cmd;
use crate::report::Outcome;

/// Schedules of a run of all steps.
const SCHEDULES: &str = "5000";

pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let plants = arguments.iter().any(|argument| argument.to_string_lossy().starts_with("--planted"));
    arguments.iter().fold(if plants { planted() } else { simulator() }, Cmd::arg).run()
}

/// The step of `cargo xtask test`.
pub(crate) fn check() -> Result<Outcome> {
    simulator().args("--schedules").args(SCHEDULES).run()?;
    Ok(Outcome::Passed)
}

/// The step of `cargo xtask test`: mistakes on purpose are found, each in its first 1,000 schedules.
pub(crate) fn check_planted() -> Result<Outcome> {
    planted().args("--planted").run()?;
    Ok(Outcome::Passed)
}

/// With mistakes on purpose built in.
fn planted() -> Cmd {
    Cmd::cargo("run --quiet --package engine_sim --features planted --bin simulate --")
}

/// The profile of the tests: it is built already, and fast enough.
fn simulator() -> Cmd {
    Cmd::cargo("run --quiet --package engine_sim --bin simulate --")
}
