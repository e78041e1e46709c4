//! From chunks to parcels. What does not come is asked for: at once when later chunks have overtaken it,
//! else after a silence that grows with every time.

use std::collections::btree_map::Entry;

use bytes::Bytes;
use engine_net::parcel::{Assembler, Limits, Missing, Progress, control};
use engine_net::prefix::ParcelId;
use engine_net::{ChunkKind, ChunkPrefix};

use super::InstanceCore;

/// What is silent for so long is asked for, in nanoseconds.
pub(super) const SILENCE: u64 = 50_000_000;
/// What was asked for in vain is asked for again after twice the time, and so on up to this.
pub(super) const LONGEST_SILENCE: u64 = 1_000_000_000;
/// Bytes of parcels that are held, at the most; beyond, the oldest incomplete ones go and are asked for again.
const MAX_HELD: usize = 512 << 20;

/// A parcel that is not complete.
pub(super) struct Incoming {
    assembler: Assembler,
    asking: Asking,
}

/// When something that is missing is asked for next.
#[derive(Debug)]
pub(super) struct Asking {
    at: u64,
    silence: u64,
}

impl Asking {
    pub(super) fn new(now: u64) -> Self {
        Self { at: now + SILENCE, silence: SILENCE }
    }

    /// Whether it is time to ask; then the next time is later.
    fn is_due(&mut self, now: u64) -> bool {
        if now < self.at {
            return false;
        }
        self.silence = (self.silence * 2).min(LONGEST_SILENCE);
        self.at = now + self.silence;
        true
    }
}

impl InstanceCore {
    /// Bytes of parcels that are held.
    pub(super) fn held(&self) -> usize {
        self.incoming.values().map(|incoming| incoming.assembler.bytes()).sum::<usize>()
            + self.waiting.iter().map(|job| job.parcel.bytes()).sum::<usize>()
            + self.running.values().map(|job| job.bytes).sum::<usize>()
            + self.shared.values().map(|(_, parcel)| parcel.bytes()).sum::<usize>()
    }

    fn knows(&self, prefix: &ChunkPrefix) -> bool {
        match prefix.kind {
            ChunkKind::Shared => {
                self.shared.get(&(prefix.tick, prefix.job)).is_some_and(|(attempt, _)| *attempt >= prefix.attempt)
            }
            _ => self.has_job(&prefix.into()),
        }
    }

    pub(super) fn collect(&mut self, prefix: &ChunkPrefix, payload: Bytes) {
        if self.knows(prefix) {
            return; // Doubled.
        }
        if self.held() + payload.len() > MAX_HELD {
            self.figures.refused += 1;
            self.incoming.pop_first();
        }
        let id = prefix.parcel();
        let incoming = match self.incoming.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match Assembler::new(prefix, Limits::default()) {
                Ok(assembler) => entry.insert(Incoming { assembler, asking: Asking::new(self.now) }),
                Err(refusal) => return self.refuse(prefix, &refusal.to_string()),
            },
        };
        let had_gap = incoming.assembler.has_gap();
        match incoming.assembler.push(payload) {
            Ok(Progress::Complete) => {
                let complete = self.incoming.remove(&id).and_then(|incoming| incoming.assembler.finish());
                if let Some(parcel) = complete {
                    self.complete(prefix, parcel);
                }
            }
            Ok(Progress::Need(_)) => {
                incoming.asking = Asking::new(self.now);
                if incoming.assembler.has_gap() && !had_gap {
                    self.ask_for(&id);
                }
            }
            Ok(Progress::Duplicate) => {}
            Err(refusal) => {
                // Nobody can tell which of the chunks is wrong: all of them are asked for, when it is time to.
                tracing::warn!(epoch = prefix.epoch, tick = prefix.tick, job = prefix.job, %refusal, "a chunk is refused");
                self.figures.refused += 1;
                if let Ok(assembler) = Assembler::new(prefix, Limits::default()) {
                    incoming.assembler = assembler;
                }
            }
        }
    }

    /// Asks for the chunks of an incomplete parcel.
    pub(super) fn ask_for(&mut self, id: &ParcelId) {
        let Some(incoming) = self.incoming.get(id) else { return };
        let missing = &incoming.assembler;
        let chunks =
            if missing.bytes() == 0 { Vec::new() } else { missing.missing().take(control::MAX_MISSING).collect() };
        let prefix = ChunkPrefix {
            kind: ChunkKind::Missing,
            attempt: id.attempt,
            job: id.job,
            epoch: id.epoch,
            tick: id.tick,
            chunk: 0,
            chunks: 1,
            instance: id.instance,
        };
        self.ask(&prefix, &Missing { of: id.kind as u8, chunks });
    }

    /// Asks for all chunks of a parcel.
    pub(super) fn ask_for_all(&mut self, prefix: &ChunkPrefix, of: ChunkKind) {
        self.ask(prefix, &Missing { of: of as u8, chunks: Vec::new() });
    }

    fn ask(&mut self, prefix: &ChunkPrefix, missing: &Missing) {
        self.figures.asked_again += 1;
        self.answer(prefix.epoch, control::encode(prefix, ChunkKind::Missing, missing));
    }

    /// Asks for what stopped coming, and for shared inputs that never came.
    pub(super) fn ask_for_silent(&mut self) {
        let now = self.now;
        let silent = self.incoming.iter_mut().filter_map(|(id, incoming)| incoming.asking.is_due(now).then_some(*id));
        let silent: Vec<ParcelId> = silent.collect();
        let on_their_way = |(tick, node): (u64, u32)| {
            let is_it = |id: &ParcelId| id.kind == ChunkKind::Shared && (id.tick, id.job) == (tick, node);
            self.incoming.keys().any(is_it)
        };
        let lacking = self.lacking.iter_mut().filter(|(node, _)| !on_their_way(**node));
        let lacking: Vec<(u64, u32)> =
            lacking.filter_map(|(node, asking)| asking.is_due(now).then_some(*node)).collect();
        for id in silent {
            self.ask_for(&id);
        }
        for (tick, node) in lacking {
            let waits = |job: &&super::WaitingJob| job.prefix.tick == tick && job.manifest.node == node;
            if let Some(job) = self.waiting.iter().find(waits) {
                let attempt = job.manifest.shared.unwrap_or(0);
                let prefix = ChunkPrefix { job: node, attempt, ..job.prefix };
                self.ask_for_all(&prefix, ChunkKind::Shared);
            }
        }
    }
}
