//! Events between systems: who emitted what, and how far each reader has read.
//!
//! A reader gets what was emitted since it last ran: by systems before it in this tick, by systems after
//! it in the last. Writers and readers of one event type are ordered by the schedule, so what a reader
//! gets does not depend on who was faster.

use std::collections::BTreeMap;

use engine_component::ComponentId;
use engine_component::schema::Schema;
use engine_net::messages::value::Blob;
use engine_system::EventBatch;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Bytes of one event type that are kept for readers that did not run yet. At the bound the oldest batches
/// go, and are counted: what is dropped is a function of the world, so it is the same everywhere.
pub const MAX_BYTES: usize = 64 << 20;

/// The number of an event of a world that still goes on, at the most: nothing that counts from there on can come
/// to its end.
const MAX_NUMBER: u64 = 1 << 62;

#[derive(Debug, Default)]
struct Queue {
    /// Batches with the number of their first event.
    batches: std::collections::VecDeque<(u64, EventBatch)>,
    /// The number of the next event.
    next: u64,
    bytes: usize,
    dropped: u64,
    readers: BTreeMap<String, u64>,
}

/// One event type's queue, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueState {
    event: ComponentId,
    next: u64,
    dropped: u64,
    readers: BTreeMap<String, u64>,
    /// The number of the first event, how many, and their bytes.
    batches: Vec<(u64, u32, Blob)>,
}

/// Why stored queues are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("events of {event}: {why}")]
pub struct QueueError {
    event: ComponentId,
    why: String,
}

/// The queues of all event types.
#[derive(Debug, Default)]
pub struct EventQueues {
    queues: BTreeMap<ComponentId, Queue>,
}

impl EventQueues {
    /// Makes a reader known; it gets what is emitted from now on.
    pub fn add_reader(&mut self, event: ComponentId, system: &str) {
        let queue = self.queues.entry(event).or_default();
        let next = queue.next;
        queue.readers.entry(system.to_owned()).or_insert(next);
    }

    /// Appends what a job emitted. Jobs come in the order of node and shard.
    pub fn append(&mut self, event: ComponentId, batch: EventBatch) {
        if batch.is_empty() {
            return;
        }
        let queue = self.queues.entry(event).or_default();
        let first = queue.next;
        queue.next += batch.len() as u64;
        if queue.readers.is_empty() {
            return;
        }
        queue.bytes += batch.byte_len();
        queue.batches.push_back((first, batch));
        while queue.bytes > MAX_BYTES {
            let Some((_, oldest)) = queue.batches.pop_front() else { break };
            queue.bytes -= oldest.byte_len();
            queue.dropped += oldest.len() as u64;
        }
    }

    /// Everything that a reader has not read, as one batch. Reading it is a step of its own
    /// ([`Self::advance`]), so that a job that is sent twice gets the same.
    #[must_use]
    pub fn unread(&self, event: ComponentId, system: &str) -> EventBatch {
        let mut unread = EventBatch::default();
        if let Some(queue) = self.queues.get(&event) {
            let from = queue.readers.get(system).copied().unwrap_or(0);
            for (_, batch) in queue.batches.iter().filter(|(first, _)| *first >= from) {
                unread.append(batch);
            }
        }
        unread
    }

    /// A reader has read all that there is.
    pub fn advance(&mut self, event: ComponentId, system: &str) {
        let Some(queue) = self.queues.get_mut(&event) else { return };
        let next = queue.next;
        if let Some(cursor) = queue.readers.get_mut(system) {
            *cursor = next;
        }
        let read_by_all = queue.readers.values().min().copied().unwrap_or(next);
        while queue.batches.front().is_some_and(|(first, batch)| first + batch.len() as u64 <= read_by_all) {
            if let Some((_, read)) = queue.batches.pop_front() {
                queue.bytes -= read.byte_len();
            }
        }
    }

    /// The number of the next event.
    #[must_use]
    pub fn next(&self, event: ComponentId) -> u64 {
        self.queues.get(&event).map_or(0, |queue| queue.next)
    }

    /// The number of the first event that a reader has not read.
    #[must_use]
    pub fn cursor(&self, event: ComponentId, system: &str) -> u64 {
        self.queues.get(&event).and_then(|queue| queue.readers.get(system).copied()).unwrap_or(0)
    }

    /// Events that were emitted since the beginning, and events that were dropped at the bound.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        self.queues.values().fold((0_u64, 0_u64), |(all, dropped), queue| {
            (all.saturating_add(queue.next), dropped.saturating_add(queue.dropped))
        })
    }

    /// The queues as they can be stored.
    #[must_use]
    pub fn state(&self) -> Vec<QueueState> {
        let queues = self.queues.iter().map(|(event, queue)| QueueState {
            event: *event,
            next: queue.next,
            dropped: queue.dropped,
            readers: queue.readers.clone(),
            batches: queue
                .batches
                .iter()
                .map(|(first, batch)| (*first, batch.len() as u32, Blob::from(batch.bytes().to_vec())))
                .collect(),
        });
        queues.collect()
    }

    /// Queues as they were stored; each event is checked against its schema.
    ///
    /// # Errors
    /// When they can't have been like that.
    pub fn restored<'a>(
        state: Vec<QueueState>,
        schema: impl Fn(ComponentId) -> Option<&'a Schema>,
    ) -> Result<Self, QueueError> {
        let mut queues = BTreeMap::new();
        for stored in state {
            let event = stored.event;
            let refuse = |why: String| QueueError { event, why };
            let mut queue =
                Queue { next: stored.next, dropped: stored.dropped, readers: stored.readers, ..Queue::default() };
            if queue.next > MAX_NUMBER || queue.dropped > queue.next {
                return Err(refuse(format!("{} were emitted and {} dropped", queue.next, queue.dropped)));
            }
            if let Some(reader) = queue.readers.iter().find(|(_, cursor)| **cursor > queue.next) {
                return Err(refuse(format!("`{}` has read more than there was", reader.0)));
            }
            for (first, count, bytes) in stored.batches {
                let schema = schema(event).ok_or_else(|| refuse("its type is not known".into()))?;
                let batch = EventBatch::from_bytes(schema, count as usize, bytes.as_ref())
                    .map_err(|error| refuse(error.to_string()))?;
                let behind = queue.batches.back().map_or(0, |(first, batch)| first + batch.len() as u64);
                let end = first.checked_add(u64::from(count));
                if first < behind || end.is_none_or(|end| end > queue.next) {
                    return Err(refuse("its batches are not in order".into()));
                }
                queue.bytes += batch.byte_len();
                queue.batches.push_back((first, batch));
            }
            queues.insert(event, queue);
        }
        Ok(Self { queues })
    }

    /// Feeds what readers have still to read to a hash: it is a part of the world.
    pub fn hash_into(&self, hash: &mut Xxh3) {
        for (event, queue) in &self.queues {
            hash.update(&event.to_bits().to_le_bytes());
            hash.update(&queue.next.to_le_bytes());
            for (system, cursor) in &queue.readers {
                hash.update(system.as_bytes());
                hash.update(&cursor.to_le_bytes());
            }
            for (_, batch) in &queue.batches {
                batch.hash_into(hash);
            }
        }
    }
}
