//! From what is stored back to a world: the newest keyframe, and the records behind it, all of it verified.
//!
//! Nothing is passed over in silence. A keyframe that can't be read, a chain that breaks, a log that ends before
//! what was once acknowledged: each ends the recovery, and says what it is and what can be done. Only an operator
//! can give up what is damaged, by naming a tick ([`Wanted::At`]).

use bytes::Bytes;
use engine_component::World;
use engine_component::image::{Limits, Restore};
use engine_system::planted::{self, Bug};
use thiserror::Error;

use super::chain::{ChainError, Position, Verifier};
use super::jet::{self, JetError, KeyframeId, Mark, Streams, Tail};
use super::keyframe::{Head, KeyframeError};
use super::record::{Body, Message, Record, chain_hash};
use crate::record::TickRecord;

/// Questions that are under way at once when much is read.
const PARALLEL: usize = 8;

/// Where a world is stored: the [streams](Streams), or what stands for them in a simulator.
pub trait Source {
    /// Where the log ends, and its last epoch record.
    ///
    /// # Errors
    /// When it can't be read, as of all of these.
    fn tail(&self) -> Result<Tail, JetError>;

    /// The high-water mark.
    ///
    /// # Errors
    /// When it can't be read.
    fn mark(&self) -> Result<Option<Mark>, JetError>;

    /// The keyframes that are complete, the newest first.
    ///
    /// # Errors
    /// When they can't be read.
    fn keyframes(&self) -> Result<Vec<KeyframeId>, JetError>;

    /// The records of a range, both ends included. A sequence that is missing is an error.
    fn records(&self, from: u64, to: u64) -> impl Iterator<Item = Result<jet::Record, JetError>>;

    /// A keyframe's manifest, and its parts in order.
    ///
    /// # Errors
    /// When they can't be read.
    fn keyframe(&self, id: KeyframeId) -> Result<(Bytes, impl Iterator<Item = Result<Bytes, JetError>>), JetError>;
}

impl Source for Streams {
    fn tail(&self) -> Result<Tail, JetError> {
        self.tail()
    }

    fn mark(&self) -> Result<Option<Mark>, JetError> {
        self.read_mark()
    }

    fn keyframes(&self) -> Result<Vec<KeyframeId>, JetError> {
        self.list_keyframes()
    }

    fn records(&self, from: u64, to: u64) -> impl Iterator<Item = Result<jet::Record, JetError>> {
        self.read_range(from, to, PARALLEL)
    }

    fn keyframe(&self, id: KeyframeId) -> Result<(Bytes, impl Iterator<Item = Result<Bytes, JetError>>), JetError> {
        let reader = self.read_keyframe(id, PARALLEL)?;
        Ok((reader.manifest, reader.parts))
    }
}

/// Up to where a world is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To the end of the log.
    Newest,
    /// To this tick and no further, from any keyframe before it that can be read.
    At(u64),
}

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// There was never a world: no tick was begun.
    Nothing {
        /// Behind the last record: those of reigns that ended before their first tick.
        position: Position,
        /// The last message of the stream.
        last_seq: u64,
    },
    /// A world.
    World(Box<Recovered>),
}

/// A world as it was stored.
#[derive(Debug)]
pub struct Recovered {
    /// Behind the last record that counts: a reign begins there.
    pub position: Position,
    /// The last message of the stream.
    pub last_seq: u64,
    /// The keyframe.
    pub keyframe: KeyframeId,
    /// What it is of.
    pub head: Head,
    /// The coordinator's state in it.
    pub state: Vec<u8>,
    /// The world in it.
    pub world: World,
    /// The records behind it, in order.
    pub records: Vec<TickRecord>,
}

/// How far a recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A keyframe is being read.
    Keyframe {
        /// Its tick.
        tick: u64,
    },
    /// Records are being read.
    Records {
        /// So many are.
        read: u64,
        /// Of so many.
        of: u64,
    },
}

