//! Running jobs: from a complete job to the chunks of its result.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine_component::BitRows;
use engine_component::query::PartColumn;
use engine_net::parcel::{
    Body, ChunkSizes, ColumnData, EventManifest, Failed, JobManifest, OutColumn, Parcel, ParcelWriter, PartSource,
    ResultManifest, SharedManifest, control,
};
use engine_net::{ChunkKind, ChunkPrefix};

use super::input::{self, OwnedPart, SharedInput};
use crate::view::SharedRows;
use crate::{EventBatch, JobInput, System, Time};

/// A complete job.
pub struct Work {
    pub(super) system: Arc<dyn System>,
    pub(super) prefix: ChunkPrefix,
    pub(super) manifest: JobManifest,
    pub(super) parcel: Parcel,
    /// What all jobs of the node read alike, when the system reads any of it.
    pub(super) shared: Option<Arc<Parcel>>,
    pub(super) sizes: ChunkSizes,
    pub(super) arrived: u64,
}

/// A job that was run: the chunks of its result, or of its failure.
pub struct Computed {
    pub(super) prefix: ChunkPrefix,
    pub(super) chunks: Vec<Bytes>,
    pub(super) compute_ns: u64,
}

impl Work {
    /// Runs the job by itself. The clock is in nanoseconds.
    #[must_use]
    pub fn run(self, clock: &dyn Fn() -> u64) -> Computed {
        match SharedInput::of(&self) {
            Err(message) => failed(&self.prefix, "refused", &message),
            Ok(shared) => {
                let views = shared.views(self.system.descriptor().views.len());
                run(self, &shared, &views, clock)
            }
        }
    }
}

/// Where jobs come from, and where their results go.
pub(super) trait Jobs {
    /// The next job; waits for it. None when there will be no more.
    fn next(&mut self) -> Option<Work>;
    /// A job is done.
    fn done(&mut self, computed: Computed);
    /// Nanoseconds of the clock that jobs arrive by.
    fn now(&self) -> u64;
}

/// Runs jobs until there are no more. Jobs of one node that follow one another share what is built from
/// their views.
pub(super) fn work(jobs: &mut impl Jobs) {
    let mut next = jobs.next();
    while let Some(first) = next.take() {
        let node = node_of(&first);
        match SharedInput::of(&first) {
            Err(message) => {
                jobs.done(failed(&first.prefix, "refused", &message));
                next = jobs.next();
            }
            Ok(shared) => {
                let views = shared.views(first.system.descriptor().views.len());
                let mut current = Some(first);
                while let Some(job) = current.take() {
                    let computed = run(job, &shared, &views, &|| jobs.now());
                    jobs.done(computed);
                    match jobs.next() {
                        Some(job) if node_of(&job) == node => current = Some(job),
                        other => next = other,
                    }
                }
            }
        }
    }
}

fn node_of(work: &Work) -> (u64, u64, u32) {
    (work.prefix.epoch, work.prefix.tick, work.manifest.node)
}

impl SharedInput {
    fn of(work: &Work) -> Result<Self, String> {
        let Some(parcel) = &work.shared else { return Ok(Self { parts: Vec::new(), events: Vec::new() }) };
        let manifest: SharedManifest = parcel.manifest().map_err(|error| error.to_string())?;
        let parts = input::parts(work.system.as_ref(), parcel, &manifest.parts, &manifest.events)?;
        let events = input::events(work.system.as_ref(), parcel, &manifest.events)?;
        Ok(Self { parts, events })
    }
}

fn failed(prefix: &ChunkPrefix, reason: &str, message: &str) -> Computed {
    let body = Failed { reason: reason.to_owned(), message: message.to_owned() };
    Computed { prefix: *prefix, chunks: vec![control::encode(prefix, ChunkKind::Failed, &body)], compute_ns: 0 }
}

