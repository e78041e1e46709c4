//! Keyframes of a coordinator: taken between two ticks, stored when what is in them is durable, and old ones
//! removed with the records before them.

use std::collections::VecDeque;
use std::rc::Rc;

use engine_app::log::chain::Position;
use engine_app::log::jet::KeyframeId;
use engine_component::image::Snapshot;
use engine_system::planted::{self, Bug};

use super::contender::{Phase, Process};
use super::{Cluster, MS};
use crate::log::{Jet, Keyframe};

/// A keyframe that nobody says is stored is sent again after so long.
const PATIENCE: u64 = 80 * MS;

/// Of one reign.
#[derive(Default)]
pub(super) struct Store {
    waiting: Option<Waiting>,
    /// On its way, and since when.
    writing: Option<(Rc<Keyframe>, u64)>,
    /// Where the complete ones of this reign are, the oldest first.
    complete: VecDeque<Position>,
}

/// The world behind a record that may not be durable, or not even be appended.
struct Waiting {
    keyframe: engine_app::log::keyframe::Keyframe,
    /// The record's index.
    index: u64,
    position: Option<Position>,
}

impl Store {
    pub(super) fn wakes_at(&self) -> u64 {
        self.writing.as_ref().map_or(u64::MAX, |(_, sent)| sent + PATIENCE)
    }

    /// A record was appended.
    pub(super) fn appended(&mut self, end: Position) {
        if let Some(waiting) = self.waiting.as_mut().filter(|waiting| waiting.index == end.index) {
            waiting.position = Some(end);
        }
    }
}

impl Cluster {
    /// Takes a keyframe when one is due, and stores it when it may be.
    pub(super) fn store_keyframes(&mut self, number: usize, process: &mut Process) -> Result<(), String> {
        self.take_keyframe(process);
        if process.store.wakes_at() <= self.now
            && let Some((keyframe, sent)) = &mut process.store.writing
        {
            *sent = self.now;
            let keyframe = keyframe.clone();
            self.hand_out_keyframe(number, keyframe);
        }
        if process.store.writing.is_some() {
            return Ok(());
        }
        let Some(writer) = &process.writer else { return Ok(()) };
        let durable = writer.position().index;
        let is_durable = |waiting: &mut Waiting| {
            waiting.position.is_some() && (durable >= waiting.index || planted::is(Bug::HastyKeyframe))
        };
        let Some(Waiting { keyframe, position: Some(position), .. }) = process.store.waiting.take_if(is_durable) else {
            return Ok(());
        };
        let mut parts = Vec::new();
        let head = keyframe.write(position, |part| parts.push(part)).map_err(|error| format!("keyframe: {error}"))?;
        process.snapshot = Some(Box::new(keyframe.snapshot));
        self.keyframes += 1;
        let id = KeyframeId { epoch: position.epoch, tick: position.tick, writer: self.keyframes };
        let keyframe = Rc::new(Keyframe { id, position, head, parts });
        process.store.writing = Some((keyframe.clone(), self.now));
        self.hand_out_keyframe(number, keyframe);
        Ok(())
    }

    fn take_keyframe(&mut self, process: &mut Process) {
        let every = self.contest.keyframe_every;
        let Some(writer) = &process.writer else { return };
        let index = writer.end().index + process.waiting.len() as u64;
        let end = writer.end();
        let (is_busy, snapshot) =
            (process.store.waiting.is_some() || process.store.writing.is_some(), &mut process.snapshot);
        let super::contender::Stage::Reigns(reign) = &mut process.stage else { return };
        let due = match reign.phase {
            Phase::Replays => false,
            Phase::Begins => true,
            Phase::Runs => reign.since >= every,
        };
        if is_busy || !due || reign.coordinator.outputs() > 0 {
            return;
        }
        let Some(state) = reign.coordinator.state() else { return };
        let hash = reign.coordinator.committed().1;
        let Some(world) = reign.coordinator.world_mut() else { return };
        let snapshot = match snapshot.take() {
            // Of this world, or of the one of an earlier reign: then it is another one altogether.
            Some(mut snapshot) => {
                snapshot.refresh(world);
                *snapshot
            }
            None => Snapshot::capture(world),
        };
        reign.since = 0;
        let keyframe = engine_app::log::keyframe::Keyframe { state, snapshot, hash };
        process.store.waiting = Some(Waiting { keyframe, index, position: None });
        process.store.appended(end);
    }

    /// A keyframe is stored: what is older than the ones that are kept is removed.
    pub(super) fn keyframe_stored(&mut self, number: usize, process: &mut Process, id: KeyframeId) {
        let Some((keyframe, _)) = process.store.writing.take_if(|(keyframe, _)| keyframe.id == id) else { return };
        let now = self.now;
        if let Some(reign) = process.reign_mut()
            && reign.phase == Phase::Begins
        {
            reign.phase = Phase::Runs;
            reign.coordinator.end_recovery(now);
        }
        let keep = self.contest.keep;
        process.store.complete.push_back(keyframe.position);
        self.tell_log(number, Jet::Retain(keep));
        while process.store.complete.len() > keep {
            process.store.complete.pop_front();
        }
        if process.store.complete.len() == keep
            && let Some(oldest) = process.store.complete.front()
        {
            // The record itself stays, to prove that the keyframe belongs to this log.
            self.tell_log(number, Jet::Truncate(oldest.seq));
        }
    }
}
