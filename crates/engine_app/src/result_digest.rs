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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine_component::query::describe;
    use engine_component::{BitRows, Component};
    use engine_net::descriptor::SystemDescriptor;
    use engine_net::parcel::ResultManifest;
    use engine_net::parcel::{ChunkSizes, ColumnData, Limits, MappedRows, OutColumn, Parcel, ParcelWriter, Place};
    use engine_net::{ChunkKind, ChunkPrefix};

    use super::*;
    use crate::plan::TickPlan;
    use crate::receive;
    use crate::schedule::{Registered, Schedule};
    use crate::staged::{OutputMemory, Reading};

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "test.Height")]
    struct Height(f32);

    const ROWS: usize = 100;

    /// What an instance has written.
    #[derive(Debug)]
    struct Written(Vec<u8>);

    impl OutputMemory for Written {
        fn bytes(&self) -> u64 {
            self.0.len() as u64
        }

        fn read(&self, offset: u64, into: &mut [u8]) -> bool {
            into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
            true
        }

        fn is_sure(&self) -> bool {
            true
        }
    }

    /// What the result comes to where these rows are 2 now; over the wire, in chunks of this size, or through memory,
    /// by a range of rows.
    fn digest(changed: &[usize], chunk: usize, through_memory: Option<(u32, u32)>) -> Vec<u64> {
        let mut world = World::default();
        world.spawn_batch((0..ROWS).map(|row| Height(if row == 50 { 2.0 } else { 1.0 })));
        let query = describe::<&mut Height, ()>().unwrap();
        let descriptor = SystemDescriptor { queries: vec![query], ..SystemDescriptor::new("climb") };
        let registered = [Registered { descriptor: descriptor.clone(), place: Some(0) }];
        let archetypes: Vec<_> = world.sorted_tables().iter().map(|id| world.table(*id).components()).collect();
        let schedule = Schedule::build(&registered, &archetypes).unwrap();
        let plan = TickPlan::new(&world, &[&descriptor], &schedule, 1);
        let jobs: Vec<_> = plan.jobs.iter().collect();
        let mut parts = receive::parts_of(&world, &descriptor, &jobs);
        let values: Vec<u8> =
            (0..ROWS).flat_map(|row| if changed.contains(&row) { 2.0_f32 } else { 1.0 }.to_le_bytes()).collect();
        let mapped = through_memory.map(|(first, rows)| MappedRows(0, 0, 1, first, rows));
        let manifest = ResultManifest {
            compute_ns: chunk as u64,
            wait_ns: 0,
            rest_ns: 0,
            jobs: Vec::new(),
            mapped: mapped.into_iter().collect(),
        };
        let prefix = ChunkPrefix {
            kind: ChunkKind::Result,
            attempt: chunk as u16,
            job: 0,
            epoch: 1,
            tick: 1,
            chunk: 0,
            chunks: 1,
            instance: chunk as u32,
        };
        let sizes = ChunkSizes { aim: chunk, ..ChunkSizes::default() };
        let mut writer = ParcelWriter::new(prefix, sizes, &manifest).unwrap();
        if through_memory.is_none() {
            let mut dirty = BitRows::new(ROWS);
            changed.iter().for_each(|row| dirty.set(*row));
            let data = ColumnData::DirtyPlain { bytes: &values, stride: 4, dirty: &dirty };
            writer.part(0, ROWS, &[OutColumn { column: 0, data }]).unwrap();
        }
        let parcel = Parcel::of_chunks(writer.finish().unwrap(), Limits::default()).unwrap();
        let received = receive::check_late(&world, &descriptor, &parts, parcel).unwrap();
        parts
            .iter_mut()
            .flatten()
            .flat_map(|part| &mut part.columns)
            .for_each(|column| column.place = Place::Mapped(0));
        let output: Arc<dyn OutputMemory> = Arc::new(Written(values));
        let told = parts.concat();
        let reading =
            Reading { world: &world, descriptor: &descriptor, parts: &told, spawns: &received.spawns, output: &output };
        let staged = reading.stage(&received.mapped, Vec::new()).unwrap();
        let places: Vec<&PartPlan> = jobs.iter().flat_map(|job| &job.parts).collect();
        digests(&world, &places, &parts, &received, &staged)
    }

    #[test]
    fn how_rows_came_does_not_matter() {
        let changed = [3, 4, 5, 9, 70];
        let whole = digest(&changed, 1 << 16, None);
        assert_eq!(whole.len(), 1);
        assert_eq!(digest(&changed, 64, None), whole);
        // Row 50 has the value that it is in the world: through memory it comes as well.
        let with_50 = [3, 4, 5, 9, 50, 70];
        assert_eq!(digest(&with_50, 1, Some((3, 68))), whole);
        assert_eq!(digest(&with_50, 1, Some((0, 0))), whole);
    }

    #[test]
    fn another_row_or_value_makes_another_digest() {
        let one = digest(&[3, 4, 5], 1 << 16, None);
        for other in [&[3, 4][..], &[3, 4, 6], &[3, 4, 5, 6], &[]] {
            assert_ne!(digest(other, 1 << 16, None), one);
        }
    }
}
