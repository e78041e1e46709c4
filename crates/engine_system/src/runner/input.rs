//! From verified parcels to columns: the instance's own copy of what a job works on, in this build's layout.

use std::sync::Arc;

use engine_component::query::{DocumentColumn, Part, PartColumn, QueryDescriptor};
use engine_component::schema::Schema;
use engine_component::{BitRows, Column, ComponentId, Entity, StorageKind};
use engine_net::descriptor::SystemDescriptor;
use engine_net::parcel::{Body, EventManifest, Expect, Parcel, PartManifest, PartSource, Place};

use super::adapt::{Adapted, Adapters};
use super::compute::Failure;
use super::output::NewDocuments;
use crate::declaration::resource_rows;
use crate::events::EventSlice;
use crate::view::{SharedColumn, SharedPart, SharedRows};
use crate::{EventBatch, System};

/// The system that input is for, and how the world's values become its own.
type Reader<'a> = (&'a dyn System, &'a Adapters);

/// The rows of one part, owned.
pub(super) struct OwnedPart {
    pub(super) source: PartSource,
    pub(super) number: u16,
    archetype: Vec<ComponentId>,
    rows: usize,
    entities: Vec<Entity>,
    /// One for each column of the query: none where the component is absent.
    pub(super) columns: Vec<Option<OwnedColumn>>,
    /// Which of them the system writes.
    writes: Vec<bool>,
    changed: Vec<(ComponentId, BitRows)>,
}

/// A column of a part.
pub(super) struct OwnedColumn {
    /// The values in this build's layout.
    pub(super) values: Column,
    /// Where the world's layout is another one: what came.
    pub(super) adapted: Option<StoredColumn>,
}

/// Values in the world's layout, and the way from and to this build's.
pub(super) struct StoredColumn {
    adapted: Arc<Adapted>,
    /// What came; kept of columns that are written.
    pub(super) values: Column,
    keep: bool,
}

/// What all jobs of a node read alike.
#[derive(Default)]
pub(super) struct SharedInput {
    pub(super) parts: Vec<OwnedPart>,
    pub(super) events: Vec<EventBatch>,
}

/// What a part's query asks for.
fn query_of(descriptor: &SystemDescriptor, part: &PartManifest) -> Result<QueryDescriptor, Failure> {
    let number = usize::from(part.number);
    let query = match part.source {
        PartSource::Query => descriptor.queries.get(number).cloned(),
        PartSource::View => descriptor.views.get(number).cloned(),
        PartSource::Resource => descriptor.resources.get(number).map(|resource| resource_rows(*resource)),
    };
    query.ok_or_else(|| {
        let source = part.source;
        Failure::refused(format_args!("the job has a part for {source:?} {number}, which the system does not declare"))
    })
}

/// The parts of a parcel, verified and copied into columns.
pub(super) fn parts(
    reader: Reader<'_>,
    parcel: &Parcel,
    manifests: &[PartManifest],
    events: &[EventManifest],
) -> Result<Vec<OwnedPart>, Failure> {
    Expect::input(manifests, events).verify(parcel).map_err(Failure::refused)?;
    let mut parts = manifests.iter().map(|manifest| OwnedPart::new(reader, manifest)).collect::<Result<Vec<_>, _>>()?;
    for section in parcel.sections() {
        let section = section.map_err(Failure::refused)?;
        let Some(part) = parts.get_mut(usize::from(section.part)).filter(|_| !matches!(section.body, Body::Stream(_)))
        else {
            continue;
        };
        match section.body {
            Body::Entities(bytes) => {
                let numbers = bytes.as_chunks::<8>().0.iter();
                part.entities.extend(numbers.map(|number| Entity::from_bits(u64::from_le_bytes(*number))));
            }
            Body::Plain(bytes) => {
                if let Some(Some(column)) = part.columns.get_mut(usize::from(section.column)) {
                    column.extend(section.rows as usize, bytes);
                }
            }
            Body::Documents(documents) => {
                if let Some(Some(column)) = part.columns.get_mut(usize::from(section.column)) {
                    documents.iter().try_for_each(|document| column.push(document))?;
                }
            }
            Body::Changed(bits) => {
                if let Some((_, rows)) = part.changed.get_mut(usize::from(section.column)) {
                    bits.ones().for_each(|row| rows.set(section.first_row as usize + row));
                }
            }
            Body::PackedPlain(..) | Body::PackedDocuments(..) | Body::Stream(_) => {}
        }
    }
    Ok(parts)
}

