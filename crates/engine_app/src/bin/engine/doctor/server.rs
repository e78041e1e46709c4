//! The server: version, time on the way, payload, JetStream, and what it does to fast producers.

use std::time::{Duration, Instant};

use engine_net::client::{ConnectError, OLDEST_SERVER, require_jetstream};
use engine_net::config::ConnectionConfig;

use super::{Findings, State};
use crate::link::Link;
use crate::status::bytes;

/// How long the server may take for what it answers itself.
const SOON: Duration = Duration::from_secs(2);

pub(super) async fn look(findings: &mut Findings, link: &Link, config: &ConnectionConfig) -> anyhow::Result<()> {
    let server = &link.connection.server;
    // Older ones are not even connected to.
    findings.ok(
        "version",
        format!("nats-server {} ({OLDEST_SERVER} or newer is needed), {}", server.version, server.name),
    )?;
    round_trip(findings, link).await?;
    payload(findings, server.max_payload)?;
    match require_jetstream(&link.connection, config).await {
        Ok(()) => findings.ok("jetstream", "is there for this user")?,
        Err(ConnectError::NoJetStream { reason, .. }) => findings.add(
            State::Warn,
            "jetstream",
            format!("none for this user: {reason}"),
            "without it a world lives as long as its coordinator; start the server with `-js` and give the account `jetstream: enabled`",
        )?,
        Err(error) => findings.add(State::Warn, "jetstream", error.to_string(), "")?,
    }
    if !config.tls.required && !local(config) {
        findings.add(
            State::Note,
            "tls",
            "the connection leaves this machine, and TLS is not demanded",
            "set NATS_TLS=true, or tls:// in NATS_URL, if others can listen",
        )?;
    }
    findings.add(
        State::Note,
        "slow readers",
        "whether one slow reader slows all is not told to users of a server",
        "its configuration should say `no_fast_producer_stall: true` (`dev` sets it on its own server)",
    )
}

async fn round_trip(findings: &mut Findings, link: &Link) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        if !echo(link).await? {
            return findings.add(
                State::Fail,
                "round trip",
                format!("what this user sends to its own inbox does not come back within {SOON:?}"),
                "it has to be allowed to publish and to subscribe below its inbox: `_INBOX.tool.>`, or that of NATS_INBOX",
            );
        }
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let ms = times[times.len() / 2].as_secs_f64() * 1e3;
    let text = format!("{ms:.2} ms to the server and back");
    if ms < 20.0 {
        return findings.ok("round trip", text);
    }
    findings.add(
        State::Warn,
        "round trip",
        text,
        "every system of a tick that waits for another costs one of these; move the processes nearer to the server",
    )
}

/// A message to oneself: when it is back, the server has seen everything that was sent before.
pub(super) async fn echo(link: &Link) -> anyhow::Result<bool> {
    use futures_util::StreamExt;
    let client = &link.connection.client;
    let inbox = client.new_inbox();
    let mut heard = client.subscribe(inbox.clone()).await?;
    client.publish(inbox, bytes::Bytes::new()).await?;
    Ok(matches!(tokio::time::timeout(SOON, heard.next()).await, Ok(Some(_))))
}

fn payload(findings: &mut Findings, limit: usize) -> anyhow::Result<()> {
    let text = format!("{} a message", bytes(limit as u64));
    match limit {
        0..0x1_0000 => findings.add(
            State::Fail,
            "max_payload",
            text,
            "registrations and commands need more; set `max_payload: 1MB` in the server's configuration",
        ),
        0x1_0000..0x10_0000 => findings.add(
            State::Warn,
            "max_payload",
            text,
            "pages of queries and schemas may be larger; set `max_payload: 1MB`, the server's default",
        ),
        0x10_0000..=0x80_0000 => findings.ok("max_payload", text),
        _ => findings.add(
            State::Warn,
            "max_payload",
            text,
            "above 8 MB the server advises against it: it holds each message in memory",
        ),
    }
}

fn local(config: &ConnectionConfig) -> bool {
    config.urls.iter().all(|url| ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| url.contains(host)))
}
