//! `cargo xtask test`: the steps, quick ones first, up to the first that fails.
//!
//! The peers of the benches are never built here: they are large, and no test needs them.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::Cmd;
use crate::report::{self, Line, Outcome};
use crate::tools::{CARGO_DENY, CARGO_NEXTEST};
use crate::{deploy, faults, fuzz, miri, simulate, tidy};

/// Something that has to pass.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Notes) -> Result<Outcome>,
}

/// What a step leaves for the summary.
#[derive(Default)]
struct Notes {
    /// The test runner's last line.
    tests: RefCell<Option<String>>,
}

const STEPS: &[Step] = &[
    Step {
        name: "tidy",
        about: "no paths of one machine, nothing left open, files of a readable size",
        run: |_| tidy::check(),
    },
    Step { name: "format", about: "rustfmt", run: format },
    Step { name: "clippy", about: "lints of everything but the benches", run: clippy },
    Step { name: "clippy-benches", about: "lints of the benches, without their peers", run: clippy_benches },
    Step { name: "deny", about: "licences, sources and versions of dependencies", run: deny },
    Step { name: "advisories", about: "known faults of dependencies", run: advisories },
    Step { name: "wasm", about: "what has to build for the browser", run: wasm },
    Step { name: "rustdoc", about: "documentation without warnings", run: rustdoc },
    Step { name: "tests", about: "all tests", run: tests },
    Step {
        name: "deploy",
        about: "files for containers, clusters and services; the image's programs",
        run: |_| deploy::check(),
    },
    Step { name: "simulate", about: "5,000 schedules of the seeded simulator", run: |_| simulate::check() },
    Step { name: "planted", about: "the simulator finds mistakes on purpose", run: |_| simulate::check_planted() },
    Step { name: "faults", about: "half a minute of faults on real processes", run: |_| faults::check() },
    Step { name: "doctests", about: "examples in the documentation", run: doctests },
    Step { name: "fuzz", about: "made-up bytes for whatever reads bytes, a little", run: |_| fuzz::check() },
    Step { name: "miri", about: "unsafe code under Miri", run: |_| miri::check() },
];

/// Prints the steps.
pub(crate) fn list() {
    for step in STEPS {
        println!("{:16} {}", step.name, step.about);
    }
}

/// Runs the steps that were asked for, all when none was.
pub(crate) fn run(only: &[String]) -> Result<()> {
    let steps = chosen(only)?;
    let notes = Notes::default();
    let mut lines = Vec::new();
    for step in steps {
        report::heading(step.name, step.about);
        let start = Instant::now();
        let outcome = (step.run)(&notes).with_context(|| {
            format!(
                "{} FAILED after {}. Only this step: cargo xtask test --only {}",
                step.name,
                report::seconds(start.elapsed()),
                step.name
            )
        })?;
        let line = Line { step: step.name, took: start.elapsed(), outcome };
        report::ended(&line);
        lines.push(line);
    }
    report::summary(&lines, notes.tests.borrow().as_deref());
    Ok(())
}

fn chosen(only: &[String]) -> Result<Vec<&'static Step>> {
    for name in only {
        if !STEPS.iter().any(|step| step.name == name) {
            let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
            bail!("There is no step `{name}`. The steps are: {}.", names.join(", "));
        }
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
}

fn passes(command: &Cmd) -> Result<Outcome> {
    command.run()?;
    Ok(Outcome::Passed)
}

fn format(_: &Notes) -> Result<Outcome> {
    Cmd::cargo("fmt --all --check").run()?;
    passes(&Cmd::cargo("fmt --manifest-path fuzz/Cargo.toml --check"))
}

fn clippy(_: &Notes) -> Result<Outcome> {
    passes(&Cmd::cargo("clippy --quiet --workspace --exclude benches --all-targets -- -D warnings"))
}

fn clippy_benches(_: &Notes) -> Result<Outcome> {
    passes(&Cmd::cargo("clippy --quiet --package benches --all-targets -- -D warnings"))
}

fn deny(_: &Notes) -> Result<Outcome> {
    passes(&CARGO_DENY.command()?.args("--log-level error --all-features check licenses bans sources"))
}

/// The database is on the internet; a machine without it can do everything else.
fn advisories(_: &Notes) -> Result<Outcome> {
    if !CARGO_DENY.command()?.args("fetch db").succeeds_within(Duration::from_secs(60)) {
        return Ok(Outcome::Skipped("the database of advisories can't be fetched from here".into()));
    }
    passes(&CARGO_DENY.command()?.args("--log-level error --all-features check --disable-fetch advisories"))
}

fn wasm(_: &Notes) -> Result<Outcome> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let libraries = Cmd::new("rustc").args("--print target-libdir --target").args(TARGET).output()?;
    let is_there = || std::path::Path::new(libraries.trim()).exists();
    if !is_there() {
        eprintln!("Adding the target {TARGET} (once) …");
        // Where it fails, what is there to be done is said below.
        let _ = Cmd::new("rustup").args("target add").args(TARGET).run();
    }
    if !is_there() {
        bail!("The target {TARGET} is missing. To add it:\n\n    rustup target add {TARGET}");
    }
    let check = Cmd::cargo("check --quiet --target").args(TARGET);
    passes(&check.args("--package engine_math --package engine_component --package engine_net --no-default-features"))
}

fn rustdoc(_: &Notes) -> Result<Outcome> {
    let doc = Cmd::cargo("doc --quiet --workspace --exclude benches --exclude xtask --no-deps --lib");
    passes(&doc.env("RUSTDOCFLAGS", "-D warnings"))
}

fn tests(notes: &Notes) -> Result<Outcome> {
    let colour = if std::io::stderr().is_terminal() { "always" } else { "never" };
    let nextest = CARGO_NEXTEST.command()?.args("nextest run --workspace --exclude benches --color").args(colour);
    // One test scrapes with it; without it that says so, and under CI fails.
    let nextest = match deploy::prometheus_program("prometheus") {
        Ok(program) => nextest.env("PROMETHEUS", program.to_string_lossy()),
        Err(error) => {
            eprintln!("{error:#}");
            nextest
        }
    };
    *notes.tests.borrow_mut() = nextest.run_watching("Summary [")?;
    Ok(Outcome::Passed)
}

fn doctests(_: &Notes) -> Result<Outcome> {
    passes(&Cmd::cargo("test --quiet --doc --workspace --exclude benches"))
}
