//! What each instance has kept of the world, as far as the coordinator told it.
//!
//! For every copy it is known which version of the world it equals: what is sent next is what changed since. An
//! instance may have lost a copy meanwhile; it finds that out by the stamps, says so, and what is known of it is
//! forgotten here. So nothing of this has to be right for the world to be right, only for messages to be short.
//!
//! Bounds: bytes of copies by what the instance said when it registered; a copy that was not used for
//! [`KEPT_TICKS`] is not counted on any longer; lists of jobs by [`MAX_LISTS`].

use std::collections::BTreeMap;

use engine_net::parcel::{CopyKey, KEPT_TICKS};

/// Lists of jobs that an instance is taken to remember; beyond that all are sent anew.
const MAX_LISTS: usize = 2048;
/// Ticks between two looks for what is not used.
const LOOK: u64 = 64;

/// A copy at an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The version of the world that it equals.
    pub(super) version: u64,
    /// Its stamp.
    pub(super) stamp: u64,
    /// The stamp of the first parcel of those that build on one another's results without waiting for them; its own else.
    pub(super) lead: u64,
    /// Its bytes.
    pub(super) bytes: u64,
    /// The tick in which it was last used.
    pub(super) used: u64,
}

#[derive(Debug, Default)]
struct Member {
    copies: BTreeMap<CopyKey, Held>,
    bytes: u64,
    limit: u64,
    lists: BTreeMap<u64, u64>,
}

/// The copies of all instances, by their slots.
#[derive(Debug, Default)]
pub(super) struct Residents {
    members: BTreeMap<u32, Member>,
    stamps: u64,
    looked: u64,
}

impl Residents {
    /// An instance joins, and keeps so many bytes at the most.
    pub(super) fn join(&mut self, slot: u32, limit: u64) {
        self.members.insert(slot, Member { limit, ..Member::default() });
    }

    /// An instance is gone.
    pub(super) fn leave(&mut self, slot: u32) {
        self.members.remove(&slot);
    }

    /// A stamp that no parcel had.
    pub(super) fn next_stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    /// What an instance has of a copy.
    #[must_use]
    pub(super) fn held(&self, slot: u32, key: &CopyKey) -> Option<Held> {
        self.members.get(&slot)?.copies.get(key).copied()
    }

    /// How many bytes an instance has room for.
    #[must_use]
    pub(super) fn room(&self, slot: u32) -> u64 {
        self.members.get(&slot).map_or(0, |member| member.limit.saturating_sub(member.bytes))
    }

    /// An instance gets a copy, or another state of it.
    pub(super) fn hold(&mut self, slot: u32, key: CopyKey, held: Held) {
        let Some(member) = self.members.get_mut(&slot) else { return };
        let before = member.copies.insert(key, held);
        member.bytes = member.bytes + held.bytes - before.map_or(0, |before| before.bytes);
    }

    /// A copy equals a later version of the world: what its instance made of it was merged.
    pub(super) fn merged(&mut self, slot: u32, key: &CopyKey, stamp: u64, version: u64) {
        let held = self.members.get_mut(&slot).and_then(|member| member.copies.get_mut(key));
        // Who was sent something behind that has the same rows now.
        if let Some(held) = held.filter(|held| (held.lead..=held.stamp).contains(&stamp)) {
            held.version = version;
        }
    }

    /// Whether a copy is what a parcel makes of it, or what those make that build on that.
    pub(super) fn is_made_of(&self, slot: u32, key: &CopyKey, stamp: u64) -> bool {
        self.held(slot, key).is_some_and(|held| (held.lead..=held.stamp).contains(&stamp))
    }

    /// A copy is not counted on any longer.
    pub(super) fn forget(&mut self, slot: u32, key: &CopyKey) {
        let Some(member) = self.members.get_mut(&slot) else { return };
        if let Some(held) = member.copies.remove(key) {
            member.bytes -= held.bytes;
        }
    }

    /// Lists of jobs that an instance remembers are not counted on any longer.
    pub(super) fn forget_lists(&mut self, slot: u32) {
        if let Some(member) = self.members.get_mut(&slot) {
            member.lists.clear();
        }
    }

