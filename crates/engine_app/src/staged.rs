//! Rows that an instance has written to memory that this process has mapped: copied once, checked, and kept until their
//! node is merged.
//!
//! Invariant: what is looked at is the copy. The instance may go on writing; nobody sees it.

use engine_component::World;
use engine_net::descriptor::SystemDescriptor;
use engine_net::messages::rejected::RejectReason;
use engine_net::parcel::{MappedRows, PartManifest};

use crate::receive::{Rejection, access, check_plain};

/// Rows of several columns, checked.
#[derive(Debug, Default)]
pub struct Staged {
    bytes: Vec<u8>,
    rows: Vec<StagedRows>,
}

/// Rows of one column.
#[derive(Clone, Copy, Debug)]
struct StagedRows {
    part: u16,
    column: u16,
    first_row: u32,
    rows: u32,
    /// Where they begin in the bytes, and how many bytes of them there are.
    at: usize,
    bytes: usize,
}

/// What is read, and how.
pub struct Reading<'a> {
    /// The world.
    pub world: &'a World,
    /// The system that wrote it.
    pub descriptor: &'a SystemDescriptor,
    /// The parts of the batch, as the instance was told them.
    pub parts: &'a [PartManifest],
    /// For each part, how many entities its job spawns.
    pub spawns: &'a [u32],
    /// Copies bytes at an offset; whether there are so many.
    pub read: &'a dyn Fn(u64, &mut [u8]) -> bool,
}

impl Reading<'_> {
    /// Copies what an instance says that it has written, and checks it.
    ///
    /// # Errors
    /// When it names rows that it doesn't have or may not write, or some twice, or values that can't be.
    pub fn stage(&self, mapped: &[MappedRows], buffer: Vec<u8>) -> Result<Staged, Rejection> {
        let mut staged = Staged { bytes: buffer, rows: Vec::new() };
        // Behind the last row that was named, by column and part.
        let mut behind = (0, 0, 0);
        let mut end = 0;
        for MappedRows(column, first, parts, first_row, rows) in mapped.iter().copied() {
            let is_whole = rows == 0;
            let past = usize::from(first) + usize::from(parts) > self.parts.len();
            // Some rows are of one part, and all rows begin with the first one.
            let is_odd = parts == 0 || if is_whole { first_row > 0 } else { parts > 1 };
            if past || is_odd {
                return Err(refused("rows of parts that its batch doesn't have"));
            }
            for number in first..first + parts {
                let part = &self.parts[usize::from(number)];
                let rows = if is_whole { part.rows } else { rows };
                if (column, number, first_row) < behind || first_row.checked_add(rows).is_none_or(|end| end > part.rows)
                {
                    return Err(refused("rows twice, out of order, or behind the end of their part"));
                }
                behind = (column, number, first_row + rows);
                self.stage_rows(&mut staged, (number, column), (first_row, rows), &mut end)?;
            }
        }
        Ok(staged)
    }

    fn stage_rows(
        &self,
        staged: &mut Staged,
        (number, column): (u16, u16),
        (first_row, rows): (u32, u32),
        end: &mut usize,
    ) -> Result<(), Rejection> {
        let part = &self.parts[usize::from(number)];
        let written = access(self.descriptor, part, column).filter(|access| access.write);
        let manifest = part.columns.iter().find(|manifest| manifest.column == column);
        let offset = manifest.and_then(|manifest| Some((manifest.place.mapped()?, manifest.stride)));
        let (Some(access), Some((offset, stride))) = (written, offset) else {
            return Err(refused("a column that is not mapped, or may not be written"));
        };
        let Some(schema) = self.world.schema(access.component) else { return Err(refused("an unknown component")) };
        let (at, bytes) = (*end, rows as usize * stride as usize);
        *end = at + bytes;
        if staged.bytes.len() < *end {
            staged.bytes.resize(*end, 0);
        }
        let place = offset + (u64::from(part.first_row) + u64::from(first_row)) * u64::from(stride);
        let copy = &mut staged.bytes[at..*end];
        if !(self.read)(place, copy) {
            return Err(refused("rows in memory that it doesn't have"));
        }
        check_plain(schema, copy, self.spawns[usize::from(number)])?;
        staged.rows.push(StagedRows { part: number, column, first_row, rows, at, bytes });
        Ok(())
    }
}

fn refused(what: &str) -> Rejection {
    Rejection::new(RejectReason::UndeclaredColumn, format_args!("the result names {what}"))
}

