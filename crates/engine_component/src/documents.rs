//! Documents of a column: a heap of bytes, a span for each row.
//!
//! Replaced documents stay behind as dead bytes until half of the heap is dead; then it is written anew, in
//! row order. Where in the heap a document is, nobody can tell from outside: two columns are equal when their
//! documents are, row by row.

use std::fmt;
use std::ops::Range;

use crate::changes::BLOCK_ROWS;

/// Below this a heap is not worth compacting.
const COMPACT_BYTES: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    len: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

/// The documents, row by row.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    heap: Vec<u8>,
    spans: Vec<Span>,
    dead: usize,
}

/// The documents of a column, to be read row by row.
///
/// It refers to their bytes and not to the column, so that others may reach for columns of the same table
/// meanwhile.
#[derive(Clone, Copy)]
pub struct DocumentRows<'a> {
    heap: &'a [u8],
    spans: &'a [Span],
}

impl<'a> DocumentRows<'a> {
    /// The MessagePack of a row.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    #[must_use]
    pub fn row(self, row: usize) -> &'a [u8] {
        &self.heap[self.spans[row].range()]
    }
}

impl fmt::Debug for DocumentRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentRows({} rows)", self.spans.len())
    }
}

impl Documents {
    /// Documents that lie back to back in their order.
    ///
    /// # Panics
    /// When the lengths are not those of the bytes.
    pub(crate) fn of(heap: Vec<u8>, lengths: &[u32]) -> Self {
        let mut start = 0;
        let span = |len: &u32| {
            let span = Span { start, len: *len };
            start += u64::from(*len);
            span
        };
        let spans: Vec<Span> = lengths.iter().map(span).collect();
        assert_eq!(start, heap.len() as u64, "the bytes of all documents");
        Self { heap, spans, dead: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn row(&self, row: usize) -> &[u8] {
        self.rows().row(row)
    }

    pub(crate) fn rows(&self) -> DocumentRows<'_> {
        DocumentRows { heap: &self.heap, spans: &self.spans }
    }

    fn append(&mut self, bytes: &[u8]) -> Span {
        let span = Span {
            start: self.heap.len() as u64,
            len: u32::try_from(bytes.len()).expect("documents are bounded far below 4 GiB where they enter"),
        };
        self.heap.extend_from_slice(bytes);
        span
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let span = self.append(bytes);
        self.spans.push(span);
    }

    pub(crate) fn set(&mut self, row: usize, bytes: &[u8]) {
        let old = self.spans[row];
        if old.len as usize == bytes.len() {
            self.heap[old.range()].copy_from_slice(bytes);
            return;
        }
        self.dead += old.len as usize;
        self.spans[row] = self.append(bytes);
        self.compact_when_worth_it();
    }

    pub(crate) fn swap_remove(&mut self, row: usize) {
        self.dead += self.spans.swap_remove(row).len as usize;
        self.compact_when_worth_it();
    }

    /// Forgets all rows from `rows` on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.dead += self.spans.drain(rows.min(self.spans.len())..).map(|span| span.len as usize).sum::<usize>();
        self.compact_when_worth_it();
    }

    /// Becomes equal to documents whose earlier state these are, and of which only rows of these blocks (in
    /// order) have changed. Where most have, one copy of everything is cheaper than many of single rows.
    pub(crate) fn catch_up(&mut self, source: &Self, blocks: impl Iterator<Item = usize> + Clone) {
        if blocks.clone().count() * BLOCK_ROWS * 2 > source.len() {
            self.clone_from(source);
            return;
        }
        self.truncate(source.len());
        for block in blocks {
            for row in block * BLOCK_ROWS..source.len().min((block + 1) * BLOCK_ROWS) {
                let bytes = source.row(row);
                if row >= self.len() {
                    self.push(bytes);
                } else if self.row(row) != bytes {
                    self.set(row, bytes);
                }
            }
        }
    }

    fn compact_when_worth_it(&mut self) {
        if self.heap.len() < COMPACT_BYTES || self.dead * 2 < self.heap.len() {
            return;
        }
        let mut heap = Vec::with_capacity(self.heap.len() - self.dead);
        for span in &mut self.spans {
            let start = heap.len() as u64;
            heap.extend_from_slice(&self.heap[span.range()]);
            span.start = start;
        }
        self.heap = heap;
        self.dead = 0;
    }

    /// Bytes of all documents, replaced ones among them.
    pub(crate) fn bytes(&self) -> usize {
        self.heap.len()
    }

    /// Makes room for so many documents and bytes of them where there are none, before they are needed.
    pub(crate) fn make_room(&mut self, rows: usize, bytes: usize) {
        self.heap.resize(bytes, 1);
        self.heap.clear();
        self.spans.resize(rows, Span { start: 1, len: 1 });
        self.spans.clear();
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.heap.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    /// # Panics
    /// When there are not the documents of so many rows, or the count of dead bytes is wrong.
    pub(crate) fn check_invariants(&self, rows: usize) {
        assert_eq!(self.spans.len(), rows);
        let live: usize = self.spans.iter().map(|span| span.len as usize).sum();
        assert_eq!(live + self.dead, self.heap.len());
    }
}

/// By hand, so that `clone_from` takes the memory that is there.
impl Clone for Documents {
    fn clone(&self) -> Self {
        Self { heap: self.heap.clone(), spans: self.spans.clone(), dead: self.dead }
    }

    fn clone_from(&mut self, source: &Self) {
        self.heap.clone_from(&source.heap);
        self.spans.clone_from(&source.spans);
        self.dead = source.dead;
    }
}
