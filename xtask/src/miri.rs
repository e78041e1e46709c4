//! Which unsafe code runs under Miri, and how.
//!
//! Miri interprets the tests, some hundred times slower than they run, and knows no foreign functions. So
//! property tests get few cases here (`PROPTEST_CASES`), tests that start programs are marked
//! `#[cfg_attr(miri, ignore)]`, and files that call into libc are listed as such.

use anyhow::Result;

use crate::command::Cmd;
use crate::report::Outcome;

/// Tests that run under Miri: a package, and those of its tests that get to unsafe code. What is checked
/// code all the way is not worth the time.
const RUNS: &[(&str, &str)] = &[
    ("engine_component", "--test query"),
    ("engine_component", "--lib -- aligned column memory query"),
    ("engine_system", "--test params"),
    ("engine_app", "--test local"),
];

/// Files that Miri can't run, since all they do is to call into the operating system.
const FOREIGN: &[&str] = &[
    "benches/src/dist/region.rs",
    "crates/engine_net/src/child.rs",
    "crates/engine_net/src/shm/arena.rs",
    "crates/engine_net/src/shm/map.rs",
    "crates/engine_net/src/shm/segment.rs",
    "crates/engine_net/tests/shm/columns.rs",
    "crates/engine_net/tests/shm/hostile.rs",
];

/// Files whose unsafe code Miri does not get to: allocators that only count, and what there is none of.
const OUTSIDE: &[&str] = &["benches/src/allocator.rs", "fuzz/src/allocator.rs", "crates/engine_net/src/shm/absent.rs"];

/// Whether Miri runs the unsafe code of a file, or can't.
pub(crate) fn sees(file: &str) -> bool {
    FOREIGN.contains(&file)
        || OUTSIDE.contains(&file)
        || RUNS.iter().any(|(package, _)| file.starts_with(&format!("crates/{package}/")))
}

pub(crate) fn check() -> Result<Outcome> {
    let is_there = || miri("setup").output().is_ok();
    if !is_there() {
        eprintln!("Adding Miri to the nightly toolchain (once) …");
        let _ = Cmd::new("rustup").args("component add --toolchain nightly miri rust-src").run();
    }
    if !is_there() {
        let reason = "no Miri here; `rustup toolchain install nightly --component miri,rust-src` brings it";
        return Ok(Outcome::Skipped(reason.into()));
    }
    for (package, tests) in RUNS {
        miri("test --quiet --package").args(package).args(tests).run()?;
    }
    Ok(Outcome::Passed)
}

/// The nightly's `cargo miri`: no other toolchain has one.
fn miri(arguments: &str) -> Cmd {
    // Property tests look for files of earlier failures, which the isolation would refuse.
    let flags = "-Zmiri-disable-isolation -Zmiri-strict-provenance";
    let command = Cmd::new("rustup").args("run nightly cargo miri").args(arguments);
    command.env("MIRIFLAGS", flags).env("PROPTEST_CASES", "4")
}