/// Why a world can't be recovered.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// The server doesn't give it.
    #[error(transparent)]
    Jet(#[from] JetError),
    /// The chain of records breaks.
    #[error("{0}; what is before it is good: `--recover-at {tick}` gives up what is behind", tick = .0.tick.saturating_sub(1))]
    Chain(#[from] ChainError),
    /// A record can't be read although its bytes are those that were written.
    #[error("the record of tick {tick} can't be read: {why}")]
    Record {
        /// Its tick.
        tick: u64,
        /// Why.
        why: String,
    },
    /// The newest keyframe is damaged.
    #[error(
        "the keyframe of tick {tick} (epoch {epoch}) can't be used: {error}; `--recover-at TICK` goes back to one \
         before it"
    )]
    Keyframe {
        /// Its tick.
        tick: u64,
        /// The epoch that wrote it.
        epoch: u64,
        /// What is wrong.
        error: KeyframeError,
    },
    /// The keyframe is of another log than the one that is there.
    #[error(
        "the keyframe of tick {tick} belongs behind record {index}, and another one stands there: the log was \
         replaced by an older copy. Bring the stream back, or give up what is lost with `--recover-at {tick}`"
    )]
    OtherLog {
        /// Its tick.
        tick: u64,
        /// Its record.
        index: u64,
    },
    /// There are records, and no keyframe to begin with.
    #[error("the log has records, but no keyframe that can be read{}", at(.0))]
    NoKeyframe(Option<u64>),
    /// The log is shorter than it was.
    #[error(
        "the log ends at record {last}, and was acknowledged up to record {mark}: acknowledged ticks are gone, \
         perhaps since a file was damaged or an old copy was put back. Bring the stream back; or accept the loss \
         with `--recover-at {tick}`"
    )]
    Short {
        /// The last record that is there.
        last: u64,
        /// The last one that was acknowledged.
        mark: u64,
        /// The last tick that is there.
        tick: u64,
    },
    /// The record that was acknowledged is another one.
    #[error(
        "record {index} was acknowledged with other contents: the log was replaced. Bring the stream back; or \
         accept the loss with `--recover-at {tick}`"
    )]
    Replaced {
        /// Its number.
        index: u64,
        /// The last tick that is there.
        tick: u64,
    },
}

fn at(tick: &Option<u64>) -> String {
    tick.map_or_else(String::new, |tick| format!(" and is not behind tick {tick}"))
}

/// Reads a world.
///
/// # Errors
/// See [`RecoveryError`]. Nothing is changed.
pub fn recover(
    streams: &impl Source,
    wanted: Wanted,
    mut progress: impl FnMut(Progress),
) -> Result<Found, RecoveryError> {
    let tail = streams.tail()?;
    let mark = streams.mark()?;
    let keyframes = streams.keyframes()?;
    let Some(epoch) = tail.epoch else {
        return match mark {
            Some(mark) if wanted == Wanted::Newest => Err(RecoveryError::Short { last: 0, mark: mark.index, tick: 0 }),
            _ if keyframes.is_empty() && tail.last == 0 => {
                Ok(Found::Nothing { position: Position::GENESIS, last_seq: 0 })
            }
            _ => Err(RecoveryError::NoKeyframe(None)),
        };
    };
    if keyframes.is_empty() {
        return unborn(streams, tail.last);
    }
    let mut chosen = None;
    for id in keyframes {
        if matches!(wanted, Wanted::At(tick) if id.tick > tick) {
            continue;
        }
        progress(Progress::Keyframe { tick: id.tick });
        match read_keyframe(streams, id) {
            Ok(read) => {
                chosen = Some((id, read));
                break;
            }
            Err(ReadError::Jet(error)) => return Err(error.into()),
            Err(ReadError::Damaged(error)) if wanted == Wanted::Newest => {
                return Err(RecoveryError::Keyframe { tick: id.tick, epoch: id.epoch, error });
            }
            Err(ReadError::Damaged(error)) => {
                tracing::warn!(tick = id.tick, %error, "a keyframe is passed over, since an older tick is asked for");
            }
        }
    }
    let only = match wanted {
        Wanted::Newest => None,
        Wanted::At(tick) => Some(tick),
    };
    let Some((keyframe, (head, state, world))) = chosen else { return Err(RecoveryError::NoKeyframe(only)) };
    check_place(streams, &head, tail.last)?;
    let mut read = Reading { verifier: Verifier::from(head.position), records: Vec::new(), mark, marked: None };
    let behind = head.position.seq + 1;
    let of = (tail.last + 1).saturating_sub(behind);
    let mut position = head.position;
    for (number, message) in streams.records(behind, tail.last).enumerate() {
        let message = message?;
        let is_wanted = read.take(message.sequence, &message.payload, only)?;
        if !is_wanted {
            break;
        }
        position = read.verifier.position();
        if number % 4096 == 0 {
            progress(Progress::Records { read: number as u64, of });
        }
    }
    if wanted == Wanted::Newest {
        read.check_mark(head.position)?;
    }
    // A reign begins behind everything that is there, whatever of it counts.
    if let Some(record) = newest_epoch(&epoch.payload) {
        position.epoch = position.epoch.max(record);
        position.epoch_seq = epoch.sequence;
    }
    let records = read.records;
    Ok(Found::World(Box::new(Recovered { position, last_seq: tail.last, keyframe, head, state, world, records })))
}

