//! The log's parts, each alone, and together under faults that a seed chooses.

mod chain;
mod contenders;
mod desk;
mod doubt;
mod lease;
mod lease_arena;
mod record;
mod schedules;
mod virtual_stream;
mod writer;

use bytes::Bytes;

use super::chain::Position;
use super::record::{Body, EpochBody, Record};
use super::writer::{Begin, Limits};

fn epoch_body() -> EpochBody {
    EpochBody { host: "north".into(), pid: 4711, format: 1, wall_ms: 1_700_000_000_000 }
}

fn begin(position: Position, last_seq: u64, nonce: u128) -> Begin {
    Begin { position, last_seq, epoch: 0, nonce, body: epoch_body() }
}

fn limits() -> Limits {
    Limits {
        message_bytes: 512,
        in_flight: 4,
        in_flight_bytes: 4096,
        queued: 16,
        queued_bytes: 64 << 10,
        patience: 20_000_000,
        backoff_first: 1_000_000,
        backoff_most: 16_000_000,
    }
}

fn tick_record(index: u64, tick: u64, body: &'static [u8]) -> Record {
    Record { index, epoch: 3, tick, nonce: 0xabc, prev: 0x1234, body: Body::Tick(Bytes::from_static(body)) }
}