impl OwnedColumn {
    fn new(schema: &Schema, adapted: Option<&Arc<Adapted>>, rows: usize, written: bool) -> Self {
        let mut values = Column::new(schema);
        match schema.kind {
            StorageKind::Tag => values.extend(rows, &[], 0),
            StorageKind::Plain => values.reserve(rows),
            StorageKind::Document => {}
        }
        let stored = |adapted: &Arc<Adapted>| StoredColumn {
            adapted: adapted.clone(),
            values: Column::new(&adapted.world),
            keep: written,
        };
        Self { values, adapted: adapted.map(stored) }
    }

    /// Appends Plain rows that came.
    fn extend(&mut self, rows: usize, bytes: &[u8]) {
        let Some(stored) = &mut self.adapted else { return self.values.extend(rows, bytes, 0) };
        let mut mine = vec![0; rows * self.values.stride()];
        stored.adapted.adapter.read(bytes, &mut mine, rows);
        self.values.extend(rows, &mine, 0);
        if stored.keep {
            stored.values.extend(rows, bytes, 0);
        }
    }

    /// Appends a document that came.
    fn push(&mut self, document: &[u8]) -> Result<(), Failure> {
        let Some(stored) = &mut self.adapted else {
            self.values.push(document, 0);
            return Ok(());
        };
        let mine = stored.adapted.adapter.read_document(document).map_err(|error| stored.adapted.failure(error))?;
        self.values.push(&mine, 0);
        if stored.keep {
            stored.values.push(document, 0);
        }
        Ok(())
    }
}

impl StoredColumn {
    /// The rows in the world's layout with what was written put in, and which of them differ from what came.
    pub(super) fn plain_back(&self, mine: &Column) -> Result<(Vec<u8>, BitRows), Failure> {
        let mut now = self.values.bytes().to_vec();
        let back = self.adapted.adapter.write_back(mine.bytes(), &mut now, mine.len());
        back.map_err(|error| self.adapted.failure(error))?;
        let dirty = BitRows::differing(self.values.bytes(), &now, self.values.stride());
        Ok((now, dirty))
    }

    /// Documents that were written in the world's layout; those that are as they came are left out.
    pub(super) fn documents_back(&self, written: NewDocuments) -> Result<NewDocuments, Failure> {
        let mut back = Vec::with_capacity(written.len());
        for (row, mine) in written {
            let before = self.values.row(row);
            let now = self.adapted.adapter.write_document(&mine, before);
            let now = now.map_err(|error| self.adapted.failure(error))?;
            if now != before {
                back.push((row, now));
            }
        }
        Ok(back)
    }
}

impl OwnedPart {
    fn new((system, adapters): Reader<'_>, manifest: &PartManifest) -> Result<Self, Failure> {
        let query = query_of(system.descriptor(), manifest)?;
        let rows = manifest.rows as usize;
        let mut columns = Vec::with_capacity(query.columns.len());
        for (slot, access) in query.columns.iter().enumerate() {
            let schema = schema_of(system, access.component)?;
            if !manifest.archetype.contains(&access.component) {
                if !access.optional {
                    let message = "the job has rows without it, and the system wants it of every row";
                    return Err(Failure::refused(format_args!("`{}`: {message}", schema.name)));
                }
                columns.push(None);
                continue;
            }
            let adapted = adapters.get(access.component);
            let stored = adapted.map_or(schema, |adapted| &adapted.world);
            let travels = manifest.columns.iter().find(|column| usize::from(column.column) == slot);
            let fits = match stored.kind {
                StorageKind::Tag => travels.is_none(),
                StorageKind::Plain => travels.is_some_and(|column| column.stride as usize == stored.stride()),
                StorageKind::Document => travels.is_some_and(|column| column.stride == 0),
            };
            if !fits || travels.is_some_and(|column| column.place != Place::Inline) {
                let message = "comes in a way or a layout that this instance was not told of";
                return Err(Failure::refused(format_args!("the column of `{}` {message}", schema.name)));
            }
            columns.push(Some(OwnedColumn::new(schema, adapted, rows, access.write)));
        }
        let changed =
            query.changed().into_iter().take(manifest.changed.into()).map(|component| (component, BitRows::new(rows)));
        Ok(Self {
            source: manifest.source,
            number: manifest.number,
            archetype: manifest.archetype.clone(),
            rows,
            entities: if manifest.entities { Vec::with_capacity(rows) } else { vec![Entity::NONE; rows] },
            columns,
            writes: query.columns.iter().map(|access| access.write).collect(),
            changed: changed.collect(),
        })
    }

