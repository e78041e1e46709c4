//! The processes at the other end: this program again, told by its environment what to be.

use std::io::Read as _;

use anyhow::{Context, Result};
use engine_net::config::Secret;

use super::broker::Entrance;
use super::{echo, engine_side, raw};

const ROLE: &str = "BENCH_WORKER";
const NUMBER: &str = "BENCH_WORKER_NUMBER";
const BYTES_IN: &str = "BENCH_WORKER_IN";
const BYTES_OUT: &str = "BENCH_WORKER_OUT";
pub(crate) const URL: &str = "BENCH_NATS_URL";
pub(crate) const USER: &str = "BENCH_NATS_USER";
pub(crate) const PASSWORD: &str = "BENCH_NATS_PASSWORD";

/// What a worker does.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Sends back what it gets.
    Echo,
    /// Takes `bytes_in` in chunks, answers with `bytes_out` in chunks.
    Raw { number: usize, bytes_in: usize, bytes_out: usize },
    /// Runs the system of the bench for a coordinator.
    Instance { number: usize },
}

impl Role {
    pub(crate) fn to_environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Echo => vec![(ROLE, "echo".into())],
            Self::Instance { number } => vec![(ROLE, "instance".into()), (NUMBER, number.to_string())],
            Self::Raw { number, bytes_in, bytes_out } => vec![
                (ROLE, "raw".into()),
                (NUMBER, number.to_string()),
                (BYTES_IN, bytes_in.to_string()),
                (BYTES_OUT, bytes_out.to_string()),
            ],
        }
    }
}

/// A worker that has been asked for.
pub(crate) struct Worker {
    name: String,
}

/// The worker that the environment asks for, if it asks for one.
pub(crate) fn requested() -> Option<Worker> {
    std::env::var(ROLE).ok().map(|name| Worker { name })
}

impl Worker {
    pub(crate) fn run(&self) -> Result<()> {
        end_with_standard_input();
        let entrance =
            Entrance { url: variable(URL)?, user: variable(USER)?, password: Secret::new(variable(PASSWORD)?) };
        match self.name.as_str() {
            "echo" => echo::work(&entrance),
            "instance" => engine_side::work(&entrance, number(NUMBER)?),
            _ => raw::work(&entrance, number(NUMBER)?, number(BYTES_IN)?, number(BYTES_OUT)?),
        }
    }
}

/// The pipe closes when the parent ends, however it ends.
fn end_with_standard_input() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("a worker needs {name}"))
}

fn number(name: &str) -> Result<usize> {
    variable(name)?.parse().with_context(|| format!("{name} is no number"))
}
