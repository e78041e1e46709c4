//! Rows of a parcel in memory: the working copy of a job, or the rows of views and resources.
//!
//! A manifest comes from outside. Whatever it claims is compared with what the system declares before a
//! column is made of it, since a system trusts the columns that it gets.

use engine_component::query::{ColumnAccess, DocumentColumn, Part, PartColumn, QueryDescriptor};
use engine_component::schema::Adapter;
use engine_component::{AlignedBytes, BitRows, Column, ComponentId, Entity, StorageKind};
use engine_net::descriptor::SystemDescriptor;
use engine_net::parcel::{Body, Documents, Expect, EventManifest, Parcel, PartManifest, PartSource, Place, Section};

use super::layout::{Layout, Layouts};
use super::work::Failure;
use crate::declaration::resource_rows;
use crate::view::{SharedColumn, SharedPart};

/// Rows of one part.
#[derive(Debug)]
pub(super) struct PartRows {
    pub(super) source: PartSource,
    pub(super) number: usize,
    pub(super) rows: usize,
    entities: Vec<Entity>,
    archetype: Vec<ComponentId>,
    changed: Vec<(ComponentId, BitRows)>,
    pub(super) columns: Vec<Cells>,
}

/// One column of a part.
#[derive(Debug)]
pub(super) enum Cells {
    /// The table has no such component.
    Absent,
    /// There, without data.
    Tag,
    /// Values, in our layout.
    Values(Box<Values>),
}

/// The values of a column.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) component: ComponentId,
    pub(super) write: bool,
    pub(super) column: Column,
    /// Documents as they came, when ours are others.
    pub(super) stored: Option<Column>,
    /// Bytes of a Plain row in the parcel.
    pub(super) stride: usize,
    pub(super) adapter: Option<Adapter>,
}

/// The streams of a parcel, each from its first byte to its last.
pub(super) type Streams = Vec<Vec<u8>>;

/// Makes rows of a parcel whose manifest declares these parts and events.
pub(super) fn unpack(
    parcel: &Parcel,
    descriptor: &SystemDescriptor,
    layouts: &Layouts,
    parts: &[PartManifest],
    events: &[EventManifest],
) -> Result<(Vec<PartRows>, Streams), Failure> {
    let mut rows = Vec::with_capacity(parts.len());
    for part in parts {
        rows.push(PartRows::declared(descriptor, layouts, part)?);
    }
    Expect::input(parts, events).verify(parcel).map_err(Failure::refused)?;
    // The bytes are there: now rows may be allocated.
    let mut streams = vec![Vec::new(); events.len()];
    for (rows, part) in rows.iter_mut().zip(parts) {
        rows.reserve(part);
    }
    for section in parcel.sections() {
        let section = section.map_err(Failure::refused)?;
        let number = usize::from(section.part);
        match section.body {
            Body::Stream(bytes) => streams[number].extend_from_slice(bytes),
            _ => rows[number].fill(&section)?,
        }
    }
    Ok((rows, streams))
}

/// What a parameter declares: of a resource, as a query.
fn declared(descriptor: &SystemDescriptor, source: PartSource, number: u16) -> Option<QueryDescriptor> {
    let number = usize::from(number);
    match source {
        PartSource::Query => descriptor.queries.get(number).cloned(),
        PartSource::View => descriptor.views.get(number).cloned(),
        PartSource::Resource => descriptor.resources.get(number).map(|resource| resource_rows(*resource)),
    }
}

impl PartRows {
    /// No rows yet, but all columns.
    fn declared(descriptor: &SystemDescriptor, layouts: &Layouts, part: &PartManifest) -> Result<Self, Failure> {
        let query = declared(descriptor, part.source, part.number)
            .ok_or_else(|| Failure::refused(format_args!("{:?} {} is not declared", part.source, part.number)))?;
        if !query.matches(&part.archetype) {
            return Err(Failure::refused(format_args!("{:?} {} doesn't match the table", part.source, part.number)));
        }
        let mut columns = Vec::with_capacity(query.columns.len());
        for (number, access) in query.columns.iter().enumerate() {
            columns.push(Cells::declared(layouts, part, number, *access)?);
        }
        let sent = columns.iter().filter(|column| matches!(column, Cells::Values(_))).count();
        if sent != part.columns.len() {
            return Err(Failure::refused("columns that are not declared, or twice"));
        }
        let changed = query.changed();
        if part.changed != 0 && usize::from(part.changed) != changed.len() {
            return Err(Failure::refused("another number of bitmaps of changed rows than the filter has"));
        }
        let bitmaps = changed.into_iter().take(part.changed.into()).map(|component| (component, BitRows::default()));
        Ok(Self {
            source: part.source,
            number: part.number.into(),
            rows: part.rows as usize,
            entities: Vec::new(),
            archetype: part.archetype.clone(),
            changed: bitmaps.collect(),
            columns,
        })
    }

    fn reserve(&mut self, part: &PartManifest) {
        if part.entities {
            self.entities.reserve_exact(self.rows);
        } else {
            self.entities = vec![Entity::NONE; self.rows];
        }
        self.changed.iter_mut().for_each(|(_, bits)| *bits = BitRows::new(part.rows as usize));
        for column in &mut self.columns {
            if let Cells::Values(values) = column {
                values.column.reserve(self.rows);
            }
        }
    }

