//! `cargo xtask faults`: the arena on real processes and servers, while everything breaks.

use std::ffi::OsString;

use anyhow::Result;

use crate::command::Cmd;
use crate::report::Outcome;

/// A run of all steps: half a minute of everything that needs no rights of its own.
const SHORT: &str = "--minutes 0.6 --seed 11 --only kill-instance pause-instance kill-leader pause-leader kill-standby \
                     pause-standby kill-server pause-server cut stall delay";

pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    arguments.iter().fold(harness(), Cmd::arg).run()
}

/// The step of `cargo xtask test`.
pub(crate) fn check() -> Result<Outcome> {
    harness().args(SHORT).run()?;
    Ok(Outcome::Passed)
}

/// The profile of the tests: most of it is built already, and slowness is no fault.
fn harness() -> Cmd {
    Cmd::cargo("run --quiet --package faults --")
}
