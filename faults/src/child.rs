//! A process: it gets signals, what it prints is read line by line, and it dies with this one, however this one
//! ends.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child as OsChild, Command, ExitStatus, Stdio};

use engine::net::child;

/// A running process; dropping it kills it.
pub(crate) struct Child {
    process: OsChild,
    errors: PathBuf,
}

/// What may be sent to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// It stands still.
    Stop,
    /// It goes on.
    Continue,
}

impl Child {
    /// Starts it from a thread that lives as long as the child shall. Each line that it prints is given to `line`,
    /// on a thread of its own; what it complains of is added to the file `errors`.
    pub(crate) fn start(
        mut command: Command,
        errors: &Path,
        mut line: impl FnMut(&str) + Send + 'static,
    ) -> io::Result<Self> {
        let complaints = OpenOptions::new().create(true).append(true).open(errors)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(complaints).process_group(0);
        child::end_with_parent(&mut command);
        let mut process = command.spawn()?;
        if let Some(out) = process.stdout.take() {
            std::thread::Builder::new().name("faults-lines".into()).spawn(move || {
                for text in BufReader::new(out).lines().map_while(Result::ok) {
                    line(&text);
                }
            })?;
        }
        Ok(Self { process, errors: errors.to_owned() })
    }

    /// How it ended, when it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    pub(crate) fn send(&mut self, signal: Signal) {
        let number = match signal {
            Signal::Stop => libc::SIGSTOP,
            Signal::Continue => libc::SIGCONT,
        };
        if self.ended().is_none() {
            // An error means that it ends right now.
            let _ = child::signal(&self.process, number);
        }
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The last thing that it complained of.
    pub(crate) fn complaint(&self) -> String {
        let text = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let is_error = |line: &&str| line.starts_with("error: ");
        text.lines().rfind(is_error).or(text.lines().next_back()).unwrap_or_default().to_owned()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
