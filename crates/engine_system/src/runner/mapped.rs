//! Columns that this process has mapped instead of having been sent them.
//!
//! What is read is read in place, in the coordinator's columns. What is written is copied from there to the same place
//! of this process' output when its job begins, and worked on there; the coordinator reads it when it is told that it
//! is done. Where that isn't possible, the values are copied to memory of their own, and travel.
//!
//! Invariant: rows of one batch that are written don't overlap ([`check_disjoint`]), and one batch at a time has the
//! output ([`Mapping::hold`]).

#![expect(unsafe_code, reason = "rows are in memory that other processes have mapped")]

use std::ops::Range;
use std::ptr::NonNull;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine_component::Entity;
use engine_net::parcel::MappedRows;
use engine_net::shm::{ArenaView, Invitation, Output, handover};

use super::compute::Failure;
use super::owned::OwnedPart;

/// How long the coordinator may take to hand its memory over.
const PATIENCE: Duration = Duration::from_secs(2);
/// Ranges of rows that a result names, at the most; beyond, it names all rows of all parts.
const MAX_RANGES: usize = 4096;
/// Bytes that are compared at once.
const BLOCK: usize = 4096;

/// The memory that one registration has mapped, or will have.
#[derive(Debug, Default)]
pub struct Mapping {
    both: Mutex<Option<Both>>,
}

/// The coordinator's columns, and where this process writes to.
#[derive(Clone, Debug)]
pub(super) struct Both {
    arena: Arc<ArenaView>,
    output: Arc<Output>,
}

impl Mapping {
    /// Gets and maps what the coordinator offers. Takes a while: not for a thread that has other things to do.
    pub fn join(&self, invitation: &str) {
        // Held all the while: jobs that need it come as soon as the coordinator knows that it is mapped, which is
        // before it is here.
        let mut both = self.hold();
        let Some(invitation) = Invitation::parse(invitation) else { return };
        match handover::join(&invitation, PATIENCE) {
            Ok((arena, output)) => {
                tracing::info!(bytes = arena.bytes(), "the coordinator's columns are mapped");
                *both = Some(Both { arena: Arc::new(arena), output: Arc::new(output) });
            }
            Err(error) => tracing::info!(%error, "columns travel by wire"),
        }
    }

    /// The memory, for one batch.
    pub(super) fn hold(&self) -> MutexGuard<'_, Option<Both>> {
        self.both.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows in the coordinator's columns.
pub(super) struct Rows {
    start: NonNull<u8>,
    bytes: usize,
    /// Keeps them mapped.
    _arena: Arc<ArenaView>,
}

impl Both {
    /// Rows of a column, or of the entities, whose first one is at this offset.
    pub(super) fn rows(&self, column: u64, first: usize, rows: usize, stride: usize) -> Result<Rows, Failure> {
        let place = place_of(column, first, stride).filter(|place| place.is_multiple_of(8));
        let bytes = rows.checked_mul(stride);
        let (Some(place), Some(bytes)) = (place, bytes) else {
            return Err(Failure::refused("rows that are at no place in memory"));
        };
        let start = self.arena.column(place, bytes).map_err(Failure::refused)?;
        Ok(Rows { start, bytes, _arena: self.arena.clone() })
    }

    /// A place to write rows to, as a column that is mapped; none when there is no memory for it.
    pub(super) fn to_write(&self, column: u64, first: usize, rows: &Rows, stride: usize) -> Option<Written> {
        let place = place_of(column, first, stride)?;
        let start = self.output.place(place, rows.bytes);
        let start = start.inspect_err(|error| tracing::warn!(%error, "rows travel by wire")).ok()?;
        Some(Written { start, place, _output: self.output.clone() })
    }
}

fn place_of(column: u64, first: usize, stride: usize) -> Option<u64> {
    column.checked_add((first as u64).checked_mul(stride as u64)?)
}

impl Rows {
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped there to be read, and stay so while the arena is kept. The coordinator
        // doesn't write to them while the job is open; if it isn't any longer, these are values that never were, of
        // types of which every bit pattern is one, and what is made of them doesn't count.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    pub(super) fn entities(&self) -> &[Entity] {
        // SAFETY: as above; the place is a multiple of 8, memory is mapped at pages, and an entity is any 8 bytes.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.bytes / size_of::<Entity>()) }
    }
}

/// Where rows are written to.
pub(super) struct Written {
    start: NonNull<u8>,
    place: u64,
    /// Keeps it mapped.
    _output: Arc<Output>,
}

/// Rows of a column, in place.
pub(super) struct MappedColumn {
    input: Rows,
    output: Option<Written>,
    stride: usize,
}

