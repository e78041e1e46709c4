//! Jobs in the coordinator's own process: systems work on the world's memory, without a copy.
//!
//! What a job may touch is what its system declared, and the schedule lets no other job touch it at the
//! same time: jobs of one node have rows of their own, jobs of nodes that conflict wait for each other.
//! That, and that structure does not change while a tick runs, is all that the pointers here rely on. They
//! point to rows, never to a table or a column: those are reached for again whenever a node begins or is merged.

#![expect(unsafe_code, reason = "jobs of several threads work on rows of one world")]

use std::sync::Arc;
use std::time::Instant;

use engine_component::query::{DocumentColumn, Part, PartColumn, QueryDescriptor};
use engine_component::{BitRows, Column, ComponentId, DocumentRows, Entity, StorageKind, Table, TableMut, World};
use engine_net::descriptor::SystemDescriptor;
use engine_system::{EventBatch, JobError, JobInput, JobOutput, SharedPart, SharedRows, System, Time};

use crate::plan::{JobPlan, NodePlan, PartPlan};
use crate::system_entry::SystemEntry;

/// What all jobs of a node read alike.
pub struct LocalShared {
    views: Vec<SharedRows<'static>>,
    resources: Vec<PartPlan>,
    events: Vec<EventBatch>,
}

/// One job, ready to run on any thread.
pub struct LocalJob {
    number: u32,
    plan: JobPlan,
    system: Arc<dyn System>,
    shared: Arc<LocalShared>,
    changed: Vec<Vec<(ComponentId, BitRows)>>,
    /// Plain columns that the job writes and somebody tracks: (part, column slot).
    tracked: Vec<(usize, usize)>,
    parts: Vec<RawPart>,
    owned: Vec<RawPart>,
    read: Vec<RawPart>,
    time: Time,
    seed: u64,
}

/// Rows of a table by pointers, taken before any job of the node runs: a running job does not touch the
/// world itself.
struct RawPart {
    entities: &'static [Entity],
    archetype: &'static [ComponentId],
    columns: Vec<RawColumn>,
}

enum RawColumn {
    Absent,
    Tag,
    Plain { first: *mut u8, stride: usize, write: bool },
    Document(DocumentRows<'static>),
}

// SAFETY: the pointers are used for what the job's system declared only; see the module's text.
unsafe impl Send for RawPart {}

/// What a job did to a column.
#[derive(Debug, PartialEq)]
pub enum Written {
    /// Rows of a Plain column, already in place; none: every row may have changed.
    Plain(Option<BitRows>),
    /// Documents, still to be put in place.
    Documents(Vec<(usize, Vec<u8>)>),
}

impl Written {
    /// How many rows of a part it changed.
    #[must_use]
    pub fn rows(&self, part: &PartPlan) -> usize {
        match self {
            Self::Plain(Some(rows)) => rows.count(),
            Self::Plain(None) => part.rows as usize,
            Self::Documents(rows) => rows.len(),
        }
    }
}

/// A finished job.
#[derive(Debug)]
pub struct LocalResult {
    /// Commands and events.
    pub output: JobOutput,
    /// The written columns: part of the plan, column of the table, what was done.
    pub written: Vec<(PartPlan, u16, Written)>,
    /// Nanoseconds in the function.
    pub compute_ns: u64,
}

impl LocalShared {
    /// # Safety
    /// The world lives, and keeps its structure, until the last job of the node is done; nobody writes what
    /// the node's views and resources read.
    pub unsafe fn new(world: *mut World, entry: &SystemEntry, node: &NodePlan, events: Vec<EventBatch>) -> Self {
        let descriptor = entry.descriptor();
        // SAFETY: the caller's promise.
        let world: &'static World = unsafe { &*world };
        let views = descriptor.views.iter().enumerate().map(|(index, view)| {
            let parts = node.views.iter().filter(|part| usize::from(part.query) == index);
            SharedRows::new(parts.map(|part| shared_part(world, entry, view, part)).collect())
        });
        Self { views: views.collect(), resources: node.resources.clone(), events }
    }
}

fn shared_part(
    world: &'static World,
    entry: &SystemEntry,
    view: &QueryDescriptor,
    part: &PartPlan,
) -> SharedPart<'static> {
    let table = world.table(part.table);
    let mut shared = SharedPart::of_table(table, part.range(), view);
    shared.changed = changed_rows(table, entry, view, part);
    shared
}