impl Staged {
    /// Rows by part, column, first row in the part, and their values.
    pub fn rows(&self) -> impl Iterator<Item = (u16, u16, u32, &[u8])> {
        self.rows.iter().map(|rows| {
            debug_assert!(rows.rows > 0);
            (rows.part, rows.column, rows.first_row, &self.bytes[rows.at..][..rows.bytes])
        })
    }

    /// The buffer, to be used again.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use engine_component::query::describe;
    use engine_component::{Component, World};
    use engine_net::descriptor::SystemDescriptor;
    use engine_net::parcel::{ColumnManifest, PartSource, Place};

    use super::*;

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "test.Height", finite)]
    struct Height(f32);

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "test.Slope", finite)]
    struct Slope(f32);

    fn part(first_row: u32) -> PartManifest {
        let column = |column| ColumnManifest { column, stride: 4, place: Place::Mapped(u64::from(column) * 1024) };
        PartManifest {
            source: PartSource::Query,
            number: 0,
            archetype: Vec::new(),
            first_row,
            rows: 64,
            entities: None,
            columns: vec![column(0), column(1)],
            changed: 0,
        }
    }

    /// What comes of it, where the instance has 1 in the first 512 bytes and then NaN, and nothing behind 1024.
    fn stage(mapped: &[MappedRows]) -> Result<Staged, Rejection> {
        let mut world = World::default();
        world.register::<Height>().unwrap();
        world.register::<Slope>().unwrap();
        let query = describe::<(&mut Height, &Slope), ()>().unwrap();
        let descriptor = SystemDescriptor { queries: vec![query], ..SystemDescriptor::new("climb") };
        let read = |offset: u64, into: &mut [u8]| {
            for (at, value) in (offset..).step_by(4).zip(into.as_chunks_mut::<4>().0) {
                *value = if at < 512 { 1.0_f32 } else { f32::NAN }.to_le_bytes();
            }
            offset + into.len() as u64 <= 1024
        };
        let parts = [part(0), part(64), part(128), part(256)];
        let spawns = &[0; 4];
        let reading = Reading { world: &world, descriptor: &descriptor, parts: &parts, spawns, read: &read };
        reading.stage(mapped, Vec::new())
    }

    #[test]
    fn rows_are_copied_from_where_their_column_has_them() {
        let staged = stage(&[MappedRows(0, 0, 2, 0, 0)]).unwrap();
        let rows: Vec<_> =
            staged.rows().map(|(part, column, first, bytes)| (part, column, first, bytes.len())).collect();
        assert_eq!(rows, [(0, 0, 0, 256), (1, 0, 0, 256)]);
        let staged =
            stage(&[MappedRows(0, 0, 1, 8, 4), MappedRows(0, 0, 1, 12, 4), MappedRows(0, 1, 1, 0, 64)]).unwrap();
        assert_eq!(staged.rows().map(|(_, _, first, _)| first).collect::<Vec<_>>(), [8, 12, 0]);
        assert!(staged.rows().all(|(.., bytes)| bytes.chunks(4).all(|value| value == 1.0_f32.to_le_bytes())));
    }

    #[test]
    fn what_an_instance_may_not_name_is_refused_whole() {
        let all = MappedRows(0, 0, 1, 0, 0);
        let cases = [
            ("a column that is only read", vec![all, MappedRows(1, 0, 1, 0, 0)]),
            ("an unknown column", vec![MappedRows(7, 0, 1, 0, 0)]),
            ("a part that isn't there", vec![MappedRows(0, 3, 2, 0, 0)]),
            ("no part", vec![MappedRows(0, 0, 0, 0, 0)]),
            ("parts past all numbers", vec![MappedRows(0, u16::MAX, u16::MAX, 0, 0)]),
            ("rows behind the end", vec![MappedRows(0, 0, 1, 60, 5)]),
            ("rows past all numbers", vec![MappedRows(0, 0, 1, u32::MAX, u32::MAX)]),
            ("rows twice", vec![all, all]),
            ("rows that overlap", vec![MappedRows(0, 0, 1, 0, 9), MappedRows(0, 0, 1, 8, 4)]),
            ("parts out of order", vec![MappedRows(0, 1, 1, 0, 0), all]),
            ("some rows of several parts", vec![MappedRows(0, 0, 2, 0, 5)]),
            ("all rows from the middle on", vec![MappedRows(0, 0, 1, 5, 0)]),
            ("memory that it doesn't have", vec![all, MappedRows(0, 3, 1, 0, 0)]),
            ("values that aren't finite", vec![all, MappedRows(0, 2, 1, 0, 0)]),
        ];
        for (what, mapped) in cases {
            assert!(stage(&mapped).is_err(), "{what}");
        }
    }
}
