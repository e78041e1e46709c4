//! The processes at the other end: this program again, told by its environment what to be.

use std::io::{BufRead as _, Write as _};

use anyhow::{Context, Result};
use engine_net::config::Secret;

use super::broker::{Entrance, Tuning};
use super::program::Work;
use super::raw::{self, Share};
use super::{crowd, engine_side};
use crate::allocator;

const ROLE: &str = "BENCH_WORKER";
const NUMBER: &str = "BENCH_WORKER_NUMBER";
const WORKERS: &str = "BENCH_WORKERS";
const BYTES_IN: &str = "BENCH_WORKER_IN";
const BYTES_OUT: &str = "BENCH_WORKER_OUT";
const REGION: &str = "BENCH_WORKER_REGION";
const DEFAULTS: &str = "BENCH_WORKER_DEFAULTS";
const PROGRAM: &str = "BENCH_WORKER_PROGRAM";
pub(crate) const URL: &str = "BENCH_NATS_URL";
pub(crate) const USER: &str = "BENCH_NATS_USER";
pub(crate) const PASSWORD: &str = "BENCH_NATS_PASSWORD";

/// Orders on standard input, each answered by a line.
pub(crate) const COUNT: &str = "count allocations";
pub(crate) const REPORT: &str = "report them";

/// What a worker does.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Takes its share of a raw tick, and gives its share back.
    Raw(Share),
    /// Runs systems for a coordinator.
    Instance { number: usize, work: Work },
    /// Is so many instances, nearly all of them idle.
    Crowd { number: usize, work: Work },
}

impl Role {
    pub(crate) fn to_environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Instance { number, work } => engine("instance", *number, *work),
            Self::Crowd { number, work } => engine("crowd", *number, *work),
            Self::Raw(share) => vec![
                (ROLE, "raw".into()),
                (NUMBER, share.number.to_string()),
                (WORKERS, share.workers.to_string()),
                (BYTES_IN, share.bytes_in.to_string()),
                (BYTES_OUT, share.bytes_out.to_string()),
                (REGION, share.region.clone().unwrap_or_default()),
                (DEFAULTS, usize::from(share.tuning == Tuning::Defaults).to_string()),
            ],
        }
    }
}

fn engine(role: &str, number: usize, work: Work) -> Vec<(&'static str, String)> {
    vec![(ROLE, role.into()), (NUMBER, number.to_string()), (PROGRAM, work.to_text())]
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
        listen_to_standard_input();
        let entrance =
            Entrance { url: variable(URL)?, user: variable(USER)?, password: Secret::new(variable(PASSWORD)?) };
        match self.name.as_str() {
            "instance" => engine_side::work(&entrance, number(NUMBER)?, Work::from_text(&variable(PROGRAM)?)?),
            "crowd" => crowd::work(&entrance, number(NUMBER)?, Work::from_text(&variable(PROGRAM)?)?),
            _ => raw::work(&entrance, &share()?),
        }
    }
}

fn share() -> Result<Share> {
    let tuning = if number(DEFAULTS)? == 0 { Tuning::Tuned } else { Tuning::Defaults };
    let region = Some(variable(REGION)?).filter(|path| !path.is_empty());
    let (bytes_in, bytes_out) = (number(BYTES_IN)?, number(BYTES_OUT)?);
    Ok(Share { number: number(NUMBER)?, workers: number(WORKERS)?, bytes_in, bytes_out, region, tuning })
}

/// Does what the parent says. The pipe closes when the parent ends, however it ends.
fn listen_to_standard_input() {
    std::thread::spawn(|| {
        for order in std::io::stdin().lock().lines() {
            let answer = match order.as_deref() {
                Ok(COUNT) => String::new(),
                Ok(REPORT) => {
                    let allocations = allocator::counted();
                    format!("{} {}", allocations.calls, allocations.bytes)
                }
                _ => break,
            };
            println!("{answer}");
            let _ = std::io::stdout().flush();
            if order.is_ok_and(|order| order == COUNT) {
                allocator::count_from_now();
            }
        }
        std::process::exit(0);
    });
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("a worker needs {name}"))
}

fn number(name: &str) -> Result<usize> {
    variable(name)?.parse().with_context(|| format!("{name} is no number"))
}
