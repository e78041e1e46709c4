//! From the world to an instance: batches of jobs and shared inputs as parcels.
//!
//! The rows that a node reads and writes do not change while the node runs, so a parcel is made when it is
//! sent, made again of its [`Cargo`] when chunks are asked for, and kept by nobody.

use bytes::Bytes;
use engine_component::query::QueryDescriptor;
use engine_component::{BitRows, ComponentId, StorageKind, Table, World, bytemuck};
use engine_net::descriptor::SystemDescriptor;
use engine_net::otlp::{TraceId, traceparent};
use engine_net::parcel::{
    ChunkSizes, ColumnData, ColumnManifest, CopyKey, ENTITIES, JobManifest, Jobs, Keep, OutColumn, ParcelWriter,
    PartManifest, PartSource, Place, SharedManifest, TableDocuments, WireTime, WriteError,
};
use engine_net::{ChunkKind, ChunkPrefix};
use engine_system::EventBatch;
use engine_system::planted::{self, Bug};

use crate::local::changed_rows;
use crate::plan::{JobPlan, NodePlan, PartPlan};
use crate::schedule::resource_query;
use crate::system_entry::SystemEntry;

/// What is the same for all parcels of a tick.
#[derive(Clone, Copy, Debug)]
pub struct Shipment<'a> {
    /// The world.
    pub world: &'a World,
    /// The system.
    pub entry: &'a SystemEntry,
    /// The time that the system sees.
    pub time: WireTime,
    /// The world's seed.
    pub seed: u64,
    /// How large chunks are.
    pub sizes: ChunkSizes,
    /// The trace of the tick, when it is sampled.
    pub trace: Option<TraceId>,
}

/// What a parcel is made of besides the world: enough to make it again.
#[derive(Clone, Debug)]
pub struct Cargo {
    /// All parts, in the order of their jobs.
    pub parts: Vec<PartManifest>,
    /// For each of them, of which versions of the world the instance has copies: of the entities first, then of each
    /// column of the manifest; 0 of what comes whole.
    pub since: Vec<Vec<u64>>,
    /// Which jobs, as the instance is told; of a shared input none.
    pub jobs: Option<Jobs>,
    /// About the copies.
    pub keep: Option<Keep>,
    /// The copies that it touches, and whether the job writes them.
    pub copies: Vec<(CopyKey, bool)>,
}

/// Whether the entities of the rows travel: only when the system has a way to name one.
#[must_use]
pub fn wants_entities(world: &World, descriptor: &SystemDescriptor) -> bool {
    let names_entities = |query: &QueryDescriptor| {
        query.entity || query.columns.iter().any(|column| may_hold_entities(world, column.component))
    };
    descriptor.queries.iter().any(names_entities)
        || !descriptor.views.is_empty()
        || !descriptor.resources.is_empty()
        || !descriptor.reads_events.is_empty()
}

fn may_hold_entities(world: &World, component: ComponentId) -> bool {
    world
        .schema(component)
        .is_none_or(|schema| schema.kind == StorageKind::Document || !schema.entity_offsets().is_empty())
}

/// What travels of a part, whole.
#[must_use]
pub fn part_manifest(
    world: &World,
    source: PartSource,
    query: &QueryDescriptor,
    part: &PartPlan,
    entities: bool,
) -> PartManifest {
    let table = world.table(part.table);
    let columns = part.columns.iter().enumerate().filter_map(|(slot, column)| {
        let column = table.column(usize::from((*column)?));
        let holds_bytes = column.kind() != StorageKind::Tag;
        holds_bytes.then(|| ColumnManifest {
            column: slot as u16,
            stride: column.stride() as u32,
            place: Place::Inline,
        })
    });
    PartManifest {
        source,
        number: part.query,
        archetype: table.components().to_vec(),
        first_row: part.first_row,
        rows: part.rows,
        entities: entities.then_some(Place::Inline),
        columns: columns.collect(),
        changed: query.changed().len() as u16,
    }
}

/// The query that a part of a job or of a shared input is of.
#[must_use]
pub fn query_of(descriptor: &SystemDescriptor, part: &PartManifest) -> QueryDescriptor {
    let number = usize::from(part.number);
    match part.source {
        PartSource::Query => descriptor.queries[number].clone(),
        PartSource::View => descriptor.views[number].clone(),
        PartSource::Resource => {
            let resource = descriptor.resources[number];
            resource_query(resource.component, resource.write)
        }
    }
}

