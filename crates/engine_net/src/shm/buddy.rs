//! Which parts of an arena are free: blocks of 16 KiB, 32 KiB, and so on, each at a multiple of its size.
//!
//! A block is cut in halves until it is no larger than it has to be, and joined with its other half (its
//! *buddy*) when both are free: all in O(log n), and the same calls give the same places. The lowest place that
//! fits is taken, so that an arena is used from its beginning on. Numbers only: nothing here touches memory.

use std::collections::BTreeSet;

/// The smallest block.
pub(super) const LEAST: u64 = 16 << 10;

/// Sizes: from [`LEAST`] to 2^47, which is as much as a process can map.
const ORDERS: usize = 34;

/// The free blocks of an arena.
#[derive(Debug)]
pub(super) struct Buddies {
    /// Where the free blocks are, for each size.
    free: [BTreeSet<u64>; ORDERS],
    bytes: u64,
    used: u64,
}

impl Buddies {
    /// An arena of so many bytes, all free; of what is no multiple of [`LEAST`] the rest is never used.
    pub(super) fn new(bytes: u64) -> Self {
        let bytes = bytes.min(size(ORDERS)) / LEAST * LEAST;
        let mut free = [const { BTreeSet::new() }; ORDERS];
        let mut place = 0;
        for order in (0..ORDERS).rev() {
            while place + size(order) <= bytes {
                free[order].insert(place);
                place += size(order);
            }
        }
        Self { free, bytes, used: 0 }
    }

    /// The bytes of the arena.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes of all blocks that are taken.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Takes a block of at least so many bytes; its place and its size.
    pub(super) fn allocate(&mut self, bytes: u64) -> Option<(u64, u64)> {
        let order = order_of(bytes)?;
        // Among the sizes that do, the lowest place: a large block at the beginning before a small one far out.
        let fitting = (order..ORDERS).filter_map(|larger| Some((*self.free[larger].first()?, larger)));
        let (place, mut larger) = fitting.min()?;
        self.free[larger].remove(&place);
        while larger > order {
            larger -= 1;
            self.free[larger].insert(place + size(larger));
        }
        self.used += size(order);
        Some((place, size(order)))
    }

    /// Makes a block of `before` bytes at least so large where it is, when what follows it is free; its size.
    pub(super) fn grow(&mut self, place: u64, before: u64, bytes: u64) -> Option<u64> {
        let (from, to) = (order_of(before)?, order_of(bytes)?);
        // It has to be the first part of the larger block, and all other parts have to be free.
        let fits = place.is_multiple_of(size(to.max(from)));
        if !fits || !(from..to).all(|order| self.free[order].contains(&(place + size(order)))) {
            return None;
        }
        for order in from..to {
            self.free[order].remove(&(place + size(order)));
        }
        self.used += size(to.max(from)) - size(from);
        Some(size(to.max(from)))
    }

    /// Undoes [`Self::grow`]: the block, which has so many bytes, has as many as `before` again.
    pub(super) fn shrink(&mut self, place: u64, bytes: u64, before: u64) {
        let (Some(from), Some(to)) = (order_of(before), order_of(bytes)) else { return };
        for order in from..to {
            self.free(place + size(order), size(order));
        }
    }

    /// Takes a block back, which has so many bytes.
    pub(super) fn free(&mut self, mut place: u64, bytes: u64) {
        let Some(mut order) = order_of(bytes) else { return };
        self.used -= size(order);
        while order + 1 < ORDERS && self.free[order].remove(&(place ^ size(order))) {
            place &= !size(order);
            order += 1;
        }
        self.free[order].insert(place);
    }

    /// # Panics
    /// When free blocks overlap, could be joined, or don't add up.
    #[cfg(test)]
    fn check_invariants(&self) {
        let mut free = Vec::new();
        for (order, places) in self.free.iter().enumerate() {
            for place in places {
                assert!(place.is_multiple_of(size(order)) && place + size(order) <= self.bytes);
                assert!(order + 1 == ORDERS || !places.contains(&(place ^ size(order))), "two halves of one block");
                free.push((*place, size(order)));
            }
        }
        free.sort_unstable();
        assert!(free.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "free blocks overlap");
        assert_eq!(free.iter().map(|block| block.1).sum::<u64>() + self.used, self.bytes);
    }
}

