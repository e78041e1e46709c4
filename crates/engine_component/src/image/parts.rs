//! From a snapshot, or a world that waits meanwhile, to parts, one after another.

use std::borrow::Cow;

use super::block::{Block, PIECE_HEAD, What};
use super::error::{ImageError, Place, Problem};
use super::frame::{self, HEAD, Kind};
use super::manifest::{MAX_PARTS, Manifest};
use super::order::Order;
use super::{registry, tables};
use crate::WorldHash;
use crate::registry::Registry;
use crate::table::Table;
use crate::world::{World, WorldSettings};

/// Bytes of a part, at the most.
///
/// ```
/// use engine_component::image::PartBytes;
/// assert_eq!(PartBytes::default().get(), 256 * 1024);
/// assert!(PartBytes::new(64 * 1024).is_ok());
/// assert!(PartBytes::new(1000).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartBytes(usize);

impl Default for PartBytes {
    fn default() -> Self {
        Self(256 * 1024)
    }
}

impl PartBytes {
    /// # Errors
    /// When it is not from 64 KiB to 512 KiB.
    pub fn new(bytes: usize) -> Result<Self, crate::WorldError> {
        if (64 * 1024..=512 * 1024).contains(&bytes) {
            return Ok(Self(bytes));
        }
        let text = format!("a part of an image has {bytes} bytes: 65536 to 524288 are allowed");
        Err(crate::WorldError::BadSetting(text))
    }

    /// The number of bytes.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

/// A part of an image, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 0.
    pub number: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What an image is made of: a snapshot's, or a world's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<'a> {
    pub(super) settings: WorldSettings,
    pub(super) registry: &'a Registry,
    pub(super) tables: &'a [Table],
    pub(super) next_entity: u64,
    pub(super) version: u64,
    pub(super) hash: WorldHash,
}

impl World {
    /// The parts of an image of this world, without a snapshot: for whoever need not go on with the world before
    /// all of it is written, and so saves a copy. It is hashed first.
    ///
    /// ```
    /// use engine_component::image::{Limits, PartBytes, Restore};
    /// use engine_component::{Component, World};
    /// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
    /// # #[repr(C)]
    /// # #[component(name = "doc.Position")]
    /// # struct Position { x: f32 }
    /// let mut world = World::default();
    /// world.spawn(Position { x: 1.0 });
    /// let mut parts = world.image(PartBytes::default());
    /// let stored: Vec<_> = parts.by_ref().collect();
    /// let manifest = parts.manifest()?;
    ///
    /// let mut restore = Restore::new(&manifest.to_bytes(), Limits::default())?;
    /// stored.iter().try_for_each(|part| restore.part(&part.bytes))?;
    /// assert_eq!(restore.finish()?.hash(), world.hash());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn image(&mut self, size: PartBytes) -> Parts<'_> {
        let hash = self.hash();
        let whole = Whole {
            settings: self.settings(),
            registry: &self.registry,
            tables: &self.tables,
            next_entity: self.next_entity(),
            version: self.version(),
            hash,
        };
        Parts::new(whole, size)
    }
}

/// The parts of an image, one after another; then [`Self::manifest`].
#[derive(Debug)]
pub struct Parts<'a> {
    of: Whole<'a>,
    size: usize,
    /// The block that is being written; none when all were.
    current: Option<Open<'a>>,
    written: Vec<(u32, u128)>,
    bytes: u64,
}

/// A block of which some bytes are still to be written.
#[derive(Debug)]
struct Open<'a> {
    block: Block,
    bytes: Cow<'a, [u8]>,
    written: usize,
}

impl<'a> Parts<'a> {
    pub(super) fn new(of: Whole<'a>, size: PartBytes) -> Self {
        let mut parts = Self { of, size: size.get(), current: None, written: Vec::new(), bytes: 0 };
        parts.open(Some(Block::REGISTRY));
        parts
    }

    /// The manifest, when all parts were taken.
    ///
    /// # Errors
    /// When parts are left, or they are more than a manifest can list.
    pub fn manifest(self) -> Result<Manifest, ImageError> {
        let place = Place::Manifest;
        if self.current.is_some() {
            return Err(place.refuse(Problem::shape("parts are left, and the manifest comes after them")));
        }
        if self.written.len() > MAX_PARTS {
            let (what, found) = ("parts, take larger ones", self.written.len() as u64);
            return Err(place.refuse(Problem::TooMuch { what, found, limit: MAX_PARTS as u64 }));
        }
        let whole = self.of;
        Ok(Manifest {
            hash: whole.hash,
            settings: whole.settings,
            version: whole.version,
            next_entity: whole.next_entity,
            entities: whole.tables.iter().map(|table| table.len() as u64).sum(),
            bytes: self.bytes,
            parts: self.written,
        })
    }

    fn open(&mut self, block: Option<Block>) {
        self.current = block.map(|block| Open { block, bytes: bytes_of(self.of, block), written: 0 });
        self.bytes += self.current.as_ref().map_or(0, |open| open.bytes.len() as u64);
    }

    fn open_after(&mut self, block: Block) {
        let Whole { tables, registry, .. } = self.of;
        let order = Order { tables, registry, rows: |table: usize| tables[table].len() };
        self.open(order.after(block));
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        self.current.as_ref()?;
        let mut out = Vec::with_capacity(self.size);
        out.resize(HEAD, 0);
        while let Some(open) = &mut self.current {
            let room = self.size.saturating_sub(out.len() + PIECE_HEAD);
            let total = open.bytes.len();
            let left = total - open.written;
            // No number is cut in two.
            let taken = if left <= room { left } else { room / 16 * 16 };
            if taken == 0 {
                break;
            }
            let piece = open.written..open.written + taken;
            open.block.put_head(&mut out, open.written as u64, total as u64, taken as u32);
            out.extend_from_slice(&open.bytes[piece.clone()]);
            open.written = piece.end;
            if piece.end == total {
                let block = open.block;
                self.open_after(block);
            }
        }
        let number = self.written.len() as u32;
        let hash = frame::seal(&mut out, Kind::Part, number, self.of.hash);
        self.written.push((out.len() as u32, hash));
        Some(Part { number, bytes: out })
    }
}

fn bytes_of(whole: Whole<'_>, block: Block) -> Cow<'_, [u8]> {
    let table = |block: Block| &whole.tables[block.table as usize];
    let column = |block: Block| table(block).column(block.column as usize);
    match block.what {
        What::Registry => registry::encode(whole.registry).into(),
        What::Tables => tables::encode(whole.tables, whole.registry).into(),
        What::Entities => bytemuck::cast_slice::<_, u8>(table(block).entities()).into(),
        What::Values => column(block).bytes().into(),
        What::Lengths => {
            let column = column(block);
            (0..column.len()).flat_map(|row| (column.row(row).len() as u32).to_le_bytes()).collect::<Vec<_>>().into()
        }
        What::Documents => {
            let column = column(block);
            let bytes = (0..column.len()).map(|row| column.row(row).len()).sum();
            let mut out = Vec::with_capacity(bytes);
            (0..column.len()).for_each(|row| out.extend_from_slice(column.row(row)));
            out.into()
        }
        What::Changed => bytemuck::cast_slice::<_, u8>(column(block).tracked(block.tracker as usize).words()).into(),
    }
}
