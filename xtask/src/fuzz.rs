//! Fuzzing: which targets there are, how they are built, and how they are run.
//!
//! The program is built by the nightly toolchain, with the flags that libFuzzer wants: counters in every
//! branch, comparisons traced, and the address sanitizer. Nothing else is built like that, so it has a
//! workspace and a target folder of its own. One program holds all targets; the environment says which one
//! it is.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::{Cmd, root};
use crate::report::{self, Outcome};

/// Seconds of each target in a run of all steps.
const QUICK_SECONDS: u64 = 2;
/// Seconds after which one input counts as endless; machines are slow now and then.
const HANG_SECONDS: u64 = 25;

const FLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0";

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
    if let Some(reason) = missing() {
        bail!("{reason}");
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
    if let Some(reason) = missing() {
        return Ok(Outcome::Skipped(reason));
    }
    let fuzzer = Fuzzer::build()?;
    targets()?.iter().try_for_each(|target| fuzzer.fuzz(target, QUICK_SECONDS, None))?;
    Ok(Outcome::Passed)
}

/// Why it can't be done here.
fn missing() -> Option<String> {
    if !cfg!(any(target_os = "linux", target_os = "macos")) {
        return Some("the fuzzer runs on Linux and macOS".into());
    }
    let nightly = Cmd::new("rustup").args("run nightly rustc --version").output();
    nightly.is_err().then(|| "no nightly here; `rustup toolchain install nightly --profile minimal` brings it".into())
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
        let host = host()?;
        let target_folder = root().join("fuzz/target");
        let build = Cmd::new("rustup").args("run nightly cargo build --quiet --manifest-path fuzz/Cargo.toml --target");
        // With a target named, build scripts and macros are built without these flags.
        build.arg(&host).arg("--target-dir").arg(&target_folder).env("RUSTFLAGS", FLAGS).run()?;
        let fuzzer = Self { program: target_folder.join(host).join("debug/fuzz"), seeds: target_folder.join("seeds") };
        // Seeds that there are no longer must not stay.
        let _ = std::fs::remove_dir_all(&fuzzer.seeds);
        Cmd::new(&fuzzer.program).env("FUZZ_SEEDS", fuzzer.seeds.to_string_lossy()).run()?;
        Ok(fuzzer)
    }

    /// The program as a target, which puts inputs that fail beside the crate.
    fn command(&self, target: &str) -> Cmd {
        let artifacts = root().join("fuzz/artifacts");
        let prefix = format!("-artifact_prefix={}/{target}-", artifacts.display());
        // Leaks are found by another sanitizer, which does not run everywhere; what is kept is counted anyhow.
        Cmd::new(&self.program)
            .env("FUZZ_TARGET", target)
            .env("ASAN_OPTIONS", "detect_leaks=0:detect_odr_violation=0")
            .arg("-detect_leaks=0")
            .arg(format!("-timeout={HANG_SECONDS}"))
            .arg(prefix)
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

/// The name of the platform that this is.
fn host() -> Result<String> {
    let about = Cmd::new("rustup").args("run nightly rustc --version --verbose").output()?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc --version --verbose` names no host")?.to_owned())
}
