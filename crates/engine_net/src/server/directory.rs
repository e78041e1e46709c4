//! The directory of a private server, and what is left of those whose owner was killed.
//!
//! Who is killed can't clean up. So the owner holds a lock on a file in the directory for as long as it
//! lives, and whoever starts a server next removes the directories that nobody holds.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::ServerError;

const PREFIX: &str = "engine-nats-";
const LOCK: &str = "owner.lock";

/// A directory is made a moment before it is locked; younger ones are let alone.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// A temporary directory that this process holds; removed when dropped.
#[derive(Debug)]
pub(super) struct OwnDirectory {
    directory: tempfile::TempDir,
    _lock: File,
}

impl OwnDirectory {
    pub(super) fn new() -> Result<Self, ServerError> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent);
        Self::create_in(&parent).map_err(|reason| ServerError::Directory { path: parent, reason })
    }

    fn create_in(parent: &Path) -> std::io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(directory.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { directory, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn remove_abandoned(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for path in ours.map(|entry| entry.path()).filter(|path| is_abandoned(path, SystemTime::now())) {
        // Another process may be removing it at the same time; what stays is tried again next time.
        let _ = fs::remove_dir_all(path);
    }
}

/// Nobody holds its lock, and it isn't just being made.
fn is_abandoned(directory: &Path, now: SystemTime) -> bool {
    let lock: PathBuf = directory.join(LOCK);
    let Ok(file) = File::open(&lock) else { return false };
    let age = file.metadata().and_then(|lock| lock.modified()).ok().and_then(|made| now.duration_since(made).ok());
    age.is_some_and(|age| age > SETTLED_AFTER) && file.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_abandoned() {
        let parent = tempfile::tempdir().unwrap();
        let later = SystemTime::now() + 2 * SETTLED_AFTER;
        let own = OwnDirectory::create_in(parent.path()).unwrap();
        assert!(!is_abandoned(own.path(), later), "it is held");
        let OwnDirectory { directory, _lock: lock } = own;
        drop(lock);
        assert!(!is_abandoned(directory.path(), SystemTime::now()), "it may be just being made");
        assert!(is_abandoned(directory.path(), later));
        fs::remove_file(directory.path().join(LOCK)).unwrap();
        assert!(!is_abandoned(directory.path(), later), "without a lock file it may be anything");
    }
}