fn run(work: Work, shared: &SharedInput, views: &[SharedRows<'_>], clock: &dyn Fn() -> u64) -> Computed {
    let prefix = work.prefix;
    match compute(&work, shared, views, clock) {
        Ok(computed) => computed,
        Err((reason, message)) => failed(&prefix, reason, &message),
    }
}

/// Rows, and the documents that they have now.
type NewDocuments = Vec<(usize, Vec<u8>)>;

/// What a job changed in a column.
enum Change {
    Plain(BitRows),
    Documents(NewDocuments),
}

/// Rows that differ, by the number of the part and the slot of the column.
type ChangedRows = BTreeMap<(usize, usize), BitRows>;

type Refusal = (&'static str, String);

fn compute(
    work: &Work,
    shared: &SharedInput,
    views: &[SharedRows<'_>],
    clock: &dyn Fn() -> u64,
) -> Result<Computed, Refusal> {
    let system = work.system.as_ref();
    let descriptor = system.descriptor();
    let mut parts =
        input::parts(system, &work.parcel, &work.manifest.parts, &[]).map_err(|error| ("refused", error))?;
    let wire = work.manifest.time;
    let mut job = JobInput::new(Time { tick: wire.tick, dt: wire.dt, elapsed: wire.elapsed }, work.manifest.seed);
    job.queries = descriptor.queries.iter().map(|_| Vec::new()).collect();
    let mut places = Vec::with_capacity(parts.len());
    for part in &mut parts {
        let (source, number) = (part.source, usize::from(part.number));
        let rows = part.part(|slot| writes(system, source, number, slot));
        let list = if source == PartSource::Query { &mut job.queries[number] } else { &mut job.resources };
        places.push((source, number, list.len()));
        list.push(rows);
    }
    job.views = views.iter().collect();
    job.resources.extend(shared.parts.iter().filter(|part| part.source == PartSource::Resource).map(OwnedPart::read));
    job.events = shared.events.iter().map(EventBatch::as_slice).collect();
    let started = clock();
    let output = system.run(&job).map_err(|error| ("error", error.to_string()))?;
    let compute_ns = clock().saturating_sub(started);
    let documents: Vec<Vec<Option<NewDocuments>>> = places
        .iter()
        .map(|(source, number, index)| {
            let part =
                if *source == PartSource::Query { &job.queries[*number][*index] } else { &job.resources[*index] };
            part.columns
                .iter()
                .map(
                    |column| {
                        if let PartColumn::Document(documents) = column { Some(documents.changes()) } else { None }
                    },
                )
                .collect()
        })
        .collect();
    drop(job);
    let manifest = ResultManifest {
        compute_ns,
        wait_ns: started.saturating_sub(work.arrived),
        commands_bytes: output.commands.bytes().len() as u64,
        events: output
            .events
            .iter()
            .map(|(event, batch)| EventManifest {
                event: *event,
                count: batch.len() as u32,
                bytes: batch.byte_len() as u64,
            })
            .collect(),
    };
    let refuse = |error: engine_net::parcel::WriteError| ("refused", error.to_string());
    let prefix = ChunkPrefix { kind: ChunkKind::Result, ..work.prefix };
    let mut writer = ParcelWriter::new(prefix, work.sizes, &manifest).map_err(refuse)?;
    let mut changed = changed_rows(system, &work.parcel, &parts)?;
    for (index, (part, documents)) in parts.iter().zip(documents).enumerate() {
        write_part(&mut writer, index as u16, part, &mut changed, documents).map_err(refuse)?;
    }
    writer.stream(0, 0, output.commands.bytes()).map_err(refuse)?;
    for (stream, (_, batch)) in output.events.iter().enumerate() {
        writer.stream(stream as u16 + 1, 0, batch.bytes()).map_err(refuse)?;
    }
    Ok(Computed { prefix: work.prefix, chunks: writer.finish().map_err(refuse)?, compute_ns })
}

fn writes(system: &dyn System, source: PartSource, number: usize, slot: usize) -> bool {
    let descriptor = system.descriptor();
    match source {
        PartSource::Query => descriptor.queries[number].columns[slot].write,
        PartSource::Resource => descriptor.resources[number].write,
        PartSource::View => false,
    }
}

/// Which rows of the Plain columns that the job may write differ from what came: the parcel still holds that.
fn changed_rows(system: &dyn System, parcel: &Parcel, parts: &[OwnedPart]) -> Result<ChangedRows, Refusal> {
    let mut changed = ChangedRows::new();
    for section in parcel.sections() {
        let section = section.map_err(|error| ("refused", error.to_string()))?;
        let (number, slot) = (usize::from(section.part), usize::from(section.column));
        let (Body::Plain(before), Some(part)) = (section.body, parts.get(number)) else { continue };
        let Some(Some(column)) = part.columns.get(slot) else { continue };
        if !writes(system, part.source, usize::from(part.number), slot) {
            continue;
        }
        let (first, stride) = (section.first_row as usize, column.stride());
        let now = &column.bytes()[first * stride..][..before.len()];
        if before != now {
            let rows = changed.entry((number, slot)).or_insert_with(|| BitRows::new(part.rows()));
            rows.add_at(first, &BitRows::differing(before, now, stride));
        }
    }
    Ok(changed)
}

fn write_part(
    writer: &mut ParcelWriter,
    number: u16,
    part: &OwnedPart,
    changed: &mut ChangedRows,
    documents: Vec<Option<NewDocuments>>,
) -> Result<(), engine_net::parcel::WriteError> {
    let mut changes: Vec<(u16, Change)> = Vec::new();
    for (slot, (column, documents)) in part.columns.iter().zip(documents).enumerate() {
        if column.is_none() {
            continue;
        }
        if let Some(rows) = changed.remove(&(usize::from(number), slot)) {
            changes.push((slot as u16, Change::Plain(rows)));
        }
        if let Some(rows) = documents.filter(|rows| !rows.is_empty()) {
            changes.push((slot as u16, Change::Documents(rows)));
        }
    }
    let held: Vec<(u16, Vec<Vec<u8>>, BitRows)> = changes
        .iter()
        .filter_map(|(slot, change)| {
            let Change::Documents(rows) = change else { return None };
            let (mut all, mut dirty) = (vec![Vec::new(); part.rows()], BitRows::new(part.rows()));
            for (row, bytes) in rows {
                all[*row].clone_from(bytes);
                dirty.set(*row);
            }
            Some((*slot, all, dirty))
        })
        .collect();
    let mut columns: Vec<OutColumn<'_>> = Vec::new();
    for (slot, change) in &changes {
        if let (Change::Plain(dirty), Some(column)) = (change, &part.columns[usize::from(*slot)]) {
            let data = ColumnData::DirtyPlain { bytes: column.bytes(), stride: column.stride(), dirty };
            columns.push(OutColumn { column: *slot, data });
        }
    }
    columns.extend(
        held.iter()
            .map(|(slot, rows, dirty)| OutColumn { column: *slot, data: ColumnData::DirtyDocuments { rows, dirty } }),
    );
    if columns.is_empty() { Ok(()) } else { writer.part(number, part.rows(), &columns) }
}
