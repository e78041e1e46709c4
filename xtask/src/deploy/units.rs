//! systemd's own tool over its units: whether they are understood, and how much they leave open.

use anyhow::{Result, bail};

use super::read;
use crate::command::{Cmd, target_folder};
use crate::report::Outcome;

const UNITS: [&str; 2] = ["engine-coordinator@.service", "engine-system@.service"];
/// Of a hundred: how much a unit may leave open to whoever breaks into its process.
const MOST_EXPOSED: &str = "20";

pub(super) fn check() -> Result<Outcome> {
    let analyze = || Cmd::new("systemd-analyze");
    if analyze().args("--version").output().is_err() {
        return Ok(Outcome::Skipped("no systemd-analyze: apt-get install systemd".into()));
    }
    let folder = target_folder()?.join("deploy-units");
    std::fs::create_dir_all(&folder)?;
    for name in UNITS {
        let file = folder.join(name);
        std::fs::write(&file, with_a_program_that_is_there(&read(&format!("systemd/{name}"))?))?;
        verify(&analyze().args("verify --man=no").arg(&file))?;
        analyze().args("security --no-pager --offline=true --threshold").args(MOST_EXPOSED).arg(&file).output()?;
    }
    Ok(Outcome::Passed)
}

/// What it does not understand it passes over, with a line and without an error.
fn verify(command: &Cmd) -> Result<()> {
    let output = command.command().output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // Units of the machine itself are none of ours.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("engine-")).collect();
    if !output.status.success() || !ours.is_empty() {
        bail!("`{command}`: {}", if ours.is_empty() { said.trim().to_owned() } else { ours.join("\n") });
    }
    Ok(())
}

/// Ours is not installed where it is checked.
fn with_a_program_that_is_there(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix("ExecStart=").and_then(|rest| rest.split_once(' ')) {
        Some((_, arguments)) => format!("ExecStart=/bin/true {arguments}"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
