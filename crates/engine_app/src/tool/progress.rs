//! What is done of something that takes long: a line on standard error each second, none in the first.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Progress of one thing.
#[derive(Debug)]
pub struct Progress {
    said: Instant,
    spoke: bool,
    terminal: bool,
}

impl Progress {
    /// Of something that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { said: Instant::now(), spoke: false, terminal: std::io::stderr().is_terminal() }
    }

    /// Says where it is, when a second has gone by.
    pub fn at(&mut self, text: impl FnOnce() -> String) {
        if self.said.elapsed() < EVERY {
            return;
        }
        self.said = Instant::now();
        self.spoke = true;
        let mut err = std::io::stderr().lock();
        // On a terminal one line is enough, which is written over. Nobody is hurt when it can't be written.
        let _ = if self.terminal { write!(err, "\r\x1b[K{}", text()) } else { writeln!(err, "{}", text()) };
        let _ = err.flush();
    }

    /// Leaves the line as it was found.
    pub fn done(&mut self) {
        if self.spoke && self.terminal {
            eprint!("\r\x1b[K");
        }
        self.spoke = false;
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}
