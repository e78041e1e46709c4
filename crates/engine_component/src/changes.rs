//! Change detection: which rows of a column changed, and since which version of the world.
//!
//! Every column carries one 64-bit version per block of [`BLOCK_ROWS`] rows, and one bitset per
//! *tracker*. A tracker is somebody who wants to know what changed since it last looked: a system with
//! `Changed<T>`, a hook, a watch. Stamps per row would double the cost of a pass that is bound by memory.

use std::ops::Range;

use crate::bit_rows::{BitRows, WORD};
use crate::journal::Journal;

/// Rows of a block: the unit of versions and of hashing.
pub const BLOCK_ROWS: usize = 1024;

/// Rows that are removed one after the other, the last one taking each one's place: the number that each has when
/// its turn comes.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    rows: Vec<u32>,
    /// The blocks that they are in; some more than once.
    blocks: Vec<u32>,
}

impl Removed {
    #[inline]
    pub(crate) fn push(&mut self, row: u32) {
        self.rows.push(row);
        let block = row / BLOCK_ROWS as u32;
        if self.blocks.last() != Some(&block) {
            self.blocks.push(block);
        }
    }

    pub(crate) fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows);
    }

    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.blocks.clear();
    }
}

/// Versions and trackers of one column.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    blocks: Vec<u64>,
    trackers: Vec<BitRows>,
    /// For whoever is sent changes.
    journal: Option<Box<Journal>>,
}

/// By hand, so that `clone_from` takes the memory that is there. Copies have no journal: nobody is sent their
/// changes.
impl Clone for Changes {
    fn clone(&self) -> Self {
        Self { blocks: self.blocks.clone(), trackers: self.trackers.clone(), journal: None }
    }

    fn clone_from(&mut self, source: &Self) {
        self.blocks.clone_from(&source.blocks);
        self.trackers.clone_from(&source.trackers);
    }
}

impl Changes {
    /// For a column without rows and with so many trackers.
    pub(crate) fn new(trackers: usize) -> Self {
        Self { blocks: Vec::new(), trackers: vec![BitRows::default(); trackers], journal: None }
    }

    /// Begins to note which rows change in which version, behind `floor`.
    pub(crate) fn keep_journal(&mut self, rows: usize, floor: u64) {
        self.journal.get_or_insert_with(|| Box::new(Journal::new(rows, floor)));
    }

    /// Rows of a range that changed after a version, and perhaps others. The range starts at a multiple of 64.
    pub(crate) fn since(&self, version: u64, rows: Range<usize>) -> BitRows {
        debug_assert!(rows.start.is_multiple_of(WORD));
        let mut changed = BitRows::new(rows.len());
        if let Some(journal) = &self.journal {
            journal.since(version, &rows, &self.blocks, &mut changed);
            return changed;
        }
        for block in rows.start / BLOCK_ROWS..rows.end.div_ceil(BLOCK_ROWS) {
            if self.blocks[block] > version {
                let (first, end) = ((block * BLOCK_ROWS).max(rows.start), ((block + 1) * BLOCK_ROWS).min(rows.end));
                changed.set_range(first - rows.start..end - rows.start);
            }
        }
        changed
    }

    /// Whether a row of a range may have changed after a version. O(blocks).
    pub(crate) fn any_since(&self, version: u64, rows: &Range<usize>) -> bool {
        let blocks = rows.start / BLOCK_ROWS..rows.end.div_ceil(BLOCK_ROWS);
        self.blocks[blocks].iter().any(|block| *block > version)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.journal.as_ref().map_or(0, |journal| journal.heap_bytes())
    }

    pub(crate) fn add_tracker(&mut self, rows: usize) {
        // What is there already is news to somebody who never looked.
        self.trackers.push(BitRows::full(rows));
    }

    /// For a column that has so many rows at once. What its trackers have seen follows.
    pub(crate) fn restore(&mut self, rows: usize, version: u64) {
        self.blocks = vec![version; rows.div_ceil(BLOCK_ROWS)];
        self.journal = None;
    }

    /// What a tracker has seen change.
    pub(crate) fn restore_tracker(&mut self, tracker: usize, rows: BitRows) {
        self.trackers[tracker] = rows;
    }

    pub(crate) fn block_versions(&self) -> &[u64] {
        &self.blocks
    }

    /// The versions of the blocks of so many rows. Valid until rows are added or removed.
    ///
    /// # Panics
    /// When there are fewer rows.
    pub(crate) fn blocks_ptr(&mut self, rows: usize) -> *mut u64 {
        assert!(self.blocks.len() * BLOCK_ROWS >= rows);
        self.blocks.as_mut_ptr()
    }

    pub(crate) fn tracker(&self, tracker: usize) -> &BitRows {
        &self.trackers[tracker]
    }

    pub(crate) fn clear_tracker(&mut self, tracker: usize) {
        self.trackers[tracker].clear();
    }

    pub(crate) fn is_tracked(&self) -> bool {
        !self.trackers.is_empty() || self.journal.is_some()
    }

    /// Whether a row that is marked without having changed makes a difference to somebody.
    pub(crate) fn has_trackers(&self) -> bool {
        !self.trackers.is_empty()
    }

    /// A row was appended; `rows` counts it.
    #[inline]
    pub(crate) fn pushed(&mut self, rows: usize, version: u64) {
        if self.blocks.len() * BLOCK_ROWS < rows {
            self.blocks.push(version);
        } else {
            self.blocks[(rows - 1) / BLOCK_ROWS] = version;
        }
        if self.is_tracked() {
            self.track_pushed(rows, version);
        }
    }