/// A log without a keyframe, since its coordinators died before the first one was complete. Then nothing was
/// acknowledged: no tick begins before.
fn unborn(streams: &impl Source, last_seq: u64) -> Result<Found, RecoveryError> {
    let mut verifier = Verifier::new();
    for message in streams.records(1, last_seq) {
        let message = message?;
        let record = verifier.feed(message.sequence, &message.payload)?;
        if record.is_some_and(|record| matches!(record.body, Body::Tick(_))) {
            return Err(RecoveryError::NoKeyframe(None));
        }
    }
    Ok(Found::Nothing { position: verifier.position(), last_seq })
}

fn newest_epoch(payload: &Bytes) -> Option<u64> {
    Message::decode(payload).ok().map(|message| message.head().epoch)
}

struct Reading {
    verifier: Verifier,
    records: Vec<TickRecord>,
    mark: Option<Mark>,
    /// The chain hash of the record that the mark names.
    marked: Option<u128>,
}

impl Reading {
    /// Verifies a message; false when its record is behind what is wanted.
    fn take(&mut self, seq: u64, payload: &Bytes, only: Option<u64>) -> Result<bool, RecoveryError> {
        let fed = if planted::is(Bug::SkipChainCheck) {
            Ok(self.verifier.feed_unchecked(seq, payload))
        } else {
            self.verifier.feed(seq, payload)
        };
        let Some(Record { tick, index, body, .. }) = fed? else { return Ok(true) };
        if only.is_some_and(|only| tick > only) {
            return Ok(false);
        }
        if self.mark.as_ref().is_some_and(|mark| mark.index == index) {
            self.marked = Some(self.verifier.position().chain);
        }
        if let Body::Tick(bytes) = body {
            let record = TickRecord::from_bytes(&bytes)
                .map_err(|error| RecoveryError::Record { tick, why: error.to_string() })?;
            self.records.push(record);
        }
        Ok(true)
    }

    fn check_mark(&self, from: Position) -> Result<(), RecoveryError> {
        let Some(mark) = &self.mark else { return Ok(()) };
        let last = self.verifier.position();
        if mark.index > last.index {
            return Err(RecoveryError::Short { last: last.index, mark: mark.index, tick: last.tick });
        }
        let found = if mark.index == from.index { Some(from.chain) } else { self.marked };
        match found {
            Some(chain) if chain.to_le_bytes() != mark.chain.as_ref() => {
                Err(RecoveryError::Replaced { index: mark.index, tick: last.tick })
            }
            // Before the keyframe: its own place in the log is checked.
            _ => Ok(()),
        }
    }
}

/// The record behind which the keyframe was made is the one that stands there.
fn check_place(streams: &impl Source, head: &Head, last: u64) -> Result<(), RecoveryError> {
    let place = head.position;
    let other = || RecoveryError::OtherLog { tick: place.tick, index: place.index };
    if place.seq > last {
        return Err(RecoveryError::Short { last: last.min(place.index), mark: place.index, tick: place.tick });
    }
    let message = streams.records(place.seq, place.seq).next().ok_or_else(other)??;
    if chain_hash(&message.payload) == place.chain { Ok(()) } else { Err(other()) }
}

enum ReadError {
    Jet(JetError),
    Damaged(KeyframeError),
}

impl From<JetError> for ReadError {
    fn from(error: JetError) -> Self {
        match error {
            JetError::Damaged { .. } | JetError::Gap { .. } => Self::Damaged(KeyframeError::Head(error.to_string())),
            error => Self::Jet(error),
        }
    }
}

impl<E: Into<KeyframeError>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Damaged(error.into())
    }
}

fn read_keyframe(streams: &impl Source, id: KeyframeId) -> Result<(Head, Vec<u8>, World), ReadError> {
    let (manifest, parts) = streams.keyframe(id).map_err(ReadError::from)?;
    let head = Head::decode(&manifest)?;
    let mut restore = Restore::new(head.image(), Limits::default())?;
    let mut pieces = Vec::new();
    for part in parts {
        let part = part?;
        if pieces.len() < head.state_pieces() {
            pieces.push(part);
        } else {
            restore.part(&part)?;
        }
    }
    let state = head.state(&pieces)?;
    Ok((head, state, restore.finish()?))
}
