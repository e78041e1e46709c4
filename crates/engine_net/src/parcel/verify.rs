//! Comparing every section of a parcel with what was declared, before anything is copied out of it.
//!
//! After that: every section names a declared part and column, has its kind and stride, sections of one
//! column follow one another without overlap, and where all rows are expected all rows are there. So a
//! receiver may allocate the rows that the manifest claims, because their bytes have arrived, and may
//! copy without further checks. *Values* (documents, entities, finite numbers) are not looked at here.

use super::manifest::{EventManifest, PartManifest, Place};
use super::section::{Body, ENTITIES, Section};
use super::{Parcel, Refusal};

/// Bitmaps of changed rows of one part, at the most.
pub const MAX_CHANGED: usize = 64;
/// Rows of a part of which neither entities nor columns travel, at the most: nothing that arrived bears
/// witness to them.
pub const MAX_BARE_ROWS: u32 = 1 << 26;

/// What a parcel has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// The parts, by number.
    pub parts: Vec<ExpectPart>,
    /// The bytes of the streams, by number.
    pub streams: Vec<u64>,
}

/// What a part has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectPart {
    /// The number of rows.
    pub rows: u32,
    /// Whether there are entities.
    pub entities: bool,
    /// The number of bitmaps of changed rows.
    pub changed: u16,
    /// The columns.
    pub columns: Vec<ExpectColumn>,
}

/// What a column has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectColumn {
    /// The number of the column.
    pub column: u16,
    /// Bytes of a row; 0 for documents.
    pub stride: u32,
    /// All rows, in order; otherwise some of them.
    pub all_rows: bool,
}

impl Expect {
    /// What a job or a shared input holds: all rows of everything that its manifest declares, and any rows of
    /// what the instance has kept.
    #[must_use]
    pub fn input(parts: &[PartManifest], events: &[EventManifest]) -> Self {
        let parts = parts.iter().map(|part| {
            let columns = part.columns.iter().map(|column| (column.column, column.stride, column.place));
            let entities = part.entities.filter(|place| *place == Place::Changed);
            let columns = columns.chain(entities.map(|place| (ENTITIES, 8, place)));
            let columns = columns.filter(|(.., place)| place.mapped().is_none());
            let expect = |(column, stride, place)| ExpectColumn { column, stride, all_rows: place != Place::Changed };
            ExpectPart {
                rows: part.rows,
                entities: part.entities.is_some_and(|place| place != Place::Changed && place.mapped().is_none()),
                changed: part.changed,
                columns: columns.map(expect).collect(),
            }
        });
        Self { parts: parts.collect(), streams: events.iter().map(|event| event.bytes).collect() }
    }

    /// What the result of a job may hold: some rows of the columns that the job may write.
    /// `writes(part, column)` tells which; `streams` are the bytes of the commands and of the events.
    #[must_use]
    pub fn result(
        parts: &[PartManifest],
        mut writes: impl FnMut(&PartManifest, u16) -> bool,
        streams: Vec<u64>,
    ) -> Self {
        let parts = parts.iter().map(|part| ExpectPart {
            rows: part.rows,
            entities: false,
            changed: 0,
            columns: part
                .columns
                .iter()
                .filter(|column| writes(part, column.column))
                .map(|c| ExpectColumn { column: c.column, stride: c.stride, all_rows: false })
                .collect(),
        });
        Self { parts: parts.collect(), streams }
    }

    /// Compares every section of a parcel with what is expected.
    pub fn verify(&self, parcel: &Parcel) -> Result<(), Refusal> {
        self.parts.iter().try_for_each(ExpectPart::check)?;
        let mut seen: Vec<Seen> = self.parts.iter().map(Seen::new).collect();
        let mut streams = vec![0_u64; self.streams.len()];
        for section in parcel.sections() {
            let section = section?;
            if let Body::Stream(_) = section.body {
                stream(&mut streams, &section)?;
                continue;
            }
            let part = usize::from(section.part);
            let (Some(expect), Some(seen)) = (self.parts.get(part), seen.get_mut(part)) else {
                return Err(undeclared(&section, "there is no such part"));
            };
            seen.add(expect, &section)?;
        }
        for (number, (expected, got)) in self.streams.iter().zip(&streams).enumerate() {
            same(number as u16, 0, "bytes of the stream", *expected, *got)?;
        }
        self.parts.iter().zip(&seen).enumerate().try_for_each(|(part, (expect, seen))| seen.finish(part as u16, expect))
    }
}

