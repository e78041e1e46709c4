//! The world hash: 128 bits that are equal exactly when two worlds are.
//!
//! Each block of [`BLOCK_ROWS`] rows of each column has a hash of its own, kept with the version that it
//! was made of, so that a tick pays only for blocks that changed. The root is the hash over the tables in
//! the order of their archetype ids, and over their columns in the order of their component ids. NaN has
//! many bit patterns and the hash knows one of them: floats are canonicalised before they are hashed.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::changes::BLOCK_ROWS;
use crate::column::Column;
use crate::data::StorageKind;

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
}

/// The hash of one block of a column's rows.
pub(crate) fn hash_block(column: &Column, block: usize, lanes: &FloatLanes) -> u128 {
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
        return xxh3_128(bytes);
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
    xxh3_128(&canonical)
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
