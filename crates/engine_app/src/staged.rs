//! Rows that an instance has written to memory that this process has mapped, until their node is merged.
//!
//! Where any bytes are a value they stay there, and are copied once, into the world. Others are copied when the result
//! is there, and checked; what is merged is the copy.
//!
//! Invariant: what is looked at is a copy. The instance may go on writing; nobody sees it.

use std::fmt;
use std::sync::Arc;

use engine_component::World;
use engine_component::schema::Schema;
use engine_net::descriptor::SystemDescriptor;
use engine_net::messages::rejected::RejectReason;
use engine_net::parcel::{MappedRows, PartManifest};

use crate::receive::{Rejection, access, check_plain};

/// Bytes that are copied at once on the way to the world: they stay in a core's cache meanwhile.
const BLOCK: usize = 64 << 10;

/// What an instance has written to memory.
pub trait OutputMemory: fmt::Debug + Send + Sync {
    /// Its size.
    fn bytes(&self) -> u64;
    /// Copies bytes at an offset, each once; whether there are so many.
    fn read(&self, offset: u64, into: &mut [u8]) -> bool;
    /// Whether bytes that are there can be read whatever happens.
    fn is_sure(&self) -> bool;
}

/// Rows of several columns, of which all that can be wrong was checked.
#[derive(Debug, Default)]
pub struct Staged {
    bytes: Vec<u8>,
    rows: Vec<StagedRows>,
    output: Option<Arc<dyn OutputMemory>>,
}

/// Rows of one column.
#[derive(Clone, Copy, Debug)]
struct StagedRows {
    part: u16,
    column: u16,
    first_row: u32,
    rows: u32,
    stride: u32,
    place: StagedAt,
}

/// Where values begin.
#[derive(Clone, Copy, Debug)]
enum StagedAt {
    /// In the bytes.
    Copied(usize),
    /// In the instance's memory.
    There(u64),
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
    /// Where it has written it.
    pub output: &'a Arc<dyn OutputMemory>,
}

impl Reading<'_> {
    /// Checks what an instance says that it has written.
    ///
    /// # Errors
    /// When it names rows that it doesn't have or may not write, or some twice, or values that can't be.
    pub fn stage(&self, mapped: &[MappedRows], buffer: Vec<u8>) -> Result<Staged, Rejection> {
        let mut staged = Staged { bytes: buffer, rows: Vec::new(), output: Some(self.output.clone()) };
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
        let bytes = rows as usize * stride as usize;
        let place = offset + (u64::from(part.first_row) + u64::from(first_row)) * u64::from(stride);
        let missing = || refused("rows in memory that it doesn't have");
        let place = if any_value_will_do(schema) && self.output.is_sure() {
            let behind = place.checked_add(bytes as u64).filter(|behind| *behind <= self.output.bytes());
            behind.map(|_| StagedAt::There(place)).ok_or_else(missing)?
        } else {
            let at = *end;
            *end = at + bytes;
            staged.make_room(*end);
            let copy = &mut staged.bytes[at..*end];
            if !self.output.read(place, copy) {
                return Err(missing());
            }
            check_plain(schema, copy, self.spawns[usize::from(number)])?;
            StagedAt::Copied(at)
        };
        staged.rows.push(StagedRows { part: number, column, first_row, rows, stride, place });
        Ok(())
    }
}

/// Whether there is nothing to be checked in a value.
fn any_value_will_do(schema: &Schema) -> bool {
    !schema.finite && !schema.may_hold_entities()
}

fn refused(what: &str) -> Rejection {
    Rejection::new(RejectReason::UndeclaredColumn, format_args!("the result names {what}"))
}

impl Staged {
    fn make_room(&mut self, bytes: usize) {
        if self.bytes.len() < bytes {
            self.bytes.resize(bytes, 0);
        }
    }

    /// Visits rows by part, column, first row in the part, and their values. A multiple of 64 of them at once, unless
    /// they are the last ones of what was named.
    pub fn visit(&mut self, mut each: impl FnMut(u16, u16, u32, &[u8])) {
        let stays = |rows: &StagedRows| matches!(rows.place, StagedAt::There(_));
        let rows = std::mem::take(&mut self.rows);
        if rows.iter().any(stays) {
            let widest = rows.iter().map(|rows| rows.stride as usize * 64).max();
            self.make_room(widest.unwrap_or(0).max(BLOCK));
        }
        // What was copied comes first: then the buffer is free.
        for rows in rows.iter().filter(|rows| !stays(rows)) {
            if let StagedAt::Copied(at) = rows.place {
                let bytes = &self.bytes[at..][..rows.rows as usize * rows.stride as usize];
                each(rows.part, rows.column, rows.first_row, bytes);
            }
        }
        for rows in rows.iter().filter(|rows| stays(rows)) {
            let (StagedAt::There(place), Some(output)) = (rows.place, &self.output) else { continue };
            let at_once = (BLOCK as u32 / rows.stride.max(1)).max(64) / 64 * 64;
            for first in (0..rows.rows).step_by(at_once as usize) {
                let bytes = (rows.rows - first).min(at_once) as usize * rows.stride as usize;
                let copy = &mut self.bytes[..bytes];
                if output.read(place + u64::from(first) * u64::from(rows.stride), copy) {
                    each(rows.part, rows.column, rows.first_row + first, copy);
                }
            }
        }
    }