/// The rows of a part that changed since the system last ran: an entry for each component that the query
/// asks for, in that order. Bitmaps travel by their place in it, so none is left out: of a component that the
/// table lacks no row changed.
#[must_use]
pub fn changed_rows(
    table: &Table,
    entry: &SystemEntry,
    query: &QueryDescriptor,
    part: &PartPlan,
) -> Vec<(ComponentId, BitRows)> {
    let changed = query.changed().into_iter().map(|component| {
        let rows = match (table.column_index(component), entry.tracker(component)) {
            (None, _) => BitRows::new(part.rows as usize),
            // Nobody kept track: every row may have changed.
            (Some(_), None) => BitRows::full(part.rows as usize),
            (Some(column), Some(tracker)) => table.column(column).tracked(tracker).slice(part.range()),
        };
        (component, rows)
    });
    changed.collect()
}

impl LocalJob {
    /// # Safety
    /// As for [`LocalShared::new`]; and until the job is done nobody else uses the rows that it writes, or
    /// writes the rows that it reads.
    #[must_use]
    pub unsafe fn new(
        world: &mut World,
        entry: &SystemEntry,
        system: Arc<dyn System>,
        shared: Arc<LocalShared>,
        (number, plan): (u32, &JobPlan),
        (time, seed): (Time, u64),
    ) -> Self {
        let descriptor = entry.descriptor();
        let changed = plan.parts.iter().map(|part| {
            changed_rows(world.table(part.table), entry, &descriptor.queries[usize::from(part.query)], part)
        });
        let changed = changed.collect();
        let tracked = tracked_columns(world, descriptor, plan);
        let writes = |part: &PartPlan, slot: usize| descriptor.queries[usize::from(part.query)].columns[slot].write;
        let mut raw = |part: &PartPlan, write: &dyn Fn(usize) -> bool| RawPart::new(world, part, write);
        let parts = plan.parts.iter().map(|part| raw(part, &|slot| writes(part, slot))).collect();
        let owned = plan.resources.iter().map(|part| raw(part, &|_| true)).collect();
        let read = shared.resources.iter().map(|part| raw(part, &|_| false)).collect();
        let plan = plan.clone();
        Self { number, plan, system, shared, changed, tracked, parts, owned, read, time, seed }
    }

    /// The job's number in its tick.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Runs the job.
    ///
    /// # Errors
    /// When the system panics or lacks a resource. Rows may have been written by then.
    pub fn run(self) -> Result<LocalResult, JobError> {
        let descriptor = self.system.descriptor();
        let before = self.before();
        let mut input = JobInput::new(self.time, self.seed);
        input.queries = descriptor.queries.iter().map(|_| Vec::new()).collect();
        for ((plan, raw), changed) in self.plan.parts.iter().zip(&self.parts).zip(&self.changed) {
            input.queries[usize::from(plan.query)].push(raw.part(plan, changed.clone()));
        }
        input.views = self.shared.views.iter().collect();
        let owned = self.plan.resources.iter().zip(&self.owned);
        let read = self.shared.resources.iter().zip(&self.read);
        input.resources = owned.chain(read).map(|(plan, raw)| raw.part(plan, Vec::new())).collect();
        input.events = self.shared.events.iter().map(EventBatch::as_slice).collect();

        let started = Instant::now();
        let output = self.system.run(&input)?;
        let compute_ns = started.elapsed().as_nanos() as u64;
        let written = self.written(&input, &before);
        Ok(LocalResult { output, written, compute_ns })
    }

    /// Copies of the tracked columns, to compare with afterwards.
    fn before(&self) -> Vec<Vec<u8>> {
        let copy = |(part, slot): &(usize, usize)| {
            let (bytes, _) = self.plain_bytes(*part, *slot)?;
            Some(bytes.to_vec())
        };
        self.tracked.iter().map(|tracked| copy(tracked).unwrap_or_default()).collect()
    }

    /// The bytes of a Plain column of a part, and its stride. Not called while the system runs.
    fn plain_bytes(&self, part: usize, slot: usize) -> Option<(&[u8], usize)> {
        let rows = self.plan.parts[part].rows as usize;
        let RawColumn::Plain { first, stride, .. } = self.parts[part].columns[slot] else { return None };
        // SAFETY: see the module's text: the job has these rows to itself, and its system does not run.
        Some((unsafe { std::slice::from_raw_parts(first, rows * stride) }, stride))
    }

