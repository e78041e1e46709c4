//! What a result does to the world, as a number for each job: to compare two results of the same jobs.
//!
//! It is over values, not over messages: a row counts by its place and its bytes, however the result was cut into
//! sections, and whether it came in a message or through memory. Attempts and times have no part in it. Through memory
//! come ranges of rows, in which some did not change: those don't count.

use engine_component::World;
use engine_net::parcel::{Body, PartManifest};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::plan::PartPlan;
use crate::receive::{Effects, Received};
use crate::staged::Staged;

/// Of each job, given the parts of each. Where rows came through memory, the parts have places in the world, and it is as
/// it was when the jobs began.
#[must_use]
pub(crate) fn digests(
    world: &World,
    places: &[&PartPlan],
    parts: &[Vec<PartManifest>],
    received: &Received,
    staged: &Staged,
) -> Vec<u64> {
    let mut digests: Vec<u64> = received.effects.iter().map(of_effects).collect();
    let job_of: Vec<usize> = parts.iter().enumerate().flat_map(|(job, parts)| parts.iter().map(move |_| job)).collect();
    // A sum, so that the order of sections doesn't matter.
    let mut add = |part: u16, column: u16, row: usize, bytes: &[u8]| {
        let place = u64::from(part) << 48 | u64::from(column) << 32 | row as u64;
        if let Some(digest) = job_of.get(usize::from(part)).and_then(|job| digests.get_mut(*job)) {
            *digest = digest.wrapping_add(xxh3_64_with_seed(bytes, place));
        }
    };
    // The parcel was verified; a section that does not decode can't be in it.
    for section in received.parcel.sections().flatten() {
        let mut add =
            |row: usize, bytes: &[u8]| add(section.part, section.column, section.first_row as usize + row, bytes);
        let stride = |bytes: &[u8], rows: usize| (bytes.len() / rows.max(1)).max(1);
        match section.body {
            Body::Plain(bytes) => {
                let rows = bytes.chunks_exact(stride(bytes, section.rows as usize));
                rows.enumerate().for_each(|(row, bytes)| add(row, bytes));
            }
            Body::PackedPlain(bits, bytes) => {
                let rows = bytes.chunks_exact(stride(bytes, bits.count()));
                bits.ones().zip(rows).for_each(|(row, bytes)| add(row, bytes));
            }
            Body::Documents(rows) => rows.iter().enumerate().for_each(|(row, bytes)| add(row, bytes)),
            Body::PackedDocuments(bits, rows) => bits.ones().zip(rows.iter()).for_each(|(row, bytes)| add(row, bytes)),
            Body::Entities(_) | Body::Changed(_) | Body::Stream(_) => {}
        }
    }
    staged.look(|part, column, first_row, bytes| {
        let Some(place) = places.get(usize::from(part)) else { return };
        let Some(Some(index)) = place.columns.get(usize::from(column)) else { return };
        let before = world.table(place.table).column(usize::from(*index));
        let stride = before.stride().max(1);
        let first = place.first_row as usize + first_row as usize;
        let before = before.bytes()[first * stride..].chunks_exact(stride);
        for (row, (bytes, before)) in bytes.chunks_exact(stride).zip(before).enumerate() {
            if bytes != before {
                add(part, column, first_row as usize + row, bytes);
            }
        }
    });
    digests
}

fn of_effects(effects: &Effects) -> u64 {
    let events = effects.events.iter().filter(|(_, batch)| !batch.is_empty());
    let events = events.map(|(event, batch)| {
        let counted = xxh3_64_with_seed(batch.bytes(), batch.len() as u64);
        xxh3_64_with_seed(&counted.to_le_bytes(), xxh3_64(&event.to_bits().to_le_bytes()))
    });
    events.fold(xxh3_64(&effects.commands), u64::wrapping_add)
}
