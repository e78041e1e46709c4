//! Fuzzing: which targets there are, how they are built, and how they are run.
//!
//! The crates of this workspace are compiled by `fuzz/rustc.sh`, with what libFuzzer wants; all others are as they
//! are in tests. Wrong overflows, slices and assertions are what is looked for: unsafe code is Miri's. One program
//! holds all targets; the environment says which one it is.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::{Cmd, root, target_folder};
use crate::report::{self, Outcome};

/// Seconds of each target in a run of all steps.
const QUICK_SECONDS: u64 = 2;
/// Seconds after which one input counts as endless; machines are slow now and then.
const HANG_SECONDS: u64 = 25;

/// What is to be fuzzed.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Targets; all when none is named.
    targets: Vec<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Says which targets there are.
    #[arg(long)]
    list: bool,
    /// Runs this one input, e.g. one that made a target fail.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// `cargo xtask fuzz`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let all = targets()?;
    if arguments.list {
        all.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    if let Some(unknown) = arguments.targets.iter().find(|name| !all.contains(name)) {
        bail!("There is no target `{unknown}`. The targets are: {}.", all.join(", "));
    }
    let chosen = if arguments.targets.is_empty() { &all } else { &arguments.targets };
    let fuzzer = Fuzzer::build()?;
    if let Some(input) = &arguments.input {
        let [target] = chosen.as_slice() else { bail!("An input is run by one target: name it.") };
        return fuzzer.command(target).arg(std::path::absolute(input)?).run();
    }
    for target in chosen {
        let corpus = root().join("fuzz").join("corpus").join(target);
        std::fs::create_dir_all(&corpus).with_context(|| format!("can't make {}", corpus.display()))?;
        fuzzer.fuzz(target, arguments.seconds, Some(&corpus))?;
    }
    Ok(())
}

/// The step of `cargo xtask test`: every target, from its seeds alone.
pub(crate) fn check() -> Result<Outcome> {
    if !cfg!(any(target_os = "linux", target_os = "macos")) {
        return Ok(Outcome::Skipped("the fuzzer runs on Linux and macOS".into()));
    }
    let fuzzer = Fuzzer::build()?;
    targets()?.iter().try_for_each(|target| fuzzer.fuzz(target, QUICK_SECONDS, None))?;
    Ok(Outcome::Passed)
}

/// A target is a module of the fuzz crate.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/src/targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("can't read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name != "mod" {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

struct Fuzzer {
    program: PathBuf,
    seeds: PathBuf,
}

impl Fuzzer {
    /// Builds the program, and lets it write its seeds.
    fn build() -> Result<Self> {
        let (compiler, target) = (root().join("fuzz/rustc.sh"), target_folder()?);
        let build = Cmd::cargo("build --quiet --package fuzz --bin fuzz");
        build.env("RUSTC_WORKSPACE_WRAPPER", compiler.to_string_lossy()).run()?;
        let fuzzer = Self { program: target.join("debug/fuzz"), seeds: target.join("fuzz-seeds") };
        // Seeds that there are no longer must not stay.
        let _ = std::fs::remove_dir_all(&fuzzer.seeds);
        Cmd::new(&fuzzer.program).env("FUZZ_SEEDS", fuzzer.seeds.to_string_lossy()).run()?;
        Ok(fuzzer)
    }

    /// The program as a target, which puts inputs that fail beside the crate.
    fn command(&self, target: &str) -> Cmd {
        let artifacts = root().join("fuzz/artifacts");
        let prefix = format!("-artifact_prefix={}/{target}-", artifacts.display());
        Cmd::new(&self.program).env("FUZZ_TARGET", target).arg(format!("-timeout={HANG_SECONDS}")).arg(prefix)
    }

    /// Runs a target from its seeds and its corpus, which grows.
    fn fuzz(&self, target: &str, seconds: u64, corpus: Option<&Path>) -> Result<()> {
        let artifacts = root().join("fuzz/artifacts");
        std::fs::create_dir_all(&artifacts).with_context(|| format!("can't make {}", artifacts.display()))?;
        let command = self.command(target).arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
        let command = corpus.map(PathBuf::from).into_iter().chain([self.seeds.join(target)]).fold(command, Cmd::arg);
        let start = Instant::now();
        let mut child = command
            .command()
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("can't start `{command}`"))?;
        let said = child.stderr.take().context("its output was just piped")?;
        let (mut lines, mut executions) = (Vec::new(), "no".to_owned());
        for line in BufReader::new(said).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
                executions = count.trim().to_owned();
            }
            // What it finds new is of no interest, unless it fails.
            if !line.starts_with('#') || line.contains(" 0x") {
                lines.push(line);
            }
        }
        if child.wait()?.success() {
            eprintln!("{target:12} {executions:>9} inputs in {}", report::seconds(start.elapsed()));
            return Ok(());
        }
        eprintln!("{}", lines.join("\n"));
        let found = lines.iter().find_map(|line| line.split_once("Test unit written to ").map(|(_, file)| file));
        let again = match found {
            Some(file) => format!("cargo xtask fuzz {target} --input {file}"),
            None => command.to_string(),
        };
        bail!("Target {target} FAILED. To repeat it:\n\n    {again}")
    }
}