const fn size(order: usize) -> u64 {
    LEAST << order
}

/// The smallest size that holds so many bytes.
fn order_of(bytes: u64) -> Option<usize> {
    let order = bytes.div_ceil(LEAST).checked_next_power_of_two()?.trailing_zeros() as usize;
    (order < ORDERS).then_some(order)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Allocate(u64),
        Grow(usize, u64),
        Free(usize),
        GrowAndShrink(usize, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (1..40 * LEAST).prop_map(Step::Allocate),
            2 => (any::<usize>(), 1..80 * LEAST).prop_map(|(block, bytes)| Step::Grow(block, bytes)),
            2 => any::<usize>().prop_map(Step::Free),
            1 => (any::<usize>(), 1..80 * LEAST).prop_map(|(block, bytes)| Step::GrowAndShrink(block, bytes)),
        ]
    }

    fn chosen(blocks: &BTreeMap<u64, u64>, number: usize) -> Option<(u64, u64)> {
        let number = number.checked_rem(blocks.len())?;
        blocks.iter().nth(number).map(|(place, size)| (*place, *size))
    }

    /// Whether all of a range is outside of all blocks.
    fn is_free(blocks: &BTreeMap<u64, u64>, from: u64, to: u64) -> bool {
        blocks.iter().all(|(place, size)| place + size <= from || *place >= to)
    }

    proptest! {
        #[test]
        fn blocks_never_overlap_and_all_come_back(
            bytes in 0..300 * LEAST,
            steps in proptest::collection::vec(step(), 0..100),
        ) {
            let mut buddies = Buddies::new(bytes);
            let whole = buddies.bytes();
            let mut blocks = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Allocate(bytes) => match buddies.allocate(bytes) {
                        Some((place, size)) => {
                            prop_assert!(size >= bytes && size < 2 * bytes.max(LEAST) && place.is_multiple_of(size));
                            prop_assert!(place + size <= whole && is_free(&blocks, place, place + size));
                            blocks.insert(place, size);
                        }
                        None => {
                            let size = size(order_of(bytes).unwrap());
                            let mut places = (0..whole / size).map(|number| number * size);
                            prop_assert!(!places.any(|place| is_free(&blocks, place, place + size)), "there is room");
                        }
                    },
                    Step::Grow(number, bytes) => {
                        let Some((place, before)) = chosen(&blocks, number) else { continue };
                        let size = size(order_of(bytes).unwrap()).max(before);
                        let grown = buddies.grow(place, before, bytes);
                        let possible = place.is_multiple_of(size)
                            && place + size <= whole
                            && is_free(&blocks, place + before, place + size);
                        prop_assert_eq!(grown, possible.then_some(size));
                        blocks.insert(place, grown.unwrap_or(before));
                    }
                    Step::GrowAndShrink(number, bytes) => {
                        let Some((place, before)) = chosen(&blocks, number) else { continue };
                        if let Some(size) = buddies.grow(place, before, bytes) {
                            buddies.shrink(place, size, before);
                        }
                    }
                    Step::Free(number) => {
                        let Some((place, size)) = chosen(&blocks, number) else { continue };
                        buddies.free(place, size);
                        blocks.remove(&place);
                    }
                }
                buddies.check_invariants();
                prop_assert_eq!(buddies.used(), blocks.values().sum::<u64>());
            }
            for (place, size) in blocks {
                buddies.free(place, size);
            }
            buddies.check_invariants();
            prop_assert_eq!(format!("{buddies:?}"), format!("{:?}", Buddies::new(bytes)), "as in the beginning");
        }
    }

    #[test]
    fn sizes_that_no_arena_has_are_refused() {
        let mut buddies = Buddies::new(u64::MAX);
        buddies.check_invariants();
        assert_eq!(buddies.allocate(u64::MAX), None);
        assert_eq!(buddies.allocate(1 << 62), None);
        let (place, size) = buddies.allocate(1 << 47).unwrap();
        assert_eq!((place, size), (0, 1 << 47));
        assert_eq!(buddies.grow(place, size, u64::MAX), None);
        buddies.free(place, size);
        buddies.check_invariants();
    }
}
