//! What it costs to know after each tick that a world is the same everywhere.

use engine_component::Data as _;

use crate::case::{Case, Contender, OURS, Unit};
use crate::ecs::components::{engine_world, ours};
use crate::measure::repeated;

const ENTITIES: usize = 1_000_000;
const POSITION_BYTES: usize = 12;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "hash/all_moved",
            about: "the world hash of 1,000,000 entities that all moved, against one hash over the same bytes",
            unit: Unit::Microseconds,
            contenders: || contenders(1),
        },
        Case {
            name: "hash/some_moved",
            about: "the same when only one block of 1,024 rows in ten has entities that moved",
            unit: Unit::Microseconds,
            contenders: || contenders(10),
        },
    ]
}

/// One block in `every` has changed.
fn contenders(every: usize) -> anyhow::Result<Vec<Contender>> {
    let mut world = engine_world(ENTITIES, false);
    world.hash();
    let bytes = vec![1_u8; ENTITIES * POSITION_BYTES / every];
    let mut copy = vec![0_u8; bytes.len()];
    let hashed = bytes.clone();
    Ok(vec![
        repeated(OURS, 1, move || {
            let version = world.advance_version();
            for mut table in world.tables_mut() {
                let Some(column) = table.column_index(ours::Position::ID) else { continue };
                let rows = table.len();
                for first in (0..rows).step_by(engine_component::BLOCK_ROWS * every) {
                    let last = (first + engine_component::BLOCK_ROWS).min(rows);
                    table.column_mut(column).mark_range(first..last, version);
                }
            }
            std::hint::black_box(world.hash());
        }),
        repeated("one hash", 1, move || {
            std::hint::black_box(xxhash_rust::xxh3::xxh3_128(std::hint::black_box(&hashed)));
        }),
        repeated("one copy", 1, move || {
            copy.copy_from_slice(std::hint::black_box(&bytes));
            std::hint::black_box(&mut copy);
        }),
    ])
}
