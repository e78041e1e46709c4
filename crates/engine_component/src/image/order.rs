//! The one order of blocks, for those who write them and for those who read them.

use super::block::{Block, What};
use crate::data::StorageKind;
use crate::registry::Registry;
use crate::table::Table;

/// What the order follows from: the tables, which rows they have or will have, and the trackers of components.
pub(super) struct Order<'a, R> {
    pub(super) tables: &'a [Table],
    pub(super) registry: &'a Registry,
    pub(super) rows: R,
}

impl<R: Fn(usize) -> usize> Order<'_, R> {
    /// The block that follows. Blocks that have no bytes are left out.
    pub(super) fn after(&self, block: Block) -> Option<Block> {
        match block.what {
            What::Registry => Some(Block::TABLES),
            What::Tables => self.table_from(0),
            What::Entities => self.column_from(block.table, 0),
            What::Lengths => Some(Block { what: What::Documents, ..block }),
            What::Values | What::Documents => self.changed_from(block.table, block.column, 0),
            What::Changed => self.changed_from(block.table, block.column, block.tracker + 1),
        }
    }

    fn table_from(&self, table: u32) -> Option<Block> {
        (table..self.tables.len() as u32).find(|table| (self.rows)(*table as usize) > 0).map(Block::entities)
    }

    fn column_from(&self, table: u32, column: u32) -> Option<Block> {
        let columns = self.tables[table as usize].columns();
        for (at, known) in (column..).zip(&columns[column as usize..]) {
            match known.kind() {
                StorageKind::Plain => return Some(Block::of_column(What::Values, table, at)),
                StorageKind::Document => return Some(Block::of_column(What::Lengths, table, at)),
                StorageKind::Tag if self.trackers(table, at) > 0 => return Some(Block::changed(table, at, 0)),
                StorageKind::Tag => {}
            }
        }
        self.table_from(table + 1)
    }

    fn changed_from(&self, table: u32, column: u32, tracker: u32) -> Option<Block> {
        if tracker < self.trackers(table, column) {
            return Some(Block::changed(table, column, tracker));
        }
        self.column_from(table, column + 1)
    }

    fn trackers(&self, table: u32, column: u32) -> u32 {
        let component = self.tables[table as usize].components()[column as usize];
        self.registry.get(component).map_or(0, |info| info.trackers as u32)
    }
}
