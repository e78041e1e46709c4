//! A whole world as bytes, from which it can be restored.
//!
//! Engine's are an image: parts that are hashed, with all that it takes to restore the world. The peers write the
//! values of each entity, one after another, which is the fastest that their interfaces allow; none of them
//! writes whole columns.

use engine_component::image::PartBytes;

use super::ENTITIES;
#[cfg(feature = "peers")]
use super::components::theirs::{Position, Rotation, Transform, Velocity};
use super::components::{WIDE_BYTES, engine_world};
use crate::case::{Case, Contender, OURS, Unit};
use crate::measure::with_fresh;

/// With the entity.
const BYTES: usize = ENTITIES * (WIDE_BYTES + 8);

pub(crate) fn case() -> Case {
    Case {
        name: "ecs/to_bytes",
        about: "10,000 entities of 100 bytes as bytes",
        unit: Unit::Microseconds,
        contenders: || {
            Ok(vec![
                engine(),
                hand(),
                #[cfg(feature = "peers")]
                bevy(),
                #[cfg(feature = "peers")]
                hecs(),
                #[cfg(feature = "peers")]
                flecs(),
            ])
        },
    }
}

fn engine() -> Contender {
    let mut world = engine_world(ENTITIES, true);
    world.hash();
    with_fresh(
        OURS,
        || (),
        move |()| {
            let mut parts = world.image(PartBytes::default());
            let bytes: Vec<_> = parts.by_ref().collect();
            (bytes, parts.manifest().map(|manifest| manifest.to_bytes()))
        },
    )
}

fn hand() -> Contender {
    let bytes = vec![1_u8; BYTES];
    with_fresh("memcpy", || (), move |()| std::hint::black_box(&bytes).clone())
}

/// Appends the values of one entity.
#[cfg(feature = "peers")]
fn put(out: &mut Vec<u8>, entity: u64, row: (&Transform, &Position, &Rotation, &Velocity)) {
    use engine_component::bytemuck::bytes_of;
    out.extend_from_slice(&entity.to_le_bytes());
    out.extend_from_slice(bytes_of(&row.0.value));
    out.extend_from_slice(bytes_of(&row.1.value));
    out.extend_from_slice(bytes_of(&row.2.value));
    out.extend_from_slice(bytes_of(&row.3.value));
}

#[cfg(feature = "peers")]
fn bevy() -> Contender {
    let mut world = super::components::bevy_world(ENTITIES, true);
    let mut all = world.query::<(bevy_ecs::entity::Entity, &Transform, &Position, &Rotation, &Velocity)>();
    with_fresh(
        "bevy_ecs",
        || (),
        move |()| {
            let mut out = Vec::with_capacity(BYTES);
            all.iter(&world).for_each(|(entity, a, b, c, d)| put(&mut out, entity.to_bits(), (a, b, c, d)));
            out
        },
    )
}

#[cfg(feature = "peers")]
fn hecs() -> Contender {
    let mut world = super::components::hecs_world(ENTITIES, true);
    with_fresh(
        "hecs",
        || (),
        move |()| {
            let mut out = Vec::with_capacity(BYTES);
            let all = world.query_mut::<(hecs::Entity, &Transform, &Position, &Rotation, &Velocity)>();
            all.into_iter().for_each(|(entity, a, b, c, d)| put(&mut out, entity.to_bits().get(), (a, b, c, d)));
            out
        },
    )
}

#[cfg(feature = "peers")]
fn flecs() -> Contender {
    let world = super::flecs::flecs_world(ENTITIES, true);
    let all = super::flecs::Rows::<(&Transform, &Position, &Rotation, &Velocity)>::of(world);
    with_fresh(
        "flecs_ecs",
        || (),
        move |()| {
            let mut out = Vec::with_capacity(BYTES);
            // Without the entity: the query hands it out only together with a way to change it.
            all.each(|row| put(&mut out, 0, row));
            out
        },
    )
}
