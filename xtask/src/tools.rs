//! Tools of one version for everybody, installed once into the user's cache.
//!
//! A tool of just that version on the PATH is used as it is. Otherwise it is built from crates.io, which
//! takes some minutes the first time; when that is impossible, another version on the PATH has to do.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::command::Cmd;

/// A cargo subcommand of a fixed version.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    /// What its own `--version` needs before it.
    subcommand: &'static str,
}

/// Runs the tests.
pub(crate) const CARGO_NEXTEST: Tool = Tool { name: "cargo-nextest", version: "0.9.143", subcommand: "nextest" };

/// Checks the licences and sources of dependencies.
pub(crate) const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", subcommand: "" };

impl Tool {
    /// The tool as a command, installed when it is missing.
    pub(crate) fn command(&self) -> Result<Cmd> {
        let installed = self.folder()?.join("bin").join(format!("{}{}", self.name, std::env::consts::EXE_SUFFIX));
        if installed.exists() {
            return Ok(Cmd::new(installed));
        }
        let found = self.version_on_path();
        if found.as_deref() == Some(self.version) {
            return Ok(Cmd::new(self.name));
        }
        match (self.install(), found) {
            (Ok(()), _) => Ok(Cmd::new(installed)),
            (Err(error), Some(other)) => {
                eprintln!("{error:#}\nUsing {} {other} from the PATH instead of {}.", self.name, self.version);
                Ok(Cmd::new(self.name))
            }
            (Err(error), None) => Err(error),
        }
    }

    fn install(&self) -> Result<()> {
        eprintln!("Installing {} {} into the cache (once; takes some minutes) …", self.name, self.version);
        let folder = self.folder()?;
        // A build folder of its own: an install that was interrupted goes on where it was.
        let build = folder.join("build");
        Cmd::cargo("install --locked --quiet --version")
            .args(self.version)
            .arg("--root")
            .arg(&folder)
            .arg("--target-dir")
            .arg(&build)
            .arg(self.name)
            .run()
            .with_context(|| format!("{} {} can't be installed.", self.name, self.version))?;
        // What is left behind costs space and nothing else.
        let _ = std::fs::remove_dir_all(build);
        Ok(())
    }

    /// `engine/tools/NAME-VERSION` in the user's cache folder.
    fn folder(&self) -> Result<PathBuf> {
        Ok(cache(self.name)?.join(format!("{}-{}", self.name, self.version)))
    }

    fn version_on_path(&self) -> Option<String> {
        let command = Cmd::new(self.name).args(self.subcommand).args("--version");
        let output = command.command().stderr(Stdio::null()).output().ok()?;
        // `cargo-nextest 0.9.143 (…)`: the second word of the first line.
        String::from_utf8_lossy(&output.stdout).split_whitespace().nth(1).map(str::to_owned)
    }
}

/// `engine/tools` in the user's cache folder: the place for `what`.
pub(crate) fn cache(what: &str) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache =
        set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache"))).or_else(|| set("LOCALAPPDATA"));
    let Some(cache) = cache else {
        bail!("There is no place for {what}: neither HOME nor XDG_CACHE_HOME is set.");
    };
    Ok(cache.join("engine").join("tools"))
}
