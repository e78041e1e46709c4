//! `cargo demo`: builds the arena for release, and becomes it.

use std::ffi::OsString;
use std::io::IsTerminal;

use anyhow::Result;

use crate::command::{Cmd, exec, release_program};

pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    build("arena", "")?;
    let mut all = vec![OsString::from("demo")];
    all.extend_from_slice(arguments);
    Err(exec(&release_program("arena")?, &all))
}

/// Builds a package for release. On a terminal cargo shows its progress itself; elsewhere one line has to
/// do, so that the output of what is run afterwards stands alone.
pub(crate) fn build(package: &str, options: &str) -> Result<()> {
    eprintln!("Building {package} for release (the first time takes a few minutes) …");
    let quiet = if std::io::stderr().is_terminal() { "" } else { "--quiet" };
    Cmd::cargo("build --release --package").args(package).args(options).args(quiet).run()
}
