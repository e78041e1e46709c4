//! What a job changed, as the chunks of its result: rows that differ from what came, in the world's layout,
//! commands and events.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine_component::query::{Part, PartColumn};
use engine_component::{BitRows, StorageKind};
use engine_net::parcel::{Body, ColumnData, OutColumn, Parcel, ParcelWriter, ResultManifest};
use engine_net::{ChunkKind, ChunkPrefix};

use super::compute::{Failure, Work};
use super::input::OwnedPart;
use crate::JobOutput;
use crate::planted::{self, Bug};

/// Rows, and the documents that they have now.
pub(super) type NewDocuments = Vec<(usize, Vec<u8>)>;

/// Rows that differ, by the number of the part and the slot of the column.
type ChangedRows = BTreeMap<(usize, usize), BitRows>;

/// What a job cost.
pub(super) struct Figures {
    pub(super) compute_ns: u64,
    pub(super) wait_ns: u64,
}

/// The documents of each column that the system wrote, taken when it is done.
pub(super) fn documents(part: &Part<'_>) -> Vec<Option<NewDocuments>> {
    let changes = |column: &PartColumn<'_>| match column {
        PartColumn::Document(documents) => Some(documents.changes()),
        _ => None,
    };
    part.columns.iter().map(changes).collect()
}

/// The chunks of a result.
pub(super) fn result(
    work: &Work,
    parts: &[OwnedPart],
    documents: Vec<Vec<Option<NewDocuments>>>,
    output: JobOutput,
    figures: Figures,
) -> Result<Vec<Bytes>, Failure> {
    let commands = work.adapters.commands(output.commands)?;
    let events = work.adapters.sent(output.events)?;
    let manifest = ResultManifest {
        compute_ns: figures.compute_ns,
        wait_ns: figures.wait_ns,
        commands_bytes: commands.bytes().len() as u64,
        events: events.iter().map(|(event, batch)| batch.manifest(*event)).collect(),
    };
    let prefix = ChunkPrefix { kind: ChunkKind::Result, ..work.prefix };
    let mut writer = ParcelWriter::new(prefix, work.sizes, &manifest).map_err(Failure::refused)?;
    let mut changed = changed_rows(&work.parcel, parts)?;
    for (number, (part, documents)) in parts.iter().zip(documents).enumerate() {
        let changes = changes(number, part, &mut changed, documents)?;
        write_part(&mut writer, number as u16, part.rows(), &changes)?;
    }
    writer.stream(0, 0, commands.bytes()).map_err(Failure::refused)?;
    for (stream, (_, batch)) in events.iter().enumerate() {
        writer.stream(stream as u16 + 1, 0, batch.bytes()).map_err(Failure::refused)?;
    }
    writer.finish().map_err(Failure::refused)
}

/// Which rows of the Plain columns that the job may write differ from what came: the parcel still holds
/// that. Adapted columns are compared when they are converted back.
fn changed_rows(parcel: &Parcel, parts: &[OwnedPart]) -> Result<ChangedRows, Failure> {
    let mut changed = ChangedRows::new();
    for section in parcel.sections() {
        let section = section.map_err(Failure::refused)?;
        let (number, slot) = (usize::from(section.part), usize::from(section.column));
        let (Body::Plain(before), Some(part)) = (section.body, parts.get(number)) else { continue };
        let Some(Some(column)) = part.columns.get(slot).filter(|_| part.writes(slot)) else { continue };
        if column.adapted.is_some() {
            continue;
        }
        let (first, stride) = (section.first_row as usize, column.values.stride());
        let now = &column.values.bytes()[first * stride..][..before.len()];
        if before != now {
            let rows = changed.entry((number, slot)).or_insert_with(|| BitRows::new(part.rows()));
            rows.add_at(first, &BitRows::differing(before, now, stride));
            if planted::is(Bug::DropDirtyBit) && part.rows() > 63 {
                rows.unset(63);
            }
        }
    }
    Ok(changed)
}

/// What changed in a column, in the world's layout.
enum Change<'a> {
    Plain { bytes: std::borrow::Cow<'a, [u8]>, stride: usize, dirty: BitRows },
    Documents { rows: Vec<Vec<u8>>, dirty: BitRows },
}

fn changes<'p>(
    number: usize,
    part: &'p OwnedPart,
    changed: &mut ChangedRows,
    documents: Vec<Option<NewDocuments>>,
) -> Result<Vec<(u16, Change<'p>)>, Failure> {
    let mut changes = Vec::new();
    for (slot, (column, documents)) in part.columns.iter().zip(documents).enumerate() {
        let Some(column) = column.as_ref().filter(|_| part.writes(slot)) else { continue };
        let change = match (&column.adapted, column.values.kind()) {
            (None, StorageKind::Plain) => changed.remove(&(number, slot)).map(|dirty| {
                let (bytes, stride) = (column.values.bytes().into(), column.values.stride());
                Change::Plain { bytes, stride, dirty }
            }),
            (Some(stored), StorageKind::Plain) => {
                let (bytes, dirty) = stored.plain_back(&column.values)?;
                dirty.any().then(|| Change::Plain { bytes: bytes.into(), stride: stored.values.stride(), dirty })
            }
            (stored, StorageKind::Document) => {
                let mut rows = documents.unwrap_or_default();
                if let Some(stored) = stored {
                    rows = stored.documents_back(rows)?;
                }
                (!rows.is_empty()).then(|| packed(rows, part.rows()))
            }
            (_, StorageKind::Tag) => None,
        };
        changes.extend(change.map(|change| (slot as u16, change)));
    }
    Ok(changes)
}

fn packed(changed: NewDocuments, rows: usize) -> Change<'static> {
    let (mut all, mut dirty) = (vec![Vec::new(); rows], BitRows::new(rows));
    for (row, bytes) in changed {
        all[row] = bytes;
        dirty.set(row);
    }
    Change::Documents { rows: all, dirty }
}

fn write_part(
    writer: &mut ParcelWriter,
    number: u16,
    rows: usize,
    changes: &[(u16, Change<'_>)],
) -> Result<(), Failure> {
    let columns: Vec<OutColumn<'_>> = changes
        .iter()
        .map(|(slot, change)| OutColumn {
            column: *slot,
            data: match change {
                Change::Plain { bytes, stride, dirty } => ColumnData::DirtyPlain { bytes, stride: *stride, dirty },
                Change::Documents { rows, dirty } => ColumnData::DirtyDocuments { rows, dirty },
            },
        })
        .collect();
    if columns.is_empty() { Ok(()) } else { writer.part(number, rows, &columns).map_err(Failure::refused) }
}
