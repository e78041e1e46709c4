//! Documents that are read: what has to hold before they become a column.

use super::block::Block;
use super::error::{ImageError, Place, Problem};
use super::limits::Budget;
use crate::msgpack;

/// Documents were checked when they came; those of systems in this process may nest deeper than that.
const DEPTH: usize = 1024;
/// Memory that a document takes beside its bytes: a span, and a length while it is read.
const BESIDE: u64 = 24;

pub(super) fn check_lengths(
    lengths: &[u32],
    block: Block,
    budget: &mut Budget,
    place: Place,
) -> Result<(), ImageError> {
    // No document is empty, and a block of no bytes would have no piece.
    if let Some(row) = lengths.iter().position(|length| *length == 0) {
        return Err(place.refuse(Problem::Shape(format!("{block}: that of row {row} is 0, and no document is empty"))));
    }
    budget.spend(lengths.len() as u64 * BESIDE, "bytes of the image and of lists of documents", place)
}

/// `bytes` are as many as the lengths say together.
pub(super) fn check(
    bytes: &[u8],
    lengths: &[u32],
    table: usize,
    component: impl Fn() -> String,
    place: Place,
) -> Result<(), ImageError> {
    let mut rest = bytes;
    for (row, length) in (0_u32..).zip(lengths) {
        let (document, after) = rest.split_at(*length as usize);
        rest = after;
        msgpack::check_whole(document, DEPTH).map_err(|reason| {
            place.refuse(Problem::Document { component: component(), table: table as u32, row, reason })
        })?;
    }
    Ok(())
}
