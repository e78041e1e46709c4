//! Sets of rows, a bit each.

use std::ops::Range;

/// Bits of a word.
pub(crate) const WORD: usize = 64;

/// A set of rows, one bit each. Bits past the length are zero.
///
/// ```
/// use engine_component::BitRows;
/// let mut rows = BitRows::new(100);
/// rows.set(3);
/// rows.set_range(62..66);
/// assert_eq!(rows.iter_ones().collect::<Vec<_>>(), [3, 62, 63, 64, 65]);
/// assert_eq!(rows.words(), [0b11 << 62 | 1 << 3, 0b11]);
/// ```
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BitRows {
    words: Vec<u64>,
    len: usize,
}

/// By hand, so that `clone_from` takes the memory that is there.
impl Clone for BitRows {
    fn clone(&self) -> Self {
        Self { words: self.words.clone(), len: self.len }
    }

    fn clone_from(&mut self, source: &Self) {
        self.words.clone_from(&source.words);
        self.len = source.len;
    }
}

impl BitRows {
    /// A set over `len` rows, all absent.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(WORD)], len }
    }

    /// The rows of `stride` bytes whose bytes differ; a rest that fills no row is left out.
    ///
    /// # Panics
    /// When the lengths differ, or the stride is 0.
    #[must_use]
    pub fn differing(before: &[u8], now: &[u8], stride: usize) -> Self {
        assert_eq!(before.len(), now.len(), "two states of the same rows");
        // Comparisons of a length that the compiler knows become a few instructions.
        match stride {
            1 => Self::differing_rows::<1>(before, now),
            2 => Self::differing_rows::<2>(before, now),
            4 => Self::differing_rows::<4>(before, now),
            8 => Self::differing_rows::<8>(before, now),
            12 => Self::differing_rows::<12>(before, now),
            16 => Self::differing_rows::<16>(before, now),
            24 => Self::differing_rows::<24>(before, now),
            32 => Self::differing_rows::<32>(before, now),
            48 => Self::differing_rows::<48>(before, now),
            64 => Self::differing_rows::<64>(before, now),
            _ => {
                let words = before.chunks(stride * WORD).zip(now.chunks(stride * WORD)).map(|(before, now)| {
                    word_of(before.chunks_exact(stride).zip(now.chunks_exact(stride)).map(|(a, b)| a != b))
                });
                Self { words: words.collect(), len: now.len() / stride }.trimmed()
            }
        }
    }

    fn differing_rows<const STRIDE: usize>(before: &[u8], now: &[u8]) -> Self {
        let (before, now) = (before.as_chunks::<STRIDE>().0, now.as_chunks::<STRIDE>().0);
        let words = before
            .chunks(WORD)
            .zip(now.chunks(WORD))
            .map(|(before, now)| word_of(before.iter().zip(now).map(|(before, now)| before != now)));
        Self { words: words.collect(), len: now.len() }
    }

    /// Without a word for a rest that fills no row.
    fn trimmed(mut self) -> Self {
        self.words.truncate(self.len.div_ceil(WORD));
        self
    }

    /// A set over `len` rows, all present.
    #[must_use]
    pub fn full(len: usize) -> Self {
        let mut rows = Self::new(len);
        rows.set_range(0..len);
        rows
    }

    /// A set over `len` rows from its bytes, 64-bit words little endian.
    ///
    /// `None` when there are not exactly the bytes of that many rows, or a bit past the end is set.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], len: usize) -> Option<Self> {
        if bytes.len() != len.div_ceil(WORD) * 8 {
            return None;
        }
        Self::from_words(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect(), len)
    }

    /// As [`Self::from_bytes`], from the words.
    pub(crate) fn from_words(words: Vec<u64>, len: usize) -> Option<Self> {
        if words.len() != len.div_ceil(WORD) {
            return None;
        }
        let spare = words.len() * WORD - len;
        let clean = words.last().is_none_or(|last| spare == 0 || last >> (WORD - spare) == 0);
        clean.then_some(Self { words, len })
    }

    /// A copy of a range of rows; the range starts at a multiple of 64.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        debug_assert!(rows.start.is_multiple_of(WORD) && rows.end <= self.len);
        let len = rows.len();
        let first = rows.start / WORD;
        let mut words = self.words[first..first + len.div_ceil(WORD)].to_vec();
        if let Some(last) = words.last_mut() {
            *last &= tail_mask(len);
        }
        Self { words, len }
    }

    /// The bits, 64 rows a word, row 0 the lowest bit of the first word.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The number of rows that the set is over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the set is over no rows at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a row is in the set. Rows past the end are not.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> bool {
        row < self.len && self.words[row / WORD] >> (row % WORD) & 1 == 1
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When the row is past the end.
    #[inline]
    pub fn set(&mut self, row: usize) {
        assert!(row < self.len, "row {row} of a set over {} rows", self.len);
        self.words[row / WORD] |= 1 << (row % WORD);
    }

    /// Takes a row out. Rows past the end are not there.
    #[inline]
    pub fn unset(&mut self, row: usize) {
        if row < self.len {
            self.words[row / WORD] &= !(1 << (row % WORD));
        }
    }

    /// Adds a range of rows.
    ///
    /// # Panics
    /// When the range ends past the end.
    pub fn set_range(&mut self, rows: Range<usize>) {
        assert!(rows.end <= self.len, "rows {rows:?} of a set over {} rows", self.len);
        if rows.is_empty() {
            return;
        }
        let (first, last) = (rows.start / WORD, (rows.end - 1) / WORD);
        let head = u64::MAX << (rows.start % WORD);
        let tail = tail_mask(rows.end);
        if first == last {
            self.words[first] |= head & tail;
            return;
        }
        self.words[first] |= head;
        self.words[first + 1..last].fill(u64::MAX);
        self.words[last] |= tail;
    }

    /// Adds the rows of another set, shifted by `first` rows.
    ///
    /// # Panics
    /// When the other set reaches past the end.
    pub fn add_at(&mut self, first: usize, other: &Self) {
        assert!(first + other.len <= self.len);
        let shift = first % WORD;
        for (at, theirs) in (first / WORD..).zip(&other.words) {
            self.words[at] |= theirs << shift;
            if let Some(rest) = theirs.checked_shr((WORD - shift) as u32).filter(|rest| *rest != 0) {
                self.words[at + 1] |= rest;
            }
        }
    }

    /// Adds the rows of words that start at a word of this set; bits past its end are left out.
    pub(crate) fn add_words(&mut self, first: usize, words: &[u64]) {
        self.words[first..].iter_mut().zip(words).for_each(|(mine, theirs)| *mine |= theirs);
        if let Some(last) = self.words.last_mut() {
            *last &= tail_mask(self.len);
        }
    }

    /// Takes all rows out.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Takes a range of rows out; the range starts at a multiple of 64.
    pub fn clear_range(&mut self, rows: Range<usize>) {
        for row in rows {
            self.unset(row);
        }
    }

    /// Whether any row is in the set.
    #[must_use]
    pub fn any(&self) -> bool {
        self.words.iter().any(|word| *word != 0)
    }

    /// The number of rows in the set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The rows in the set, in order.
    pub fn iter_ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                if word == 0 {
                    return None;
                }
                let bit = word.trailing_zeros() as usize;
                word &= word - 1;
                Some(index * WORD + bit)
            })
        })
    }

    /// The first row in the set from one on.
    ///
    /// ```
    /// use engine_component::BitRows;
    /// let mut rows = BitRows::new(200);
    /// rows.set(70);
    /// assert_eq!((rows.first_from(3), rows.first_from(70), rows.first_from(71)), (Some(70), Some(70), None));
    /// ```
    #[inline]
    #[must_use]
    pub fn first_from(&self, row: usize) -> Option<usize> {
        let first = row / WORD;
        let word = self.words.get(first)? >> (row % WORD);
        if word != 0 {
            return Some(row + word.trailing_zeros() as usize);
        }
        let (place, word) = self.words.iter().enumerate().skip(first + 1).find(|(_, word)| **word != 0)?;
        Some(place * WORD + word.trailing_zeros() as usize)
    }

    /// Grows or shrinks the set; new rows are absent.
    pub fn resize(&mut self, len: usize) {
        self.words.resize(len.div_ceil(WORD), 0);
        self.len = len;
        if let Some(last) = self.words.last_mut() {
            *last &= tail_mask(len);
        }
    }
}

