//! What jobs changed, as the chunks of a result: rows that differ from what was there before, in the world's layout,
//! commands and events.

use std::ops::Range;

use bytes::Bytes;
use engine_component::query::{Part, PartColumn};
use engine_component::{BitRows, StorageKind};
use engine_net::parcel::{ColumnData, JobEffects, MappedRows, OutColumn, ParcelWriter, ResultManifest};
use engine_net::{ChunkKind, ChunkPrefix};

use super::compute::{Failure, Work};
use super::owned::OwnedPart;
use crate::planted::{self, Bug};
use crate::{EventBatch, JobOutput};

/// Rows, and the documents that they have now.
pub(super) type NewDocuments = Vec<(usize, Vec<u8>)>;

/// What a job cost.
pub(super) struct Figures {
    pub(super) compute_ns: u64,
    pub(super) wait_ns: u64,
    pub(super) rest_ns: u64,
}

/// What a job did besides writing rows: commands, and the events of each writer.
pub(super) struct Effects {
    manifest: JobEffects,
    commands: Vec<u8>,
    events: Vec<EventBatch>,
}

impl Effects {
    /// Of a job, by its place in the batch; none when there are none.
    pub(super) fn of(work: &Work, job: u32, output: JobOutput) -> Result<Option<Self>, Failure> {
        let commands = work.adapters.commands(output.commands)?;
        let events = work.adapters.sent(output.events)?;
        if commands.is_empty() && events.iter().all(|(_, batch)| batch.is_empty()) {
            return Ok(None);
        }
        let commands = commands.into_bytes();
        let manifest = JobEffects {
            job,
            commands_bytes: commands.len() as u64,
            events: events.iter().map(|(event, batch)| batch.manifest(*event)).collect(),
        };
        Ok(Some(Self { manifest, commands, events: events.into_iter().map(|(_, batch)| batch).collect() }))
    }
}

/// The documents of each column that the system wrote, taken when it is done.
pub(super) fn documents(part: &Part<'_>) -> Vec<Option<NewDocuments>> {
    let changes = |column: &PartColumn<'_>| match column {
        PartColumn::Document(documents) => Some(documents.changes()),
        _ => None,
    };
    part.columns.iter().map(changes).collect()
}

/// The Plain columns that a job may write, as they were before it ran; the memory is used again and again.
#[derive(Default)]
pub(super) struct Before {
    bytes: Vec<u8>,
    places: Vec<(usize, usize, Range<usize>)>,
}

impl Before {
    /// Copies what is there. Columns in another layout are compared when they are converted back.
    pub(super) fn take(&mut self, parts: &[OwnedPart]) {
        self.bytes.clear();
        self.places.clear();
        for (number, part) in parts.iter().enumerate() {
            for (slot, column) in part.columns.iter().enumerate() {
                let Some(column) = column.as_ref().filter(|column| column.adapted.is_none() && part.writes(slot))
                else {
                    continue;
                };
                if column.values.kind() == StorageKind::Plain {
                    let first = self.bytes.len();
                    self.bytes.extend_from_slice(column.values.bytes());
                    self.places.push((number, slot, first..self.bytes.len()));
                }
            }
        }
    }

    /// Which rows of a column differ from what was there before.
    fn differing(&self, number: usize, slot: usize, part: &OwnedPart, now: &[u8], stride: usize) -> BitRows {
        let Some((.., place)) = self.places.iter().find(|(part, column, _)| (*part, *column) == (number, slot)) else {
            return BitRows::full(part.rows());
        };
        let before = &self.bytes[place.clone()];
        if before == now {
            return BitRows::default();
        }
        let mut rows = BitRows::differing(before, now, stride);
        if planted::is(Bug::DropDirtyBit) && part.rows() > 63 {
            rows.unset(63);
        }
        rows
    }
}

/// What changed in a column, in the world's layout.
pub(super) enum Change {
    /// Rows of the part's own values.
    Plain(BitRows),
    /// Rows of these values: the part has another layout.
    Adapted(Vec<u8>, BitRows),
    Documents(NewDocuments),
}

/// What changed in each column of a part.
pub(super) type Changes = Vec<(u16, Change)>;

/// What a job changed in its parts.
pub(super) fn changes(
    before: &Before,
    parts: &[OwnedPart],
    documents: Vec<Vec<Option<NewDocuments>>>,
) -> Result<Vec<Changes>, Failure> {
    let parts = parts.iter().enumerate().zip(documents);
    parts.map(|((number, part), documents)| changes_of(before, number, part, documents)).collect()
}

