//! `cargo xtask bench`: builds the benches with their peers, and becomes them.

use std::ffi::OsString;

use anyhow::Result;

use crate::command::{exec, release_program};
use crate::demo::build;

pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    build("benches", "--features peers")?;
    Err(exec(&release_program("bench")?, arguments))
}
