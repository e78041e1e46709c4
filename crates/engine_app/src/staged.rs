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
