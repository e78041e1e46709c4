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

pub(super) struct Store {
    keep: usize,
    /// The world behind the last record, which is not durable yet.
    waiting: Option<(Keyframe, Option<Position>)>,
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

    /// Takes a keyframe of the world behind the record that was appended last.
    pub(super) fn wait(&mut self, keyframe: Keyframe) {
        self.waiting = Some((keyframe, None));
    }

    /// Begins to write what may be written.
    pub(super) fn pump(&mut self, durable: Position, end: Position, epoch: u64, streams: &Streams) -> Option<LogEvent> {
        self.epoch = epoch;
        let (_, place) = self.waiting.as_mut()?;
        let place = *place.get_or_insert(end);
        if self.writing.is_some() || durable.index < place.index {
            return None;
        }
        let (keyframe, _) = self.waiting.take()?;
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
