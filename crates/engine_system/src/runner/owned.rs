//! The rows of one part, in this instance's memory.

use std::ops::Range;

use engine_component::query::{DocumentColumn, Part, PartColumn};
use engine_component::{BitRows, Column, ComponentId, Entity, StorageKind};
use engine_net::parcel::{Bits, CopyKey, ENTITIES, Named, PartManifest, PartSource, Place};

use super::compute::Failure;
use super::copies::{Content, Copies};
use super::input::{Reader, fits, query_of, schema_of};
use super::mapped::{MappedColumn, Rows};
use super::owned_column::OwnedColumn;
use crate::view::{SharedColumn, SharedPart};

/// Entities of rows whose system has no use for them, as long as there are no more.
static NOBODY: [Entity; 16 << 10] = [Entity::NONE; 16 << 10];

/// The rows of one part, owned.
pub(super) struct OwnedPart {
    pub(super) source: PartSource,
    pub(super) number: u16,
    archetype: Vec<ComponentId>,
    rows: usize,
    entities: Vec<Entity>,
    /// The copy that the entities belong to, and how many of those that are new have come.
    kept_entities: Option<(CopyKey, usize)>,
    entities_change: bool,
    /// One for each column of the query: none where the component is absent.
    pub(super) columns: Vec<Option<OwnedColumn>>,
    /// Those that are mapped instead.
    pub(super) mapped: Vec<Option<MappedColumn>>,
    mapped_entities: Option<Rows>,
    /// Which of them the system writes.
    writes: Vec<bool>,
    changed: Vec<(ComponentId, BitRows)>,
}

