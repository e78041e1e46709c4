//! The webhook's side in this house: every event is posted until it is taken.

use std::time::Duration;

use anyhow::Result;
use engine::service::dead::Collector;
use engine::service::sink::{BreakerSettings, SinkRunner, WebhookSettings, WebhookSink};
use engine::service::subscribe::Durable;
use engine::service::{Backoff, Link, Presence};

/// The consumer.
pub(crate) const CONSUMER: &str = "webhook";

pub(crate) async fn run(link: &Link, url: &str) -> Result<()> {
    let settings = WebhookSettings { timeout: Duration::from_millis(500), ..WebhookSettings::default() };
    let backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(2) };
    // The receiver here dies all the time: what it will take some day is tried without end.
    let events = Durable::new(link, CONSUMER, "shop.>")?.backoff(backoff).max_deliver(0);
    let events = events.ack_wait(Duration::from_secs(3)).at_a_time(64);
    let breaker =
        BreakerSettings { first: Duration::from_millis(50), longest: Duration::from_secs(1), ..Default::default() };
    let presence = Presence::new(link, env!("CARGO_PKG_VERSION"), "tells a webhook").with(events.gauge());
    let sink = SinkRunner::new(events, WebhookSink::new(url, settings)?, breaker);
    let collector = Collector::new(link, "shop")?;
    tokio::select! {
        ended = sink.run() => ended?,
        ended = collector.run() => ended?,
        ended = presence.run() => ended?,
    }
    Ok(())
}
