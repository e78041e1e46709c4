//! Linters and schemas from PyPI, of the versions in `lints.txt`, installed once into the user's cache.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::read;
use crate::command::{Cmd, root};
use crate::report::Outcome;
use crate::tools::cache;

/// What they need is in the list too, so that nothing is chosen when it is installed.
const LIST: &str = include_str!("lints.txt");

/// In the folder of the manifests, and no objects of a cluster.
const NO_OBJECTS: [&str; 2] = ["kustomization.yaml", "adapter.yaml"];

pub(super) fn check() -> Result<Outcome> {
    let tools = match tools() {
        Ok(tools) => tools,
        Err(error) => {
            return Ok(Outcome::Skipped(format!("no linters: Python 3 with pip has to be there ({error:#})")));
        }
    };
    let tool = |name: &str| {
        let command = Cmd::new(tools.join("bin").join(name));
        command.env("PYTHONPATH", tools.to_string_lossy())
    };
    tool("hadolint").args("--failure-threshold style deploy/Dockerfile").run()?;
    tool("check-jsonschema").args("--quiet --builtin-schema vendor.compose-spec deploy/compose.yaml").run()?;
    tool("kubernetes-validate").args("--strict --quiet").args(&manifests()?.join(" ")).run()?;
    Ok(Outcome::Passed)
}

/// Those that are applied: all that there are.
fn manifests() -> Result<Vec<String>> {
    let list = read("kubernetes/kustomization.yaml")?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("deploy/kubernetes"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".yaml") || NO_OBJECTS.contains(&name.as_str()) {
            continue;
        }
        if !list.lines().any(|line| line.trim() == format!("- {name}")) {
            bail!("deploy/kubernetes/{name} is not in kustomization.yaml: nobody would apply it");
        }
        names.push(format!("deploy/kubernetes/{name}"));
    }
    names.sort_unstable();
    Ok(names)
}

/// Their folder.
fn tools() -> Result<PathBuf> {
    let mut digest = DefaultHasher::new();
    LIST.hash(&mut digest);
    let folder = cache("the linters")?.join(format!("deploy-lints-{:016x}", digest.finish()));
    if folder.exists() {
        return Ok(folder);
    }
    eprintln!("Installing linters into the cache (once) …");
    // Complete, or not there: it gets its name when all is in it.
    let half = folder.with_extension(std::process::id().to_string());
    let list = root().join("xtask/src/deploy/lints.txt");
    let installed = Cmd::new("python3")
        .args("-m pip install --quiet --disable-pip-version-check --no-deps --target")
        .arg(&half)
        .arg("-r")
        .arg(list)
        .output();
    installed.context("pip can't install them")?;
    std::fs::rename(&half, &folder)?;
    Ok(folder)
}
