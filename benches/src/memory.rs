//! What a world costs beside its bare columns: entity index, entity column, change tracking, slack.

use anyhow::Result;

use crate::allocator::live_bytes_of;
use crate::case::{Case, Contender, OURS, Unit};
use crate::ecs::components::{NARROW_BYTES, WIDE_BYTES, engine_world};
#[cfg(feature = "peers")]
use crate::ecs::components::{bevy_world, hecs_world};

const ENTITIES: usize = 1_000_000;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "memory/24_bytes",
            about: "a million entities with Position and Velocity, against their columns alone",
            unit: Unit::BytesPerEntity,
            contenders: || contenders(NARROW_BYTES, false),
        },
        Case {
            name: "memory/100_bytes",
            about: "a million entities with Transform, Position, Rotation, Velocity, against their columns alone",
            unit: Unit::BytesPerEntity,
            contenders: || contenders(WIDE_BYTES, true),
        },
    ]
}

fn contenders(column_bytes: usize, wide: bool) -> Result<Vec<Contender>> {
    Ok(vec![
        counted(OURS, move || engine_world(ENTITIES, wide)),
        counted("bare columns", move || vec![0_u8; column_bytes * ENTITIES]),
        #[cfg(feature = "peers")]
        counted("bevy_ecs", move || bevy_world(ENTITIES, wide)),
        #[cfg(feature = "peers")]
        counted("hecs", move || hecs_world(ENTITIES, wide)),
    ])
}

/// Counting needs one time only: the same work allocates the same bytes.
fn counted<R>(name: &'static str, build: impl Fn() -> R + 'static) -> Contender {
    let mut known = None;
    let sample = move |_times: u32| {
        let bytes = *known.get_or_insert_with(|| live_bytes_of(&build).1);
        Ok(bytes as f64 / ENTITIES as f64)
    };
    Contender { name, sample: Box::new(sample) }
}