impl OwnedPart {
    /// A part whose values follow, but for those of copies. `kept` are its copies, entities first.
    pub(super) fn new(
        reader @ (system, adapters, both): Reader<'_>,
        manifest: &PartManifest,
        kept: Vec<Named>,
        copies: &mut Copies,
    ) -> Result<Self, Failure> {
        let query = query_of(reader.0.descriptor(), manifest)?;
        let rows = manifest.rows as usize;
        let mut columns = Vec::with_capacity(query.columns.len());
        let mut mapped: Vec<Option<MappedColumn>> = query.columns.iter().map(|_| None).collect();
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
            let name = kept.iter().find(|name| usize::from(name.column) == slot);
            let place = travels.map_or(Place::Inline, |column| column.place);
            if !fits(stored, travels) || place == Place::Elsewhere || place.is_kept() != name.is_some() {
                let message = "comes in a way or a layout that this instance was not told of";
                return Err(Failure::refused(format_args!("the column of `{}` {message}", schema.name)));
            }
            if let Some(offset) = place.mapped() {
                let (both, first) = (both.ok_or_else(Failure::stale)?, manifest.first_row as usize);
                let (stride, writes) = (stored.stride(), access.write && manifest.source != PartSource::View);
                let input = both.rows(offset, first, rows, stride)?;
                let output = if writes { both.to_write(offset, first, &input, stride) } else { None };
                let is_in_place = adapted.is_none() && output.is_some() == writes;
                columns.push((!is_in_place).then(|| {
                    let mut column = OwnedColumn::new(schema, adapted, rows, access.write, None, None);
                    column.extend(rows, input.bytes());
                    column
                }));
                mapped[slot] = is_in_place.then(|| MappedColumn::new(input, output, stride));
                continue;
            }
            let copy = match name.filter(|name| name.changed()).map(|name| copies.take(&name.key)) {
                None => None,
                Some(Some(Content::Values(column))) => Some(column),
                Some(_) => return Err(Failure::stale()),
            };
            columns.push(Some(OwnedColumn::new(schema, adapted, rows, access.write, name.map(|name| name.key), copy)));
        }
        let changed =
            query.changed().into_iter().take(manifest.changed.into()).map(|component| (component, BitRows::new(rows)));
        let name = kept.iter().find(|name| name.column == ENTITIES);
        let place = manifest.entities;
        if place == Some(Place::Elsewhere) || place.is_some_and(Place::is_kept) != name.is_some() {
            return Err(Failure::refused("the entities come in a way that this instance was not told of"));
        }
        let copied = name.is_some_and(Named::changed);
        let mapped_entities = match place.and_then(Place::mapped) {
            None => None,
            Some(offset) => {
                let both = both.ok_or_else(Failure::stale)?;
                Some(both.rows(offset, manifest.first_row as usize, rows, size_of::<Entity>())?)
            }
        };
        let entities = match name.filter(|_| copied).map(|name| copies.take(&name.key)) {
            Some(Some(Content::Entities(entities))) => entities,
            Some(_) => return Err(Failure::stale()),
            None if mapped_entities.is_some() => Vec::new(),
            None if place.is_some() => Vec::with_capacity(rows),
            None if rows <= NOBODY.len() => Vec::new(),
            None => vec![Entity::NONE; rows],
        };
        Ok(Self {
            source: manifest.source,
            number: manifest.number,
            archetype: manifest.archetype.clone(),
            rows,
            entities,
            kept_entities: name.map(|name| (name.key, 0)),
            entities_change: copied,
            columns,
            mapped,
            mapped_entities,
            writes: query.columns.iter().map(|access| access.write).collect(),
            changed: changed.collect(),
        })
    }

    /// Whether a copy has fewer rows than the part.
    pub(super) fn grows(&self) -> bool {
        (self.entities_change && self.entities.len() < self.rows)
            || self.columns.iter().flatten().any(|column| column.grows(self.rows))
    }

    /// Rows of a column came: counts those that a copy does not have.
    pub(super) fn came(&mut self, column: u16, rows: Range<usize>) {
        if column != ENTITIES {
            if let Some(Some(column)) = self.columns.get_mut(usize::from(column)) {
                column.came(rows);
            }
        } else if let Some((_, came)) = &mut self.kept_entities {
            *came += rows.end.saturating_sub(rows.start.max(self.entities.len()));
        }
    }

    /// Gives copies as many rows as the part has.
    pub(super) fn resize(&mut self) -> Result<(), Failure> {
        if self.entities_change {
            let came = self.kept_entities.map_or(0, |(_, came)| came);
            if self.rows.saturating_sub(self.entities.len()) != came {
                return Err(Failure::stale());
            }
            self.entities.resize(self.rows, Entity::NONE);
        }
        let rows = self.rows;
        self.columns.iter_mut().flatten().try_for_each(|column| column.resize(rows))
    }

    /// Entities of rows that follow one another.
    pub(super) fn add_entities(&mut self, first: usize, bytes: &[u8]) {
        if self.entities_change {
            return self.set_entities(first.., bytes);
        }
        let numbers = bytes.as_chunks::<8>().0.iter();
        self.entities.extend(numbers.map(|number| Entity::from_bits(u64::from_le_bytes(*number))));
    }

    pub(super) fn set_entities(&mut self, rows: impl Iterator<Item = usize>, bytes: &[u8]) {
        for (row, number) in rows.zip(bytes.as_chunks::<8>().0) {
            if let Some(entity) = self.entities.get_mut(row) {
                *entity = Entity::from_bits(u64::from_le_bytes(*number));
            }
        }
    }

    pub(super) fn set_changed(&mut self, bitmap: u16, first: usize, bits: Bits<'_>) {
        if let Some((_, rows)) = self.changed.get_mut(usize::from(bitmap)) {
            bits.ones().for_each(|row| rows.set(first + row));
        }
    }

    /// All values are there.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.columns.iter_mut().flatten().try_for_each(OwnedColumn::finish)
    }

    /// The bytes of a Plain column as the world has them.
    pub(super) fn world_bytes(&self, column: u16) -> Option<&[u8]> {
        Some(self.columns.get(usize::from(column))?.as_ref()?.world_values()?.bytes())
    }

    /// Whether the system may write a column.
    pub(super) fn writes(&self, slot: usize) -> bool {
        self.source != PartSource::View && self.writes.get(slot).copied().unwrap_or(false)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Gives what is kept back to the copies, under its new stamp.
    pub(super) fn put_back(self, tick: u64, stamp: u64, copies: &mut Copies) {
        if let Some((key, _)) = self.kept_entities {
            copies.put(tick, key, stamp, Content::Entities(self.entities));
        }
        for column in self.columns.into_iter().flatten() {
            if let Some((key, values)) = column.into_copy() {
                copies.put(tick, key, stamp, Content::Values(values));
            }
        }
    }

    /// A job of it begins: what it writes in place is what came.
    pub(super) fn begin(&mut self) {
        self.mapped.iter_mut().flatten().for_each(MappedColumn::begin);
    }

    fn all_entities(&self) -> &[Entity] {
        entities_of(self.mapped_entities.as_ref(), &self.entities, self.rows)
    }

    /// The rows as the system works on them, in place.
    pub(super) fn part(&mut self) -> Part<'_> {
        let rows = self.rows;
        let is_view = self.source == PartSource::View;
        let columns = self.columns.iter_mut().zip(&mut self.mapped).zip(&self.writes);
        let columns = columns.map(|((column, mapped), write)| match (column, mapped) {
            (None, None) => PartColumn::Absent,
            (None, Some(mapped)) => in_place(mapped),
            (Some(OwnedColumn { values, .. }), _) => match values.kind() {
                StorageKind::Plain if *write && !is_view => {
                    let stride = values.stride();
                    PartColumn::write(values.bytes_mut(), stride)
                }
                _ => read_column(values, rows),
            },
        });
        Part {
            columns: columns.collect(),
            entities: entities_of(self.mapped_entities.as_ref(), &self.entities, rows),
            archetype: &self.archetype,
            changed: self.changed.clone(),
        }
    }

    /// The rows, read only.
    pub(super) fn read(&self) -> Part<'_> {
        let columns = self.columns.iter().zip(&self.mapped).map(|(column, mapped)| match (column, mapped) {
            (None, None) => PartColumn::Absent,
            (None, Some(mapped)) => PartColumn::read(mapped.bytes(), mapped.stride()),
            (Some(column), _) => read_column(&column.values, self.rows),
        });
        Part {
            entities: self.all_entities(),
            archetype: &self.archetype,
            columns: columns.collect(),
            changed: self.changed.clone(),
        }
    }

    pub(super) fn shared(&self) -> SharedPart<'_> {
        let columns = self.columns.iter().zip(&self.mapped).map(|(column, mapped)| match (column, mapped) {
            (None, None) => SharedColumn::Absent,
            (None, Some(mapped)) => SharedColumn::Plain { bytes: mapped.bytes(), stride: mapped.stride() },
            (Some(column), _) => SharedColumn::of_column(&column.values, 0..self.rows),
        });
        SharedPart {
            entities: self.all_entities(),
            archetype: &self.archetype,
            columns: columns.collect(),
            changed: self.changed.clone(),
        }
    }
}

fn entities_of<'a>(mapped: Option<&'a Rows>, came: &'a [Entity], rows: usize) -> &'a [Entity] {
    match mapped {
        Some(mapped) => mapped.entities(),
        None if came.is_empty() => &NOBODY[..rows],
        None => came,
    }
}

fn in_place(column: &mut MappedColumn) -> PartColumn<'_> {
    let stride = column.stride();
    if column.is_written() {
        return PartColumn::write(column.written(), stride);
    }
    PartColumn::read(column.bytes(), stride)
}

fn read_column(values: &Column, rows: usize) -> PartColumn<'_> {
    match values.kind() {
        StorageKind::Tag => PartColumn::Tag,
        StorageKind::Document => PartColumn::Document(DocumentColumn::new(values.documents(), 0, rows)),
        StorageKind::Plain => PartColumn::read(values.bytes(), values.stride()),
    }
}
