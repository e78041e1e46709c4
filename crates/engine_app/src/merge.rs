//! How the results of a complete node become world: whole, in the order of its jobs, and by nobody else.

use engine_component::{BitRows, ColumnMut, ComponentId, StorageKind, World};
use engine_net::parcel::{Bits, Body, Parcel, Section};
use engine_system::EventBatch;

use crate::coordinator::RowCounts;
use crate::local::{LocalResult, Written};
use crate::plan::{PartPlan, TickPlan};
use crate::receive::{Effects, Received};
use crate::staged::Staged;

/// What a job brought back, checked.
#[derive(Debug)]
pub enum JobResult {
    /// Computed in this process: Plain rows are in place.
    Local(LocalResult),
    /// Computed by an instance.
    Remote(RemoteResult),
    /// Given up, by the system's policy: the shard keeps its values.
    Held,
}

/// What an instance brought back of a job.
#[derive(Debug)]
pub struct RemoteResult {
    /// The columns of all jobs of its batch, and which those are; of the first job of the batch only.
    pub columns: Option<RemoteColumns>,
    /// What the job did besides.
    pub effects: Effects,
    /// Nanoseconds in the function, of all jobs of the batch; of the first one only.
    pub compute_ns: u64,
}

/// The columns of all jobs of a batch.
#[derive(Debug)]
pub struct RemoteColumns {
    /// Those that came.
    parcel: Parcel,
    /// Those that were written to memory.
    staged: Staged,
    /// The jobs.
    jobs: Vec<u32>,
}

impl RemoteColumns {
    /// What came.
    #[must_use]
    pub fn parcel(&self) -> &Parcel {
        &self.parcel
    }
}

impl JobResult {
    /// The results of the jobs of a batch, in their order; with the rows that are in memory.
    pub fn of_batch(jobs: &[u32], received: Received, staged: Staged) -> impl Iterator<Item = (u32, Self)> {
        let Received { parcel, effects, compute_ns, .. } = received;
        let mut first = Some((RemoteColumns { parcel, staged, jobs: jobs.to_vec() }, compute_ns));
        jobs.iter().zip(effects).map(move |(job, effects)| {
            let (columns, compute_ns) = first.take().map_or((None, 0), |(columns, ns)| (Some(columns), ns));
            (*job, Self::Remote(RemoteResult { columns, effects, compute_ns }))
        })
    }

    /// The record of commands, and the events, taken out.
    pub fn take_effects(&mut self) -> (Vec<u8>, Vec<(ComponentId, EventBatch)>) {
        match self {
            Self::Local(result) => {
                let output = std::mem::take(&mut result.output);
                (output.commands.into_bytes(), output.events)
            }
            Self::Remote(RemoteResult { effects, .. }) => {
                (std::mem::take(&mut effects.commands), std::mem::take(&mut effects.events))
            }
            Self::Held => (Vec::new(), Vec::new()),
        }
    }

    /// How many entities the job spawns.
    #[must_use]
    pub fn spawns(&self) -> u32 {
        match self {
            Self::Local(result) => result.output.commands.spawns(),
            Self::Remote(result) => result.effects.spawns,
            Self::Held => 0,
        }
    }

    /// Nanoseconds in the system's function.
    #[must_use]
    pub fn compute_ns(&self) -> u64 {
        match self {
            Self::Local(result) => result.compute_ns,
            Self::Remote(result) => result.compute_ns,
            Self::Held => 0,
        }
    }

    /// Writes the columns into the world, unless that was done: of a batch, those of all its jobs with the first one.
    /// Gives back the buffer that is empty then.
    pub fn merge(&mut self, world: &mut World, plan: &TickPlan, counts: &mut RowCounts) -> Option<Vec<u8>> {
        match self {
            Self::Local(result) => {
                for (part, column, written) in std::mem::take(&mut result.written) {
                    merge_local(world, &part, usize::from(column), written, counts);
                }
                None
            }
            Self::Remote(result) => {
                let mut columns = result.columns.take()?;
                merge_remote(world, plan, &mut columns, counts);
                Some(columns.staged.into_buffer())
            }
            Self::Held => None,
        }
    }
}

fn merge_local(world: &mut World, part: &PartPlan, column: usize, written: Written, counts: &mut RowCounts) {
    let version = world.version();
    let component = world.table(part.table).components()[column];
    let mut table = world.table_mut(part.table);
    counts.add(component, written.rows(part));
    match written {
        Written::Plain(Some(rows)) => table.mark_rows(column, part.first_row as usize, &rows, version),
        Written::Plain(None) => table.column_mut(column).mark_range(part.range(), version),
        Written::Documents(rows) => {
            for (row, bytes) in rows {
                table.column_mut(column).set_row(part.first_row as usize + row, &bytes, version);
            }
        }
    }
}