/// Bits of the last word of a set over `len` rows.
fn tail_mask(len: usize) -> u64 {
    match len % WORD {
        0 => u64::MAX,
        bits => (1 << bits) - 1,
    }
}

/// Up to 64 bits, the first one lowest.
fn word_of(bits: impl Iterator<Item = bool>) -> u64 {
    bits.enumerate().fold(0, |word, (index, bit)| word | (u64::from(bit) << index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cross_words() {
        let mut rows = BitRows::new(200);
        rows.set_range(60..130);
        assert_eq!(rows.iter_ones().collect::<Vec<_>>(), (60..130).collect::<Vec<_>>());
        assert_eq!(rows.slice(64..128).count(), 64);
        rows.resize(100);
        assert_eq!(rows.count(), 40);
    }

    #[test]
    fn sets_are_added_at_any_row() {
        for first in [0, 1, 63, 64, 65, 127] {
            let mut part = BitRows::new(70);
            [0, 1, 62, 63, 64, 69].iter().for_each(|row| part.set(*row));
            let mut all = BitRows::new(first + 70);
            all.add_at(first, &part);
            let rows: Vec<usize> = part.iter_ones().map(|row| first + row).collect();
            assert_eq!(all.iter_ones().collect::<Vec<_>>(), rows, "at {first}");
        }
    }

    #[test]
    fn rows_that_differ_are_found_at_every_stride() {
        for stride in 1..=70 {
            let before: Vec<u8> = (0..130 * stride).map(|at| at as u8).collect();
            let mut now = before.clone();
            for row in [0, 63, 64, 129] {
                now[row * stride + stride / 2] ^= 1;
            }
            let rows = BitRows::differing(&before, &now, stride);
            assert_eq!((rows.len(), rows.iter_ones().collect::<Vec<_>>()), (130, vec![0, 63, 64, 129]), "{stride}");
            assert!(rows == BitRows::differing(&now, &before, stride));
            assert_eq!(BitRows::differing(&now, &now, stride).count(), 0);
        }
    }

    #[test]
    fn stray_bits_are_refused() {
        assert_eq!(BitRows::from_bytes(&[1, 0, 0, 0, 0, 0, 0, 0], 1).map(|rows| rows.count()), Some(1));
        assert_eq!(BitRows::from_bytes(&[2, 0, 0, 0, 0, 0, 0, 0], 1), None);
        assert_eq!(BitRows::from_bytes(&[1, 0, 0], 1), None);
    }
}
