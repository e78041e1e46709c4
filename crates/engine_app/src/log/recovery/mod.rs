//! From what is stored back to a world: the newest keyframe, and the records behind it, all of it verified.
//!
//! Nothing is passed over in silence. A keyframe that can't be read, a chain that breaks, a log that ends before
//! what was once acknowledged: each ends the recovery, and says what it is and what can be done. Only an operator
//! can give up what is damaged, by naming a tick ([`Wanted::At`]).

mod error;
mod scan;
mod source;
#[cfg(test)]
mod tests;

use engine_component::World;
use engine_component::image::{Limits, Restore};

use super::chain::{Position, Verifier};
use super::jet::{self, JetError, KeyframeId, Mark, Tail};
use super::keyframe::{Head, KeyframeError};
use super::record::{Body, Message, Record, chain_hash};
use crate::record::TickRecord;

pub use error::RecoveryError;
pub use source::Source;

use scan::{Scan, Scanned};

/// Questions that are under way at once when much is read.
const PARALLEL: usize = 8;

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
    /// What was damaged is given up, now or by an earlier reign: until a keyframe is stored behind it, the log can't
    /// be read but from here.
    pub cut: bool,
    /// The keyframe's place, when it is the newest one and what is before it is not needed any more.
    pub base: Option<Position>,
    /// Damaged keyframes that were passed over.
    pub damaged: Vec<KeyframeId>,
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
    if keyframes.is_empty() {
        return unborn(streams, &tail, mark.filter(|_| wanted == Wanted::Newest));
    }
    let reign = tail.epoch.as_ref().and_then(|epoch| Message::decode(&epoch.payload).ok()).map(|epoch| epoch.head());
    let mut damaged = Vec::new();
    for (age, id) in keyframes.into_iter().enumerate() {
        if matches!(wanted, Wanted::At(tick) if id.tick > tick) {
            continue;
        }
        if reign.is_some_and(|reign| id.epoch < reign.epoch && id.tick > reign.tick) {
            tracing::info!(tick = id.tick, "a keyframe is passed over: an operator gave up its tick");
            continue;
        }
        progress(Progress::Keyframe { tick: id.tick });
        let (head, state, world) = match read_keyframe(streams, id) {
            Ok(read) => read,
            Err(ReadError::Jet(error)) => return Err(error.into()),
            Err(ReadError::Damaged(error)) if wanted == Wanted::Newest => {
                return Err(RecoveryError::Keyframe { tick: id.tick, epoch: id.epoch, error });
            }
            Err(ReadError::Damaged(error)) => {
                tracing::warn!(tick = id.tick, %error, "a keyframe is passed over, since it is damaged");
                damaged.push(id);
                continue;
            }
        };
        let in_place = is_in_place(streams, head.position, &tail)?;
        let scan = scan(streams, head.position, in_place, &tail, &mut progress)?;
        if scan.is_given_up() {
            tracing::info!(tick = id.tick, "a keyframe is passed over: an operator gave it up");
            continue;
        }
        let Scanned { mut position, records, cut } = match wanted {
            Wanted::Newest => scan.newest(mark.as_ref())?,
            Wanted::At(tick) => scan.up_to(tick, reign.map(|reign| reign.tick))?,
        };
        // A reign begins behind everything that is there, whatever of it counts.
        position.epoch = position.epoch.max(reign.map_or(0, |reign| reign.epoch));
        position.epoch_seq = tail.epoch.as_ref().map_or(0, |epoch| epoch.sequence);
        let base = (age == 0 && !cut).then_some(head.position);
        let (last_seq, keyframe) = (tail.last, id);
        let recovered = Recovered { position, last_seq, keyframe, head, state, world, records, cut, base, damaged };
        return Ok(Found::World(Box::new(recovered)));
    }
    Err(RecoveryError::NoKeyframe(match wanted {
        Wanted::Newest => None,
        Wanted::At(tick) => Some(tick),
    }))
}

/// Reads what is behind a keyframe; when it is not of this log, all that is there: a reign may follow it.
fn scan(
    streams: &impl Source,
    keyframe: Position,
    in_place: bool,
    tail: &Tail,
    progress: &mut impl FnMut(Progress),
) -> Result<Scan, RecoveryError> {
    let mut scan = Scan::new(keyframe, in_place);
    let mut next = if in_place { keyframe.seq + 1 } else { tail.first };
    let (first, of) = (next, (tail.last + 1).saturating_sub(next));
    let mut take = |message: &jet::Record| {
        scan.feed(message.sequence, &message.payload);
        if message.sequence.is_multiple_of(4096) {
            progress(Progress::Records { read: message.sequence - first, of });
        }
    };
    let mut gap = None;
    for message in streams.records(next, tail.last) {
        match message {
            Ok(message) => {
                take(&message);
                next = message.sequence + 1;
            }
            Err(JetError::Gap { sequence, .. }) => {
                gap = Some(sequence);
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(gap) = gap {
        for message in streams.records(next, gap.saturating_sub(1)) {
            take(&message?);
        }
        for message in streams.present(gap + 1, tail.last) {
            take(&message?);
        }
    }
    scan.end(tail.last);
    Ok(scan)
}

/// A log without a keyframe, since its coordinators died before the first one was complete. Then nothing was
/// acknowledged: no tick begins before.
fn unborn(streams: &impl Source, tail: &Tail, mark: Option<Mark>) -> Result<Found, RecoveryError> {
    let mut verifier = Verifier::new();
    if tail.first > 1 && tail.last > 0 {
        return Err(RecoveryError::NoKeyframe(None));
    }
    for message in streams.records(1, tail.last) {
        let message = message?;
        if let Ok(Message::Whole(Record { index: 2.., tick, body: Body::Epoch(_), .. })) =
            Message::decode(&message.payload)
            && message.sequence == 1
        {
            return Err(RecoveryError::Unfinished { tick });
        }
        let record = verifier.feed(message.sequence, &message.payload).map_err(|error| {
            let Position { index, tick, .. } = verifier.position();
            RecoveryError::Chain { error, index, tick }
        })?;
        if record.is_some_and(|record| matches!(record.body, Body::Tick(_))) {
            return Err(RecoveryError::NoKeyframe(None));
        }
    }
    let position = verifier.position();
    match mark {
        Some(mark) => Err(RecoveryError::Short { last: position.index, mark: mark.index, tick: position.tick }),
        None => Ok(Found::Nothing { position, last_seq: tail.last }),
    }
}

/// Whether the record behind which a keyframe was made is the one that stands there.
pub(crate) fn is_in_place(streams: &impl Source, place: Position, tail: &Tail) -> Result<bool, RecoveryError> {
    if place.seq > tail.last || place.seq < tail.first {
        return Ok(false);
    }
    match streams.records(place.seq, place.seq).next() {
        Some(Ok(message)) => Ok(chain_hash(&message.payload) == place.chain),
        None | Some(Err(JetError::Gap { .. })) => Ok(false),
        Some(Err(error)) => Err(error.into()),
    }
}

pub(crate) enum ReadError {
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

/// Reads a keyframe; every byte of it is checked.
pub(crate) fn read_keyframe(streams: &impl Source, id: KeyframeId) -> Result<(Head, Vec<u8>, World), ReadError> {
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