fn merge_remote(world: &mut World, plan: &TickPlan, columns: &mut RemoteColumns, counts: &mut RowCounts) {
    let (version, parcel) = (world.version(), &columns.parcel);
    let jobs = columns.jobs.iter().map(|job| &plan.jobs[*job as usize]);
    let parts: Vec<&PartPlan> = jobs.flat_map(|job| job.parts.iter().chain(&job.resources)).collect();
    for section in parcel.sections() {
        // The parcel was verified; a section that does not decode can't be in it.
        let Ok(section) = section else { continue };
        let part = parts.get(usize::from(section.part)).filter(|_| !matches!(section.body, Body::Stream(_)));
        let Some(part) = part else { continue };
        let Some(Some(column)) = part.columns.get(usize::from(section.column)) else { continue };
        counts.add(world.table(part.table).components()[usize::from(*column)], changed_in(&section));
        let mut column = world.table_mut(part.table).into_column(usize::from(*column));
        merge_section(&mut column, part.first_row as usize + section.first_row as usize, &section, version);
    }
    columns.staged.visit(|part, column, first_row, bytes| {
        let Some(part) = parts.get(usize::from(part)) else { return };
        let Some(Some(column)) = part.columns.get(usize::from(column)) else { return };
        let component = world.table(part.table).components()[usize::from(*column)];
        let mut column = world.table_mut(part.table).into_column(usize::from(*column));
        let changed = merge_staged(&mut column, part.first_row as usize + first_row as usize, bytes, version);
        counts.add(component, changed);
    });
}

/// Rows that are looked at to tell whether most of them differ.
const SAMPLE: usize = 16;

/// Rows of which some may be equal to what is there: those did not change. How many did.
fn merge_staged(column: &mut ColumnMut<'_>, first: usize, bytes: &[u8], version: u64) -> usize {
    let stride = column.stride().max(1);
    let place = first * stride..first * stride + bytes.len();
    if !column.has_trackers() && mostly_differ(&column.bytes()[place.clone()], bytes, stride) {
        // A row too many costs nobody more than to find out.
        column.bytes_mut()[place].copy_from_slice(bytes);
        column.mark_range(first..first + bytes.len() / stride, version);
        return bytes.len() / stride;
    }
    let differ = BitRows::differing(&column.bytes()[place.clone()], bytes, stride);
    let count = differ.count();
    if count == 0 {
        return 0;
    }
    column.bytes_mut()[place].copy_from_slice(bytes);
    if count == differ.len() {
        column.mark_range(first..first + count, version);
    } else if first.is_multiple_of(64) {
        column.mark_rows(first, &differ, version);
    } else {
        differ.iter_ones().for_each(|row| column.mark_range(first + row..first + row + 1, version));
    }
    count
}

/// Rows that a section of a result changes: an instance sends no others.
fn changed_in(section: &Section<'_>) -> usize {
    match section.body {
        Body::PackedPlain(bits, _) | Body::PackedDocuments(bits, _) => bits.count(),
        Body::Plain(_) | Body::Documents(_) => section.rows as usize,
        Body::Entities(_) | Body::Changed(_) | Body::Stream(_) => 0,
    }
}

/// Whether all rows of a sample differ.
fn mostly_differ(before: &[u8], now: &[u8], stride: usize) -> bool {
    let rows = before.len() / stride;
    let sample = (0..SAMPLE.min(rows)).map(|number| rows * number / SAMPLE.min(rows) * stride);
    sample.into_iter().all(|at| before[at..at + stride] != now[at..at + stride])
}

fn merge_section(column: &mut ColumnMut<'_>, first: usize, section: &Section<'_>, version: u64) {
    let rows = section.rows as usize;
    match section.body {
        Body::Plain(bytes) => merge_range(column, first, rows, bytes, version),
        Body::PackedPlain(bits, bytes) => {
            let stride = column.stride();
            for (row, value) in bits.ones().zip(bytes.chunks_exact(stride.max(1))) {
                let at = (first + row) * stride;
                column.bytes_mut()[at..at + stride].copy_from_slice(value);
            }
            mark(column, first, bits, version);
        }
        Body::Documents(documents) => {
            for (row, document) in documents.iter().enumerate() {
                if column.row(first + row) != document {
                    column.set_row(first + row, document, version);
                }
            }
        }
        Body::PackedDocuments(bits, documents) => {
            for (row, document) in bits.ones().zip(documents.iter()) {
                column.set_row(first + row, document, version);
            }
        }
        Body::Entities(_) | Body::Changed(_) | Body::Stream(_) => {}
    }
}

/// Rows that came without a bitmap: those that are equal to what is there did not change.
fn merge_range(column: &mut ColumnMut<'_>, first: usize, rows: usize, bytes: &[u8], version: u64) {
    debug_assert_eq!(column.kind(), StorageKind::Plain);
    let stride = column.stride();
    let place = first * stride..(first + rows) * stride;
    if column.has_trackers() {
        let differ = BitRows::differing(&column.bytes()[place.clone()], bytes, stride);
        column.bytes_mut()[place].copy_from_slice(bytes);
        for row in differ.iter_ones() {
            column.mark_range(first + row..first + row + 1, version);
        }
    } else {
        column.bytes_mut()[place].copy_from_slice(bytes);
        column.mark_range(first..first + rows, version);
    }
}

fn mark(column: &mut ColumnMut<'_>, first: usize, bits: Bits<'_>, version: u64) {
    if first.is_multiple_of(64) && bits.count() * 8 >= bits.rows() as usize {
        return column.mark_rows(first, &bits.to_rows(), version);
    }
    for row in bits.ones() {
        column.mark_range(first + row..first + row + 1, version);
    }
}
