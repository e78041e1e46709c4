//! A private server, and streams on it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_app::log::jet::{Append, EpochGuard, JetEvent, JetSettings, Kind, Mode, Streams, Token};
use engine_net::{
    config::ConnectionConfig,
    server::{PrivateServer, ServerOptions},
};

/// Nothing here takes so long unless it is broken.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) fn server() -> PrivateServer {
    server_with(|_| {})
}

pub(crate) fn server_with(change: impl FnOnce(&mut ServerOptions)) -> PrivateServer {
    let mut options = ServerOptions { log_account: true, ..ServerOptions::default() };
    change(&mut options);
    PrivateServer::start(&options).expect("these tests need nats-server")
}

/// The log's own user; fast to notice a lost server.
pub(crate) fn log_user(server: &PrivateServer) -> ConnectionConfig {
    let config = server.log_config().unwrap_or_else(|| server.config());
    ConnectionConfig {
        ping_interval: Duration::from_millis(100),
        reconnect_max_delay: Duration::from_millis(20),
        ..config
    }
}

pub(crate) fn small() -> JetSettings {
    JetSettings { log_bytes: 256 << 20, key_bytes: 256 << 20, ..JetSettings::default() }
}

pub(crate) fn open(server: &PrivateServer) -> Streams {
    open_with(server, small())
}

pub(crate) fn open_with(server: &PrivateServer, settings: JetSettings) -> Streams {
    Streams::open(&log_user(server), "w", Mode::Server, settings).unwrap()
}

pub(crate) fn append(kind: Kind, payload: impl Into<Bytes>, expected_last: u64, guard: Option<u64>) -> Append {
    let guard = guard.map(|sequence| EpochGuard { sequence });
    Append { kind, payload: payload.into(), expected_last, guard, message_id: None }
}

pub(crate) fn next(streams: &Streams) -> JetEvent {
    streams.events().recv_timeout(SOON).expect("something happens in time")
}

/// The first event that fits; others are dropped.
pub(crate) fn until<T>(streams: &Streams, mut fits: impl FnMut(JetEvent) -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        let event = streams.events().recv_deadline(deadline).expect("it happens in time");
        if let Some(found) = fits(event) {
            return found;
        }
    }
}

/// Appends one and waits for its sequence.
pub(crate) fn append_now(streams: &Streams, append: Append) -> u64 {
    let mine = streams.publish(append).unwrap();
    until(streams, |event| match event {
        JetEvent::Acked { token, sequence, .. } if token == mine => Some(sequence),
        JetEvent::Refused { token, reason } if token == mine => panic!("refused: {reason:?}"),
        JetEvent::Lost { token, why } if token == mine => panic!("lost: {why:?}"),
        _ => None,
    })
}

/// An epoch record and ticks behind it, pipelined; returns the last sequence.
pub(crate) fn fill(streams: &Streams, ticks: u64, bytes: usize) -> u64 {
    let epoch = append_now(streams, append(Kind::Epoch, "epoch", 0, None));
    let mut open = 0;
    let settle = |open: &mut u64| {
        until(streams, |event| match event {
            JetEvent::Acked { .. } => Some(()),
            JetEvent::Refused { reason, .. } => panic!("{reason:?}"),
            JetEvent::Lost { why, .. } => panic!("{why:?}"),
            _ => None,
        });
        *open -= 1;
    };
    for tick in 0..ticks {
        if open == 64 {
            settle(&mut open);
        }
        streams.publish(append(Kind::Tick, payload(tick, bytes), epoch + tick, Some(epoch))).unwrap();
        open += 1;
    }
    while open > 0 {
        settle(&mut open);
    }
    epoch + ticks
}

pub(crate) fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; bytes.max(8)];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

/// What became of an order to remove something.
pub(crate) fn removed(streams: &Streams, mine: Token) -> u64 {
    until(streams, |event| match event {
        JetEvent::Removed { token, result } if token == mine => Some(result.unwrap()),
        _ => None,
    })
}
