//! From parts back to a world. Nothing in them is believed: sizes, counts, order, entities, documents and
//! hashes are checked, memory is asked for only as bytes arrive, and what is refused names its part.
//!
//! Every byte is copied once, from the part to where it stays: into a column, a heap of documents, the list
//! of a table's entities. The entity index is made as the entities pass.

use super::block::{Block, Piece, What};
use super::error::{ImageError, Place, Problem};
use super::frame::{self, Kind, Numbers};
use super::limits::{Budget, Limits};
use super::manifest::Manifest;
use super::order::Order;
use super::tables::{self, Outline};
use super::{documents, registry};
use crate::Entity;
use crate::bit_rows::BitRows;
use crate::entities::{Location, TableId};
use crate::world::World;

/// Room that is made for a block before its bytes are there, at the most.
const ROOM: u64 = 64 << 20;

/// A world that is being put together, part by part, in their order.
#[derive(Debug)]
pub struct Restore {
    manifest: Manifest,
    budget: Budget,
    world: World,
    tables: Vec<Outline>,
    next_part: u32,
    /// The block that is being read; none when all were.
    current: Option<Block>,
    /// Its bytes, and those of it that were read.
    total: u64,
    read: u64,
    /// Bytes of all blocks that were read.
    bytes: u64,
    /// What is read before it can become world: schemas and tables, documents and their lengths, bits.
    buffer: Vec<u8>,
    lengths: Vec<u32>,
    words: Vec<u64>,
}

