//! From the world to an instance: jobs and shared inputs as parcels.
//!
//! The rows that a node reads and writes do not change while the node runs, so a parcel is made when it is
//! sent, made again when chunks are asked for, and kept by nobody.

use bytes::Bytes;
use engine_component::query::QueryDescriptor;
use engine_component::{StorageKind, Table, World};
use engine_net::descriptor::SystemDescriptor;
use engine_net::parcel::WriteError;
use engine_net::parcel::{ChunkSizes, ColumnData, OutColumn, ParcelWriter, TableDocuments};
use engine_net::parcel::{ColumnManifest, JobManifest, PartManifest, PartSource, Place, SharedManifest, WireTime};
use engine_net::{ChunkKind, ChunkPrefix};
use engine_system::EventBatch;

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

fn may_hold_entities(world: &World, component: engine_component::ComponentId) -> bool {
    world
        .schema(component)
        .is_none_or(|schema| schema.kind == StorageKind::Document || !schema.entity_offsets().is_empty())
}

/// What travels of a part.
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
        entities,
        columns: columns.collect(),
        changed: query.changed().len() as u16,
    }
}

impl Shipment<'_> {
    /// A job and its columns.
    ///
    /// # Errors
    /// When a row is larger than a chunk can be.
    pub fn job(&self, prefix: ChunkPrefix, node: &NodePlan, job: &JobPlan) -> Result<Vec<Bytes>, WriteError> {
        let descriptor = self.entry.descriptor();
        let entities = wants_entities(self.world, descriptor);
        let manifest = JobManifest {
            system: descriptor.name.clone(),
            node: job.node as u32,
            shard: job.shard,
            seed: self.seed,
            time: self.time,
            shared: needs_shared(descriptor, node),
            parts: job_parts(self.world, descriptor, job, entities),
            chunk_bytes: self.sizes.aim as u32,
            deadline_ms: descriptor.options.deadline_ms,
        };
        let mut writer = ParcelWriter::new(ChunkPrefix { kind: ChunkKind::Job, ..prefix }, self.sizes, &manifest)?;
        for (index, part) in job.parts.iter().enumerate() {
            let query = &descriptor.queries[usize::from(part.query)];
            self.part(&mut writer, index as u16, query, part, entities)?;
        }
        for (index, part) in job.resources.iter().enumerate() {
            let query = resource_query(descriptor.resources[usize::from(part.query)].component, true);
            self.part(&mut writer, (job.parts.len() + index) as u16, &query, part, entities)?;
        }
        writer.finish()
    }

    /// What all jobs of a node read alike.
    ///
    /// # Errors
    /// When a row is larger than a chunk can be.
    pub fn shared(
        &self,
        prefix: ChunkPrefix,
        number: u32,
        node: &NodePlan,
        events: &[EventBatch],
    ) -> Result<Vec<Bytes>, WriteError> {
        let descriptor = self.entry.descriptor();
        let views =
            node.views.iter().map(|part| (PartSource::View, descriptor.views[usize::from(part.query)].clone(), part));
        let resources = node.resources.iter().map(|part| {
            (PartSource::Resource, resource_query(descriptor.resources[usize::from(part.query)].component, false), part)
        });
        let parts: Vec<_> = views.chain(resources).collect();
        let manifest = SharedManifest {
            system: descriptor.name.clone(),
            node: number,
            parts: parts
                .iter()
                .map(|(source, query, part)| part_manifest(self.world, *source, query, part, true))
                .collect(),
            events: descriptor.reads_events.iter().zip(events).map(|(event, batch)| batch.manifest(*event)).collect(),
        };
        let mut writer =
            ParcelWriter::new(ChunkPrefix { kind: ChunkKind::Shared, job: number, ..prefix }, self.sizes, &manifest)?;
        for (index, (_, query, part)) in parts.iter().enumerate() {
            self.part(&mut writer, index as u16, query, part, true)?;
        }
        for (stream, batch) in events.iter().enumerate() {
            writer.stream(stream as u16, 0, batch.bytes())?;
        }
        writer.finish()
    }

    fn part(
        &self,
        writer: &mut ParcelWriter,
        number: u16,
        query: &QueryDescriptor,
        part: &PartPlan,
        entities: bool,
    ) -> Result<(), WriteError> {
        let table = self.world.table(part.table);
        let changed = changed_rows(table, self.entry, query, part);
        let documents: Vec<(u16, TableDocuments<'_>)> = documents_of(table, part);
        let mut columns = Vec::new();
        if entities {
            columns.push(OutColumn { column: 0, data: ColumnData::Entities(&table.entities()[part.range()]) });
        }
        for (slot, column) in part.columns.iter().enumerate() {
            let Some(column) = column.map(|index| table.column(usize::from(index))) else { continue };
            if column.kind() == StorageKind::Plain {
                let stride = column.stride();
                let bytes = &column.bytes()[part.range().start * stride..part.range().end * stride];
                columns.push(OutColumn { column: slot as u16, data: ColumnData::Plain { bytes, stride } });
            }
        }
        columns.extend(
            documents.iter().map(|(slot, rows)| OutColumn { column: *slot, data: ColumnData::Documents(rows) }),
        );
        let bits = changed.iter().enumerate();
        columns
            .extend(bits.map(|(index, (_, rows))| OutColumn { column: index as u16, data: ColumnData::Changed(rows) }));
        writer.part(number, part.rows as usize, &columns)
    }
}

fn documents_of<'a>(table: &'a Table, part: &PartPlan) -> Vec<(u16, TableDocuments<'a>)> {
    let columns = part.columns.iter().enumerate().filter_map(|(slot, column)| {
        let column = table.column(usize::from((*column)?));
        let rows = TableDocuments { column, first_row: part.first_row as usize };
        (column.kind() == StorageKind::Document).then_some((slot as u16, rows))
    });
    columns.collect()
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

/// Whether a node's jobs need the shared input.
#[must_use]
pub fn needs_shared(descriptor: &SystemDescriptor, node: &NodePlan) -> bool {
    !descriptor.views.is_empty() || !descriptor.reads_events.is_empty() || !node.resources.is_empty()
}
