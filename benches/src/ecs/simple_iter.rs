//! `position += velocity` over 10,000 and over a million entities with four components.

use engine_component::query::QueryState;
use engine_math::Vec3;

use super::ENTITIES;
#[cfg(feature = "peers")]
use super::components::theirs;
use super::components::{engine_world, ours};
use super::warmth::Warmth;
use crate::case::{Case, Contender, OURS, Unit};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "ecs/simple_iter",
            about: "position += velocity, 10,000 entities",
            unit: Unit::Microseconds,
            contenders: || contenders(ENTITIES, Warmth::Warm),
        },
        Case {
            name: "ecs/simple_iter_million",
            about: "position += velocity, 1,000,000 entities",
            unit: Unit::Microseconds,
            contenders: || contenders(1_000_000, Warmth::Warm),
        },
        Case {
            name: "ecs/simple_iter_million_cold",
            about: "the same, with something else in the caches",
            unit: Unit::Microseconds,
            contenders: || contenders(1_000_000, Warmth::Cold),
        },
    ]
}

fn contenders(entities: usize, warmth: Warmth) -> anyhow::Result<Vec<Contender>> {
    Ok(vec![
        engine(entities, warmth)?,
        hand(entities, warmth),
        #[cfg(feature = "peers")]
        bevy(entities, warmth),
        #[cfg(feature = "peers")]
        hecs(entities, warmth),
        #[cfg(feature = "peers")]
        flecs(entities, warmth),
    ])
}

fn engine(entities: usize, warmth: Warmth) -> anyhow::Result<Contender> {
    let mut world = engine_world(entities, true);
    let mut moving = QueryState::<(&mut ours::Position, &ours::Velocity)>::new()?;
    Ok(warmth.contender(OURS, 1, move || {
        moving.for_each(&mut world, |(position, velocity)| position.value += velocity.value);
    }))
}

fn hand(entities: usize, warmth: Warmth) -> Contender {
    let (mut positions, velocities) = (vec![Vec3::X; entities], vec![Vec3::X; entities]);
    warmth.contender("hand", 1, move || {
        // The compiler may not know that the next time does the same again.
        let (positions, velocities) = std::hint::black_box((&mut positions, &velocities));
        for (position, velocity) in positions.iter_mut().zip(velocities) {
            *position += *velocity;
        }
    })
}

#[cfg(feature = "peers")]
fn bevy(entities: usize, warmth: Warmth) -> Contender {
    let mut world = super::components::bevy_world(entities, true);
    let mut moving = world.query::<(&mut theirs::Position, &theirs::Velocity)>();
    warmth.contender("bevy_ecs", 1, move || {
        moving.iter_mut(&mut world).for_each(|(mut position, velocity)| position.value += velocity.value);
    })
}

#[cfg(feature = "peers")]
fn hecs(entities: usize, warmth: Warmth) -> Contender {
    let mut world = super::components::hecs_world(entities, true);
    warmth.contender("hecs", 1, move || {
        let moving = world.query_mut::<(&mut theirs::Position, &theirs::Velocity)>();
        moving.into_iter().for_each(|(position, velocity)| position.value += velocity.value);
    })
}

#[cfg(feature = "peers")]
fn flecs(entities: usize, warmth: Warmth) -> Contender {
    let world = super::flecs::flecs_world(entities, true);
    let moving = super::flecs::Rows::<(&mut theirs::Position, &theirs::Velocity)>::of(world);
    warmth.contender("flecs_ecs", 1, move || {
        moving.each(|(position, velocity)| position.value += velocity.value);
    })
}