    /// Whether an instance remembers a list of jobs.
    pub(super) fn knows_list(&mut self, slot: u32, digest: u64, tick: u64) -> bool {
        let used = self.members.get_mut(&slot).and_then(|member| member.lists.get_mut(&digest));
        used.map(|used| *used = tick).is_some()
    }

    /// An instance gets a list of jobs.
    pub(super) fn tell_list(&mut self, slot: u32, digest: u64, tick: u64) {
        let Some(member) = self.members.get_mut(&slot) else { return };
        if member.lists.len() >= MAX_LISTS {
            member.lists.clear();
        }
        member.lists.insert(digest, tick);
    }

    /// Forgets what was not used for long.
    pub(super) fn look_through(&mut self, tick: u64) {
        if tick < self.looked + LOOK {
            return;
        }
        self.looked = tick;
        for member in self.members.values_mut() {
            let Member { copies, bytes, lists, .. } = member;
            copies.retain(|_, held| {
                let counts = held.used + KEPT_TICKS >= tick;
                *bytes -= if counts { 0 } else { held.bytes };
                counts
            });
            lists.retain(|_, used| *used + KEPT_TICKS >= tick);
        }
    }

    /// Copies and bytes of an instance.
    #[must_use]
    pub(super) fn load(&self, slot: u32) -> (u64, u64) {
        self.members.get(&slot).map_or((0, 0), |member| (member.copies.len() as u64, member.bytes))
    }

    /// # Panics
    /// When it contradicts itself.
    pub(super) fn check_invariants(&self) {
        for member in self.members.values() {
            assert_eq!(member.bytes, member.copies.values().map(|held| held.bytes).sum::<u64>());
            assert!(member.lists.len() <= MAX_LISTS);
        }
    }
}

#[cfg(test)]
mod tests {
    use engine_component::{ArchetypeId, ComponentId};
    use engine_net::parcel::{CopyOf, Space};

    use super::*;

    fn key(first_row: u32) -> CopyKey {
        let of = CopyOf::Component(ComponentId::of_name("a.A"));
        CopyKey { space: Space::Shard, archetype: ArchetypeId::of(&[]), first_row, of }
    }

    fn held(version: u64, stamp: u64, used: u64) -> Held {
        Held { version, stamp, lead: stamp, bytes: 100, used }
    }

    #[test]
    fn bytes_are_counted_once() {
        let mut residents = Residents::default();
        residents.join(3, 250);
        residents.hold(3, key(0), held(1, 1, 0));
        residents.hold(3, key(0), held(2, 2, 0));
        residents.hold(3, key(64), held(2, 2, 0));
        assert_eq!((residents.room(3), residents.load(3)), (50, (2, 200)));
        residents.forget(3, &key(0));
        residents.forget(3, &key(0));
        assert_eq!(residents.load(3), (1, 100));
        residents.check_invariants();
        residents.tell_list(3, 7, 0);
        residents.forget_lists(3);
        assert!(!residents.knows_list(3, 7, 0));
        assert_eq!((residents.room(3), residents.room(4)), (150, 0));
    }

    #[test]
    fn a_merge_counts_for_the_copy_that_it_was_made_of() {
        let mut residents = Residents::default();
        residents.join(0, 1000);
        residents.hold(0, key(0), held(1, 7, 0));
        residents.merged(0, &key(0), 6, 9);
        assert_eq!(residents.held(0, &key(0)).unwrap().version, 1);
        residents.merged(0, &key(0), 7, 9);
        assert_eq!(residents.held(0, &key(0)).unwrap().version, 9);
    }

    #[test]
    fn what_is_not_used_is_not_counted_on() {
        let mut residents = Residents::default();
        residents.join(0, 1000);
        residents.hold(0, key(0), held(1, 1, 10));
        residents.tell_list(0, 5, 10);
        residents.look_through(10 + KEPT_TICKS);
        assert!(residents.held(0, &key(0)).is_some() && residents.knows_list(0, 5, 10));
        residents.look_through(11 + KEPT_TICKS + LOOK);
        assert!(residents.held(0, &key(0)).is_none() && !residents.knows_list(0, 5, 10));
        residents.check_invariants();
    }
}
