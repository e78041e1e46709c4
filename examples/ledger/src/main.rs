//! A shop around a world: purchases are commands, a balance is a projection, and a webhook is told of everything.
//!
//! Each part is a process of its own. `ledger demo` starts all of them; `ledger verify` kills them, over and over.

mod balance;
mod bench;
mod buyer;
mod demo;
mod hook;
mod house;
mod journal;
mod messages;
mod receiver;
mod shop;
mod tally;
mod verify;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use engine::net::config::ConnectionArgs;
use engine::service::Link;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Purchases as commands, balances as a projection, a webhook that is told of them
#[derive(Parser)]
#[command(name = "ledger", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    part: Part,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Subcommand)]
enum Part {
    /// Handle purchases; as many of these as you like
    Shop,
    /// Fold purchases into balances, and answer questions about them
    Balance,
    /// Tell a webhook of every event, and collect what it refuses
    Hook { url: String },
    /// Be a webhook that fails, hangs, and writes down what it was told
    Receiver { port: u16, file: PathBuf },
    /// Buy until told to end by SIGTERM; what is written in the journal is bought once
    Buy { journal: PathBuf },
    /// Start a server and all parts, and show how they are for some seconds
    Demo {
        #[arg(long, default_value_t = 8)]
        seconds: u64,
    },
    /// Kill every part in every round while purchases go on, then look for each of them
    Verify(verify::Verify),
    /// Commands a second, durable, beside raw publishing
    Bench(bench::Bench),
}

fn main() -> Result<()> {
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    let cli = Cli::parse();
    // These start processes, which end with the thread that did so: it has to be this one.
    match cli.part {
        Part::Demo { seconds } => return demo::run(seconds),
        Part::Verify(verify) => return verify.run(),
        Part::Bench(bench) => return bench.run(),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let link = async |name: &str| Ok::<_, anyhow::Error>(Link::open(&cli.connection.resolve()?, name).await?);
        match cli.part {
            Part::Shop => shop::run(&link("shop").await?).await,
            Part::Balance => balance::run(&link("balance").await?).await,
            Part::Hook { url } => hook::run(&link("hook").await?, &url).await,
            Part::Buy { journal } => buyer::run(&link("buyer").await?, &journal).await,
            Part::Receiver { port, file } => receiver::run(port, &file).await,
            Part::Demo { .. } | Part::Verify(_) | Part::Bench(_) => unreachable!("was run above"),
        }
    })
}
