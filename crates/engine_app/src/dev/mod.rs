//! `dev`: a whole distributed world from one command.
//!
//! A private nats-server on a free port, a coordinator, and a process for every instance, all started
//! from this very program; a live view of them, or plain lines where there is no terminal. It looks at
//! the world only through the status request that everybody else may send as well, so what it shows is
//! what the wire says. Whatever ends it, it leaves no process and no file behind.
//!
//! | file | |
//! | --- | --- |
//! | [`args`] | the command line, and what is started with it |
//! | `child`, `processes` | processes that don't outlive this one |
//! | `link` | status and commands over NATS |
//! | `board` | what is known at a moment: plain data, drawn by `view` and `lines` |
//! | `session` | the loop that ties them together |

pub mod args;
mod board;
mod child;
mod lines;
mod link;
mod processes;
mod session;
mod view;

use std::io::IsTerminal;

use anyhow::Context;

pub use args::{DevArgs, DevPlan, InstanceCount};

/// Starts everything, shows it until it is over, and ends everything.
pub fn run(args: &DevArgs, plan: &DevPlan) -> anyhow::Result<()> {
    let crew = args::crew(&args.instances, plan)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
    // On this thread, all of it: children are told of the death of the thread that started them, not of
    // its process.
    runtime.block_on(session::run(args, plan, &crew))
}

/// A status for tests of whoever shows one.
#[cfg(test)]
pub(crate) fn made_up_status() -> engine_net::messages::status::Status {
    board::tests::board().status.unwrap_or_else(|| unreachable!("it has one"))
}

/// Whether there is somebody to look at a live view.
fn has_viewer(args: &DevArgs) -> bool {
    let interactive = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    interactive && !args.plain && !args.json && args.ticks.is_none()
}
