//! The world over NATS: what a tick costs against the same bytes sent by a bare client in the same pattern,
//! through a server of the same kind, in the same run.

mod broker;
mod echo;
mod engine_side;
mod raw;
pub(crate) mod worker;

use anyhow::Result;
use engine_component::query::QueryState;
use engine_math::Vec3;

use crate::case::{Case, Contender, Unit};
use crate::ecs::components::{engine_world, ours};
use crate::measure::repeated;

/// Entities that move in each tick.
const ENTITIES: usize = 1_000_000;
/// Position and Velocity go out.
const BYTES_OUT: usize = 24;
/// Position comes back.
const BYTES_BACK: usize = 12;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "dist_tick/1",
            about: "a tick of 1,000,000 moving entities, one instance, against the same bytes over a bare client",
            unit: Unit::Milliseconds,
            contenders: || tick(1),
        },
        Case {
            name: "dist_tick/2",
            about: "the same with two instances",
            unit: Unit::Milliseconds,
            contenders: || tick(2),
        },
        Case {
            name: "empty_tick",
            about: "a tick with one entity, against a bare request and its reply",
            unit: Unit::Microseconds,
            contenders: || Ok(vec![engine_side::tick(1, 1)?, echo::request_and_reply()?]),
        },
    ]
}

fn tick(instances: usize) -> Result<Vec<Contender>> {
    Ok(vec![
        engine_side::tick(ENTITIES, instances)?,
        raw::scatter_and_gather(ENTITIES * BYTES_OUT, ENTITIES * BYTES_BACK, instances)?,
        in_process()?,
    ])
}

/// The same world without a network.
fn in_process() -> Result<Contender> {
    let mut world = engine_world(ENTITIES, false);
    let mut moving = QueryState::<(&mut ours::Position, &ours::Velocity)>::new()?;
    let dt = Vec3::splat(1.0 / 60.0);
    Ok(repeated("in process", 1, move || {
        moving.for_each(&mut world, |(position, velocity)| position.value += velocity.value * dt);
    }))
}