impl Restore {
    /// Begins with the manifest.
    ///
    /// # Errors
    /// When it is not one, is damaged, or says more than the limits allow.
    pub fn new(manifest: &[u8], limits: Limits) -> Result<Self, ImageError> {
        let place = Place::Manifest;
        let manifest = Manifest::from_bytes(manifest)?;
        let mut budget = Budget::new(limits);
        budget.spend(manifest.bytes, "bytes of the image", place)?;
        let index = crate::entities::Entities::least_bytes(manifest.next_entity);
        budget.spend(index, "bytes of the image and of the index of its entities", place)?;
        let mut world = World::new(manifest.settings).map_err(|error| place.refuse(error))?;
        world.entities.restore_next(manifest.next_entity);
        world.version = manifest.version;
        Ok(Self {
            manifest,
            budget,
            world,
            tables: Vec::new(),
            next_part: 0,
            current: Some(Block::REGISTRY),
            total: 0,
            read: 0,
            bytes: 0,
            buffer: Vec::new(),
            lengths: Vec::new(),
            words: Vec::new(),
        })
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The number of the part that comes next; that of all parts when none does.
    #[must_use]
    pub fn next_part(&self) -> u32 {
        self.next_part
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// When it is not the next one or is damaged: then it may be given again. And when anything in it contradicts
    /// itself or the parts before it: the half-made world is of no use then, and all that follows is refused.
    pub fn part(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let place = Place::Part(self.next_part);
        let Some((length, hash)) = self.manifest.parts.get(self.next_part as usize).copied() else {
            return Err(place.refuse(Problem::shape("it is one more than the manifest lists")));
        };
        let frame = frame::open(bytes, Kind::Part, place)?;
        let listed = frame.hash == hash && bytes.len() == length as usize;
        if frame.number != self.next_part || frame.world != self.manifest.hash || !listed {
            return Err(place.refuse(Problem::Foreign { found: frame.world, number: frame.number }));
        }
        // Nothing fits after a piece that is refused.
        self.pieces(Numbers::new(frame.body, place), place).inspect_err(|_| self.current = None)?;
        self.next_part += 1;
        Ok(())
    }

    /// The world, when all parts were taken.
    ///
    /// # Errors
    /// When parts are missing, or the world has another hash than the manifest says.
    pub fn finish(mut self) -> Result<World, ImageError> {
        let refuse = |problem| Err(Place::Whole.refuse(problem));
        let parts = self.manifest.parts.len();
        if self.next_part as usize != parts {
            return refuse(Problem::Shape(format!("{} of {parts} parts were given", self.next_part)));
        }
        if let Some(block) = self.current {
            return refuse(Problem::Shape(format!("it ends before {block} is complete")));
        }
        if self.bytes != self.manifest.bytes {
            return refuse(Problem::Shape(format!("{} bytes instead of {}", self.bytes, self.manifest.bytes)));
        }
        let found = self.world.hash();
        if found != self.manifest.hash {
            return refuse(Problem::Hash { expected: self.manifest.hash, found });
        }
        Ok(self.world)
    }

    fn pieces(&mut self, mut body: Numbers<'_>, place: Place) -> Result<(), ImageError> {
        while !body.is_empty() {
            let piece = Piece::read(&mut body, |problem| place.refuse(problem))?;
            let block = self.expect(&piece).map_err(|problem| place.refuse(problem))?;
            self.read(block, piece.bytes, place)?;
        }
        Ok(())
    }

    /// Whether a piece is the one that follows from what came before, and of which block.
    fn expect(&mut self, piece: &Piece<'_>) -> Result<Block, Problem> {
        let Piece { block, offset, total, bytes } = piece;
        let found = || format!("{block}, of {total} bytes {} from {offset} on", bytes.len());
        let Some(open) = self.current else {
            return Err(Problem::Piece { expected: "the end".into(), found: found() });
        };
        if self.read == 0 {
            self.total = self.total_of(open).unwrap_or(*total);
            if self.bytes.saturating_add(self.total) > self.manifest.bytes {
                let (total, before, listed) = (self.total, self.bytes, self.manifest.bytes);
                let text = format!("{total} bytes of {open} after {before}: the manifest says {listed} together");
                return Err(Problem::Shape(text));
            }
        }
        let end = self.read + bytes.len() as u64;
        let follows = *block == open && *offset == self.read && *total == self.total;
        let whole = end == self.total || (end < self.total && end.is_multiple_of(16));
        if follows && whole {
            return Ok(open);
        }
        let (total, read) = (self.total, self.read);
        let expected = format!("{open}, of {total} bytes those from {read} on, in sixteens or to the end");
        Err(Problem::Piece { expected, found: found() })
    }

    /// Bytes of a block, where they follow from what is known.
    fn total_of(&self, block: Block) -> Option<u64> {
        let rows = || u64::from(self.tables[block.table as usize].rows);
        match block.what {
            What::Registry | What::Tables => None,
            What::Entities => Some(rows() * 8),
            What::Values => {
                let table = &self.world.tables[block.table as usize];
                Some(rows() * table.column(block.column as usize).stride() as u64)
            }
            What::Lengths => Some(rows() * 4),
            What::Documents => Some(self.lengths.iter().map(|length| u64::from(*length)).sum()),
            What::Changed => Some(rows().div_ceil(64) * 8),
        }
    }

    /// The next bytes of a block, whole numbers of it.
    fn read(&mut self, block: Block, bytes: &[u8], place: Place) -> Result<(), ImageError> {
        let left = self.total - self.read;
        let room = left.min(ROOM.max(self.read)) as usize;
        match block.what {
            What::Registry | What::Tables | What::Documents => {
                self.buffer.reserve_exact(reserved(&self.buffer, room, bytes.len()));
                self.buffer.extend_from_slice(bytes);
            }
            What::Entities => self.place_entities(block.table, bytes, room, place)?,
            What::Values => {
                let column = &mut self.world.tables[block.table as usize].columns[block.column as usize];
                column.restore_bytes(bytes, if self.read == 0 { room - bytes.len() } else { 0 });
            }
            What::Lengths => self.lengths.extend(bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes))),
            What::Changed => self.words.extend(bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes))),
        }
        self.read += bytes.len() as u64;
        if self.read == self.total {
            self.bytes += self.read;
            self.read = 0;
            self.complete(block, place)?;
            let rows = |table: usize| self.tables[table].rows as usize;
            let order = Order { tables: &self.world.tables, registry: &self.world.registry, rows };
            self.current = order.after(block);
        }
        Ok(())
    }

    /// A block is whole: it becomes world.
    fn complete(&mut self, block: Block, place: Place) -> Result<(), ImageError> {
        let (table, column) = (block.table as usize, block.column as usize);
        match block.what {
            What::Registry => {
                registry::decode(&self.buffer, &mut self.world.registry, &mut self.budget, place)?;
                self.buffer.clear();
            }
            What::Tables => {
                self.make_tables(place)?;
                self.buffer.clear();
            }
            What::Entities => self.world.tables[table].restore_rows(self.manifest.version),
            What::Values => {}
            What::Lengths => documents::check_lengths(&self.lengths, block, &mut self.budget, place)?,
            What::Documents => {
                let component = self.tables[table].components[column];
                let heap = std::mem::take(&mut self.buffer);
                documents::check(&heap, &self.lengths, table, || self.world.registry.name(component), place)?;
                self.world.tables[table].columns[column].restore_documents(heap, &self.lengths);
                self.lengths.clear();
            }
            What::Changed => {
                let rows = BitRows::from_words(std::mem::take(&mut self.words), self.tables[table].rows as usize)
                    .ok_or_else(|| place.refuse(Problem::Shape(format!("{block}: bits past the last row"))))?;
                self.world.tables[table].columns[column].changes.restore_tracker(block.tracker as usize, rows);
            }
        }
        Ok(())
    }

    fn make_tables(&mut self, place: Place) -> Result<(), ImageError> {
        self.tables = tables::decode(&self.buffer, &self.world.registry, &mut self.budget, place)?;
        let rows: u64 = self.tables.iter().map(|table| u64::from(table.rows)).sum();
        let bad = |text| Err(place.refuse(Problem::Shape(text)));
        if rows != self.manifest.entities {
            return bad(format!("{rows} rows of {} entities", self.manifest.entities));
        }
        let tables = self.tables.iter().map(|table| &table.components[..]);
        match self.world.restore_tables(tables).map_err(|error| place.refuse(error))? {
            None => Ok(()),
            Some(table) => bad(format!("table {table} has the components of one before it")),
        }
    }

    fn place_entities(&mut self, table: u32, bytes: &[u8], room: usize, place: Place) -> Result<(), ImageError> {
        let World { tables, entities: index, .. } = &mut self.world;
        let entities = &mut tables[table as usize].entities;
        if entities.spare() < bytes.len() / 8 {
            entities.reserve(room / 8);
        }
        let next = index.next();
        for bits in bytes.as_chunks::<8>().0 {
            let entity = Entity::from_bits(u64::from_le_bytes(*bits));
            let row = entities.len() as u32;
            let why = match () {
                () if entity.is_none() => "no entity",
                () if entity.to_bits() >= next => "not below the number of the next entity",
                () => match index.claim(entity, Location { table: TableId(table), row }) {
                    Some(slots) => {
                        if slots > 0 {
                            self.budget.spend(slots, "bytes of the image and of the index of its entities", place)?;
                        }
                        entities.push(entity);
                        continue;
                    }
                    None => "there twice",
                },
            };
            return Err(place.refuse(Problem::Entity { table, row, entity, why }));
        }
        Ok(())
    }
}

/// How much more room to make for `bytes` in a vector: none while there is some.
fn reserved<T>(vector: &Vec<T>, room: usize, bytes: usize) -> usize {
    if vector.capacity() - vector.len() >= bytes { 0 } else { room }
}
