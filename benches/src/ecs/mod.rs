//! The world in one process, against other entity component systems and against loops over plain slices
//! (*hand*), which nothing beats.
//!
//! Each contender does the case the way its documentation recommends when speed matters: batches where
//! there are batches, prepared queries, internal iteration.

mod add_remove;
pub(crate) mod components;
mod find_changed;
#[cfg(feature = "peers")]
mod flecs;
mod fragmented_iter;
mod heavy_compute;
mod parallel;
mod random_access;
mod schedule;
mod shard_kernel;
mod simple_insert;
mod simple_iter;
mod to_bytes;
mod typed_at_run_time;
mod warmth;
mod whole_columns;
mod whole_tick;

use crate::case::Case;

/// Entities of a case, unless it says otherwise.
const ENTITIES: usize = 10_000;

pub(crate) fn cases() -> Vec<Case> {
    [
        simple_insert::cases(),
        whole_columns::cases(),
        simple_iter::cases(),
        shard_kernel::cases(),
        vec![fragmented_iter::case(), heavy_compute::case(), parallel::case()],
        add_remove::cases(),
        random_access::cases(),
        schedule::cases(),
        find_changed::cases(),
        vec![typed_at_run_time::case(), to_bytes::case()],
    ]
    .into_iter()
    .flatten()
    .collect()
}
