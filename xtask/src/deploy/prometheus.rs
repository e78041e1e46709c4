//! Prometheus' own tool over its configurations and rules, and where its programs are.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::read;
use crate::command::{Cmd, root, target_folder};
use crate::report::Outcome;
use crate::tools::cache;

const HINT: &str = "apt-get install prometheus";

/// `prometheus` or `promtool`: of the variable with its name in capitals, on the PATH, or unpacked from Debian's package,
/// whose service nobody wants on a machine that only tests.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(name.to_uppercase()).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file()) {
        return Ok(found);
    }
    let folder = cache("Prometheus")?.join("prometheus-debian");
    if !folder.exists() {
        unpack(&folder).with_context(|| format!("no {name}: {HINT}"))?;
    }
    let unpacked = folder.join("usr/bin").join(name);
    if unpacked.is_file() { Ok(unpacked) } else { bail!("no {name} in {}: {HINT}", folder.display()) }
}

fn unpack(folder: &std::path::Path) -> Result<()> {
    eprintln!("Fetching Debian's package of Prometheus into the cache (once) …");
    let half = folder.with_extension(std::process::id().to_string());
    std::fs::create_dir_all(&half)?;
    // It comes into the folder where one stands.
    let fetched =
        std::process::Command::new("apt-get").args(["download", "-qq", "prometheus"]).current_dir(&half).output();
    let fetched = fetched.context("there is no apt-get here")?;
    if !fetched.status.success() {
        let _ = std::fs::remove_dir_all(&half);
        bail!("{}", String::from_utf8_lossy(&fetched.stderr).trim());
    }
    for entry in std::fs::read_dir(&half)? {
        let package = entry?.path();
        Cmd::new("dpkg-deb").arg("-x").arg(&package).arg(&half).output()?;
        std::fs::remove_file(package)?;
    }
    std::fs::rename(&half, folder)?;
    Ok(())
}

pub(super) fn check() -> Result<Outcome> {
    let promtool = match program("promtool") {
        Ok(promtool) => promtool,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let check = |file: PathBuf| Cmd::new(&promtool).args("check config").arg(file).output().map(drop);
    check(root().join("deploy/prometheus/prometheus.yml"))?;
    // Debian's knows no clusters: their part is left out, which says nothing about the rest of the job.
    let folder = target_folder()?.join("deploy-prometheus");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("rules.yml"), read("prometheus/rules.yml")?)?;
    let elsewhere = folder.join("kubernetes.yml");
    std::fs::write(&elsewhere, without_discovery(&read("prometheus/kubernetes.yml")?)?)?;
    check(elsewhere)?;
    Cmd::new(&promtool).args("test rules deploy/prometheus/rules.test.yml").output()?;
    Ok(Outcome::Passed)
}

/// The text without the block of how pods are found.
fn without_discovery(text: &str) -> Result<String> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let (mut kept, mut above) = (Vec::new(), None);
    for line in text.lines() {
        if above.is_some_and(|above| depth(line) > above) {
            continue;
        }
        above = line.trim().eq("kubernetes_sd_configs:").then(|| depth(line));
        if above.is_none() {
            kept.push(line);
        }
    }
    if kept.len() == text.lines().count() {
        bail!("deploy/prometheus/kubernetes.yml does not say how pods are found");
    }
    Ok(kept.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_left_out_and_nothing_else() {
        let text = "a:\n  - b: c\n    kubernetes_sd_configs:\n      - role: pod\n    d: e\nf: g";
        assert_eq!(without_discovery(text).unwrap(), "a:\n  - b: c\n    d: e\nf: g");
        assert!(without_discovery("a: b").is_err());
    }
}