    /// Puts the rows of a section in. Sections of one column come in order, without gaps.
    fn fill(&mut self, section: &Section<'_>) -> Result<(), Failure> {
        let rows = section.rows as usize;
        match section.body {
            Body::Entities(bytes) => {
                self.entities.extend(bytes.as_chunks().0.iter().map(|bits| Entity::from_bits(u64::from_le_bytes(*bits))));
            }
            Body::Changed(bits) => {
                let bits = BitRows::from_bytes(bits.bytes(), rows).ok_or_else(|| Failure::refused("a bitmap"))?;
                self.changed[usize::from(section.column)].1.add_at(section.first_row as usize, &bits);
            }
            Body::Plain(bytes) => self.values(section)?.fill_plain(bytes, rows),
            Body::Documents(documents) => self.values(section)?.fill_documents(documents)?,
            Body::PackedPlain(..) | Body::PackedDocuments(..) | Body::Stream(_) => {
                return Err(Failure::refused("packed rows in a job"));
            }
        }
        Ok(())
    }

    fn values(&mut self, section: &Section<'_>) -> Result<&mut Values, Failure> {
        match self.columns.get_mut(usize::from(section.column)) {
            Some(Cells::Values(values)) => Ok(values),
            _ => Err(Failure::refused("a column that holds no values")),
        }
    }

    /// The part for a system that may write in place.
    pub(super) fn part(&mut self) -> Part<'_> {
        let rows = self.rows;
        Part {
            entities: &self.entities,
            archetype: &self.archetype,
            columns: self.columns.iter_mut().map(|column| column.part_column(rows)).collect(),
            changed: self.changed.clone(),
        }
    }

    /// The part for many systems that only read.
    pub(super) fn shared(&self) -> SharedPart<'_> {
        let columns = self.columns.iter().map(|cells| match cells {
            Cells::Values(values) => SharedColumn::of_column(&values.column, 0..self.rows),
            Cells::Absent => SharedColumn::Absent,
            Cells::Tag => SharedColumn::Tag,
        });
        SharedPart {
            entities: &self.entities,
            archetype: &self.archetype,
            columns: columns.collect(),
            changed: self.changed.clone(),
        }
    }
}

impl Cells {
    fn declared(layouts: &Layouts, part: &PartManifest, number: usize, access: ColumnAccess) -> Result<Self, Failure> {
        if !part.archetype.contains(&access.component) {
            return Ok(Self::Absent);
        }
        let layout = layouts
            .get(access.component)
            .ok_or_else(|| Failure::refused(format_args!("component {} is not known here", access.component)))?;
        if layout.world.kind == StorageKind::Tag {
            return Ok(Self::Tag);
        }
        let sent = part.columns.iter().find(|column| usize::from(column.column) == number);
        let sent = sent.ok_or_else(|| Failure::refused(format_args!("the column of `{}` is not sent", layout.mine.name)))?;
        if sent.place != Place::Inline {
            return Err(Failure::refused(format_args!("the column of `{}` is at a place that this build doesn't know", layout.mine.name)));
        }
        if sent.stride as usize != layout.world.stride() {
            let (name, mine) = (&layout.mine.name, layout.world.stride());
            return Err(Failure::refused(format_args!("rows of `{name}` have {} bytes instead of {mine}", sent.stride)));
        }
        Ok(Self::Values(Box::new(Values::new(layout, access))))
    }

    fn part_column(&mut self, rows: usize) -> PartColumn<'_> {
        let values = match self {
            Self::Absent => return PartColumn::Absent,
            Self::Tag => return PartColumn::Tag,
            Self::Values(values) => values,
        };
        let stride = values.column.stride();
        match (values.column.kind(), values.write) {
            (StorageKind::Plain, true) => PartColumn::write(values.column.bytes_mut(), stride),
            (StorageKind::Plain, false) => PartColumn::read(values.column.bytes(), stride),
            (StorageKind::Document, _) => PartColumn::Document(DocumentColumn::new(&values.column, 0, rows)),
            (StorageKind::Tag, _) => PartColumn::Tag,
        }
    }
}

impl Values {
    fn new(layout: &Layout, access: ColumnAccess) -> Self {
        let keep = layout.adapter.is_some() && access.write && layout.world.kind == StorageKind::Document;
        Self {
            component: access.component,
            write: access.write,
            column: Column::new(&layout.mine),
            stored: keep.then(|| Column::new(&layout.world)),
            stride: layout.world.stride(),
            adapter: layout.adapter.clone(),
        }
    }

    fn fill_plain(&mut self, bytes: &[u8], rows: usize) {
        let Some(adapter) = &self.adapter else {
            return self.column.extend(rows, bytes, 0);
        };
        let mut mine = AlignedBytes::zeroed(rows * self.column.stride());
        adapter.read(bytes, mine.as_mut_slice(), rows);
        self.column.extend(rows, mine.as_slice(), 0);
    }

    fn fill_documents(&mut self, documents: Documents<'_>) -> Result<(), Failure> {
        for document in documents.iter() {
            match &self.adapter {
                None => self.column.push(document, 0),
                Some(adapter) => self.column.push(&adapter.read_document(document).map_err(Failure::adapt)?, 0),
            }
            if let Some(stored) = &mut self.stored {
                stored.push(document, 0);
            }
        }
        Ok(())
    }
}
