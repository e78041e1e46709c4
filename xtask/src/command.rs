//! Commands that can be printed the way a person would type them, so that what failed can be repeated.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package is a folder of the repository").to_path_buf()
}

/// A command to be run in the root of the repository.
pub(crate) struct Cmd {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, String)>,
}

impl Cmd {
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), environment: Vec::new() }
    }

    /// The cargo that runs this program. Arguments are separated by spaces.
    pub(crate) fn cargo(arguments: &str) -> Self {
        Self::new("cargo").args(arguments)
    }

    /// Adds arguments that are separated by spaces.
    pub(crate) fn args(mut self, arguments: &str) -> Self {
        self.arguments.extend(arguments.split_whitespace().map(OsString::from));
        self
    }

    /// Adds one argument as it is.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_os_string());
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The command, ready to be started.
    pub(crate) fn command(&self) -> Command {
        // Under `cargo run`, CARGO is the cargo of the chosen toolchain, not the proxy that chooses again.
        let cargo = (self.program == "cargo").then(|| std::env::var_os("CARGO")).flatten();
        let mut command = Command::new(cargo.as_ref().unwrap_or(&self.program));
        command.args(&self.arguments).current_dir(root());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it with our own input and output.
    pub(crate) fn run(&self) -> Result<()> {
        let status = self.command().status().with_context(|| format!("can't start `{self}`"))?;
        self.check(status)
    }

    /// Runs it, and gives back what it said on its standard output. What it said on its standard error is
    /// part of the error when it fails.
    pub(crate) fn output(&self) -> Result<String> {
        let output = self.command().output().with_context(|| format!("can't start `{self}`"))?;
        if !output.status.success() {
            bail!("`{self}`: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it, shows its standard error line by line, and gives back the last line that holds `needle`.
    pub(crate) fn run_watching(&self, needle: &str) -> Result<Option<String>> {
        let mut child =
            self.command().stderr(Stdio::piped()).spawn().with_context(|| format!("can't start `{self}`"))?;
        let stderr = child.stderr.take().expect("it was just piped");
        let mut found = None;
        for line in BufReader::new(stderr).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            eprintln!("{line}");
            if line.contains(needle) {
                found = Some(line);
            }
        }
        self.check(child.wait()?)?;
        Ok(found)
    }

    /// Runs it silently for at most `limit`, and says whether it ended well.
    pub(crate) fn succeeds_within(&self, limit: Duration) -> bool {
        let Ok(mut child) = self.command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        else {
            return false;
        };
        let start = Instant::now();
        while start.elapsed() < limit {
            match child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) => std::thread::sleep(Duration::from_millis(50)),
                Err(_) => break,
            }
        }
        // Whether it could still be ended makes no difference to the answer.
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    fn check(&self, status: std::process::ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        match status.code() {
            Some(code) => bail!("It ended with code {code}. To repeat it:\n\n    {self}"),
            None => bail!("It was ended by a signal ({status}). To repeat it:\n\n    {self}"),
        }
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{name}={} ", quoted(value))?;
        }
        write!(f, "{}", quoted(&self.program.to_string_lossy()))?;
        for argument in &self.arguments {
            write!(f, " {}", quoted(&argument.to_string_lossy()))?;
        }
        Ok(())
    }
}

/// As a shell wants it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,+@".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Becomes the program: signals, terminal and exit code are its own. Returns only when that fails.
pub(crate) fn exec(program: &Path, arguments: &[OsString]) -> anyhow::Error {
    let mut command = Command::new(program);
    command.args(arguments);
    #[cfg(unix)]
    let error = std::os::unix::process::CommandExt::exec(&mut command);
    #[cfg(not(unix))]
    let error = match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    };
    anyhow::Error::new(error).context(format!("can't start {}", program.display()))
}

/// A program of the release profile, beside our own of the development profile: wherever cargo was told to
/// put its target folder, the two are siblings.
pub(crate) fn release_program(name: &str) -> Result<PathBuf> {
    Ok(target_folder()?.join("release").join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("can't tell where this program is")?;
    let target = own.parent().and_then(Path::parent).context("this program was not started by cargo")?;
    Ok(target.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_printed_as_it_would_be_typed() {
        let command = Cmd::cargo("doc --no-deps").arg("two words").env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(command.to_string(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'two words'");
    }

    #[test]
    fn quotes_are_quoted() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
