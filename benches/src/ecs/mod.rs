//! The world in one process, against other entity component systems and against loops over plain slices
//! (*hand*), which nothing beats.
//!
//! Each contender does the case the way its documentation recommends when speed matters: batches where
//! there are batches, prepared queries, internal iteration.

mod add_remove;
pub(crate) mod components;
mod fragmented_iter;
mod heavy_compute;
mod random_access;
mod schedule;
mod simple_insert;
mod simple_iter;

use crate::case::Case;

/// Entities of a case, unless it says otherwise.
const ENTITIES: usize = 10_000;

pub(crate) fn cases() -> Vec<Case> {
    [
        simple_insert::cases(),
        simple_iter::cases(),
        vec![
            fragmented_iter::case(),
            heavy_compute::case(),
            add_remove::case(),
            random_access::case(),
            schedule::case(),
        ],
    ]
    .into_iter()
    .flatten()
    .collect()
}
