//! Which rows changed in the last few versions: what somebody has to be sent who holds an older copy.
//!
//! A bitset per reader, as trackers are, would cost each change once for every copy that is anywhere. Here a change is
//! noted once, however many hold copies: per block of [`BLOCK_ROWS`] rows the rows of its last [`DEPTH`] versions
//! are kept apart, and those before them together. A question about an older copy is answered with rows too
//! many, never too few.

use std::ops::Range;

use crate::bit_rows::BitRows;
use crate::changes::BLOCK_ROWS;

/// Versions of a block that are kept apart.
const DEPTH: usize = 4;
const WORD: usize = 64;
const WORDS: usize = BLOCK_ROWS / WORD;

/// The rows of a block that changed in a version, and in those that it stands for.
#[derive(Clone, Copy, Debug)]
struct Entry {
    version: u64,
    rows: [u64; WORDS],
}

/// Newest last.
#[derive(Clone, Debug, Default)]
struct Block {
    entries: Vec<Entry>,
}

impl Block {
    /// The entry of a version, which is the newest. O(1), without memory from the heap once `DEPTH` versions
    /// were there.
    fn newest(&mut self, version: u64) -> &mut [u64; WORDS] {
        if self.entries.last().is_none_or(|newest| newest.version != version) {
            if self.entries.len() == DEPTH {
                // Who asks from before the first of the two gets the rows of both, who asks from between
                // them too: that is too much, and no harm.
                let oldest = self.entries.remove(0);
                self.entries[0].rows.iter_mut().zip(oldest.rows).for_each(|(rows, more)| *rows |= more);
            } else if self.entries.capacity() == 0 {
                self.entries.reserve_exact(DEPTH);
            }
            self.entries.push(Entry { version, rows: [0; WORDS] });
        }
        let last = self.entries.len() - 1;
        &mut self.entries[last].rows
    }
}

/// The journal of a column, or of the entities of a table.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    /// What changed in this version or before is not known.
    floor: u64,
    blocks: Vec<Block>,
}

impl Journal {
    /// Begins with a column of so many rows in which nothing changed later than `floor`.
    pub(crate) fn new(rows: usize, floor: u64) -> Self {
        Self { floor, blocks: vec![Block::default(); rows.div_ceil(BLOCK_ROWS)] }
    }

    #[inline(never)]
    pub(crate) fn touch(&mut self, row: usize, version: u64) {
        self.block(row / BLOCK_ROWS).newest(version)[row % BLOCK_ROWS / WORD] |= 1 << (row % WORD);
    }

    pub(crate) fn touch_range(&mut self, rows: Range<usize>, version: u64) {
        let mut first = rows.start;
        while first < rows.end {
            let block = first / BLOCK_ROWS;
            let end = rows.end.min((block + 1) * BLOCK_ROWS);
            let (from, to) = (first % BLOCK_ROWS, end - block * BLOCK_ROWS);
            let words = self.block(block).newest(version);
            for (word, bits) in words.iter_mut().enumerate().take(to.div_ceil(WORD)).skip(from / WORD) {
                *bits |= mask(from, to, word);
            }
            first = end;
        }
    }

    /// The rows of `dirty`, which starts at row `first`, changed.
    pub(crate) fn touch_rows(&mut self, first: usize, dirty: &BitRows, version: u64) {
        if !first.is_multiple_of(WORD) {
            dirty.iter_ones().for_each(|row| self.touch(first + row, version));
            return;
        }
        for (at, bits) in (first / WORD..).zip(dirty.words()) {
            if *bits != 0 {
                self.block(at / WORDS).newest(version)[at % WORDS] |= bits;
            }
        }
    }

    /// The last row, `last`, is gone: its block has another version, and nothing to send.
    pub(crate) fn removed(&mut self, last: usize, version: u64) {
        self.blocks.truncate(last.div_ceil(BLOCK_ROWS));
        if !last.is_multiple_of(BLOCK_ROWS) {
            self.block(last / BLOCK_ROWS).newest(version);
        }
    }

    /// Adds the rows of a range that changed after `version` to a set that starts with the range. The range
    /// starts at a multiple of 64. `versions` are those of the column's blocks.
    pub(crate) fn since(&self, version: u64, rows: &Range<usize>, versions: &[u64], changed: &mut BitRows) {
        for block in rows.start / BLOCK_ROWS..rows.end.div_ceil(BLOCK_ROWS) {
            let newest = versions.get(block).copied().unwrap_or(0);
            if newest <= version {
                continue;
            }
            let start = (block * BLOCK_ROWS).max(rows.start);
            let end = ((block + 1) * BLOCK_ROWS).min(rows.end);
            let entries = self.blocks.get(block).map_or(&[][..], |block| &block.entries);
            let complete = self.floor <= version && entries.last().is_some_and(|last| last.version == newest);
            if !complete {
                changed.set_range(start - rows.start..end - rows.start);
                continue;
            }
            let first_word = start % BLOCK_ROWS / WORD;
            let words = (end - start).div_ceil(WORD);
            for entry in entries.iter().rev().take_while(|entry| entry.version > version) {
                changed.add_words((start - rows.start) / WORD, &entry.rows[first_word..first_word + words]);
            }
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let blocks = self.blocks.iter().map(|block| block.entries.capacity() * size_of::<Entry>());
        self.blocks.capacity() * size_of::<Block>() + blocks.sum::<usize>()
    }

    fn block(&mut self, block: usize) -> &mut Block {
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, Block::default);
        }
        &mut self.blocks[block]
    }
}

