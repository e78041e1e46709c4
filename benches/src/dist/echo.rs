//! The floor of an empty tick: one request, one reply, two processes and a server.

use std::time::Instant;

use anyhow::Result;
use futures_util::StreamExt as _;

use super::broker::{Broker, Entrance, connect, runtime};
use super::worker::Role;
use crate::case::Contender;

const SUBJECT: &str = "bench.echo";

pub(crate) fn request_and_reply() -> Result<Contender> {
    let mut broker = Broker::start()?;
    broker.start_worker(&Role::Echo)?;
    let (runtime, entrance) = (runtime()?, broker.entrance()?);
    let client = runtime.block_on(async {
        let client = connect(&entrance).await?;
        // Until the worker has subscribed, the server answers that nobody is there.
        while client.request(SUBJECT, "".into()).await.is_err() {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(client)
    })?;
    let sample = move |times: u32| {
        // The server lives as long as the contender.
        let _ = &broker;
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..times {
                client.request(SUBJECT, "".into()).await?;
            }
            Ok(start.elapsed().as_secs_f64() / f64::from(times))
        })
    };
    Ok(Contender { name: "bare request and reply", sample: Box::new(sample) })
}

pub(crate) fn work(entrance: &Entrance) -> Result<()> {
    runtime()?.block_on(async {
        let client = connect(entrance).await?;
        let mut requests = client.subscribe(SUBJECT).await?;
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                client.publish(reply, request.payload).await?;
            }
        }
        Ok(())
    })
}
