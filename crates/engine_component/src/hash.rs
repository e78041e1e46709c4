//! The world hash: 128 bits that are equal exactly when two worlds are.
//!
//! Each block of [`BLOCK_ROWS`] rows of each column has a hash of its own, kept with the version that it
//! was made of, so that a tick pays only for blocks that changed. The root is the hash over the tables in
//! the order of their archetype ids, and over their columns in the order of their component ids. NaN has
//! many bit patterns and the hash knows one of them: floats are canonicalised before they are hashed.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;
use xxhash_rust::xxh3::Xxh3;

use crate::Entity;
use crate::changes::BLOCK_ROWS;
use crate::column::Column;
use crate::data::StorageKind;
use crate::registry::Registry;
use crate::table::Table;

/// The hash of a world, or of a part of it.
///
/// ```
/// use engine_component::{World, WorldHash};
/// let mut world = World::default();
/// let hash = world.hash();
/// assert_eq!(hash.to_string().parse::<WorldHash>(), Ok(hash));
/// world.spawn(());
/// assert_ne!(world.hash(), hash);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct WorldHash(pub u128);

impl fmt::Display for WorldHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for WorldHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldHash({self})")
    }
}

impl std::str::FromStr for WorldHash {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// Where the floats of a row are: offset and width (4 or 8) in bytes.
pub(crate) type FloatLanes = [(u32, u8)];

/// The version of a block that was never hashed.
const NEVER: u64 = u64::MAX;

/// Hashes of a column's blocks, each with the version of the block that it was made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockHashes {
    blocks: Vec<(u64, u128)>,
}

impl BlockHashes {
    /// Brings the hashes up to date and feeds them to `into`.
    pub(crate) fn update(&mut self, versions: &[u64], into: &mut Xxh3, mut hash: impl FnMut(usize) -> u128) {
        self.blocks.truncate(versions.len());
        for (block, version) in versions.iter().enumerate() {
            match self.blocks.get_mut(block) {
                Some(known) if known.0 == *version => {}
                Some(stale) => *stale = (*version, hash(block)),
                None => self.blocks.push((*version, hash(block))),
            }
            into.update(&self.blocks[block].1.to_le_bytes());
        }
    }

    /// Hashes those of these blocks that changed since they were.
    fn update_some(&mut self, blocks: Range<usize>, versions: &[u64], mut hash: impl FnMut(usize) -> u128) {
        let end = blocks.end.min(versions.len());
        if self.blocks.len() < end {
            self.blocks.resize(end, (NEVER, 0));
        }
        for (block, version) in versions.iter().enumerate().take(end).skip(blocks.start) {
            if self.blocks[block].0 != *version {
                self.blocks[block] = (*version, hash(block));
            }
        }
    }
}

/// Hashes of the blocks of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableHashes {
    entities: BlockHashes,
    columns: Vec<BlockHashes>,
}

/// The hash over tables, given in the order of their archetypes' ids, and the number of the next entity. Pays
/// for the blocks that changed since the last call.
pub(crate) fn hash_tables(
    registry: &Registry,
    tables: &mut [Table],
    sorted: impl Iterator<Item = usize>,
    next_entity: u64,
) -> WorldHash {
    let mut root = Xxh3::new();
    for index in sorted {
        let table = &mut tables[index];
        let mut hashes = std::mem::take(&mut table.hashes);
        hash_table(registry, table, &mut hashes, &mut root);
        table.hashes = hashes;
    }
    finish(root, next_entity)
}

/// As [`hash_tables`], of all rows, whatever was hashed before.
pub(crate) fn hash_anew<'a>(
    registry: &Registry,
    sorted: impl Iterator<Item = &'a Table>,
    next_entity: u64,
) -> WorldHash {
    let mut root = Xxh3::new();
    sorted.for_each(|table| hash_table(registry, table, &mut TableHashes::default(), &mut root));
    finish(root, next_entity)
}

fn finish(mut root: Xxh3, next_entity: u64) -> WorldHash {
    root.update(&next_entity.to_le_bytes());
    WorldHash(root.digest128())
}

fn hash_table(registry: &Registry, table: &Table, hashes: &mut TableHashes, root: &mut Xxh3) {
    if table.is_empty() {
        return;
    }
    root.update(&table.archetype().to_bits().to_le_bytes());
    root.update(&(table.entities.len() as u64).to_le_bytes());
    let entities: &[u8] = bytemuck::cast_slice(&table.entities);
    hashes.entities.update(table.entity_changes.block_versions(), root, |block| {
        let bytes = BLOCK_ROWS * size_of::<Entity>();
        let end = ((block + 1) * bytes).min(entities.len());
        XxHash3_128::oneshot(&entities[block * bytes..end])
    });
    hashes.columns.resize_with(table.columns.len(), BlockHashes::default);
    for ((column, component), hashes) in table.columns.iter().zip(table.components()).zip(&mut hashes.columns) {
        let lanes = registry.get(*component).map(|info| info.float_lanes.as_slice()).unwrap_or_default();
        hashes.update(column.changes.block_versions(), root, |block| hash_block(column, block, lanes));
    }
}