/// The bits of a word of a block that are in the range of rows.
fn mask(from: usize, to: usize, word: usize) -> u64 {
    let (first, end) = (word * WORD, (word + 1) * WORD);
    let head = if from > first { u64::MAX << (from - first) } else { u64::MAX };
    let tail = if to < end { (1 << (to - first)) - 1 } else { u64::MAX };
    head & tail
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a journal has to say at least: each row's last version.
    #[derive(Default)]
    struct Model {
        rows: Vec<u64>,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Touch(usize),
        Range(usize, usize),
        Push(usize),
        SwapRemove(usize),
        Next,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<usize>().prop_map(Step::Touch),
            (any::<usize>(), 0..2000_usize).prop_map(|(first, rows)| Step::Range(first, rows)),
            (1..1500_usize).prop_map(Step::Push),
            any::<usize>().prop_map(Step::SwapRemove),
            Just(Step::Next),
        ]
    }

    fn versions(model: &Model) -> Vec<u64> {
        // As a column has them: at least that of each row.
        model.rows.chunks(BLOCK_ROWS).map(|rows| rows.iter().copied().max().unwrap_or(0)).collect()
    }

    fn changed(journal: &Journal, model: &Model, versions: &[u64], since: u64, from: usize) -> BitRows {
        let mut rows = BitRows::new(model.rows.len() - from);
        journal.since(since, &(from..model.rows.len()), versions, &mut rows);
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 256 }, ..ProptestConfig::default() })]

        #[test]
        fn no_change_is_left_out(steps in proptest::collection::vec(step(), 1..40), since in 1..12_u64) {
            let (mut version, mut model) = (1, Model { rows: vec![1; 1500] });
            let mut journal = Journal::new(1500, version);
            version += 1;
            for step in steps {
                let len = model.rows.len();
                match step {
                    Step::Touch(row) if len > 0 => {
                        journal.touch(row % len, version);
                        model.rows[row % len] = version;
                    }
                    Step::Range(first, rows) if len > 0 => {
                        let first = first % len;
                        let end = (first + rows).min(len);
                        journal.touch_range(first..end, version);
                        model.rows[first..end].fill(version);
                    }
                    Step::Push(rows) => {
                        journal.touch_range(len..len + rows, version);
                        model.rows.resize(len + rows, version);
                    }
                    Step::SwapRemove(row) if len > 0 => {
                        let row = row % len;
                        model.rows.swap_remove(row);
                        journal.removed(len - 1, version);
                        if row < len - 1 {
                            journal.touch(row, version);
                            model.rows[row] = version;
                        }
                    }
                    Step::Next => version += 1,
                    _ => {}
                }
            }
            let versions = versions(&model);
            for from in [0, 64, 1024, 1088] {
                if from > model.rows.len() {
                    continue;
                }
                let rows = changed(&journal, &model, &versions, since, from);
                for (row, last) in model.rows[from..].iter().enumerate() {
                    prop_assert!(rows.get(row) || *last <= since, "row {} of {from}", row);
                }
            }
        }
    }

    #[test]
    fn the_last_versions_are_told_apart() {
        let mut journal = Journal::new(3000, 10);
        for (version, row) in [(11, 5), (12, 2000), (13, 7), (14, 8)] {
            journal.touch(row, version);
        }
        let versions = [14, 12, 10];
        let rows = |since| {
            let mut rows = BitRows::new(3000);
            journal.since(since, &(0..3000), &versions, &mut rows);
            rows.iter_ones().collect::<Vec<_>>()
        };
        assert_eq!(rows(14), [0; 0]);
        assert_eq!(rows(13), [8]);
        assert_eq!(rows(11), [7, 8, 2000]);
        assert_eq!(rows(10), [5, 7, 8, 2000]);
        assert_eq!(rows(9).len(), 3000, "before the journal began: whatever may have changed");
    }

    #[test]
    fn what_was_not_noted_is_all_of_its_block() {
        let mut journal = Journal::new(2048, 0);
        journal.touch(1, 1);
        let mut rows = BitRows::new(2048);
        journal.since(0, &(0..2048), &[2, 0], &mut rows);
        assert_eq!(rows.count(), 1024);
    }
}