/// The parts of a job: those of queries, then resources that it writes.
#[must_use]
pub fn job_parts(world: &World, descriptor: &SystemDescriptor, job: &JobPlan, entities: bool) -> Vec<PartManifest> {
    let queries = job.parts.iter().map(|part| {
        part_manifest(world, PartSource::Query, &descriptor.queries[usize::from(part.query)], part, entities)
    });
    let resources = job.resources.iter().map(|part| {
        let query = resource_query(descriptor.resources[usize::from(part.query)].component, true);
        part_manifest(world, PartSource::Resource, &query, part, entities)
    });
    queries.chain(resources).collect()
}

/// What all jobs of a node read alike: views, then resources that it only reads.
#[must_use]
pub fn shared_parts(world: &World, descriptor: &SystemDescriptor, node: &NodePlan) -> Vec<PartManifest> {
    let views = node
        .views
        .iter()
        .map(|part| part_manifest(world, PartSource::View, &descriptor.views[usize::from(part.query)], part, true));
    let resources = node.resources.iter().map(|part| {
        let query = resource_query(descriptor.resources[usize::from(part.query)].component, false);
        part_manifest(world, PartSource::Resource, &query, part, true)
    });
    views.chain(resources).collect()
}

/// Whether a node's jobs need the shared input.
#[must_use]
pub fn needs_shared(descriptor: &SystemDescriptor, node: &NodePlan) -> bool {
    !descriptor.views.is_empty() || !descriptor.reads_events.is_empty() || !node.resources.is_empty()
}

