//! What an instance keeps of the world between two jobs.
//!
//! A copy is a cache of what the coordinator knows: it may be dropped at any time, and is only used when its stamp
//! is the one that a parcel builds on. While a job works on a copy it is not in here; whatever ends a job in
//! between has dropped it.
//!
//! Invariant: content and stamp of a copy belong together. They are put here together, when all of a batch is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine_component::{Column, Entity, StorageKind};
use engine_net::parcel::{CopyKey, JobList, PartManifest};

/// A copy that was not used for so many ticks is dropped. The coordinator counts on it for a while less.
const UNUSED: u64 = engine_net::parcel::KEPT_TICKS * 2;
/// Ticks between two looks for what is not used.
const LOOK: u64 = 64;
/// Lists of jobs that are remembered, at the most; the one that was used longest ago goes first.
const MAX_LISTS: usize = 4096;

/// The values of a copy, in the world's layout.
pub(super) enum Content {
    Entities(Vec<Entity>),
    Values(Column),
}

impl Content {
    /// Bytes of the values, as the coordinator counts them: else one would go on sending what the other has no room
    /// for.
    fn bytes(&self) -> usize {
        match self {
            Self::Entities(entities) => size_of_val(&entities[..]),
            Self::Values(column) if column.kind() == StorageKind::Document => {
                (0..column.len()).map(|row| 8 + column.row(row).len()).sum()
            }
            Self::Values(column) => column.bytes().len(),
        }
    }
}

struct Copy {
    content: Content,
    bytes: usize,
    stamp: u64,
    used: u64,
}

/// The parts of the jobs of a batch, and how many each job has.
pub(super) struct Batch {
    pub(super) parts: Vec<PartManifest>,
    pub(super) counts: Vec<u16>,
}

/// All copies of one registration, and the lists of jobs that came in it.
pub(super) struct Copies {
    copies: BTreeMap<CopyKey, Copy>,
    bytes: usize,
    limit: usize,
    lists: BTreeMap<u64, (Arc<Batch>, u64)>,
    looked: u64,
}

impl Copies {
    /// None yet; of so many bytes at the most.
    pub(super) fn new(limit: usize) -> Self {
        Self { copies: BTreeMap::new(), bytes: 0, limit, lists: BTreeMap::new(), looked: 0 }
    }

    /// The stamp of a copy; 0 when it isn't here.
    pub(super) fn stamp(&self, key: &CopyKey) -> u64 {
        self.copies.get(key).map_or(0, |copy| copy.stamp)
    }

    /// Takes a copy out.
    pub(super) fn take(&mut self, key: &CopyKey) -> Option<Content> {
        let copy = self.copies.remove(key)?;
        self.bytes -= copy.bytes;
        Some(copy.content)
    }

    /// Puts a copy in. What does not fit is dropped: it will be missed, and come again.
    pub(super) fn put(&mut self, tick: u64, key: CopyKey, stamp: u64, content: Content) {
        self.take(&key);
        let bytes = content.bytes();
        if self.bytes + bytes <= self.limit {
            self.bytes += bytes;
            self.copies.insert(key, Copy { content, bytes, stamp, used: tick });
        }
    }

    /// The jobs of a list that came before.
    pub(super) fn list(&mut self, tick: u64, digest: u64) -> Option<Arc<Batch>> {
        let (batch, used) = self.lists.get_mut(&digest)?;
        *used = tick;
        Some(batch.clone())
    }

    /// Remembers a list for when it comes again.
    pub(super) fn remember(&mut self, tick: u64, list: JobList) {
        let list = list.again();
        let Some((parts, counts)) = list.parts() else { return };
        if self.lists.len() >= MAX_LISTS
            && let Some(oldest) = self.lists.iter().min_by_key(|(_, (_, used))| *used).map(|(digest, _)| *digest)
        {
            self.lists.remove(&oldest);
        }
        self.lists.insert(list.digest(), (Arc::new(Batch { parts, counts }), tick));
    }

    /// Drops what was not used for long.
    pub(super) fn look_through(&mut self, tick: u64) {
        if tick < self.looked + LOOK {
            return;
        }
        self.looked = tick;
        self.lists.retain(|_, (_, used)| *used + UNUSED >= tick);
        let old: Vec<CopyKey> =
            self.copies.iter().filter(|(_, copy)| copy.used + UNUSED < tick).map(|(key, _)| *key).collect();
        old.iter().for_each(|key| drop(self.take(key)));
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.copies.clear();
        self.lists.clear();
        self.bytes = 0;
    }

    /// Changes a byte of a copy, whichever comes first: what a broken memory would do.
    pub(super) fn spoil(&mut self) -> bool {
        let values = self.copies.values_mut().find_map(|copy| match &mut copy.content {
            Content::Values(column) => column.bytes_mut().first_mut(),
            Content::Entities(_) => None,
        });
        values.is_some_and(|byte| {
            *byte ^= 1;
            true
        })
    }

    /// Makes copies those of another time: other values, under a stamp of their own.
    pub(super) fn age(&mut self) {
        for copy in self.copies.values_mut() {
            copy.stamp = copy.stamp.wrapping_sub(1);
            match &mut copy.content {
                Content::Entities(entities) => entities.fill(Entity::NONE),
                Content::Values(column) => column.bytes_mut().fill(0),
            }
        }
    }

    /// The number of copies.
    pub(super) fn len(&self) -> usize {
        self.copies.len()
    }

    /// The bytes that they have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// # Panics
    /// When it contradicts itself.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.bytes, self.copies.values().map(|copy| copy.content.bytes()).sum::<usize>());
        assert!(self.bytes <= self.limit && self.lists.len() <= MAX_LISTS);
    }
}
