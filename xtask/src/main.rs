//! `cargo xtask`: everything that is done to this repository, in one place and the same everywhere.
//!
//! What the continuous integration runs is `cargo xtask test`, and nothing else: whoever has that green at
//! home has it green there.

mod bench;
mod command;
mod demo;
mod deploy;
mod faults;
mod fuzz;
mod kernels;
mod miri;
mod report;
mod simulate;
mod steps;
mod tidy;
mod tools;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tests, demonstrates and measures Engine.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that has to pass before a change is merged.
    Test {
        /// Only this step; may be given more than once.
        #[arg(long, value_name = "STEP")]
        only: Vec<String>,
        /// Says which steps there are.
        #[arg(long)]
        list: bool,
    },
    /// The arena on several processes; the same as `cargo demo`.
    #[command(disable_help_flag = true)]
    Demo {
        /// Given on to `arena demo`; try `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Schedules of the seeded simulator.
    #[command(disable_help_flag = true)]
    Simulate {
        /// Given on to the simulator: `--schedules N`, `--seed S`, `--trace`, `--json`; try `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// The arena on processes that are killed, paused and cut off.
    #[command(disable_help_flag = true)]
    Faults {
        /// Given on to the harness: `--minutes M`, `--seed S`, `--only KIND…`, `--takeovers N`, `--json`; try `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Feeds made-up bytes to everything that reads bytes from outside.
    Fuzz(fuzz::Arguments),
    /// Counts instructions: whether loops over columns become the vector code that a loop by hand becomes.
    Kernels,
    /// Measures Engine against its floors and its peers.
    #[command(disable_help_flag = true)]
    Bench {
        /// Given on to the bench program: case names, `--json FILE`, `--quick`, `--list`; try `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test { list: true, .. } => {
            steps::list();
            Ok(())
        }
        Task::Test { only, .. } => steps::run(&only),
        Task::Demo { arguments } => demo::run(&arguments),
        Task::Simulate { arguments } => simulate::run(&arguments),
        Task::Faults { arguments } => faults::run(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Kernels => kernels::run(),
        Task::Bench { arguments } => bench::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}
