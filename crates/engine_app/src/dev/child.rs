//! One child process: it writes into a log file, it is not reached by the terminal's Ctrl-C (its parent
//! decides who ends in which order), and it dies with its parent, however that dies.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as OsChild, Command, ExitStatus, Stdio};

use engine_net::child;

/// What is shown of a log, at the most.
const TAIL_BYTES: u64 = 4 * 1024;

/// A running process. Dropping it kills it.
pub(super) struct Child {
    process: OsChild,
    log: PathBuf,
}

impl Child {
    /// Starts it with its output in `log`. The calling thread has to live as long as the child shall.
    pub(super) fn start(mut command: Command, log: &Path) -> io::Result<Self> {
        let out = File::create(log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
        child::end_with_parent(&mut command);
        Ok(Self { process: command.spawn()?, log: log.to_owned() })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, when it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&mut self) {
        if self.ended().is_none() {
            // An error means that it ends right now.
            let _ = child::signal(&self.process, libc::SIGTERM);
        }
    }

    /// Ends it at once (SIGKILL).
    pub(super) fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The last lines that it wrote.
    pub(super) fn tail(&self) -> String {
        tail(&self.log).unwrap_or_default()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let from = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole_lines = if from == 0 { &text[..] } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
    Ok(whole_lines.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::start(command, log).unwrap()
    }

    #[test]
    fn the_tail_of_a_long_log_starts_at_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut child = shell("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done", &log);
        assert!(child.process.wait().unwrap().success());
        let tail = child.tail();
        assert!(tail.ends_with("line 1999") && tail.starts_with("line ") && tail.len() < 4096, "{tail}");
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let child = shell("exec sleep 1000", &folder.path().join("log"));
        let proc = PathBuf::from(format!("/proc/{}", child.pid()));
        drop(child);
        assert!(!proc.exists());
    }

    #[test]
    fn a_child_that_is_asked_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell("exec sleep 1000", &folder.path().join("log"));
        child.ask_to_end();
        assert!(!child.process.wait().unwrap().success());
        assert!(child.ended().is_some());
        child.ask_to_end();
    }
}
