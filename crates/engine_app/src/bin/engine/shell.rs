//! `engine completions` and `engine man`: what a shell and a reader of manuals want.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Cli;
use crate::output::print;

/// Completions.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  engine completions bash > /etc/bash_completion.d/engine
  engine completions zsh > ~/.zfunc/_engine
  engine completions fish > ~/.config/fish/completions/engine.fish")]
pub(crate) struct CompletionsCommand {
    /// Whose
    shell: Shell,
}

/// Manual pages.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  engine man /usr/local/share/man/man1    a page for each command: man engine-query
  engine man . && man ./engine.1")]
pub(crate) struct ManCommand {
    /// An existing folder to write them to
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl CompletionsCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "engine", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}

impl ManCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let folder = &self.folder;
        clap_mangen::generate_to(Cli::command(), folder)
            .with_context(|| format!("can't write manual pages to {}", folder.display()))
    }
}