    #[inline(never)]
    fn track_pushed(&mut self, rows: usize, version: u64) {
        for tracker in &mut self.trackers {
            tracker.resize(rows);
            tracker.set(rows - 1);
        }
        if let Some(journal) = &mut self.journal {
            journal.touch(rows - 1, version);
        }
    }

    /// The last row, `at`, came from row `from` of a column with the same trackers.
    #[inline(never)]
    pub(crate) fn carried(&mut self, source: &Self, from: usize, at: usize) {
        for (mine, theirs) in self.trackers.iter_mut().zip(&source.trackers) {
            if !theirs.get(from) {
                mine.unset(at);
            }
        }
    }

    /// Rows were appended; `rows` counts them.
    pub(crate) fn extended(&mut self, from: usize, rows: usize, version: u64) {
        self.blocks.resize(rows.div_ceil(BLOCK_ROWS), version);
        self.touch_blocks(from..rows, version);
        for tracker in &mut self.trackers {
            tracker.resize(rows);
            tracker.set_range(from..rows);
        }
        if let Some(journal) = &mut self.journal {
            journal.touch_range(from..rows, version);
        }
    }

    #[inline]
    pub(crate) fn touch(&mut self, row: usize, version: u64) {
        self.blocks[row / BLOCK_ROWS] = version;
        for tracker in &mut self.trackers {
            tracker.set(row);
        }
        if let Some(journal) = &mut self.journal {
            journal.touch(row, version);
        }
    }

    /// All rows changed. Small tables without trackers are many, and worth a short way.
    #[inline]
    pub(crate) fn touch_all(&mut self, version: u64) {
        match (&mut self.blocks[..], &self.trackers[..], &self.journal) {
            ([block], [], None) => *block = version,
            _ => self.touch_all_slowly(version),
        }
    }

    #[inline(never)]
    fn touch_all_slowly(&mut self, version: u64) {
        self.blocks.fill(version);
        for tracker in &mut self.trackers {
            tracker.set_range(0..tracker.len());
        }
        if let Some(journal) = &mut self.journal {
            // Rows past the last one do not matter: they are cut off when somebody asks.
            journal.touch_range(0..self.blocks.len() * BLOCK_ROWS, version);
        }
    }

    pub(crate) fn touch_range(&mut self, rows: Range<usize>, version: u64) {
        self.touch_blocks(rows.clone(), version);
        for tracker in &mut self.trackers {
            tracker.set_range(rows.clone());
        }
        if let Some(journal) = &mut self.journal {
            journal.touch_range(rows, version);
        }
    }

    /// The rows of `dirty`, which starts at row `first` (a multiple of 64), changed.
    pub(crate) fn touch_rows(&mut self, first: usize, dirty: &BitRows, version: u64) {
        for (word, bits) in dirty.words().iter().enumerate() {
            if *bits != 0 {
                self.blocks[(first + word * WORD) / BLOCK_ROWS] = version;
            }
        }
        for tracker in &mut self.trackers {
            tracker.add_at(first, dirty);
        }
        if let Some(journal) = &mut self.journal {
            journal.touch_rows(first, dirty, version);
        }
    }

    fn touch_blocks(&mut self, rows: Range<usize>, version: u64) {
        if !rows.is_empty() {
            self.blocks[rows.start / BLOCK_ROWS..rows.end.div_ceil(BLOCK_ROWS)].fill(version);
        }
    }

    /// The last of `rows` rows took the place of `row`.
    #[inline]
    pub(crate) fn swap_removed(&mut self, row: usize, rows: usize, version: u64) {
        let last = rows - 1;
        self.blocks[row / BLOCK_ROWS] = version;
        if last.is_multiple_of(BLOCK_ROWS) {
            self.blocks.pop();
        } else {
            self.blocks[last / BLOCK_ROWS] = version;
        }
        if self.is_tracked() {
            self.track_swap_removed(row, last, version);
        }
    }

    /// As [`Self::swap_removed`] for one row after the other; `rows` counts all that were there before.
    pub(crate) fn swap_removed_rows(&mut self, removed: &Removed, rows: usize, version: u64) {
        if self.is_tracked() {
            for (row, rows) in removed.rows.iter().zip((0..=rows).rev()) {
                self.swap_removed(*row as usize, rows, version);
            }
            return;
        }
        for block in &removed.blocks {
            self.blocks[*block as usize] = version;
        }
        let left = rows - removed.rows.len();
        self.blocks.truncate(left.div_ceil(BLOCK_ROWS));
        if !removed.rows.is_empty() && !left.is_multiple_of(BLOCK_ROWS) {
            self.blocks[left / BLOCK_ROWS] = version;
        }
    }

    #[inline(never)]
    fn track_swap_removed(&mut self, row: usize, last: usize, version: u64) {
        if let Some(journal) = &mut self.journal {
            journal.removed(last, version);
            if row < last {
                journal.touch(row, version);
            }
        }
        for tracker in &mut self.trackers {
            if tracker.get(last) {
                tracker.set(row);
            } else {
                tracker.unset(row);
            }
            tracker.resize(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_move_with_their_rows() {
        let mut changes = Changes::new(1);
        changes.extended(0, 3, 1);
        changes.clear_tracker(0);
        changes.touch(2, 2);
        changes.swap_removed(0, 3, 3);
        assert_eq!(changes.tracker(0).iter_ones().collect::<Vec<_>>(), [0]);
        assert_eq!(changes.tracker(0).len(), 2);
    }
}
