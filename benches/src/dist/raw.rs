//! The floor of a tick: so many bytes out over some workers, so many back, by a bare NATS client that is
//! tuned as well as we know.
//!
//! What makes it fast: one thread for all connections of a process, one connection out for each worker and
//! one in for all, chunks of 24 KiB, no copy on the sending side. The receiving sides copy each chunk to
//! where it belongs at once, since a payload is a view of the connection's read buffer. Nothing is
//! computed, checked or numbered.

use std::time::Instant;

use anyhow::{Context, Result};
use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::broker::{Broker, Entrance, connect, runtime};
use super::worker::Role;
use crate::case::Contender;

const CHUNK: usize = 24 * 1024;
const READY: &str = "bench.raw.ready";

fn job_subject(worker: usize) -> String {
    format!("bench.raw.job.{worker}")
}

fn result_subject(worker: usize) -> String {
    format!("bench.raw.result.{worker}")
}

pub(crate) fn scatter_and_gather(bytes_out: usize, bytes_back: usize, workers: usize) -> Result<Contender> {
    let mut broker = Broker::start()?;
    let (runtime, entrance) = (runtime()?, broker.entrance()?);
    let (share_out, share_back) = (bytes_out / workers, bytes_back / workers);
    let mut coordinator = runtime.block_on(async {
        let coordinator = Coordinator::connect(&entrance, workers, share_out, share_back).await?;
        let mut ready = coordinator.inbound.subscribe(READY).await?;
        coordinator.inbound.flush().await?;
        for number in 0..workers {
            broker.start_worker(&Role::Raw { number, bytes_in: share_out, bytes_out: share_back })?;
        }
        for _ in 0..workers {
            let said = ready.next().await.context("a worker did not come up")?;
            coordinator
                .inbound
                .publish(said.reply.context("a worker asks without a reply subject")?, "".into())
                .await?;
        }
        anyhow::Ok(coordinator)
    })?;
    let sample = move |times: u32| {
        // The server and the workers live as long as the contender.
        let _ = &broker;
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..times {
                coordinator.tick().await?;
            }
            Ok(start.elapsed().as_secs_f64() / f64::from(times))
        })
    };
    Ok(Contender { name: "bare async-nats", sample: Box::new(sample) })
}

struct Coordinator {
    inbound: Client,
    outbound: Vec<(Client, String)>,
    results: Subscriber,
    job: Bytes,
    received: Vec<Received>,
}

/// Where the bytes of one sender go.
struct Received {
    bytes: Vec<u8>,
    filled: usize,
}

impl Received {
    fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], filled: 0 }
    }

    /// Copies a chunk to its place; true when it was the last one.
    fn take(&mut self, message: &Message) -> Result<bool> {
        let end = self.filled + message.payload.len();
        self.bytes
            .get_mut(self.filled..end)
            .context("more bytes than were asked for")?
            .copy_from_slice(&message.payload);
        self.filled = if end == self.bytes.len() { 0 } else { end };
        Ok(self.filled == 0)
    }
}

impl Coordinator {
    async fn connect(entrance: &Entrance, workers: usize, share_out: usize, share_back: usize) -> Result<Self> {
        let inbound = connect(entrance).await?;
        let results = inbound.subscribe("bench.raw.result.*").await?;
        let mut outbound = Vec::new();
        for worker in 0..workers {
            outbound.push((connect(entrance).await?, job_subject(worker)));
        }
        let received = (0..workers).map(|_| Received::new(share_back)).collect();
        Ok(Self { inbound, outbound, results, job: Bytes::from(vec![1; share_out]), received })
    }

    async fn tick(&mut self) -> Result<()> {
        for start in (0..self.job.len()).step_by(CHUNK) {
            let chunk = self.job.slice(start..(start + CHUNK).min(self.job.len()));
            for (client, subject) in &self.outbound {
                client.publish(subject.clone(), chunk.clone()).await?;
            }
        }
        let mut open = self.received.len();
        while open > 0 {
            let message = self.results.next().await.context("the connection has ended")?;
            let worker: usize = message.subject.rsplit('.').next().unwrap_or_default().parse()?;
            if self.received.get_mut(worker).context("no such worker")?.take(&message)? {
                open -= 1;
            }
        }
        Ok(())
    }
}

pub(crate) fn work(entrance: &Entrance, number: usize, bytes_in: usize, bytes_out: usize) -> Result<()> {
    runtime()?.block_on(async {
        let client = connect(entrance).await?;
        let mut jobs = client.subscribe(job_subject(number)).await?;
        // Answered after the subscription has reached the server: both went over one connection, in order.
        client.request(READY, "".into()).await?;
        let (mut job, result) = (Received::new(bytes_in), Bytes::from(vec![2; bytes_out]));
        while let Some(message) = jobs.next().await {
            if !job.take(&message)? {
                continue;
            }
            for start in (0..result.len()).step_by(CHUNK) {
                client.publish(result_subject(number), result.slice(start..(start + CHUNK).min(result.len()))).await?;
            }
        }
        Ok(())
    })
}
