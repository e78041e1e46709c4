//! The registry as a block of bytes, and back.

use super::error::{ImageError, Place, Problem};
use super::frame::Numbers;
use super::limits::Budget;
use crate::registry::Registry;
use crate::schema::Schema;

/// Component types, at the most.
const MAX_COMPONENTS: u32 = 64 * 1024;
/// Trackers of a component, at the most.
const MAX_TRACKERS: u32 = 4096;
/// Bytes of a schema, at the most: what 256 fields with the largest defaults need, and more.
const MAX_SCHEMA: u32 = 4 << 20;
/// Memory that a schema may take for each of its bytes.
const EXPANSION: u64 = 16;

pub(super) fn encode(registry: &Registry) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((registry.iter().count() as u32).to_le_bytes());
    for info in registry.iter() {
        let schema = rmp_serde::to_vec_named(&info.schema).expect("a schema is plain data");
        out.extend((info.trackers as u32).to_le_bytes());
        out.extend(info.schema.hash().0.to_le_bytes());
        out.extend((schema.len() as u32).to_le_bytes());
        out.extend(schema);
    }
    out
}

pub(super) fn decode(bytes: &[u8], into: &mut Registry, budget: &mut Budget, place: Place) -> Result<(), ImageError> {
    let mut from = Numbers::new(bytes, place);
    let count = from.u32()?;
    limit(place, "component types", count, MAX_COMPONENTS)?;
    for number in 0..count {
        let (trackers, hash, length) = (from.u32()?, from.u128()?, from.u32()?);
        limit(place, "trackers of a component", trackers, MAX_TRACKERS)?;
        limit(place, "bytes of a schema", length, MAX_SCHEMA)?;
        budget.spend(u64::from(length) * EXPANSION, "bytes of the image and of its schemas", place)?;
        let bytes = from.take(length as usize)?;
        let bad = |reason: String| place.refuse(Problem::Shape(format!("the schema of component {number}: {reason}")));
        crate::msgpack::check_whole(bytes, crate::msgpack::MAX_DEPTH * 4).map_err(|error| bad(error.to_string()))?;
        let schema: Schema = rmp_serde::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        let name = schema.name.clone();
        let id = into.register(schema).map_err(|error| place.refuse(error))?;
        let known = into.iter().count();
        let info = into.get_mut(id).expect("just registered");
        if info.schema.hash().0 != hash || known != number as usize + 1 {
            return Err(bad(format!("`{name}` is there twice, or its schema has another hash than was written")));
        }
        info.trackers = trackers as usize;
    }
    from.end()
}

pub(super) fn limit(place: Place, what: &'static str, found: u32, limit: u32) -> Result<(), ImageError> {
    if found <= limit {
        return Ok(());
    }
    Err(place.refuse(Problem::TooMuch { what, found: found.into(), limit: limit.into() }))
}
