//! Commands a second, durable, beside raw publishing with the same number under way, on the same server in turns.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::jetstream::stream::Config;
use clap::Args;
use engine::net::child;
use engine::net::server::{PrivateServer, ServerOptions};
use engine::service::Link;
use engine::service::command::Client;
use serde_json::{Value, json};

use crate::messages::Purchase;

#[derive(Args)]
pub(crate) struct Bench {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Commands, or messages, under way at a time
    #[arg(long, default_value_t = 64)]
    under_way: usize,
    /// Measurements of each kind; the median counts
    #[arg(long, default_value_t = 3)]
    times: usize,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
struct Figure {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

/// As many bytes as an outcome has, headers included.
const RAW_BYTES: usize = 700;
const PLAYERS: u64 = 2000;

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        let server = PrivateServer::start(&ServerOptions { jetstream: true, ..ServerOptions::default() })?;
        let mut shop = Command::new(std::env::current_exe()?);
        shop.arg("shop").envs(server.config().to_environment()).stdin(Stdio::null());
        child::end_with_parent(&mut shop);
        let mut shop = shop.spawn()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let measured = runtime.block_on(self.measure(&server));
        end(&mut shop)?;
        let (raw, commands) = measured?;
        let ratio = commands.per_second / raw.per_second;
        if self.json {
            println!(
                "{}",
                json!({ "under_way": self.under_way, "raw": raw.json(), "commands": commands.json(), "ratio": ratio })
            );
            return Ok(());
        }
        println!("{:>10} {:>12} {:>10} {:>10}   {} under way", "", "a second", "p50", "p99", self.under_way);
        for (name, figure) in [("raw", raw), ("commands", commands)] {
            let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
            println!("{name:>10} {:>12.0} {:>10} {:>10}", figure.per_second, ms(figure.p50), ms(figure.p99));
        }
        println!("commands are {ratio:.2} of raw publishing");
        Ok(())
    }

    async fn measure(&self, server: &PrivateServer) -> Result<(Figure, Figure)> {
        let link = Link::open(&server.config(), "bench").await?;
        let raw = Config { name: "RAW".into(), subjects: vec!["raw.*".into()], ..Config::default() };
        link.jet().create_stream(raw).await?;
        let (client, payload) = (Client::new(&link), bytes(RAW_BYTES));
        let publish = async |number: u64| {
            let sent = link.jet().publish(format!("raw.{}", number % PLAYERS), payload.clone()).await?;
            sent.await.map(drop).map_err(anyhow::Error::from)
        };
        let command = async |number: u64| {
            let player = format!("player-{}", number % PLAYERS);
            let purchase = Purchase { player, item: "sword".into(), price: 1 };
            client.command(&purchase).await.map(drop).map_err(anyhow::Error::from)
        };
        // Not measured: the shop begins, and reads that its players are new.
        self.one(&command, 0.5).await?;
        let (mut raws, mut commands) = (Vec::new(), Vec::new());
        for _ in 0..self.times.max(1) {
            raws.push(self.one(&publish, self.seconds).await?);
            commands.push(self.one(&command, self.seconds).await?);
        }
        Ok((median(raws), median(commands)))
    }

    async fn one(&self, work: &impl AsyncFn(u64) -> Result<()>, seconds: f64) -> Result<Figure> {
        let (started, number) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let ends = started + Duration::from_secs_f64(seconds);
        let lanes = (0..self.under_way.max(1)).map(async |_| {
            let mut took = Vec::new();
            while Instant::now() < ends {
                let begun = Instant::now();
                work(number.fetch_add(1, Ordering::Relaxed)).await?;
                took.push(begun.elapsed());
            }
            Ok::<_, anyhow::Error>(took)
        });
        let mut took = futures_util::future::try_join_all(lanes).await?.concat();
        let elapsed = started.elapsed().as_secs_f64();
        took.sort_unstable();
        let at = |part: f64| took.get((took.len() as f64 * part) as usize).copied().unwrap_or_default();
        Ok(Figure { per_second: took.len() as f64 / elapsed, p50: at(0.5), p99: at(0.99) })
    }
}

impl Figure {
    fn json(self) -> Value {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        json!({ "per_second": self.per_second, "p50_ms": ms(self.p50), "p99_ms": ms(self.p99) })
    }
}

fn median(mut figures: Vec<Figure>) -> Figure {
    figures.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    figures[figures.len() / 2]
}

fn bytes(count: usize) -> hyper::body::Bytes {
    vec![7; count].into()
}

fn end(child: &mut Child) -> Result<()> {
    child.kill().context("the shop has ended by itself")?;
    child.wait()?;
    Ok(())
}
