//! From verified parcels to columns: the instance's own copy of what a job works on.

use engine_component::query::{DocumentColumn, Part, PartColumn};
use engine_component::schema::Schema;
use engine_component::{BitRows, Column, ComponentId, Entity, StorageKind};
use engine_net::descriptor::SystemDescriptor;
use engine_net::parcel::{Body, EventManifest, Expect, Parcel, PartManifest, PartSource};

use crate::declaration::resource_rows;
use crate::view::{SharedColumn, SharedPart, SharedRows};
use crate::{EventBatch, System};
use engine_component::query::QueryDescriptor;

/// The rows of one part, owned.
pub(super) struct OwnedPart {
    pub(super) source: PartSource,
    pub(super) number: u16,
    archetype: Vec<ComponentId>,
    rows: usize,
    entities: Vec<Entity>,
    /// One for each column of the query: none where the component is absent.
    pub(super) columns: Vec<Option<Column>>,
    pub(super) changed: Vec<(ComponentId, BitRows)>,
}

/// What all jobs of a node read alike.
pub(super) struct SharedInput {
    pub(super) parts: Vec<OwnedPart>,
    pub(super) events: Vec<EventBatch>,
}

/// What a part's query asks for.
fn query_of(descriptor: &SystemDescriptor, part: &PartManifest) -> Result<QueryDescriptor, String> {
    let number = usize::from(part.number);
    let query = match part.source {
        PartSource::Query => descriptor.queries.get(number).cloned(),
        PartSource::View => descriptor.views.get(number).cloned(),
        PartSource::Resource => descriptor.resources.get(number).map(|resource| resource_rows(*resource)),
    };
    query.ok_or_else(|| format!("the job has a part for {:?} {number}, which the system does not declare", part.source))
}

/// The parts of a parcel, verified and copied into columns.
pub(super) fn parts(
    system: &dyn System,
    parcel: &Parcel,
    manifests: &[PartManifest],
    events: &[EventManifest],
) -> Result<Vec<OwnedPart>, String> {
    Expect::input(manifests, events).verify(parcel).map_err(|error| error.to_string())?;
    let mut parts = manifests.iter().map(|manifest| OwnedPart::new(system, manifest)).collect::<Result<Vec<_>, _>>()?;
    for section in parcel.sections() {
        let section = section.map_err(|error| error.to_string())?;
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
                    column.extend(section.rows as usize, bytes, 0);
                }
            }
            Body::Documents(documents) => {
                if let Some(Some(column)) = part.columns.get_mut(usize::from(section.column)) {
                    documents.iter().for_each(|document| column.push(document, 0));
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

impl OwnedPart {
    fn new(system: &dyn System, manifest: &PartManifest) -> Result<Self, String> {
        let query = query_of(system.descriptor(), manifest)?;
        let rows = manifest.rows as usize;
        let mut columns = Vec::with_capacity(query.columns.len());
        for (slot, access) in query.columns.iter().enumerate() {
            if !manifest.archetype.contains(&access.component) {
                columns.push(None);
                continue;
            }
            let schema = schema_of(system, access.component)?;
            let travels = manifest.columns.iter().find(|column| usize::from(column.column) == slot);
            let fits = match schema.kind {
                StorageKind::Tag => travels.is_none(),
                StorageKind::Plain => travels.is_some_and(|column| column.stride as usize == schema.stride()),
                StorageKind::Document => travels.is_some_and(|column| column.stride == 0),
            };
            if !fits {
                return Err(format!("the column of `{}` is of another layout than this build's", schema.name));
            }
            let mut column = Column::new(schema);
            match schema.kind {
                StorageKind::Tag => column.extend(rows, &[], 0),
                StorageKind::Plain => column.reserve(rows),
                StorageKind::Document => {}
            }
            columns.push(Some(column));
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
            changed: changed.collect(),
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows as the system works on them, in place.
    pub(super) fn part(&mut self, writes: impl Fn(usize) -> bool) -> Part<'_> {
        let rows = self.rows;
        let columns = self.columns.iter_mut().enumerate().map(|(slot, column)| match column {
            None => PartColumn::Absent,
            Some(column) => match column.kind() {
                StorageKind::Tag => PartColumn::Tag,
                StorageKind::Document => PartColumn::Document(DocumentColumn::new(column, 0, rows)),
                StorageKind::Plain => {
                    let stride = column.stride();
                    if writes(slot) {
                        PartColumn::write(column.bytes_mut(), stride)
                    } else {
                        PartColumn::read(column.bytes(), stride)
                    }
                }
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
            Some(column) => match column.kind() {
                StorageKind::Tag => PartColumn::Tag,
                StorageKind::Document => PartColumn::Document(DocumentColumn::new(column, 0, self.rows)),
                StorageKind::Plain => PartColumn::read(column.bytes(), column.stride()),
            },
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
            Some(column) => SharedColumn::of_column(column, 0..self.rows),
        });
        SharedPart {
            entities: &self.entities,
            archetype: &self.archetype,
            columns: columns.collect(),
            changed: self.changed.clone(),
        }
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
pub(super) fn schema_of(system: &dyn System, component: ComponentId) -> Result<&Schema, String> {
    let schema = system.schemas().iter().find(|schema| schema.id() == component);
    schema.ok_or_else(|| format!("system `{}` has no schema of component {component}", system.descriptor().name))
}

/// The events of a shared input.
pub(super) fn events(
    system: &dyn System,
    parcel: &Parcel,
    manifests: &[EventManifest],
) -> Result<Vec<EventBatch>, String> {
    let mut streams: Vec<Vec<u8>> = vec![Vec::new(); manifests.len()];
    for section in parcel.sections() {
        let section = section.map_err(|error| error.to_string())?;
        if let (Body::Stream(bytes), Some(stream)) = (section.body, streams.get_mut(usize::from(section.part))) {
            stream.extend_from_slice(bytes);
        }
    }
    manifests
        .iter()
        .zip(streams)
        .map(|(manifest, bytes)| {
            let schema = schema_of(system, manifest.event)?;
            EventBatch::from_bytes(schema, manifest.count as usize, &bytes).map_err(|error| error.to_string())
        })
        .collect()
}