/// Hashes the blocks of a column that are all in these rows. Who changes any of them after that has to do so in another
/// version.
pub(crate) fn hash_rows(registry: &Registry, table: &mut Table, index: usize, rows: &Range<usize>) {
    let component = table.components().get(index).copied();
    let (Some(column), Some(component)) = (table.columns.get(index), component) else { return };
    let lanes = registry.get(component).map(|info| info.float_lanes.as_slice()).unwrap_or_default();
    let behind = if rows.end >= column.len() { rows.end.div_ceil(BLOCK_ROWS) } else { rows.end / BLOCK_ROWS };
    let blocks = rows.start.div_ceil(BLOCK_ROWS)..behind;
    let hashes = &mut table.hashes.columns;
    if hashes.len() <= index {
        hashes.resize_with(index + 1, BlockHashes::default);
    }
    hashes[index].update_some(blocks, column.changes.block_versions(), |block| hash_block(column, block, lanes));
}

/// The hash of one block of a column's rows.
fn hash_block(column: &Column, block: usize, lanes: &FloatLanes) -> u128 {
    let first = block * BLOCK_ROWS;
    let last = (first + BLOCK_ROWS).min(column.len());
    match column.kind() {
        StorageKind::Plain => {
            let stride = column.stride();
            hash_plain(&column.bytes()[first * stride..last * stride], stride, lanes)
        }
        StorageKind::Document => {
            let mut hash = Xxh3::new();
            for row in first..last {
                let bytes = column.row(row);
                hash.update(&(bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
            hash.digest128()
        }
        StorageKind::Tag => 0,
    }
}

fn hash_plain(bytes: &[u8], stride: usize, lanes: &FloatLanes) -> u128 {
    if !has_nan(bytes, stride, lanes) {
        return XxHash3_128::oneshot(bytes);
    }
    let mut canonical = bytes.to_vec();
    for row in canonical.chunks_exact_mut(stride) {
        for (offset, width) in lanes {
            let lane = &mut row[*offset as usize..][..usize::from(*width)];
            if lane_is_nan(lane) {
                match width {
                    4 => lane.copy_from_slice(&0x7fc0_0000_u32.to_le_bytes()),
                    _ => lane.copy_from_slice(&0x7ff8_0000_0000_0000_u64.to_le_bytes()),
                }
            }
        }
    }
    XxHash3_128::oneshot(&canonical)
}

/// Whether any float of the rows is NaN. Rows of nothing but `f32`, the usual case, are scanned as one
/// array, which compiles to vector code.
fn has_nan(bytes: &[u8], stride: usize, lanes: &FloatLanes) -> bool {
    if lanes.is_empty() {
        return false;
    }
    if lanes.len() * 4 == stride && lanes.iter().all(|lane| lane.1 == 4) {
        let (words, _) = bytes.as_chunks::<4>();
        return words.chunks(256).any(|words| {
            words.iter().fold(false, |found, word| found | (u32::from_le_bytes(*word) & 0x7fff_ffff > 0x7f80_0000))
        });
    }
    bytes
        .chunks_exact(stride)
        .any(|row| lanes.iter().any(|(offset, width)| lane_is_nan(&row[*offset as usize..][..usize::from(*width)])))
}

/// Whether two rows hash alike: the same bytes, but for what bits a NaN has.
pub(crate) fn same_but_for_nan(a: &[u8], b: &[u8], lanes: &FloatLanes) -> bool {
    let same = |bytes: std::ops::Range<usize>| a.get(bytes.clone()) == b.get(bytes);
    let mut at = 0;
    let alike = lanes.iter().all(|(offset, width)| {
        let lane = *offset as usize..*offset as usize + usize::from(*width);
        let before = std::mem::replace(&mut at, lane.end)..lane.start;
        let both_nan = || [a, b].iter().all(|row| row.get(lane.clone()).is_some_and(lane_is_nan));
        same(before) && (same(lane.clone()) || both_nan())
    });
    alike && a.len() == b.len() && same(at..a.len())
}

fn lane_is_nan(lane: &[u8]) -> bool {
    match lane {
        [a, b, c, d] => f32::from_le_bytes([*a, *b, *c, *d]).is_nan(),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]).is_nan(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nan_hashes_alike() {
        let quiet = [1.0_f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat();
        let odd = [1.0_f32.to_le_bytes(), 0xffc1_2345_u32.to_le_bytes()].concat();
        let lanes = [(0, 4), (4, 4)];
        assert_eq!(hash_plain(&quiet, 8, &lanes), hash_plain(&odd, 8, &lanes));
        assert_ne!(hash_plain(&quiet, 8, &[]), hash_plain(&odd, 8, &[]));
    }
}
