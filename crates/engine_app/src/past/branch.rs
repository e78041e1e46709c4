//! A second world that goes on from a tick of another one.
//!
//! Its log begins as if everything before had been removed from it: with an epoch record that follows the last
//! record of the other log, by index, chain and tick, and whose place in the new stream is the first. The keyframe
//! names this record, so that whoever recovers the world finds it there, as behind every other keyframe.
//!
//! The record is written first: the stream is empty then, or another world is there. A world whose keyframe is
//! missing can't be led, and the same command again brings it to its end.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use crossbeam_channel::Receiver;
use engine_net::config::ConnectionConfig;

use super::file::Stored;
use super::is_no_log;
use crate::app::Result;
use crate::log::chain::Position;
use crate::log::jet::{Append, EpochGuard, JetEvent, JetSettings, Kind, Mode, Streams, Token};
use crate::log::record::{Body, EpochBody, Message, Record, chain_hash};
use crate::reign;

/// How long an answer to the first record is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Begins the log of a world with a keyframe of another one. `settings` are those that its coordinator will have.
///
/// # Errors
/// When the world is there already, or the server doesn't take it.
pub fn begin_world(config: &ConnectionConfig, world: &str, stored: &Stored, settings: JetSettings) -> Result<Position> {
    // Before anything of it could be changed.
    match Streams::open_existing(config, world) {
        Ok(streams) => drop(begun(&streams, world, stored)?),
        Err(error) if is_no_log(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let streams = Streams::open(config, world, Mode::Server, settings)?;
    let position = match begun(&streams, world, stored)? {
        Some(position) => position,
        None => write_record(&streams, world, stored)?,
    };
    write_keyframe(&streams, world, stored, position)?;
    Ok(position)
}

fn exists(world: &str) -> anyhow::Error {
    anyhow!("world `{world}` exists already: choose another name, or remove its streams first (`nats stream rm`)")
}

/// The place of the first record, when it is all that there is: the keyframe was not written to its end.
fn begun(streams: &Streams, world: &str, stored: &Stored) -> Result<Option<Position>> {
    let tail = streams.tail()?;
    if tail.last == 0 && streams.list_keyframes()?.is_empty() {
        return Ok(None);
    }
    let first = tail.epoch.filter(|first| tail.last == 1 && first.sequence == 1).ok_or_else(|| exists(world))?;
    let wanted = stored.head.position;
    match Message::decode(&first.payload) {
        Ok(Message::Whole(record))
            if record.index == wanted.index + 1
                && record.prev == wanted.chain
                && record.tick == wanted.tick
                && streams.list_keyframes()?.is_empty() =>
        {
            Ok(Some(place(&record, &first.payload)))
        }
        _ => Err(exists(world)),
    }
}

fn place(record: &Record, payload: &Bytes) -> Position {
    Position {
        seq: 1,
        index: record.index,
        chain: chain_hash(payload),
        epoch: record.epoch,
        epoch_seq: 1,
        tick: record.tick,
    }
}

fn write_record(streams: &Streams, world: &str, stored: &Stored) -> Result<Position> {
    let before = stored.head.position;
    let random = RandomState::new();
    let record = Record {
        index: before.index + 1,
        epoch: before.epoch + 1,
        tick: before.tick,
        nonce: u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1)),
        prev: before.chain,
        body: Body::Epoch(EpochBody {
            host: reign::host(),
            pid: std::process::id(),
            format: reign::RECORDS,
            wall_ms: crate::roles::epoch_of_now(),
        }),
    };
    let payload = record.encode(streams.record_limit())?.last;
    let append = Append {
        kind: Kind::Epoch,
        payload: payload.clone(),
        expected_last: 0,
        guard: Some(EpochGuard { sequence: 0 }),
        message_id: None,
    };
    let token = streams.publish(append)?;
    match answer(streams.events(), token)? {
        JetEvent::Acked { .. } => {}
        JetEvent::Refused { .. } | JetEvent::Lost { .. } => {
            // Whose record is there says more than the answer.
            let there = streams.tail()?.epoch.ok_or_else(|| anyhow!("the first record was not stored: try again"))?;
            if there.payload != payload {
                return Err(exists(world));
            }
        }
        _ => bail!("the first record was not stored: try again"),
    }
    Ok(place(&record, &payload))
}

fn answer(events: &Receiver<JetEvent>, wanted: Token) -> Result<JetEvent> {
    let until = Instant::now() + PATIENCE;
    loop {
        let event = events.recv_deadline(until).context("the server does not answer about the first record")?;
        match &event {
            JetEvent::Acked { token, .. } | JetEvent::Refused { token, .. } | JetEvent::Lost { token, .. }
                if *token == wanted =>
            {
                return Ok(event);
            }
            _ => {}
        }
    }
}

fn write_keyframe(streams: &Streams, world: &str, stored: &Stored, position: Position) -> Result<()> {
    let mut head = stored.head.clone();
    head.position = position;
    let head = head.encode();
    let parts = stored.messages.clone().into_iter();
    let wanted = streams.write_keyframe(position.tick, position.epoch, parts, move || Some(head))?;
    loop {
        match streams.events().recv().context("the connection of the log has ended")? {
            JetEvent::Keyframe { token, result, .. } if token == wanted => {
                return result.map(drop).with_context(|| {
                    format!(
                        "the keyframe of world `{world}` is not stored; give the command again when that is mended, or \
                         remove the world's streams"
                    )
                });
            }
            _ => {}
        }
    }
}
