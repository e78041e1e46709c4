//! The log's parts, each alone, and together under faults that a seed chooses.

mod chain;
mod record;

use bytes::Bytes;

use super::record::{Body, EpochBody, Record};

fn epoch_body() -> EpochBody {
    EpochBody { host: "north".into(), pid: 4711, format: 1, wall_ms: 1_700_000_000_000 }
}

fn tick_record(index: u64, tick: u64, body: &'static [u8]) -> Record {
    Record { index, epoch: 3, tick, nonce: 0xabc, prev: 0x1234, body: Body::Tick(Bytes::from_static(body)) }
}
