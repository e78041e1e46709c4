//! The floor of a tick: so many bytes out over some workers, so many back, by a bare NATS client.
//!
//! What makes the tuned one fast: one thread for all connections of a process, one connection out for each worker
//! and one in for all, chunks of 24 KiB, no copy on the sending side. The receiving sides copy each chunk to
//! where it belongs at once, since a payload is a view of the connection's read buffer. Nothing is
//! computed, checked or numbered. At its defaults a client has a runtime of several threads, one connection and
//! messages as large as the server allows.
//!
//! With a [`Region`] the bytes stay where they are: messages say only that they are there.

use std::time::Instant;

use anyhow::{Context, Result};
use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::broker::{Broker, Entrance, PATIENCE, Tuning, connect, runtime};
use super::region::Region;
use super::worker::Role;
use crate::meter::Meter;
use crate::tick::{Tick, Ticker};

const READY: &str = "bench.raw.ready";

/// What is sent in a tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    pub(crate) workers: usize,
    pub(crate) bytes_out: usize,
    pub(crate) bytes_back: usize,
}

/// What a worker gets and gives; empty messages where that is nothing.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) number: usize,
    /// How many workers share the tick.
    pub(crate) workers: usize,
    pub(crate) bytes_in: usize,
    pub(crate) bytes_out: usize,
    /// Where the bytes are, when they don't travel.
    pub(crate) region: Option<String>,
    pub(crate) tuning: Tuning,
}

impl Tuning {
    fn chunk(self) -> usize {
        match self {
            Self::Tuned => 24 << 10,
            Self::Defaults => 1 << 20,
        }
    }
}

fn job_subject(worker: usize) -> String {
    format!("bench.raw.job.{worker}")
}

fn result_subject(worker: usize) -> String {
    format!("bench.raw.result.{worker}")
}

/// Over the wire.
pub(crate) fn ticker(pattern: Pattern, tuning: Tuning) -> Result<Ticker> {
    let name = if tuning == Tuning::Tuned { "raw NATS, tuned" } else { "async-nats at its defaults" };
    start(name, pattern, tuning, None)
}

/// By NATS for control and shared memory for data: workers copy what they give back from what they get. When
/// `copied`, who sent the jobs copies it out as well, as whoever must not trust the workers has to.
pub(crate) fn mapped_ticker(pattern: Pattern, copied: bool) -> Result<Ticker> {
    let name = if copied { "the same, copied out" } else { "raw NATS, shared memory" };
    start(name, pattern, Tuning::Tuned, Some(copied))
}

fn start(name: &'static str, pattern: Pattern, tuning: Tuning, mapped: Option<bool>) -> Result<Ticker> {
    let broker = Broker::start(tuning)?;
    let (runtime, entrance) = (runtime(tuning)?, broker.borrow().entrance()?);
    let region = mapped.map(|_| Region::new(pattern.bytes_out + pattern.bytes_back)).transpose()?;
    let path = region.as_ref().map(Region::path);
    let travels = if region.is_some() { Pattern { bytes_out: 0, bytes_back: 0, ..pattern } } else { pattern };
    let shares = (0..pattern.workers).map(|number| {
        let (bytes_in, bytes_out) = (pattern.bytes_out / pattern.workers, pattern.bytes_back / pattern.workers);
        Role::Raw(Share { number, workers: pattern.workers, bytes_in, bytes_out, region: path.clone(), tuning })
    });
    let mut coordinator = runtime.block_on(async {
        let coordinator = Coordinator::connect(&entrance, travels, tuning).await?;
        let mut ready = coordinator.inbound.subscribe(READY).await?;
        coordinator.inbound.flush().await?;
        for share in shares {
            broker.borrow_mut().start_worker(&share)?;
        }
        for _ in 0..pattern.workers {
            let said = ready.next().await.context("a worker did not come up")?;
            let reply = said.reply.context("a worker asks without a reply subject")?;
            coordinator.inbound.publish(reply, "".into()).await?;
        }
        anyhow::Ok(coordinator)
    })?;
    let mut copy = vec![0_u8; if mapped == Some(true) { pattern.bytes_back } else { 0 }];
    let bytes = (travels.bytes_out + travels.bytes_back) as u64;
    let run = move |times: u32| {
        let all = async {
            let mut ticks = Vec::with_capacity(times as usize);
            for _ in 0..times {
                let start = Instant::now();
                coordinator.tick().await?;
                if let Some(region) = &region {
                    region.copy_to(pattern.bytes_out, std::hint::black_box(&mut copy));
                }
                ticks.push(Tick { seconds: start.elapsed().as_secs_f64(), bytes });
            }
            Ok(ticks)
        };
        let ticks = runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await });
        ticks.context("a bare client has lost messages")?
    };
    Ok(Ticker { name, run: Box::new(run), meter: Meter::of(broker) })
}

struct Coordinator {
    inbound: Client,
    outbound: Vec<(Client, String)>,
    results: Subscriber,
    job: Bytes,
    chunk: usize,
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

/// All bytes in chunks; one that is empty when there are none.
fn chunks(bytes: &Bytes, chunk: usize) -> impl Iterator<Item = Bytes> {
    (0..bytes.len().max(1)).step_by(chunk).map(move |start| bytes.slice(start..(start + chunk).min(bytes.len())))
}

impl Coordinator {
    async fn connect(entrance: &Entrance, pattern: Pattern, tuning: Tuning) -> Result<Self> {
        let inbound = connect(entrance).await?;
        let results = inbound.subscribe("bench.raw.result.*").await?;
        let mut outbound = Vec::new();
        for worker in 0..pattern.workers {
            let client = if tuning == Tuning::Tuned { connect(entrance).await? } else { inbound.clone() };
            outbound.push((client, job_subject(worker)));
        }
        let received = (0..pattern.workers).map(|_| Received::new(pattern.bytes_back / pattern.workers)).collect();
        let job = Bytes::from(vec![1; pattern.bytes_out / pattern.workers]);
        Ok(Self { inbound, outbound, results, job, chunk: tuning.chunk(), received })
    }

    async fn tick(&mut self) -> Result<()> {
        for chunk in chunks(&self.job, self.chunk) {
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

/// The process of a worker.
pub(crate) fn work(entrance: &Entrance, share: &Share) -> Result<()> {
    let mut region = share.region.as_deref().map(Region::open).transpose()?;
    let travels = |bytes: usize| if share.region.is_some() { 0 } else { bytes };
    runtime(share.tuning)?.block_on(async {
        let client = connect(entrance).await?;
        let mut jobs = client.subscribe(job_subject(share.number)).await?;
        // Answered after the subscription has reached the server: both went over one connection, in order.
        client.request(READY, "".into()).await?;
        let mut job = Received::new(travels(share.bytes_in));
        let result = Bytes::from(vec![2; travels(share.bytes_out)]);
        while let Some(message) = jobs.next().await {
            if !job.take(&message)? {
                continue;
            }
            if let Some(region) = &mut region {
                // All that goes out lies before all that comes back.
                let results = share.workers * share.bytes_in;
                let (from, to) = (share.number * share.bytes_in, results + share.number * share.bytes_out);
                region.copy_within(from, to, share.bytes_out);
            }
            for chunk in chunks(&result, share.tuning.chunk()) {
                client.publish(result_subject(share.number), chunk).await?;
            }
        }
        Ok(())
    })
}
