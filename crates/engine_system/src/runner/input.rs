//! From verified parcels to columns: the instance's own copy of what a job works on, in this build's layout.
//!
//! Columns of which everything came are made here; of those that were kept, the [copy](super::copies) is taken and what
//! changed is put into it. One pass over the sections does both: each value is copied once, from the buffer in which it
//! was received to its column.

use engine_component::query::QueryDescriptor;
use engine_component::schema::Schema;
use engine_component::{ComponentId, StorageKind};
use engine_net::descriptor::SystemDescriptor;
use engine_net::parcel::{
    Body, ENTITIES, EventManifest, Expect, Keep, Named, Parcel, PartManifest, PartSource, Place, bases, named,
};
use xxhash_rust::xxh3::xxh3_64;

use super::adapt::Adapters;
use super::compute::Failure;
use super::copies::Copies;
use super::mapped::Both;
use super::owned::OwnedPart;
use crate::declaration::resource_rows;
use crate::events::EventSlice;
use crate::planted::{self, Bug};
use crate::view::SharedRows;
use crate::{EventBatch, System};

/// The system that input is for, how the world's values become its own, and the memory that is mapped.
pub(super) type Reader<'a> = (&'a dyn System, &'a Adapters, Option<&'a Both>);

/// What all jobs of a node read alike.
#[derive(Default)]
pub(super) struct SharedInput {
    pub(super) parts: Vec<OwnedPart>,
    pub(super) events: Vec<EventBatch>,
    pub(super) stamp: Option<u64>,
}

/// What a part's query asks for.
pub(super) fn query_of(descriptor: &SystemDescriptor, part: &PartManifest) -> Result<QueryDescriptor, Failure> {
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

/// The parts of a parcel, verified, in columns.
///
/// What was kept is taken out of the copies. After a failure it is gone.
pub(super) fn parts(
    reader: Reader<'_>,
    copies: &mut Copies,
    parcel: &Parcel,
    (manifests, events): (&[PartManifest], &[EventManifest]),
    keep: Option<&Keep>,
) -> Result<Vec<OwnedPart>, Failure> {
    Expect::input(manifests, events).verify(parcel).map_err(Failure::refused)?;
    let descriptor = reader.0.descriptor();
    let component = |part: &PartManifest, column: u16| {
        let query = query_of(descriptor, part).ok()?;
        Some(query.columns.get(usize::from(column))?.component)
    };
    let mut kept: Vec<Named> = named(manifests, descriptor.options.whole, component).collect();
    match keep {
        // Once more what is there already: as if it were what changed.
        Some(keep) if is_applied(copies, &kept, keep)? => {
            kept.iter_mut().for_each(|name| name.place = Place::Changed);
        }
        None if !kept.is_empty() => {
            return Err(Failure::refused("columns are to be kept, and the manifest says nothing of that"));
        }
        _ => {}
    }
    let mut names = kept.iter().peekable();
    let mut parts = Vec::with_capacity(manifests.len());
    for (number, manifest) in manifests.iter().enumerate() {
        let mine = std::iter::from_fn(|| names.next_if(|name| usize::from(name.part) == number).copied()).collect();
        parts.push(OwnedPart::new(reader, manifest, mine, copies)?);
    }
    grow(&mut parts, parcel)?;
    fill(&mut parts, parcel)?;
    for part in &mut parts {
        part.finish()?;
    }
    if let Some(check) = keep.and_then(|keep| keep.check) {
        let part = parts.get(usize::from(check.part));
        let bytes = part.and_then(|part| part.world_bytes(check.column));
        if bytes.is_none_or(|bytes| xxh3_64(bytes) != check.digest) {
            return Err(Failure::corrupt());
        }
    }
    Ok(parts)
}

/// Whether the parcel is in the copies already; an error when it builds on others than those that are here.
fn is_applied(copies: &Copies, kept: &[Named], keep: &Keep) -> Result<bool, Failure> {
    let stamps = || kept.iter().filter(|name| name.changed()).map(|name| copies.stamp(&name.key));
    if bases(stamps()) == keep.bases || planted::is(Bug::SkipStampCheck) {
        return Ok(false);
    }
    // Of a shared input that other jobs of the node have used. What came whole is in a copy as well then.
    if kept.iter().all(|name| copies.stamp(&name.key) == keep.stamp) {
        return Ok(true);
    }
    Err(Failure::stale())
}

/// Makes room in copies that have become longer: for rows that have come, and for no others.
fn grow(parts: &mut [OwnedPart], parcel: &Parcel) -> Result<(), Failure> {
    if !parts.iter().any(OwnedPart::grows) {
        return parts.iter_mut().try_for_each(OwnedPart::resize);
    }
    for section in parcel.sections() {
        let section = section.map_err(Failure::refused)?;
        let Some(part) = parts.get_mut(usize::from(section.part)) else { continue };
        let first = section.first_row as usize;
        match section.body {
            Body::Plain(_) | Body::Documents(_) => {
                part.came(section.column, first..first + section.rows as usize);
            }
            Body::PackedPlain(bits, _) | Body::PackedDocuments(bits, _) => {
                bits.ones().for_each(|row| part.came(section.column, first + row..first + row + 1));
            }
            Body::Entities(_) | Body::Changed(_) | Body::Stream(_) => {}
        }
    }
    parts.iter_mut().try_for_each(OwnedPart::resize)
}

/// Puts all values to their places.
fn fill(parts: &mut [OwnedPart], parcel: &Parcel) -> Result<(), Failure> {
    for section in parcel.sections() {
        let section = section.map_err(Failure::refused)?;
        let is_stream = matches!(section.body, Body::Stream(_));
        let Some(part) = parts.get_mut(usize::from(section.part)).filter(|_| !is_stream) else { continue };
        match section.body {
            Body::Entities(bytes) => part.add_entities(section.first_row as usize, bytes),
            Body::Plain(bytes) if section.column == ENTITIES => {
                part.set_entities(section.first_row as usize.., bytes);
            }
            Body::PackedPlain(bits, bytes) if section.column == ENTITIES => {
                part.set_entities(bits.ones().map(|row| section.first_row as usize + row), bytes);
            }
            Body::Changed(bits) => part.set_changed(section.column, section.first_row as usize, bits),
            _ => {
                if let Some(Some(column)) = part.columns.get_mut(usize::from(section.column)) {
                    column.fill(&section)?;
                }
            }
        }
    }
    Ok(())
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

    /// Gives the copies back.
    pub(super) fn put_back(self, tick: u64, copies: &mut Copies) {
        if let Some(stamp) = self.stamp {
            self.parts.into_iter().for_each(|part| part.put_back(tick, stamp, copies));
        }
    }
}

/// The schema of a component that the system names.
pub(super) fn schema_of(system: &dyn System, component: ComponentId) -> Result<&Schema, Failure> {
    let schema = system.schemas().iter().find(|schema| schema.id() == component);
    schema.ok_or_else(|| {
        let name = &system.descriptor().name;
        Failure::refused(format_args!("system `{name}` has no schema of component {component}"))
    })
}

/// The events of a shared input.
pub(super) fn events(
    (system, adapters): (&dyn System, &Adapters),
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

/// Whether a column comes as the world stores it.
pub(super) fn fits(stored: &Schema, travels: Option<&engine_net::parcel::ColumnManifest>) -> bool {
    match stored.kind {
        StorageKind::Tag => travels.is_none(),
        StorageKind::Plain => travels.is_some_and(|column| column.stride as usize == stored.stride()),
        StorageKind::Document => travels.is_some_and(|column| column.stride == 0),
    }
}
