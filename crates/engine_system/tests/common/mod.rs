//! A world's rows, copied into buffers as an instance has them, given to a system, and written back.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, reason = "each test uses a part of this")]

use engine_component::query::{DocumentColumn, Part, PartColumn, QueryDescriptor};
use engine_component::{
    AlignedBytes, BitRows, Column, Component, ComponentId, Data, Entity, Event, StorageKind, TableId, World,
};
use engine_system::{
    EventBatch, JobError, JobInput, JobOutput, ResourceAccess, SharedPart, SharedRows, System, Time, resource_rows,
};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "test.Position")]
pub struct Position {
    pub x: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "test.Velocity")]
pub struct Velocity {
    pub x: f32,
}

#[derive(Component, Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[component(name = "test.Name", document)]
pub struct Name {
    pub text: String,
}

#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
#[component(name = "test.Frozen")]
pub struct Frozen;

#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
#[component(name = "test.Total")]
pub struct Total {
    pub sum: f32,
}

#[derive(Event, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[event(name = "test.Hit")]
pub struct Hit {
    pub who: Entity,
}

#[derive(Event, Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[event(name = "test.Shout", document)]
pub struct Shout {
    pub who: Entity,
    pub text: String,
}

#[derive(Event, Clone, Copy, Debug, Default, PartialEq)]
#[event(name = "test.Bell")]
pub struct Bell;

/// Events that a system is going to read.
#[derive(Default)]
pub struct Unread(Vec<(ComponentId, EventBatch)>);

impl Unread {
    pub fn with<E: Event>(mut self, events: &[E]) -> Self {
        let mut batch = EventBatch::of::<E>();
        events.iter().for_each(|event| batch.push(event));
        self.0.push((E::ID, batch));
        self
    }

    fn of(&self, event: ComponentId) -> EventBatch {
        self.0.iter().find(|known| known.0 == event).map(|known| known.1.clone()).unwrap_or_default()
    }
}

pub fn run(world: &mut World, system: &dyn System) -> Result<JobOutput, JobError> {
    run_at(world, system, Time::at(1, 0.5), &Unread::default())
}

/// Runs a system as one job over all rows.
pub fn run_at(world: &mut World, system: &dyn System, time: Time, unread: &Unread) -> Result<JobOutput, JobError> {
    let descriptor = system.descriptor().clone();
    let mut queries: Vec<Vec<Rows>> = descriptor.queries.iter().map(|query| Rows::of(world, query)).collect();
    let mut resources: Vec<Rows> = descriptor
        .resources
        .iter()
        .flat_map(|resource: &ResourceAccess| Rows::of(world, &resource_rows(*resource)))
        .collect();
    let events: Vec<EventBatch> = descriptor.reads_events.iter().map(|event| unread.of(*event)).collect();
    let views: Vec<SharedRows<'_>> = descriptor.views.iter().map(|view| shared_rows(world, view)).collect();

    let mut job = JobInput::new(time, 7);
    job.queries = queries.iter_mut().map(|rows| rows.iter_mut().map(Rows::part).collect()).collect();
    job.resources = resources.iter_mut().map(Rows::part).collect();
    job.views = views.iter().collect();
    job.events = events.iter().map(EventBatch::as_slice).collect();
    let output = system.run(&job);
    let documents = written_documents(&job);
    drop(job);
    drop(views);

    for (table, component, row, bytes) in documents {
        let version = world.version();
        let id = table_of(world, &table);
        let mut table = world.table_mut(id);
        let index = table.column_index(component).unwrap();
        table.column_mut(index).set_row(row, &bytes, version);
    }
    queries.iter().flatten().chain(&resources).for_each(|rows| rows.write_back(world));
    output
}

pub fn shared_rows<'a>(world: &'a World, view: &QueryDescriptor) -> SharedRows<'a> {
    let tables = world.sorted_tables().iter().map(|id| world.table(*id));
    let matching = tables.filter(|table| view.matches(table.components()));
    SharedRows::new(matching.map(|table| SharedPart::of_table(table, 0..table.len(), view)).collect())
}

type WrittenDocument = (Vec<ComponentId>, ComponentId, usize, Vec<u8>);

fn written_documents(job: &JobInput<'_>) -> Vec<WrittenDocument> {
    let mut written = Vec::new();
    for part in job.queries.iter().flatten() {
        for column in &part.columns {
            if let PartColumn::Document(documents) = column {
                // The tests have one document type.
                written.extend(
                    documents.changes().into_iter().map(|(row, bytes)| (part.archetype.to_vec(), Name::ID, row, bytes)),
                );
            }
        }
    }
    written
}

fn table_of(world: &World, archetype: &[ComponentId]) -> TableId {
    *world.sorted_tables().iter().find(|id| world.table(**id).components() == archetype).unwrap()
}

enum Buffer {
    Absent,
    Tag,
    Plain { bytes: AlignedBytes, stride: usize },
    Documents(Column),
}

impl Buffer {
    fn part_column(&mut self, write: bool, rows: usize) -> PartColumn<'_> {
        match self {
            Self::Absent => PartColumn::Absent,
            Self::Tag => PartColumn::Tag,
            Self::Plain { bytes, stride } => {
                if write {
                    PartColumn::write(bytes.as_mut_slice(), *stride)
                } else {
                    PartColumn::read(bytes.as_slice(), *stride)
                }
            }
            Self::Documents(column) => PartColumn::Document(DocumentColumn::new(column.documents(), 0, rows)),
        }
    }
}

/// All rows of one table.
struct Rows {
    entities: Vec<Entity>,
    archetype: Vec<ComponentId>,
    columns: Vec<(ComponentId, bool, Buffer)>,
    changed: Vec<(ComponentId, BitRows)>,
}

impl Rows {
    fn of(world: &World, query: &QueryDescriptor) -> Vec<Self> {
        let tables = world.sorted_tables().iter().map(|id| world.table(*id));
        let matching = tables.filter(|table| !table.is_empty() && query.matches(table.components()));
        let buffer = |column: Option<&Column>| match column {
            None => Buffer::Absent,
            Some(column) => match column.kind() {
                StorageKind::Tag => Buffer::Tag,
                StorageKind::Document => Buffer::Documents(column.clone()),
                StorageKind::Plain => {
                    let mut bytes = AlignedBytes::zeroed(column.bytes().len());
                    bytes.as_mut_slice().copy_from_slice(column.bytes());
                    Buffer::Plain { bytes, stride: column.stride() }
                }
            },
        };
        matching
            .map(|table| Self {
                entities: table.entities().to_vec(),
                archetype: table.components().to_vec(),
                columns: query
                    .columns
                    .iter()
                    .map(|column| {
                        let held = table.column_index(column.component).map(|index| table.column(index));
                        (column.component, column.write, buffer(held))
                    })
                    .collect(),
                changed: Vec::new(),
            })
            .collect()
    }

    fn part(&mut self) -> Part<'_> {
        let rows = self.entities.len();
        Part {
            entities: &self.entities,
            archetype: &self.archetype,
            columns: self.columns.iter_mut().map(|column| column.2.part_column(column.1, rows)).collect(),
            changed: self.changed.clone(),
        }
    }

    fn write_back(&self, world: &mut World) {
        let id = table_of(world, &self.archetype);
        for (component, write, buffer) in &self.columns {
            if let (true, Buffer::Plain { bytes, .. }) = (write, buffer) {
                let mut table = world.table_mut(id);
                let index = table.column_index(*component).unwrap();
                table.column_mut(index).bytes_mut().copy_from_slice(bytes.as_slice());
            }
        }
    }
}
