//! The records behind a keyframe: those that count, and where they break.
//!
//! A reign names, by its epoch record, the record that it follows. That is the one before it, unless an operator
//! gave up what was damaged: then it is an earlier one, and what stands between the two does not count. So a log
//! that was mended reads on over the damage, and one that was not ends there.

use bytes::Bytes;
use engine_system::planted::{self, Bug};

use super::RecoveryError;
use crate::log::chain::{Breach, ChainError, Position, Verifier};
use crate::log::jet::Mark;
use crate::log::record::{Body, Message, Record};
use crate::record::TickRecord;

/// Why the log can't be followed any further.
#[derive(Debug)]
enum Broken {
    /// The record behind which the keyframe was made is not there.
    Place,
    Chain(ChainError),
    Record {
        tick: u64,
        why: String,
    },
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Scan {
    verifier: Verifier,
    /// Behind the keyframe, and behind each record that counts; and how many ticks' records that are.
    passed: Vec<(Position, usize)>,
    records: Vec<TickRecord>,
    broken: Option<Broken>,
    /// Something was given up.
    cut: bool,
    /// The keyframe itself was.
    given_up: bool,
}

/// What counts.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) position: Position,
    pub(super) records: Vec<TickRecord>,
    pub(super) cut: bool,
}

impl Scan {
    /// From a keyframe; whether it belongs to this log is said by `in_place`.
    pub(super) fn new(keyframe: Position, in_place: bool) -> Self {
        Self {
            verifier: Verifier::from(keyframe),
            passed: vec![(keyframe, 0)],
            records: Vec::new(),
            broken: (!in_place).then_some(Broken::Place),
            cut: false,
            given_up: false,
        }
    }

    /// Takes the next message that is there.
    pub(super) fn feed(&mut self, seq: u64, payload: &Bytes) {
        if self.broken.is_none() {
            match self.follow(seq, payload) {
                Ok(()) => return,
                Err(broken) => self.broken = Some(broken),
            }
        }
        self.look_for_cut(seq, payload);
    }

    /// There are no more; the stream's last sequence is `last`.
    pub(super) fn end(&mut self, last: u64) {
        let at = self.verifier.position();
        if self.broken.is_none() && self.verifier.last_seq() < last {
            let expected = self.verifier.last_seq() + 1;
            let (index, breach) = (at.index + 1, Breach::Sequence { expected });
            self.broken = Some(Broken::Chain(ChainError { seq: last, index, tick: at.tick, breach }));
        }
    }

    fn follow(&mut self, seq: u64, payload: &Bytes) -> Result<(), Broken> {
        let fed = if planted::is(Bug::SkipChainCheck) {
            Ok(self.verifier.feed_unchecked(seq, payload))
        } else {
            self.verifier.feed(seq, payload)
        };
        let Some(Record { tick, body, .. }) = fed.map_err(Broken::Chain)? else { return Ok(()) };
        if let Body::Tick(bytes) = body {
            let record =
                TickRecord::from_bytes(&bytes).map_err(|error| Broken::Record { tick, why: error.to_string() })?;
            self.records.push(record);
        }
        self.passed.push((self.verifier.position(), self.records.len()));
        Ok(())
    }

    /// A reign that follows an earlier record gives up what is between.
    fn look_for_cut(&mut self, seq: u64, payload: &Bytes) {
        let Ok(Message::Whole(record)) = Message::decode(payload) else { return };
        if !matches!(record.body, Body::Epoch(_)) {
            return;
        }
        let base = self.passed[0].0;
        let Some(place) = record.index.checked_sub(base.index + 1) else {
            self.given_up |= record.epoch > base.epoch;
            return;
        };
        let Some((at, records)) = self.passed.get(place as usize).copied() else { return };
        if at.chain != record.prev || at.epoch >= record.epoch || at.tick != record.tick {
            return;
        }
        self.passed.truncate(place as usize + 1);
        self.records.truncate(records);
        self.verifier = Verifier::from(Position { seq: seq - 1, ..at });
        (self.cut, self.given_up) = (true, false);
        self.broken = self.follow(seq, payload).err();
    }

    /// Whether an operator gave up the keyframe.
    pub(super) fn is_given_up(&self) -> bool {
        self.broken.is_some() && self.given_up
    }

    fn last(&self) -> Position {
        self.passed.last().map_or_else(|| self.verifier.position(), |(position, _)| *position)
    }

    /// All of it, when it is whole and as long as the mark says.
    pub(super) fn newest(self, mark: Option<&Mark>) -> Result<Scanned, RecoveryError> {
        let last = self.last();
        if let Some(broken) = self.broken {
            return Err(broken.error(last));
        }
        if let Some(mark) = mark {
            if mark.index > last.index {
                return Err(RecoveryError::Short { last: last.index, mark: mark.index, tick: last.tick });
            }
            // Before the keyframe: its own place in the log was checked.
            let place = mark.index.checked_sub(self.passed[0].0.index);
            let found = place.and_then(|place| self.passed.get(place as usize));
            if found.is_some_and(|(found, _)| found.chain.to_le_bytes() != mark.chain.as_ref()) {
                return Err(RecoveryError::Replaced { index: mark.index, tick: last.tick });
            }
        }
        Ok(Scanned { position: last, records: self.records, cut: self.cut })
    }

    /// What is of a tick or earlier, when it is whole up to there. With a keyframe that is of another log there is
    /// only its own tick. The present reign began at tick `reign`.
    pub(super) fn up_to(mut self, tick: u64, reign: Option<u64>) -> Result<Scanned, RecoveryError> {
        let last = self.last();
        match self.broken {
            None if reign == Some(tick) && last.tick > tick => {
                return Err(RecoveryError::Done { tick, last: last.tick });
            }
            None => {}
            Some(broken) if last.tick < tick => return Err(broken.error(last)),
            Some(_) => {}
        }
        let place = self.passed.iter().rposition(|(position, _)| position.tick <= tick).unwrap_or(0);
        let (position, records) = self.passed[place];
        self.records.truncate(records);
        Ok(Scanned { position, records: self.records, cut: true })
    }
}

impl Broken {
    fn error(self, last: Position) -> RecoveryError {
        let (index, tick) = (last.index, last.tick);
        match self {
            Self::Place => RecoveryError::OtherLog { tick, index },
            Self::Chain(error) => RecoveryError::Chain { error, index, tick },
            Self::Record { tick: broken, why } => RecoveryError::Record { tick: broken, why, last: tick },
        }
    }
}
