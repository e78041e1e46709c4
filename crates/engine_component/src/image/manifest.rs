//! The manifest: what comes last, and makes of parts an image.

use super::error::{ImageError, Place, Problem};
use super::frame::{self, HEAD, Kind, Numbers};
use crate::{WorldHash, WorldSettings};

/// Parts of an image, at the most: their list has to fit into one message.
pub const MAX_PARTS: usize = 32 * 1024;

/// Versions and entities of a world that still goes on, at the most: nothing that counts from there on can come
/// to its end.
const MAX_NUMBER: u64 = 1 << 62;
const FIXED: usize = 40;
const ENTRY: usize = 24;

/// What an image is of, and its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The hash of the world.
    pub hash: WorldHash,
    /// The settings of the world.
    pub settings: WorldSettings,
    /// The version of the world; a restored one goes on from it.
    pub version: u64,
    /// The number that the next entity gets.
    pub next_entity: u64,
    /// Entities in the world.
    pub entities: u64,
    /// Bytes of all columns and lists together.
    pub bytes: u64,
    /// Bytes and hash of each part.
    pub parts: Vec<(u32, u128)>,
}

impl Manifest {
    /// The manifest as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0; HEAD];
        out.reserve(FIXED + ENTRY * self.parts.len());
        out.extend((self.settings.rows_per_shard as u32).to_le_bytes());
        out.extend([0; 4]);
        for number in [self.version, self.next_entity, self.entities, self.bytes] {
            out.extend(number.to_le_bytes());
        }
        for (bytes, hash) in &self.parts {
            out.extend(bytes.to_le_bytes());
            out.extend([0; 4]);
            out.extend(hash.to_le_bytes());
        }
        frame::seal(&mut out, Kind::Manifest, self.parts.len() as u32, self.hash);
        out
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// When the bytes are not those of a manifest, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        let place = Place::Manifest;
        let frame = frame::open(bytes, Kind::Manifest, place)?;
        let mut body = Numbers::new(frame.body, place);
        let count = frame.number as usize;
        if count > MAX_PARTS || frame.body.len() != FIXED + ENTRY * count {
            return Err(place.refuse(Problem::Shape(format!("{count} parts in {} bytes", frame.body.len()))));
        }
        let settings = WorldSettings { rows_per_shard: body.u32()? as usize };
        settings.check().map_err(|error| place.refuse(error))?;
        let zero = body.u32()?;
        let (version, next_entity, entities, total) = (body.u64()?, body.u64()?, body.u64()?, body.u64()?);
        let mut parts = Vec::with_capacity(count);
        let mut listed = 0;
        for _ in 0..count {
            let (bytes, zero, hash) = (body.u32()?, body.u32()?, body.u128()?);
            if zero != 0 || bytes as usize > frame::MAX_PART {
                return Err(place.refuse(Problem::shape("the entry of a part")));
            }
            listed += u64::from(bytes);
            parts.push((bytes, hash));
        }
        body.end()?;
        let numbers_fit = (1..=MAX_NUMBER).contains(&next_entity) && version <= MAX_NUMBER;
        if zero != 0 || !numbers_fit || entities >= next_entity || total > listed {
            return Err(place.refuse(Problem::shape("its numbers contradict each other")));
        }
        Ok(Self { hash: frame.world, settings, version, next_entity, entities, bytes: total, parts })
    }
}
