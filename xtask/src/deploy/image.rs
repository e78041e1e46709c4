//! The programs of the image: built for musl with the very words of the Dockerfile, but not optimised, since what is
//! asked is whether they are whole and static. Then the tests of `deploy/` run once more, with that program.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{prometheus, read};
use crate::command::{Cmd, target_folder};
use crate::report::Outcome;
use crate::tools::CARGO_NEXTEST;

pub(super) fn check() -> Result<Outcome> {
    if !cfg!(target_os = "linux") {
        return Ok(Outcome::Skipped("programs for musl are built on Linux".into()));
    }
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    if let Some(missing) = missing(&target)? {
        return Ok(Outcome::Skipped(missing));
    }
    let folder = target_folder()?.join(&target).join("debug");
    let programs = ["engine", "arena"].map(|name| folder.join(name));
    // Those of an earlier build are no proof.
    programs.iter().for_each(|program| drop(std::fs::remove_file(program)));
    let build = Cmd::cargo("build --quiet").args(&build_arguments(&read("Dockerfile")?, &target)?);
    build
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .run()?;
    let [engine, arena] = &programs;
    for program in &programs {
        let bytes = std::fs::read(program).with_context(|| format!("the build made no {}", program.display()))?;
        ensure!(!asks_for_a_loader(&bytes)?, "{} is not static", program.display());
    }
    no_environment(engine, "--version").output()?;
    // Nobody serves probes at a port that can't be one of anybody's.
    let health = no_environment(engine, "health 127.0.0.1:1");
    ensure!(!health.succeeds_within(Duration::from_secs(30)), "`{health}` finds somebody where nobody is");
    let tests = CARGO_NEXTEST.command()?.args("nextest run --package arena --test deploy --no-fail-fast --cargo-quiet");
    let tests = tests.env("ARENA_PROGRAM", arena.to_string_lossy());
    match prometheus::program("prometheus") {
        Ok(program) => tests.env("PROMETHEUS", program.to_string_lossy()).run()?,
        Err(_) => tests.run()?,
    }
    Ok(Outcome::Passed)
}

fn no_environment(program: &Path, arguments: &str) -> Cmd {
    Cmd::new("env").arg("-i").arg(program).args(arguments)
}

/// What has to be installed first.
fn missing(target: &str) -> Result<Option<String>> {
    let libraries = Cmd::new("rustc").args("--print target-libdir --target").args(target).output()?;
    let is_there = || Path::new(libraries.trim()).exists();
    if !is_there() {
        eprintln!("Adding the target {target} (once) …");
        let _ = Cmd::new("rustup").args("target add").args(target).run();
    }
    if !is_there() {
        return Ok(Some(format!("no {target}: rustup target add {target}")));
    }
    let compiles = Cmd::new("musl-gcc").args("--version").output().is_ok();
    Ok((!compiles).then(|| "no musl-gcc: apt-get install musl-tools".into()))
}

/// What the Dockerfile gives to `cargo build`, in the development profile.
fn build_arguments(dockerfile: &str, target: &str) -> Result<String> {
    let line = dockerfile.lines().find_map(|line| line.split_once("cargo build ")).map(|(_, rest)| rest);
    let words = line.context("deploy/Dockerfile builds nothing")?.split_whitespace().filter(|word| *word != "\\");
    let words: Vec<&str> = words.collect();
    if !words.windows(2).any(|pair| pair == ["--profile", "dist"]) {
        bail!("deploy/Dockerfile does not build in the profile `dist`");
    }
    let words = words.into_iter().map(|word| match word {
        "dist" => "dev",
        "\"$target\"" => target,
        other => other,
    });
    Ok(words.collect::<Vec<_>>().join(" "))
}

/// Whether a program of 64 bits names a loader (`PT_INTERP`): one that is static has none.
fn asks_for_a_loader(bytes: &[u8]) -> Result<bool> {
    const INTERP: u32 = 3;
    let number = |at: usize, width: usize| -> Result<usize> {
        let bytes = bytes.get(at..at + width).context("a program is longer than that")?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    ensure!(bytes.starts_with(b"\x7fELF\x02\x01"), "this is no program for Linux of 64 bits, little endian");
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let kinds: Result<Vec<usize>> = (0..count).map(|index| number(table + index * size, 4)).collect();
    Ok(kinds?.contains(&(INTERP as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_dockerfile() {
        let text = "RUN x && \\\n && cargo build --locked --profile dist --target \"$target\" --bin a \\\n && y";
        assert_eq!(build_arguments(text, "t-musl").unwrap(), "--locked --profile dev --target t-musl --bin a");
        assert!(build_arguments("RUN cargo build --bin a", "t").is_err());
        assert!(build_arguments("RUN true", "t").is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_very_test_is_not_static() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(asks_for_a_loader(&own).unwrap());
        assert!(asks_for_a_loader(&own[..60]).is_err() && asks_for_a_loader(b"#!/bin/sh").is_err());
    }
}
