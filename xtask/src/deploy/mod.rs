//! `deploy/`, checked without a container engine, a cluster or a service manager: schemas and linters, the tools of
//! Prometheus and systemd, and the static programs of the image with the tests of `examples/arena/tests/deploy`.
//!
//! Where a tool can't be had the others go on, and the step says what is missing; under CI nothing may be.

mod context;
mod image;
mod lints;
mod prometheus;
mod units;

use anyhow::{Result, bail};

use crate::command::root;
use crate::report::Outcome;

pub(crate) use prometheus::program as prometheus_program;

/// A part of the step, and what it looks at.
type Part = (&'static str, fn() -> Result<Outcome>);

const PARTS: &[Part] = &[
    ("what the image is built of", context::check),
    ("Dockerfile, compose file and manifests", lints::check),
    ("configuration, rules and their tests", prometheus::check),
    ("units", units::check),
    ("the programs of the image", image::check),
];

/// The step of `cargo xtask test`.
pub(crate) fn check() -> Result<Outcome> {
    let mut missing = Vec::new();
    for (about, part) in PARTS {
        match part()? {
            Outcome::Passed => eprintln!("{about}: well"),
            Outcome::Skipped(reason) => {
                eprintln!("{about}: skipped: {reason}");
                missing.push(reason);
            }
        }
    }
    if missing.is_empty() {
        return Ok(Outcome::Passed);
    }
    let reasons = missing.join("; ");
    if std::env::var_os("CI").is_some_and(|value| !value.is_empty()) {
        bail!("Under CI nothing is skipped: {reasons}");
    }
    Ok(Outcome::Skipped(format!("in part: {reasons}")))
}

/// A file of `deploy/`.
fn read(path: &str) -> Result<String> {
    let path = root().join("deploy").join(path);
    std::fs::read_to_string(&path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}