    /// Visits rows as [`Self::visit`] does, and keeps them. Those that stay at the instance are read once more when they
    /// are merged, and may be others by then.
    pub fn look(&self, mut each: impl FnMut(u16, u16, u32, &[u8])) {
        let mut copy = Vec::new();
        for rows in &self.rows {
            let bytes = rows.rows as usize * rows.stride as usize;
            match (rows.place, &self.output) {
                (StagedAt::Copied(at), _) => each(rows.part, rows.column, rows.first_row, &self.bytes[at..][..bytes]),
                (StagedAt::There(place), Some(output)) => {
                    copy.resize(bytes, 0);
                    if output.read(place, &mut copy) {
                        each(rows.part, rows.column, rows.first_row, &copy);
                    }
                }
                (StagedAt::There(_), None) => {}
            }
        }
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

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "test.Depth")]
    struct Depth(f32);

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

    /// 1 in the first 512 bytes and then NaN, and nothing behind 1024.
    #[derive(Debug)]
    struct Written;

    impl OutputMemory for Written {
        fn bytes(&self) -> u64 {
            1024
        }

        fn read(&self, offset: u64, into: &mut [u8]) -> bool {
            for (at, value) in (offset..).step_by(4).zip(into.as_chunks_mut::<4>().0) {
                *value = if at < 512 { 1.0_f32 } else { f32::NAN }.to_le_bytes();
            }
            offset + into.len() as u64 <= 1024
        }

        fn is_sure(&self) -> bool {
            true
        }
    }

    /// What comes of it where only finite heights will do, or any.
    fn stage_of<H: Component>(mapped: &[MappedRows]) -> Result<Staged, Rejection>
    where
        for<'a> &'a mut H: engine_component::query::QueryData,
    {
        let mut world = World::default();
        world.register::<H>().unwrap();
        world.register::<Slope>().unwrap();
        let query = describe::<(&mut H, &Slope), ()>().unwrap();
        let descriptor = SystemDescriptor { queries: vec![query], ..SystemDescriptor::new("climb") };
        let output: Arc<dyn OutputMemory> = Arc::new(Written);
        let parts = [part(0), part(64), part(128), part(256)];
        let spawns = &[0; 4];
        let reading = Reading { world: &world, descriptor: &descriptor, parts: &parts, spawns, output: &output };
        reading.stage(mapped, Vec::new())
    }

    fn stage(mapped: &[MappedRows]) -> Result<Staged, Rejection> {
        stage_of::<Height>(mapped)
    }

    /// Part, column, first row and number of values.
    fn rows(mut staged: Staged) -> Vec<(u16, u16, u32, usize)> {
        let mut rows = Vec::new();
        staged.visit(|part, column, first, bytes| {
            assert!(bytes.chunks(4).all(|value| value == 1.0_f32.to_le_bytes()));
            rows.push((part, column, first, bytes.len() / 4));
        });
        rows
    }

    #[test]
    fn rows_are_copied_from_where_their_column_has_them() {
        let some = [MappedRows(0, 0, 1, 8, 4), MappedRows(0, 0, 1, 12, 4), MappedRows(0, 1, 1, 0, 64)];
        for stage in [stage_of::<Height>, stage_of::<Depth>] {
            assert_eq!(rows(stage(&[MappedRows(0, 0, 2, 0, 0)]).unwrap()), [(0, 0, 0, 64), (1, 0, 0, 64)]);
            assert_eq!(rows(stage(&some).unwrap()), [(0, 0, 8, 4), (0, 0, 12, 4), (1, 0, 0, 64)]);
        }
    }

    #[test]
    fn only_what_has_to_be_checked_is_copied_before_it_is_merged() {
        let all = [MappedRows(0, 0, 3, 0, 0)];
        assert!(stage_of::<Height>(&all).is_err(), "of the third part, not finite");
        assert_eq!(stage_of::<Depth>(&all).unwrap().bytes.len(), 0);
        assert_eq!(stage_of::<Height>(&[MappedRows(0, 0, 1, 0, 0)]).unwrap().bytes.len(), 256);
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
        for (what, mapped) in &cases {
            assert!(stage(mapped).is_err(), "{what}");
        }
        // Any depth will do.
        for (what, mapped) in &cases[..cases.len() - 1] {
            assert!(stage_of::<Depth>(mapped).is_err(), "{what}");
        }
    }
}
