//! Temporary folders, named after the process that owns them: what is left of one that was killed goes when the next
//! one starts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

const PREFIX: &str = "engine-faults-";
/// Where a disk is mounted, in its folder.
pub(crate) const MOUNT: &str = "disk";

/// A new folder of this process.
pub(crate) fn new() -> Result<tempfile::TempDir> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().context("a temporary folder")
}

/// Removes what processes left that are no more.
pub(crate) fn remove_abandoned() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let owner = rest.split('-').next().and_then(|owner| owner.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            let mount = entry.path().join(MOUNT);
            if mount.exists() {
                // An error means that nothing is mounted there any more.
                let _ = Command::new("umount").arg("--lazy").arg(&mount).output();
            }
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
