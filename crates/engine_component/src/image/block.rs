//! Blocks: the kinds of bytes that a world consists of, and their one order.

use std::fmt;

use super::error::{ImageError, Problem};
use super::frame::Numbers;

pub(super) const PIECE_HEAD: usize = 40;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Registry = 1,
    Tables = 2,
    Entities = 3,
    Values = 4,
    Lengths = 5,
    Documents = 6,
    Changed = 7,
}

/// Which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) what: What,
    pub(super) table: u32,
    pub(super) column: u32,
    pub(super) tracker: u32,
}

impl Block {
    pub(super) const REGISTRY: Self = Self { what: What::Registry, table: 0, column: 0, tracker: 0 };
    pub(super) const TABLES: Self = Self { what: What::Tables, table: 0, column: 0, tracker: 0 };

    pub(super) fn entities(table: u32) -> Self {
        Self { what: What::Entities, table, column: 0, tracker: 0 }
    }

    pub(super) fn of_column(what: What, table: u32, column: u32) -> Self {
        Self { what, table, column, tracker: 0 }
    }

    pub(super) fn changed(table: u32, column: u32, tracker: u32) -> Self {
        Self { what: What::Changed, table, column, tracker }
    }

    /// Writes the head of a piece of this block.
    pub(super) fn put_head(self, out: &mut Vec<u8>, offset: u64, total: u64, bytes: u32) {
        out.extend([self.what as u8, 0, 0, 0]);
        out.extend(self.table.to_le_bytes());
        out.extend(self.column.to_le_bytes());
        out.extend(self.tracker.to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend(total.to_le_bytes());
        out.extend(bytes.to_le_bytes());
        out.extend([0; 4]);
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, column, tracker, .. } = self;
        match self.what {
            What::Registry => f.write_str("the registry"),
            What::Tables => f.write_str("the list of tables"),
            What::Entities => write!(f, "the entities of table {table}"),
            What::Values => write!(f, "the values of column {column} of table {table}"),
            What::Lengths => write!(f, "the lengths of column {column} of table {table}"),
            What::Documents => write!(f, "the documents of column {column} of table {table}"),
            What::Changed => write!(f, "the changed rows of column {column} of table {table} for tracker {tracker}"),
        }
    }
}

/// A piece of a block: where it belongs, and its bytes.
pub(super) struct Piece<'a> {
    pub(super) block: Block,
    pub(super) offset: u64,
    pub(super) total: u64,
    pub(super) bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// The next piece of a part.
    pub(super) fn read(from: &mut Numbers<'a>, refuse: impl Fn(Problem) -> ImageError) -> Result<Self, ImageError> {
        let [what, zeros @ ..] = from.array::<4>()?;
        let what = match what {
            1 => What::Registry,
            2 => What::Tables,
            3 => What::Entities,
            4 => What::Values,
            5 => What::Lengths,
            6 => What::Documents,
            7 => What::Changed,
            other => return Err(refuse(Problem::Shape(format!("a piece of the unknown kind {other}")))),
        };
        let block = Block { what, table: from.u32()?, column: from.u32()?, tracker: from.u32()? };
        let (offset, total, bytes, zero) = (from.u64()?, from.u64()?, from.u32()?, from.u32()?);
        if zeros != [0; 3] || zero != 0 || bytes == 0 {
            return Err(refuse(Problem::Shape(format!("the head of a piece of {block}"))));
        }
        Ok(Self { block, offset, total, bytes: from.take(bytes as usize)? })
    }
}