    /// Whether the system may write a column.
    pub(super) fn writes(&self, slot: usize) -> bool {
        self.source != PartSource::View && self.writes.get(slot).copied().unwrap_or(false)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows as the system works on them, in place.
    pub(super) fn part(&mut self) -> Part<'_> {
        let rows = self.rows;
        let is_view = self.source == PartSource::View;
        let columns = self.columns.iter_mut().zip(&self.writes).map(|(column, write)| match column {
            None => PartColumn::Absent,
            Some(OwnedColumn { values, .. }) => match values.kind() {
                StorageKind::Plain if *write && !is_view => {
                    let stride = values.stride();
                    PartColumn::write(values.bytes_mut(), stride)
                }
                _ => read_column(values, rows),
            },
        });
        Part {
            entities: &self.entities,
            archetype: &self.archetype,
            columns: columns.collect(),
            changed: self.changed.clone(),
        }
    }

    /// The rows, read only.
    pub(super) fn read(&self) -> Part<'_> {
        let columns = self.columns.iter().map(|column| match column {
            None => PartColumn::Absent,
            Some(column) => read_column(&column.values, self.rows),
        });
        Part {
            entities: &self.entities,
            archetype: &self.archetype,
            columns: columns.collect(),
            changed: self.changed.clone(),
        }
    }

    fn shared(&self) -> SharedPart<'_> {
        let columns = self.columns.iter().map(|column| match column {
            None => SharedColumn::Absent,
            Some(column) => SharedColumn::of_column(&column.values, 0..self.rows),
        });
        SharedPart {
            entities: &self.entities,
            archetype: &self.archetype,
            columns: columns.collect(),
            changed: self.changed.clone(),
        }
    }
}

fn read_column(values: &Column, rows: usize) -> PartColumn<'_> {
    match values.kind() {
        StorageKind::Tag => PartColumn::Tag,
        StorageKind::Document => PartColumn::Document(DocumentColumn::new(values.documents(), 0, rows)),
        StorageKind::Plain => PartColumn::read(values.bytes(), values.stride()),
    }
}

impl SharedInput {
    /// The rows of each view of the system.
    pub(super) fn views(&self, views: usize) -> Vec<SharedRows<'_>> {
        (0..views)
            .map(|view| {
                let parts = self
                    .parts
                    .iter()
                    .filter(|part| part.source == PartSource::View && usize::from(part.number) == view);
                SharedRows::new(parts.map(OwnedPart::shared).collect())
            })
            .collect()
    }
}

/// The schema of a component that the system names.
fn schema_of(system: &dyn System, component: ComponentId) -> Result<&Schema, Failure> {
    let schema = system.schemas().iter().find(|schema| schema.id() == component);
    schema.ok_or_else(|| {
        let name = &system.descriptor().name;
        Failure::refused(format_args!("system `{name}` has no schema of component {component}"))
    })
}

/// The events of a shared input.
pub(super) fn events(
    (system, adapters): Reader<'_>,
    parcel: &Parcel,
    manifests: &[EventManifest],
) -> Result<Vec<EventBatch>, Failure> {
    let mut streams: Vec<Vec<u8>> = vec![Vec::new(); manifests.len()];
    for section in parcel.sections() {
        let section = section.map_err(Failure::refused)?;
        if let (Body::Stream(bytes), Some(stream)) = (section.body, streams.get_mut(usize::from(section.part))) {
            stream.extend_from_slice(bytes);
        }
    }
    let batch = |(manifest, bytes): (&EventManifest, Vec<u8>)| {
        let (count, mine) = (manifest.count as usize, schema_of(system, manifest.event)?);
        match adapters.get(manifest.event) {
            None => EventBatch::from_bytes(mine, count, &bytes).map_err(Failure::refused),
            Some(adapted) => {
                adapted.unread(EventSlice::from_bytes(&adapted.world, count, &bytes).map_err(Failure::refused)?)
            }
        }
    };
    manifests.iter().zip(streams).map(batch).collect()
}
