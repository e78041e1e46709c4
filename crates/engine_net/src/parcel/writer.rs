//! From columns to chunks.
//!
//! Each value is copied once, from its column to the payload. Columns of a part are written together, by
//! ranges of rows that fill a chunk. Columns of a result say which rows changed: ranges in which all did
//! are written as they are, ranges in which none did are left out, others are packed behind a bitmap.

use bytes::Bytes;
use engine_component::{BitRows, Column, Entity};
use serde::Serialize;

use super::section::{LONG_GAP, kind};
use super::{DEFAULT_CHUNK_BYTES, MAX_MANIFEST_BYTES, WriteError};
use crate::prefix::{ChunkPrefix, PREFIX_BYTES};
use crate::strict;

/// How large chunks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSizes {
    /// What is aimed at.
    pub aim: usize,
    /// What is never passed: the payload limit of the server, without what headers need.
    pub limit: usize,
}

impl Default for ChunkSizes {
    fn default() -> Self {
        Self { aim: DEFAULT_CHUNK_BYTES, limit: (1 << 20) - (16 << 10) }
    }
}

/// A column of a part, to be written.
#[derive(Clone, Copy)]
pub struct OutColumn<'a> {
    /// The number of the column; of changed rows, of the bitmap; of entities, 0.
    pub column: u16,
    /// The values.
    pub data: ColumnData<'a>,
}

/// The values of a column of a part; row 0 is the first row of the part.
#[derive(Clone, Copy)]
pub enum ColumnData<'a> {
    /// The entities of the rows.
    Entities(&'a [Entity]),
    /// All rows of a Plain column, back to back.
    Plain {
        /// The rows.
        bytes: &'a [u8],
        /// Bytes of one.
        stride: usize,
    },
    /// All rows of a Document column.
    Documents(&'a dyn DocumentRows),
    /// Which rows changed, for `Changed` filters.
    Changed(&'a BitRows),
    /// Rows of a Plain column that changed.
    DirtyPlain {
        /// All rows.
        bytes: &'a [u8],
        /// Bytes of one.
        stride: usize,
        /// Those that changed.
        dirty: &'a BitRows,
    },
    /// Rows of a Document column that changed.
    DirtyDocuments {
        /// All rows.
        rows: &'a dyn DocumentRows,
        /// Those that changed.
        dirty: &'a BitRows,
    },
}

/// Documents by row.
pub trait DocumentRows {
    /// The MessagePack of a row.
    fn document(&self, row: usize) -> &[u8];
}

impl<B: AsRef<[u8]>> DocumentRows for Vec<B> {
    fn document(&self, row: usize) -> &[u8] {
        self[row].as_ref()
    }
}

/// Documents of a table's column, from some row on.
#[derive(Clone, Copy, Debug)]
pub struct TableDocuments<'a> {
    /// The column.
    pub column: &'a Column,
    /// The row of the column that is the part's first.
    pub first_row: usize,
}

impl DocumentRows for TableDocuments<'_> {
    fn document(&self, row: usize) -> &[u8] {
        self.column.row(self.first_row + row)
    }
}

/// Smaller chunks are not made, whatever is wished: a section alone may need a quarter of this.
const MIN_CHUNK_BYTES: usize = 256;

/// Bytes that a section needs besides its data and its bitmap, at the most.
const SECTION_BYTES: usize = 40;

/// Writes one parcel. First the manifest, then parts and streams, in any order.
#[derive(Debug)]
pub struct ParcelWriter {
    prefix: ChunkPrefix,
    sizes: ChunkSizes,
    done: Vec<Vec<u8>>,
    chunk: Vec<u8>,
    /// Where the sections of the open chunk start.
    start: usize,
}

impl ParcelWriter {
    /// A writer of the parcel that the prefix tells of, with its manifest. The chunk numbers of the prefix
    /// are ignored.
    pub fn new<M: Serialize>(prefix: ChunkPrefix, sizes: ChunkSizes, manifest: &M) -> Result<Self, WriteError> {
        let limit = sizes.limit.max(MIN_CHUNK_BYTES);
        let sizes = ChunkSizes { aim: sizes.aim.clamp(MIN_CHUNK_BYTES, limit), limit };
        let manifest = strict::encode(manifest);
        let limit = MAX_MANIFEST_BYTES.min(limit - PREFIX_BYTES);
        if manifest.len() > limit {
            return Err(WriteError::ManifestTooLarge { bytes: manifest.len(), limit });
        }
        let mut writer = Self { prefix, sizes, done: Vec::new(), chunk: Vec::new(), start: 0 };
        writer.open();
        writer.chunk.extend_from_slice(&manifest);
        writer.start = writer.chunk.len();
        Ok(writer)
    }