    fn written(&self, input: &JobInput<'_>, before: &[Vec<u8>]) -> Vec<(PartPlan, u16, Written)> {
        let descriptor = self.system.descriptor();
        let mut written = Vec::new();
        let mut next: Vec<usize> = vec![0; descriptor.queries.len()];
        for (index, plan) in self.plan.parts.iter().enumerate() {
            let query = usize::from(plan.query);
            let part = &input.queries[query][next[query]];
            next[query] += 1;
            for (slot, access) in descriptor.queries[query].columns.iter().enumerate() {
                let Some(column) = plan.columns[slot].filter(|_| access.write) else { continue };
                let change = match &part.columns[slot] {
                    PartColumn::Document(documents) => Written::Documents(documents.changes()),
                    PartColumn::Plain(_) => {
                        let tracked = self.tracked.iter().position(|tracked| *tracked == (index, slot));
                        Written::Plain(tracked.and_then(|at| {
                            let (now, stride) = self.plain_bytes(index, slot)?;
                            Some(BitRows::differing(&before[at], now, stride))
                        }))
                    }
                    PartColumn::Absent | PartColumn::Tag => continue,
                };
                written.push((plan.clone(), column, change));
            }
        }
        for (plan, part) in self.plan.resources.iter().zip(&input.resources) {
            let Some(Some(column)) = plan.columns.first() else { continue };
            let change = match &part.columns[0] {
                PartColumn::Document(documents) => Written::Documents(documents.changes()),
                _ => Written::Plain(None),
            };
            written.push((plan.clone(), *column, change));
        }
        written
    }
}

fn tracked_columns(world: &World, descriptor: &SystemDescriptor, plan: &JobPlan) -> Vec<(usize, usize)> {
    let mut tracked = Vec::new();
    for (index, part) in plan.parts.iter().enumerate() {
        let table = world.table(part.table);
        for (slot, access) in descriptor.queries[usize::from(part.query)].columns.iter().enumerate() {
            let column = part.columns[slot].map(|column| table.column(usize::from(column)));
            if access.write && column.is_some_and(|column| column.is_tracked() && column.kind() == StorageKind::Plain) {
                tracked.push((index, slot));
            }
        }
    }
    tracked
}

impl RawPart {
    fn new(world: &mut World, plan: &PartPlan, write: &dyn Fn(usize) -> bool) -> Self {
        let columns = plan.columns.iter().enumerate().map(|(slot, column)| match column {
            None => RawColumn::Absent,
            Some(index) => {
                raw_column(&mut world.table_mut(plan.table), usize::from(*index), plan.first_row as usize, write(slot))
            }
        });
        let columns = columns.collect();
        let table: *const Table = world.table(plan.table);
        // SAFETY: see the module's text: the table keeps its rows until the job is done.
        let table: &'static Table = unsafe { &*table };
        Self { entities: &table.entities()[plan.range()], archetype: table.components(), columns }
    }

    fn part(&self, plan: &PartPlan, changed: Vec<(ComponentId, BitRows)>) -> Part<'_> {
        let columns = self.columns.iter().map(|column| match column {
            RawColumn::Absent => PartColumn::Absent,
            RawColumn::Tag => PartColumn::Tag,
            RawColumn::Document(documents) => {
                PartColumn::Document(DocumentColumn::new(*documents, plan.first_row as usize, plan.rows as usize))
            }
            // SAFETY: the rows exist (the plan was made of this world), and by the schedule nobody else uses
            // rows that are written, or writes rows that are read.
            RawColumn::Plain { first, stride, write } => unsafe { PartColumn::from_raw(*first, *stride, *write) },
        });
        Part { entities: self.entities, archetype: self.archetype, columns: columns.collect(), changed }
    }
}

fn raw_column(table: &mut TableMut<'_>, index: usize, first_row: usize, write: bool) -> RawColumn {
    let stride = table.column(index).stride();
    match table.column(index).kind() {
        StorageKind::Tag => RawColumn::Tag,
        StorageKind::Document => {
            let column: *const Column = table.column(index);
            // SAFETY: see the module's text: documents are put in place when the node is merged.
            RawColumn::Document(unsafe { &*column }.documents())
        }
        StorageKind::Plain => {
            // Who only reads must not disturb others that read.
            let first = if write {
                table.column_mut(index).as_mut_ptr()
            } else {
                table.column(index).bytes().as_ptr().cast_mut()
            };
            RawColumn::Plain { first: first.wrapping_add(first_row * stride), stride, write }
        }
    }
}
