//! Keyframes: written when what is in them is durable, and old ones removed with the records before them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{bounded, unbounded};
use engine_component::image::Snapshot;

use super::LogEvent;
use crate::log::chain::Position;
use crate::log::jet::{KeyframeId, Streams};
use crate::log::keyframe::Keyframe;

/// Messages of a keyframe that are made ahead of those that are sent.
const AHEAD: usize = 4;

/// A keyframe that is being written.
struct Writing {
    position: Position,
    /// The copy of the world, when its bytes are made.
    snapshot: Arc<Mutex<Option<Box<Snapshot>>>>,
}

/// The world behind a record that isn't durable yet, or not even appended.
struct Waiting {
    keyframe: Keyframe,
    /// The record's index.
    index: u64,
    /// Behind the record, once it is appended.
    place: Option<Position>,
}

pub(super) struct Store {
    keep: usize,
    waiting: Option<Waiting>,
    writing: Option<Writing>,
    /// Where the complete ones of this reign are, the oldest first.
    complete: VecDeque<Position>,
    epoch: u64,
}

impl Store {
    pub(super) fn new(keep: usize) -> Self {
        Self { keep: keep.max(1), waiting: None, writing: None, complete: VecDeque::new(), epoch: 0 }
    }

    pub(super) fn begin(&mut self) {
        *self = Self::new(self.keep);
    }

    /// Takes a keyframe of the world behind the record with this index, whatever was or will be appended besides.
    pub(super) fn wait(&mut self, keyframe: Keyframe, index: u64) {
        self.waiting = Some(Waiting { keyframe, index, place: None });
    }

    /// A record was appended, up to there.
    pub(super) fn appended(&mut self, end: Position) {
        if let Some(waiting) = self.waiting.as_mut().filter(|waiting| waiting.index == end.index) {
            waiting.place = Some(end);
        }
    }

    /// The keyframe whose record is durable, and where that is.
    fn take_durable(&mut self, durable: Position) -> Option<(Keyframe, Position)> {
        let is_durable = |waiting: &mut Waiting| waiting.place.is_some() && durable.index >= waiting.index;
        let Waiting { keyframe, place, .. } = self.waiting.take_if(is_durable)?;
        place.map(|place| (keyframe, place))
    }

    /// Begins to write what may be written.
    pub(super) fn pump(&mut self, durable: Position, epoch: u64, streams: &Streams) -> Option<LogEvent> {
        self.epoch = epoch;
        if self.writing.is_some() {
            return None;
        }
        let (keyframe, place) = self.take_durable(durable)?;
        match self.write(keyframe, place, epoch, streams) {
            Ok(()) => None,
            Err(reason) => {
                let snapshot = self.writing.take().and_then(take_snapshot);
                Some(LogEvent::Stored { tick: place.tick, result: Err(reason), snapshot })
            }
        }
    }

    fn write(&mut self, keyframe: Keyframe, position: Position, epoch: u64, streams: &Streams) -> Result<(), String> {
        let (messages, parts) = bounded::<Bytes>(AHEAD);
        let (done, head) = unbounded::<Option<Bytes>>();
        let snapshot = Arc::new(Mutex::new(None));
        let slot = snapshot.clone();
        let make = move || {
            let head = keyframe.write(position, |message| drop(messages.send(message)));
            drop(messages);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(keyframe.snapshot));
            let head = head.map_err(|error| tracing::error!(%error, "no keyframe can be made")).ok();
            let _ = done.send(head);
        };
        std::thread::Builder::new().name("engine-image".into()).spawn(make).map_err(|error| error.to_string())?;
        self.writing = Some(Writing { position, snapshot });
        let manifest = move || head.recv().ok().flatten();
        let order = streams.write_keyframe(position.tick, epoch, parts.into_iter(), manifest);
        order.map(drop).map_err(|error| error.to_string())
    }

    /// A keyframe is stored: what is older than the ones that are kept is removed.
    pub(super) fn stored(
        &mut self,
        id: KeyframeId,
        result: Result<u64, String>,
        streams: &Streams,
    ) -> Option<LogEvent> {
        let writing = self.writing.take()?;
        if result.is_ok() && id.epoch == self.epoch {
            self.complete.push_back(writing.position);
            // Those of earlier reigns count as well, until there are enough of this one.
            let _ = streams.retain_keyframes(self.keep, self.epoch);
            while self.complete.len() > self.keep {
                self.complete.pop_front();
            }
            if self.complete.len() == self.keep
                && let Some(oldest) = self.complete.front()
            {
                // The record itself stays, to prove that the keyframe belongs to this log.
                let _ = streams.truncate_log(oldest.seq.saturating_sub(1));
            }
        }
        Some(LogEvent::Stored { tick: id.tick, result, snapshot: take_snapshot(writing) })
    }
}

fn take_snapshot(writing: Writing) -> Option<Box<Snapshot>> {
    writing.snapshot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use engine_component::{World, WorldHash};

    use super::*;

    fn at(index: u64) -> Position {
        Position { index, tick: index, ..Position::GENESIS }
    }

    fn keyframe() -> Keyframe {
        let snapshot = Snapshot::capture(&mut World::default());
        Keyframe { state: Vec::new(), snapshot, hash: WorldHash(0) }
    }

    /// What is appended between the order and the next look is not in the world that was copied.
    #[test]
    fn a_keyframe_belongs_behind_its_own_record_however_many_follow() {
        let mut store = Store::new(1);
        store.wait(keyframe(), 5);
        store.appended(at(5));
        store.appended(at(6));
        assert!(store.take_durable(at(4)).is_none(), "its record is not durable");
        assert_eq!(store.take_durable(at(6)).map(|(_, place)| place), Some(at(5)));
        assert!(store.take_durable(at(6)).is_none(), "it is written once");
    }

    /// The writer has no room, and the records before it wait.
    #[test]
    fn a_keyframe_of_a_record_that_is_not_appended_waits_for_it() {
        let mut store = Store::new(1);
        store.wait(keyframe(), 5);
        store.appended(at(3));
        assert!(store.take_durable(at(3)).is_none(), "it is not the world of record 3");
        (4..=7).for_each(|index| store.appended(at(index)));
        assert_eq!(store.take_durable(at(7)).map(|(_, place)| place), Some(at(5)));
    }
}