impl Shipment<'_> {
    /// A batch of jobs and their columns; with the attempt of the shared input that they need.
    ///
    /// # Errors
    /// When a row is larger than a chunk can be.
    pub fn jobs(
        &self,
        prefix: ChunkPrefix,
        node: (u32, &NodePlan),
        (jobs, shared): (&[&JobPlan], Option<u16>),
        cargo: &Cargo,
    ) -> Result<Vec<Bytes>, WriteError> {
        let descriptor = self.entry.descriptor();
        let manifest = JobManifest {
            system: descriptor.name.clone(),
            node: node.0,
            seed: self.seed,
            time: self.time,
            shared,
            jobs: cargo.jobs.clone().unwrap_or(Jobs::Again(0)),
            keep: cargo.keep,
            chunk_bytes: self.sizes.aim as u32,
            deadline_ms: descriptor.options.deadline_ms,
            traceparent: self.trace.map(|trace| traceparent(trace, trace.batch(prefix.job, prefix.attempt))),
        };
        let mut writer = ParcelWriter::new(ChunkPrefix { kind: ChunkKind::Job, ..prefix }, self.sizes, &manifest)?;
        let plans = jobs.iter().flat_map(|job| job.parts.iter().chain(&job.resources));
        self.parts(&mut writer, plans, cargo)?;
        writer.finish()
    }

    /// What all jobs of a node read alike.
    ///
    /// # Errors
    /// When a row is larger than a chunk can be.
    pub fn shared(
        &self,
        prefix: ChunkPrefix,
        node: (u32, &NodePlan),
        events: &[EventBatch],
        cargo: &Cargo,
    ) -> Result<Vec<Bytes>, WriteError> {
        let descriptor = self.entry.descriptor();
        let manifest = SharedManifest {
            system: descriptor.name.clone(),
            node: node.0,
            parts: cargo.parts.clone(),
            keep: cargo.keep,
            events: descriptor.reads_events.iter().zip(events).map(|(event, batch)| batch.manifest(*event)).collect(),
        };
        let prefix = ChunkPrefix { kind: ChunkKind::Shared, job: node.0, ..prefix };
        let mut writer = ParcelWriter::new(prefix, self.sizes, &manifest)?;
        self.parts(&mut writer, node.1.views.iter().chain(&node.1.resources), cargo)?;
        for (stream, batch) in events.iter().enumerate() {
            writer.stream(stream as u16, 0, batch.bytes())?;
        }
        writer.finish()
    }

    fn parts<'p>(
        &self,
        writer: &mut ParcelWriter,
        plans: impl Iterator<Item = &'p PartPlan>,
        cargo: &Cargo,
    ) -> Result<(), WriteError> {
        let parts = cargo.parts.iter().zip(&cargo.since).enumerate();
        for (plan, (number, (manifest, since))) in plans.zip(parts) {
            self.part(writer, number as u16, plan, manifest, since)?;
        }
        Ok(())
    }

    fn part(
        &self,
        writer: &mut ParcelWriter,
        number: u16,
        part: &PartPlan,
        manifest: &PartManifest,
        since: &[u64],
    ) -> Result<(), WriteError> {
        let table = self.world.table(part.table);
        let mut columns = Vec::new();
        // What is compared, and bitmaps, live as long as the columns that point to them.
        let dirty = dirty_rows(table, part, manifest, since);
        let documents = documents_of(table, part);
        let changed = match manifest.changed {
            0 => Vec::new(),
            _ => changed_rows(table, self.entry, &query_of(self.entry.descriptor(), manifest), part),
        };
        if let Some(place) = manifest.entities.filter(|place| place.mapped().is_none()) {
            let entities = &table.entities()[part.range()];
            let bytes = bytemuck::cast_slice(entities);
            match &dirty[0] {
                Some(dirty) if place == Place::Changed => {
                    let data = ColumnData::DirtyPlain { bytes, stride: 8, dirty };
                    columns.extend(dirty.any().then_some(OutColumn { column: ENTITIES, data }));
                }
                _ => columns.push(OutColumn { column: 0, data: ColumnData::Entities(entities) }),
            }
        }
        for (manifest, dirty) in manifest.columns.iter().zip(&dirty[1..]) {
            if manifest.place.mapped().is_some() {
                continue;
            }
            let Some(column) = part.columns[usize::from(manifest.column)].map(|index| table.column(index.into()))
            else {
                continue;
            };
            let stride = column.stride();
            let rows = documents.iter().find(|(slot, _)| *slot == manifest.column).map(|(_, rows)| rows);
            let data = match (rows, dirty) {
                (_, Some(dirty)) if !dirty.any() => continue,
                (Some(rows), Some(dirty)) => ColumnData::DirtyDocuments { rows, dirty },
                (Some(rows), None) => ColumnData::Documents(rows),
                (None, dirty) => {
                    let bytes = &column.bytes()[part.range().start * stride..part.range().end * stride];
                    match dirty {
                        Some(dirty) => ColumnData::DirtyPlain { bytes, stride, dirty },
                        None => ColumnData::Plain { bytes, stride },
                    }
                }
            };
            columns.push(OutColumn { column: manifest.column, data });
        }
        let bits = changed.iter().enumerate();
        columns
            .extend(bits.map(|(index, (_, rows))| OutColumn { column: index as u16, data: ColumnData::Changed(rows) }));
        writer.part(number, part.rows as usize, &columns)
    }
}

/// The rows that changed since the instance's copies: of the entities first, then of each column; none of what
/// comes whole.
fn dirty_rows(table: &Table, part: &PartPlan, manifest: &PartManifest, since: &[u64]) -> Vec<Option<BitRows>> {
    let entities = manifest.entities.filter(|place| *place == Place::Changed);
    let entities = entities.map(|_| table.entities_changed_since(since[0], part.range()));
    let columns = manifest.columns.iter().zip(&since[1..]).map(|(manifest, since)| {
        let column = part.columns[usize::from(manifest.column)].filter(|_| manifest.place == Place::Changed)?;
        let mut changed = table.column(column.into()).changed_since(*since, part.range());
        if planted::is(Bug::LoseChangedRow) {
            let lost = changed.iter_ones().nth(2);
            lost.into_iter().for_each(|row| changed.unset(row));
        }
        Some(changed)
    });
    std::iter::once(entities).chain(columns).collect()
}

fn documents_of<'a>(table: &'a Table, part: &PartPlan) -> Vec<(u16, TableDocuments<'a>)> {
    let columns = part.columns.iter().enumerate().filter_map(|(slot, column)| {
        let column = table.column(usize::from((*column)?));
        let rows = TableDocuments { column, first_row: part.first_row as usize };
        (column.kind() == StorageKind::Document).then_some((slot as u16, rows))
    });
    columns.collect()
}