impl MappedColumn {
    pub(super) fn new(input: Rows, output: Option<Written>, stride: usize) -> Self {
        Self { input, output, stride }
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// The values that came.
    pub(super) fn bytes(&self) -> &[u8] {
        self.input.bytes()
    }

    /// The values to be written, which are those that came until somebody does so.
    pub(super) fn begin(&mut self) {
        let (input, output) = (&self.input, &mut self.output);
        if let Some(written) = output.as_mut().map(|output| written(output, input.bytes)) {
            written.copy_from_slice(input.bytes());
        }
    }

    pub(super) fn is_written(&self) -> bool {
        self.output.is_some()
    }

    /// The values to be written; nothing of a column that is only read.
    pub(super) fn written(&mut self) -> &mut [u8] {
        let bytes = self.input.bytes;
        self.output.as_mut().map_or(&mut [], |output| written(output, bytes))
    }

    /// The rows from the first to the last one that were changed.
    fn changed(&mut self) -> Option<Range<usize>> {
        let stride = self.stride.max(1);
        let (input, output) = (&self.input, self.output.as_mut()?);
        let (before, now) = (input.bytes(), &*written(output, input.bytes));
        let blocks = before.chunks(BLOCK).zip(now.chunks(BLOCK));
        let first = blocks.clone().position(|(before, now)| before != now)? * BLOCK;
        let equal = blocks.clone().rev().position(|(before, now)| before != now)?;
        let last = (blocks.len() - equal) * BLOCK;
        let first = first / stride;
        let last = last.min(before.len()).div_ceil(stride);
        let differs = |row: &usize| {
            let row = row * stride..(row + 1) * stride;
            before[row.clone()] != now[row]
        };
        let first = (first..last).find(differs)?;
        let last = (first..last).rev().find(differs)?;
        Some(first..last + 1)
    }
}

/// The rows of an output.
fn written(output: &mut Written, bytes: usize) -> &mut [u8] {
    // SAFETY: so many bytes are mapped there to be written, and exist, while the output is kept. Rows of a batch don't
    // overlap, and no other batch has the output meanwhile; this one reaches them through this borrow only. Other
    // processes only read them.
    unsafe { slice::from_raw_parts_mut(output.start.as_ptr(), bytes) }
}

/// No two columns of a batch write to the same place.
pub(super) fn check_disjoint(parts: &[OwnedPart]) -> Result<(), Failure> {
    let columns = parts.iter().flat_map(|part| part.mapped.iter().flatten());
    let mut places: Vec<(u64, usize)> =
        columns.filter_map(|column| Some((column.output.as_ref()?.place, column.input.bytes))).collect();
    places.sort_unstable();
    let overlap = places.windows(2).any(|pair| pair[0].0 + pair[0].1 as u64 > pair[1].0);
    if overlap { Err(Failure::refused("the jobs write to the same rows")) } else { Ok(()) }
}

/// What was changed in place.
#[derive(Default)]
pub(super) struct Ranges {
    ranges: Vec<MappedRows>,
    columns: Vec<u16>,
}

impl Ranges {
    /// Notes what was changed in the next parts of a batch, the first of which has this number.
    pub(super) fn add(&mut self, first: usize, parts: &mut [OwnedPart]) {
        for (number, part) in (first..).zip(parts) {
            let all = part.rows();
            for (slot, column) in part.mapped.iter_mut().enumerate() {
                let Some(rows) = column.as_mut().and_then(MappedColumn::changed) else { continue };
                let is_all = rows.len() == all;
                let (slot, number) = (slot as u16, number as u16);
                let last = self.ranges.iter_mut().rev().take(8).find(|range| range.0 == slot);
                match last.filter(|last| is_all && last.4 == 0 && last.1 + last.2 == number) {
                    Some(last) => last.2 += 1,
                    None if is_all => self.ranges.push(MappedRows(slot, number, 1, 0, 0)),
                    None => self.ranges.push(MappedRows(slot, number, 1, rows.start as u32, rows.len() as u32)),
                }
                if !self.columns.contains(&slot) {
                    self.columns.push(slot);
                }
            }
        }
    }

    /// By column and part.
    pub(super) fn finish(mut self, parts: &[OwnedPart]) -> Vec<MappedRows> {
        if self.ranges.len() > MAX_RANGES {
            self.ranges = self.whole(parts);
        }
        self.ranges.sort_unstable();
        self.ranges
    }

    /// All rows of all parts: many small ranges would make a larger message than is of use.
    fn whole(&self, parts: &[OwnedPart]) -> Vec<MappedRows> {
        let mut ranges: Vec<MappedRows> = Vec::new();
        for slot in &self.columns {
            for (number, part) in parts.iter().enumerate() {
                let column = part.mapped.get(usize::from(*slot)).and_then(Option::as_ref);
                if column.is_none_or(|column| column.output.is_none()) {
                    continue;
                }
                match ranges.last_mut().filter(|last| last.0 == *slot && usize::from(last.1 + last.2) == number) {
                    Some(last) => last.2 += 1,
                    None => ranges.push(MappedRows(*slot, number as u16, 1, 0, 0)),
                }
            }
        }
        ranges
    }
}
