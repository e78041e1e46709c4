//! The list of tables as a block of bytes, and back: how many rows of which components.

use super::error::{ImageError, Place, Problem};
use super::frame::Numbers;
use super::limits::Budget;
use super::registry::limit;
use crate::ComponentId;
use crate::bit_rows::BitRows;
use crate::column::Column;
use crate::registry::Registry;
use crate::table::Table;

/// Tables, at the most.
const MAX_TABLES: u32 = 1 << 20;
/// Memory that a table takes beside itself: in lists and maps.
const BESIDE: u64 = 64;

/// Rows and components of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outline {
    pub(super) rows: u32,
    pub(super) components: Vec<ComponentId>,
}

pub(super) fn encode(tables: &[Table], registry: &Registry) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((tables.len() as u32).to_le_bytes());
    for table in tables {
        out.extend((table.len() as u32).to_le_bytes());
        out.extend((table.components().len() as u32).to_le_bytes());
        for component in table.components() {
            let place = registry.place(*component).expect("tables are made of registered components");
            out.extend((place as u32).to_le_bytes());
        }
    }
    out
}

pub(super) fn decode(
    bytes: &[u8],
    registry: &Registry,
    budget: &mut Budget,
    place: Place,
) -> Result<Vec<Outline>, ImageError> {
    let mut from = Numbers::new(bytes, place);
    let count = from.u32()?;
    limit(place, "tables", count, MAX_TABLES)?;
    let known: Vec<(ComponentId, usize)> = registry.iter().map(|info| (info.id, info.trackers)).collect();
    let mut tables = Vec::new();
    for number in 0..count {
        let (rows, width) = (from.u32()?, from.u32()?);
        let bad = |what: &str| place.refuse(Problem::Shape(format!("table {number}: {what}")));
        if rows == u32::MAX || width as usize * 4 > from.left() {
            return Err(bad("more rows or columns than there can be"));
        }
        let mut memory = size_of::<Table>() as u64 + BESIDE;
        let mut components = Vec::with_capacity(width as usize);
        for _ in 0..width {
            let (id, trackers) =
                known.get(from.u32()? as usize).ok_or_else(|| bad("a component that the registry lacks"))?;
            memory += (size_of::<Column>() + trackers * size_of::<BitRows>()) as u64;
            components.push(*id);
        }
        if !components.is_sorted_by(|a, b| a < b) {
            return Err(bad("its components are not in the order of their ids"));
        }
        budget.spend(memory, "bytes of the image and of its tables", place)?;
        tables.push(Outline { rows, components });
    }
    from.end()?;
    Ok(tables)
}