impl ExpectPart {
    /// What is expected may itself come from outside: a manifest.
    fn check(&self) -> Result<(), Refusal> {
        let changed = usize::from(self.changed);
        if changed > MAX_CHANGED {
            return Err(Refusal::TooLarge { what: "bitmaps of changed rows", got: changed, limit: MAX_CHANGED });
        }
        let bare = !self.entities && self.columns.is_empty();
        if bare && self.rows > MAX_BARE_ROWS {
            let (got, limit) = (self.rows as usize, MAX_BARE_ROWS as usize);
            return Err(Refusal::TooLarge { what: "rows without columns", got, limit });
        }
        Ok(())
    }
}

/// How far each column of a part has come: the row behind the last one that was seen.
struct Seen {
    entities: u32,
    changed: Vec<u32>,
    columns: Vec<u32>,
}

impl Seen {
    fn new(expect: &ExpectPart) -> Self {
        Self { entities: 0, changed: vec![0; expect.changed.into()], columns: vec![0; expect.columns.len()] }
    }

    fn add(&mut self, expect: &ExpectPart, section: &Section<'_>) -> Result<(), Refusal> {
        if section.end() > expect.rows {
            return wrong(section, "rows", expect.rows.into(), section.end().into());
        }
        match section.body {
            Body::Entities(_) if expect.entities => follow(&mut self.entities, section, true),
            Body::Entities(_) => Err(undeclared(section, "entities were not declared")),
            Body::Changed(_) => match self.changed.get_mut(usize::from(section.column)) {
                // What is left out did not change.
                Some(seen) => follow(seen, section, false),
                None => Err(undeclared(section, "there is no such bitmap of changed rows")),
            },
            _ => {
                let Some(at) = expect.columns.iter().position(|column| column.column == section.column) else {
                    return Err(undeclared(section, "the column was not declared, or may not be written"));
                };
                check_kind(&expect.columns[at], section)?;
                follow(&mut self.columns[at], section, expect.columns[at].all_rows)
            }
        }
    }

    fn finish(&self, part: u16, expect: &ExpectPart) -> Result<(), Refusal> {
        let rows = u64::from(expect.rows);
        if expect.entities {
            same(part, 0, "the number of entities", rows, self.entities.into())?;
        }
        for (column, seen) in expect.columns.iter().zip(&self.columns).filter(|(column, _)| column.all_rows) {
            same(part, column.column, "the number of rows", rows, (*seen).into())?;
        }
        Ok(())
    }
}

/// Rows follow one another: where all are expected without a gap, otherwise without overlap.
fn follow(seen: &mut u32, section: &Section<'_>, all_rows: bool) -> Result<(), Refusal> {
    if section.first_row < *seen || (all_rows && section.first_row != *seen) {
        return wrong(section, "the first row", (*seen).into(), section.first_row.into());
    }
    *seen = section.end();
    Ok(())
}

/// The kind and the stride are those of the column, and rows are packed only where that makes sense.
fn check_kind(column: &ExpectColumn, section: &Section<'_>) -> Result<(), Refusal> {
    let (data, rows) = match section.body {
        Body::Documents(_) if column.stride == 0 => return Ok(()),
        Body::PackedDocuments(..) if column.stride == 0 && !column.all_rows => return Ok(()),
        Body::Plain(data) if column.stride > 0 => (data, section.rows as usize),
        Body::PackedPlain(bits, data) if column.stride > 0 && !column.all_rows => (data, bits.count()),
        _ => return Err(undeclared(section, "the section is of another kind than the column")),
    };
    same(section.part, section.column, "bytes of a row", column.stride.into(), (data.len() / rows) as u64)
}

fn stream(streams: &mut [u64], section: &Section<'_>) -> Result<(), Refusal> {
    let Some(seen) = streams.get_mut(usize::from(section.part)) else {
        return Err(undeclared(section, "there is no such stream"));
    };
    same(section.part, 0, "the offset in the stream", *seen, section.first_row.into())?;
    *seen += u64::from(section.rows);
    Ok(())
}

fn same(part: u16, column: u16, what: &'static str, expected: u64, got: u64) -> Result<(), Refusal> {
    if expected == got { Ok(()) } else { Err(Refusal::Length { part, column, what, expected, got }) }
}

fn wrong(section: &Section<'_>, what: &'static str, expected: u64, got: u64) -> Result<(), Refusal> {
    Err(Refusal::Length { part: section.part, column: section.column, what, expected, got })
}

fn undeclared(section: &Section<'_>, reason: &'static str) -> Refusal {
    Refusal::Undeclared { part: section.part, column: section.column, reason }
}
