//! Keyframes: written when what is in them is durable, and old ones removed with the records before them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{bounded, unbounded};
use engine_component::image::Snapshot;

use super::{LogEvent, ToStore};
use crate::log::chain::Position;
use crate::log::jet::{JetError, KeyframeId, Streams, Token};
use crate::log::keyframe::Keyframe;
use crate::log::pace::Pace;

/// Messages of a keyframe that are made ahead of those that are sent.
const AHEAD: usize = 4;

/// A keyframe that is being written.
struct Writing {
    /// Names it in its end: one of an earlier reign may end in this one.
    token: Option<Token>,
    position: Position,
    /// The copy of the world, when its bytes are made.
    snapshot: Arc<Mutex<Option<Box<Snapshot>>>>,
}

pub(super) struct Store {
    keep: usize,
    /// The world behind the last record, which is not durable yet.
    waiting: Option<(ToStore, Position)>,
    writing: Option<Writing>,
    /// Where the complete ones of this reign are, and the one that it began with, the oldest first.
    complete: VecDeque<Position>,
    epoch: u64,
    /// What was removed when the log was full is before this.
    room_before: u64,
    /// Keyframes up to this tick need not wait for anybody's word.
    allowed: u64,
}

impl Store {
    pub(super) fn new(keep: usize) -> Self {
        let (waiting, writing, complete) = (None, None, VecDeque::new());
        Self { keep: keep.max(1), waiting, writing, complete, epoch: 0, room_before: 0, allowed: 0 }
    }

    pub(super) fn begin(&mut self, base: Option<Position>) {
        *self = Self::new(self.keep);
        self.complete.extend(base);
    }

    /// Takes a keyframe of the world behind the record that ends there.
    pub(super) fn wait(&mut self, keyframe: ToStore, place: Position) {
        self.waiting = Some((keyframe, place));
    }

    /// What a keyframe of this tick has waited for is done.
    pub(super) fn allow(&mut self, tick: u64) {
        self.allowed = self.allowed.max(tick);
    }

    /// The log is full: what is before the newest keyframe has to go, since nothing else may. Older keyframes have
    /// no records behind them then, and go as well.
    pub(super) fn make_room(&mut self, streams: &Streams) {
        let Some(newest) = self.complete.back().filter(|newest| newest.seq > self.room_before) else { return };
        tracing::warn!(tick = newest.tick, "the log is full: what is before its newest keyframe is removed");
        self.room_before = newest.seq;
        let _ = streams.truncate_log(newest.seq.saturating_sub(1));
        let _ = streams.retain_keyframes(1, self.epoch);
        self.complete.drain(..self.complete.len() - 1);
    }

    /// Begins to write what may be written.
    pub(super) fn pump(&mut self, durable: Position, epoch: u64, streams: &Streams) -> Option<LogEvent> {
        self.epoch = epoch;
        let (next, place) = self.waiting.as_ref()?;
        let place = *place;
        let waits = next.waits && place.tick > self.allowed;
        if self.writing.is_some() || durable.index < place.index || waits {
            return None;
        }
        let (ToStore { keyframe, pace, .. }, _) = self.waiting.take()?;
        match self.write(keyframe, pace, place, epoch, streams) {
            Ok(()) => None,
            Err(reason) => {
                let snapshot = self.writing.take().and_then(take_snapshot);
                Some(LogEvent::Stored { tick: place.tick, result: Err(reason), snapshot })
            }
        }
    }

    fn write(
        &mut self,
        keyframe: Keyframe,
        pace: Pace,
        position: Position,
        epoch: u64,
        streams: &Streams,
    ) -> Result<(), String> {
        let (messages, parts) = bounded::<Bytes>(AHEAD);
        let (done, head) = unbounded::<Option<Bytes>>();
        let snapshot = Arc::new(Mutex::new(None));
        let slot = snapshot.clone();
        let make = move || {
            let (begun, mut bytes) = (Instant::now(), 0);
            let head = keyframe.write(position, |message| {
                bytes += message.len() as u64;
                drop(messages.send(message));
                pace.keep(begun, bytes);
            });
            drop(messages);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(keyframe.snapshot));
            let head = head.map_err(|error| tracing::error!(%error, "no keyframe can be made")).ok();
            let _ = done.send(head);
        };
        std::thread::Builder::new().name("engine-image".into()).spawn(make).map_err(|error| error.to_string())?;
        let writing = self.writing.insert(Writing { token: None, position, snapshot });
        let manifest = move || head.recv().ok().flatten();
        let order = streams.write_keyframe(position.tick, epoch, parts.into_iter(), manifest);
        writing.token = Some(order.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// A keyframe is stored: what is older than the ones that are kept is removed.
    pub(super) fn stored(
        &mut self,
        token: Token,
        id: KeyframeId,
        result: Result<u64, JetError>,
        streams: &Streams,
    ) -> Option<LogEvent> {
        let writing = self.writing.take_if(|writing| writing.token == Some(token))?;
        if let Err(error) = &result {
            // What is left of it goes; and when there was no room, all that can be done without.
            let without = error.is_full() && !self.complete.is_empty();
            let _ = streams.retain_keyframes(if without { 1 } else { usize::MAX }, self.epoch);
            if without {
                self.complete.drain(..self.complete.len() - 1);
            }
        } else {
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
        let result = result.map_err(|error| error.to_string());
        Some(LogEvent::Stored { tick: id.tick, result, snapshot: take_snapshot(writing) })
    }
}

fn take_snapshot(writing: Writing) -> Option<Box<Snapshot>> {
    writing.snapshot.lock().unwrap_or_else(PoisonError::into_inner).take()
}