    /// Writes the columns of a part.
    ///
    /// # Panics
    /// When a column holds fewer rows than the part.
    pub fn part(&mut self, part: u16, rows: usize, columns: &[OutColumn<'_>]) -> Result<(), WriteError> {
        let together = |column: &&OutColumn<'_>| !stands_alone(&column.data) && !is_empty(&column.data);
        let group: Vec<&OutColumn<'_>> = columns.iter().filter(together).collect();
        self.group(part, rows, &group)?;
        columns.iter().filter(|c| stands_alone(&c.data)).try_for_each(|column| self.group(part, rows, &[column]))
    }

    /// Writes bytes of a stream; its first byte is number `offset`.
    pub fn stream(&mut self, stream: u16, mut offset: u32, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let room = self.room().saturating_sub(SECTION_BYTES);
            if room == 0 {
                if self.is_fresh() {
                    return Err(self.too_large(stream, 0, SECTION_BYTES + 1));
                }
                self.open();
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let header =
                Header { kind: kind::STREAM, part: stream, column: 0, first_row: offset, rows: now.len() as u32 };
            self.section(&header, now.len(), |chunk| chunk.extend_from_slice(now));
            offset += now.len() as u32;
            bytes = later;
        }
        Ok(())
    }

    /// The chunks, in order.
    pub fn finish(mut self) -> Result<Vec<Bytes>, WriteError> {
        if !self.is_fresh() {
            self.done.push(std::mem::take(&mut self.chunk));
        }
        let chunks = u16::try_from(self.done.len()).map_err(|_| WriteError::TooManyChunks(self.done.len()))?;
        let mut prefix = ChunkPrefix { chunks, ..self.prefix };
        let numbered = self.done.into_iter().enumerate().map(|(number, mut chunk)| {
            prefix.chunk = number as u16;
            chunk[..PREFIX_BYTES].copy_from_slice(&prefix.encode());
            Bytes::from(chunk)
        });
        Ok(numbered.collect())
    }

    /// Writes columns together, by ranges of rows that fill chunks.
    fn group(&mut self, part: u16, rows: usize, columns: &[&OutColumn<'_>]) -> Result<(), WriteError> {
        if columns.is_empty() {
            return Ok(());
        }
        let step = if columns.iter().any(|c| is_bitwise(&c.data)) { 64 } else { 1 };
        let mut row = 0;
        while row < rows {
            let fit = fit(columns, row, rows, step, self.room());
            let sliver = self.room() < self.sizes.aim / 8 && row + fit < rows;
            if fit > 0 && (!sliver || self.is_fresh()) {
                self.rows(part, row, row + fit, columns);
                row += fit;
            } else if self.is_fresh() {
                row = self.oversized(part, row, rows, step, columns)?;
            } else {
                self.open();
            }
        }
        Ok(())
    }

    /// The fewest rows that can be written don't fit into an empty chunk of the size that is aimed at.
    fn oversized(
        &mut self,
        part: u16,
        row: usize,
        rows: usize,
        step: usize,
        columns: &[&OutColumn<'_>],
    ) -> Result<usize, WriteError> {
        // Bitmaps of changed rows stay on multiples of 64; packed rows may be cut anywhere.
        let aligned = columns.iter().any(|c| matches!(c.data, ColumnData::Changed(_)));
        for step in if aligned { [step, step] } else { [step, 1] } {
            let end = next(row, step, rows);
            if cost(columns, row, end) <= self.sizes.limit - self.chunk.len() {
                self.rows(part, row, end, columns);
                return Ok(end);
            }
        }
        if columns.len() > 1 {
            // One row of all columns together is too much: each column by itself then.
            let end = next(row, 1, rows);
            for column in columns {
                while cost(&[column], row, end) > self.sizes.limit.saturating_sub(self.chunk.len()) {
                    if self.is_fresh() {
                        return Err(self.too_large(part, row, cost(&[column], row, end)));
                    }
                    self.open();
                }
                self.rows(part, row, end, &[column]);
            }
            return Ok(end);
        }
        Err(self.too_large(part, row, cost(columns, row, next(row, 1, rows))))
    }

    fn rows(&mut self, part: u16, from: usize, to: usize, columns: &[&OutColumn<'_>]) {
        for column in columns {
            self.column(part, from, to, column);
        }
    }

    fn column(&mut self, part: u16, from: usize, to: usize, column: &OutColumn<'_>) {
        let header =
            |kind| Header { kind, part, column: column.column, first_row: from as u32, rows: (to - from) as u32 };
        match column.data {
            ColumnData::Entities(entities) => {
                let entities = &entities[from..to];
                self.section(&header(kind::ENTITIES), entities.len() * 8, |chunk| put_entities(chunk, entities));
            }
            ColumnData::Plain { bytes, stride } => {
                self.section(&header(kind::PLAIN), (to - from) * stride, |chunk| {
                    chunk.extend_from_slice(&bytes[from * stride..to * stride]);
                });
            }
            ColumnData::Documents(rows) => {
                self.documents(&header(kind::DOCUMENTS), rows, from..to, to - from);
            }
            ColumnData::Changed(changed) => {
                let words = &changed.words()[from / 64..to.div_ceil(64)];
                if words.iter().all(|word| *word == 0) {
                    return;
                }
                self.section(&header(kind::CHANGED), words.len() * 8, |chunk| put_words(chunk, words.iter().copied()));
            }
            ColumnData::DirtyPlain { bytes, stride, dirty } => match count(dirty, from, to) {
                0 => {}
                all if all == to - from => {
                    self.section(&header(kind::PLAIN), all * stride, |chunk| {
                        chunk.extend_from_slice(&bytes[from * stride..to * stride]);
                    });
                }
                some => {
                    let which = Which::of(dirty, from, to, some);
                    let kind = if which.is_sparse() { kind::SPARSE_PLAIN } else { kind::PACKED_PLAIN };
                    self.section(&header(kind), some * stride, |chunk| {
                        runs(dirty, from, to, |run| {
                            chunk.extend_from_slice(&bytes[run.start * stride..run.end * stride]);
                        });
                    });
                    self.which(&which, dirty, from, to);
                }
            },
            ColumnData::DirtyDocuments { rows, dirty } => {
                let some = count(dirty, from, to);
                if some > 0 {
                    let which = Which::of(dirty, from, to, some);
                    let kind = if which.is_sparse() { kind::SPARSE_DOCUMENTS } else { kind::PACKED_DOCUMENTS };
                    let ones = (from..to).filter(|row| dirty.get(*row));
                    self.documents(&header(kind), rows, ones, some);
                    self.which(&which, dirty, from, to);
                }
            }
        }
    }

    fn documents(
        &mut self,
        header: &Header,
        rows: &dyn DocumentRows,
        chosen: impl Iterator<Item = usize> + Clone,
        count: usize,
    ) {
        let bytes: usize = chosen.clone().map(|row| rows.document(row).len()).sum();
        self.section(header, (count + 1) * 4 + bytes, |chunk| {
            let mut end = 0_u32;
            chunk.extend_from_slice(&end.to_le_bytes());
            for row in chosen.clone() {
                end += rows.document(row).len() as u32;
                chunk.extend_from_slice(&end.to_le_bytes());
            }
            for row in chosen {
                chunk.extend_from_slice(rows.document(row));
            }
        });
    }

    /// Writes all of a section but its bitmap.
    fn section(&mut self, header: &Header, length: usize, data: impl FnOnce(&mut Vec<u8>)) {
        let chunk = &mut self.chunk;
        header.put(chunk);
        let wide = length > usize::from(u16::MAX);
        let data_at = chunk.len() + 2 + if wide { 5 } else { 3 };
        let pad = data_at.next_multiple_of(8) - data_at;
        chunk.extend_from_slice(&[0xc4, pad as u8]);
        chunk.extend_from_slice(&[0; 7][..pad]);
        if wide {
            chunk.push(0xc6);
            chunk.extend_from_slice(&(length as u32).to_be_bytes());
        } else {
            chunk.push(0xc5);
            chunk.extend_from_slice(&(length as u16).to_be_bytes());
        }
        let before = chunk.len();
        data(chunk);
        debug_assert_eq!(chunk.len() - before, length);
    }

    /// Says which rows of a section are there.
    fn which(&mut self, which: &Which, dirty: &BitRows, from: usize, to: usize) {
        let bytes = match which {
            Which::Bitmap => (to - from).div_ceil(64) * 8,
            Which::Gaps { bytes } => *bytes,
        };
        self.chunk.push(0xc6);
        self.chunk.extend_from_slice(&(bytes as u32).to_be_bytes());
        match which {
            Which::Bitmap => put_words(&mut self.chunk, words(dirty, from, to)),
            Which::Gaps { .. } => gaps(dirty, from, to, |gap| match u8::try_from(gap) {
                Ok(short) if short < LONG_GAP => self.chunk.push(short),
                _ => {
                    self.chunk.push(LONG_GAP);
                    self.chunk.extend_from_slice(&gap.to_le_bytes());
                }
            }),
        }
    }

    /// Starts a chunk; the open one is done.
    fn open(&mut self) {
        let mut chunk = Vec::with_capacity(self.sizes.aim);
        chunk.resize(PREFIX_BYTES, 0);
        if !self.chunk.is_empty() {
            self.done.push(std::mem::take(&mut self.chunk));
        }
        self.chunk = chunk;
        self.start = PREFIX_BYTES;
    }

    fn room(&self) -> usize {
        self.sizes.aim.saturating_sub(self.chunk.len())
    }

    /// Whether a new chunk would have no more room than the open one. A first chunk with a manifest in it
    /// is not fresh.
    fn is_fresh(&self) -> bool {
        self.chunk.len() == PREFIX_BYTES
    }

    fn too_large(&self, part: u16, row: usize, bytes: usize) -> WriteError {
        let limit = self.sizes.limit - PREFIX_BYTES;
        WriteError::RowTooLarge { part, row: row as u32, bytes, limit }
    }
}

/// How a section says which of its rows are there: whatever is shorter.
enum Which {
    Bitmap,
    Gaps { bytes: usize },
}

impl Which {
    fn of(dirty: &BitRows, from: usize, to: usize, some: usize) -> Self {
        let bitmap = (to - from).div_ceil(64) * 8;
        if some >= bitmap {
            return Self::Bitmap;
        }
        let mut bytes = 0;
        gaps(dirty, from, to, |gap| bytes += if gap < u32::from(LONG_GAP) { 1 } else { 5 });
        if bytes < bitmap { Self::Gaps { bytes } } else { Self::Bitmap }
    }

    fn is_sparse(&self) -> bool {
        matches!(self, Self::Gaps { .. })
    }
}

/// Calls `each` with the rows that are left out before each row of the set.
fn gaps(bits: &BitRows, from: usize, to: usize, mut each: impl FnMut(u32)) {
    let mut next = from;
    for (index, mut word) in words(bits, from, to).enumerate() {
        while word != 0 {
            let row = from + index * 64 + word.trailing_zeros() as usize;
            word &= word - 1;
            each((row - next) as u32);
            next = row + 1;
        }
    }
}

/// The first five values of a section.
struct Header {
    kind: u8,
    part: u16,
    column: u16,
    first_row: u32,
    rows: u32,
}

impl Header {
    fn put(&self, chunk: &mut Vec<u8>) {
        let fields = if kind::chooses(self.kind) { 0x98 } else { 0x97 };
        let [part, column] = [self.part.to_be_bytes(), self.column.to_be_bytes()];
        let [first, rows] = [self.first_row.to_be_bytes(), self.rows.to_be_bytes()];
        let mut bytes = [0; 18];
        bytes[..3].copy_from_slice(&[fields, self.kind, 0xcd]);
        bytes[3..5].copy_from_slice(&part);
        bytes[5] = 0xcd;
        bytes[6..8].copy_from_slice(&column);
        bytes[8] = 0xce;
        bytes[9..13].copy_from_slice(&first);
        bytes[13] = 0xce;
        bytes[14..18].copy_from_slice(&rows);
        chunk.extend_from_slice(&bytes);
    }
}

/// Bitmaps of changed rows are small and cut at multiples of 64; packed documents are cut anywhere. Both
/// are written by themselves, so that they don't force their steps on others.
fn stands_alone(data: &ColumnData<'_>) -> bool {
    matches!(data, ColumnData::Changed(_) | ColumnData::DirtyDocuments { .. })
}

/// Tags have no bytes, and no sections.
fn is_empty(data: &ColumnData<'_>) -> bool {
    matches!(data, ColumnData::Plain { stride: 0, .. } | ColumnData::DirtyPlain { stride: 0, .. })
}

/// Whether the rows are best cut at multiples of 64.
fn is_bitwise(data: &ColumnData<'_>) -> bool {
    matches!(data, ColumnData::Changed(_) | ColumnData::DirtyPlain { .. })
}

/// The end of the step that `row` is in.
fn next(row: usize, step: usize, rows: usize) -> usize {
    ((row + 1).next_multiple_of(step)).min(rows)
}

/// How many rows from `row` on fit into `room`.
fn fit(columns: &[&OutColumn<'_>], row: usize, rows: usize, step: usize, room: usize) -> usize {
    let Some(room) = room.checked_sub(columns.len() * SECTION_BYTES) else { return 0 };
    if let Some(bytes) = fixed_bytes(columns) {
        return room.checked_div(bytes).unwrap_or(rows).min(rows - row);
    }
    let (mut end, mut used) = (row, columns.len() * 16);
    while end < rows {
        let to = next(end, step, rows);
        used += columns.iter().map(|c| data_bytes(&c.data, end, to)).sum::<usize>();
        if used > room {
            break;
        }
        end = to;
    }
    end - row
}

/// Bytes of a row, when that is the same for all rows.
fn fixed_bytes(columns: &[&OutColumn<'_>]) -> Option<usize> {
    columns.iter().try_fold(0, |sum, column| match column.data {
        ColumnData::Entities(_) => Some(sum + 8),
        ColumnData::Plain { stride, .. } => Some(sum + stride),
        _ => None,
    })
}

/// Bytes that the sections of a range of rows need, at the most.
fn cost(columns: &[&OutColumn<'_>], from: usize, to: usize) -> usize {
    columns.iter().map(|c| SECTION_BYTES + 16 + data_bytes(&c.data, from, to)).sum()
}

/// Bytes of data and bitmap of a range of rows, without what a section needs once.
fn data_bytes(data: &ColumnData<'_>, from: usize, to: usize) -> usize {
    let rows = to - from;
    match data {
        ColumnData::Entities(_) => rows * 8,
        ColumnData::Plain { stride, .. } => rows * stride,
        ColumnData::Documents(documents) => (from..to).map(|row| 4 + documents.document(row).len()).sum(),
        ColumnData::Changed(_) => rows.div_ceil(64) * 8,
        ColumnData::DirtyPlain { stride, dirty, .. } => {
            let some = count(dirty, from, to);
            // Whichever is shorter, a bitmap or gaps; few of those can be long.
            some * stride + (rows.div_ceil(64) * 8).min(some + rows / usize::from(LONG_GAP) * 4)
        }
        ColumnData::DirtyDocuments { rows: documents, dirty } => {
            let some: usize =
                (from..to).filter(|row| dirty.get(*row)).map(|row| 4 + documents.document(row).len()).sum();
            // The bitmap, a byte in eight rows; sections have room to spare for its last word.
            some + to.div_ceil(8) - from.div_ceil(8)
        }
    }
}

/// Rows of a range that are in the set.
fn count(bits: &BitRows, from: usize, to: usize) -> usize {
    words(bits, from, to).map(|word| word.count_ones() as usize).sum()
}

/// A range of rows as words; the first row is the lowest bit of the first word.
fn words(bits: &BitRows, from: usize, to: usize) -> impl Iterator<Item = u64> + '_ {
    let all = bits.words();
    (from..to).step_by(64).map(move |row| {
        let (word, shift) = (row / 64, row % 64);
        let low = all.get(word).copied().unwrap_or(0) >> shift;
        let high = if shift == 0 { 0 } else { all.get(word + 1).copied().unwrap_or(0) << (64 - shift) };
        let rows = (to - row).min(64);
        (low | high) & (u64::MAX >> (64 - rows))
    })
}

/// Calls `each` with the runs of rows that are in the set, in order.
fn runs(bits: &BitRows, from: usize, to: usize, mut each: impl FnMut(std::ops::Range<usize>)) {
    let mut open: Option<std::ops::Range<usize>> = None;
    for (index, mut word) in words(bits, from, to).enumerate() {
        let base = from + index * 64;
        while word != 0 {
            let start = word.trailing_zeros();
            let length = (word >> start).trailing_ones();
            word = if start + length == 64 { 0 } else { word & (u64::MAX << (start + length)) };
            let run = base + start as usize..base + (start + length) as usize;
            match &mut open {
                Some(last) if last.end == run.start => last.end = run.end,
                _ => {
                    open.replace(run).into_iter().for_each(&mut each);
                }
            }
        }
    }
    open.into_iter().for_each(each);
}

fn put_words(chunk: &mut Vec<u8>, words: impl Iterator<Item = u64>) {
    words.for_each(|word| chunk.extend_from_slice(&word.to_le_bytes()));
}

fn put_entities(chunk: &mut Vec<u8>, entities: &[Entity]) {
    const { assert!(cfg!(target_endian = "little"), "columns are written as they are in memory") }
    chunk.extend_from_slice(engine_component::bytemuck::cast_slice(entities));
}