fn changes_of(
    before: &Before,
    number: usize,
    part: &OwnedPart,
    documents: Vec<Option<NewDocuments>>,
) -> Result<Changes, Failure> {
    let mut changes = Vec::new();
    for (slot, (column, documents)) in part.columns.iter().zip(documents).enumerate() {
        let Some(column) = column.as_ref().filter(|_| part.writes(slot)) else { continue };
        let change = match (&column.adapted, column.values.kind()) {
            (None, StorageKind::Plain) => {
                let dirty = before.differing(number, slot, part, column.values.bytes(), column.values.stride());
                dirty.any().then_some(Change::Plain(dirty))
            }
            (Some(stored), StorageKind::Plain) => {
                let (bytes, dirty) = stored.plain_back(&column.values)?;
                dirty.any().then_some(Change::Adapted(bytes, dirty))
            }
            (stored, StorageKind::Document) => {
                let mut rows = documents.unwrap_or_default();
                if let Some(stored) = stored {
                    rows = stored.documents_back(rows)?;
                }
                (!rows.is_empty()).then_some(Change::Documents(rows))
            }
            (_, StorageKind::Tag) => None,
        };
        changes.extend(change.map(|change| (slot as u16, change)));
    }
    Ok(changes)
}

/// Takes over what was changed into what is kept.
pub(super) fn absorb(part: &mut OwnedPart, changes: &Changes) {
    for (slot, change) in changes {
        let Some(Some(column)) = part.columns.get_mut(usize::from(*slot)) else { continue };
        match change {
            Change::Plain(_) => {}
            Change::Adapted(bytes, _) => column.absorb_plain(bytes),
            Change::Documents(rows) => column.absorb_documents(rows),
        }
    }
}

/// The chunks of a result.
pub(super) fn result(
    work: &Work,
    (parts, mapped): (&[OwnedPart], Vec<MappedRows>),
    changes: &[Changes],
    effects: &[Effects],
    figures: Figures,
) -> Result<Vec<Bytes>, Failure> {
    let manifest = ResultManifest {
        compute_ns: figures.compute_ns,
        wait_ns: figures.wait_ns,
        rest_ns: figures.rest_ns,
        jobs: effects.iter().map(|effects| effects.manifest.clone()).collect(),
        mapped,
    };
    let prefix = ChunkPrefix { kind: ChunkKind::Result, ..work.prefix };
    let mut writer = ParcelWriter::new(prefix, work.sizes, &manifest).map_err(Failure::refused)?;
    for (number, (part, changes)) in parts.iter().zip(changes).enumerate() {
        write_part(&mut writer, number as u16, part, changes)?;
    }
    let streams = effects
        .iter()
        .flat_map(|effects| std::iter::once(&effects.commands[..]).chain(effects.events.iter().map(EventBatch::bytes)));
    for (stream, bytes) in streams.enumerate() {
        let stream = u16::try_from(stream).map_err(|_| Failure::refused("too many streams in one result"))?;
        writer.stream(stream, 0, bytes).map_err(Failure::refused)?;
    }
    writer.finish().map_err(Failure::refused)
}

fn write_part(writer: &mut ParcelWriter, number: u16, part: &OwnedPart, changes: &Changes) -> Result<(), Failure> {
    let packed: Vec<(Vec<&[u8]>, BitRows)> = changes
        .iter()
        .map(
            |(_, change)| {
                if let Change::Documents(rows) = change { packed(rows, part.rows()) } else { Default::default() }
            },
        )
        .collect();
    let columns = changes.iter().zip(&packed).filter_map(|((slot, change), (rows, dirty_rows))| {
        let column = part.columns.get(usize::from(*slot))?.as_ref()?;
        let data = match change {
            Change::Plain(dirty) => {
                ColumnData::DirtyPlain { bytes: column.values.bytes(), stride: column.values.stride(), dirty }
            }
            Change::Adapted(bytes, dirty) => {
                let stride = column.adapted.as_ref()?.values.stride();
                ColumnData::DirtyPlain { bytes, stride, dirty }
            }
            Change::Documents(_) => ColumnData::DirtyDocuments { rows, dirty: dirty_rows },
        };
        Some(OutColumn { column: *slot, data })
    });
    let columns: Vec<OutColumn<'_>> = columns.collect();
    if columns.is_empty() { Ok(()) } else { writer.part(number, part.rows(), &columns).map_err(Failure::refused) }
}

fn packed(changed: &NewDocuments, rows: usize) -> (Vec<&[u8]>, BitRows) {
    let (mut all, mut dirty) = (vec![&[][..]; rows], BitRows::new(rows));
    for (row, bytes) in changed {
        all[*row] = bytes;
        dirty.set(*row);
    }
    (all, dirty)
}
