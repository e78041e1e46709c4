//! Entities of which each is written once, in an order that has nothing to do with their places.

use engine_component::query::QueryState;

use super::ENTITIES;
#[cfg(feature = "peers")]
use super::components::theirs;
use super::components::{engine_world, ours};
use super::warmth::Warmth;
use crate::case::{Case, Contender, OURS, Unit};

/// A permutation that looks like chance and is the same in every run.
pub(super) fn shuffled<T>(mut items: Vec<T>) -> Vec<T> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for end in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(end, (state >> 33) as usize % (end + 1));
    }
    items
}

pub(crate) fn cases() -> Vec<Case> {
    let unit = Unit::Nanoseconds;
    vec![
        Case {
            name: "ecs/random_access",
            about: "write one component of each of 10,000 entities, in random order; per access",
            unit,
            contenders: || contenders(ENTITIES, Warmth::Warm),
        },
        Case {
            name: "ecs/random_access_moved",
            about: "the same, after each entity was moved to another row",
            unit,
            contenders: || Ok(vec![moved()?, hand(ENTITIES, Warmth::Warm)]),
        },
        Case {
            name: "ecs/random_access_million",
            about: "the same of 1,000,000 entities",
            unit,
            contenders: || contenders(1_000_000, Warmth::Warm),
        },
        Case {
            name: "ecs/random_access_million_cold",
            about: "the same, with something else in the caches",
            unit,
            contenders: || contenders(1_000_000, Warmth::Cold),
        },
    ]
}

fn contenders(entities: usize, warmth: Warmth) -> anyhow::Result<Vec<Contender>> {
    Ok(vec![
        engine(engine_world(entities, true), warmth)?,
        hand(entities, warmth),
        #[cfg(feature = "peers")]
        bevy(entities, warmth),
        #[cfg(feature = "peers")]
        hecs(entities, warmth),
        #[cfg(feature = "peers")]
        flecs(entities, warmth),
    ])
}

fn engine(mut world: engine_component::World, warmth: Warmth) -> anyhow::Result<Contender> {
    let entities: Vec<_> = world.tables().iter().flat_map(|table| table.entities().to_vec()).collect();
    let order = shuffled(entities);
    let mut all = QueryState::<&mut ours::Position>::new()?;
    Ok(warmth.contender(OURS, order.len(), move || {
        let mut positions = all.by_entity_mut(&mut world);
        for entity in &order {
            positions.get_mut(*entity).expect("all have one").value.x += 1.0;
        }
    }))
}

/// Rows do not follow the numbers of their entities any more, so that each has a place in the index.
fn moved() -> anyhow::Result<Contender> {
    let mut world = engine_world(ENTITIES, true);
    let entities = world.tables().iter().flat_map(|table| table.entities().to_vec()).collect();
    for entity in shuffled(entities) {
        world.remove::<ours::Velocity>(entity)?;
    }
    engine(world, Warmth::Warm)
}

fn hand(entities: usize, warmth: Warmth) -> Contender {
    let mut positions = vec![engine_math::Vec3::X; entities];
    let order = shuffled((0..entities).collect());
    warmth.contender("hand", entities, move || {
        for row in &order {
            positions[*row].x += 1.0;
        }
    })
}

#[cfg(feature = "peers")]
fn bevy(entities: usize, warmth: Warmth) -> Contender {
    let mut world = super::components::bevy_world(entities, true);
    let mut holders = world.query_filtered::<bevy_ecs::entity::Entity, bevy_ecs::query::With<theirs::Position>>();
    let order: Vec<bevy_ecs::entity::Entity> = shuffled(holders.iter(&world).collect());
    let mut positions = world.query::<&mut theirs::Position>();
    warmth.contender("bevy_ecs", entities, move || {
        for entity in &order {
            positions.get_mut(&mut world, *entity).expect("all have one").value.x += 1.0;
        }
    })
}

#[cfg(feature = "peers")]
fn hecs(entities: usize, warmth: Warmth) -> Contender {
    let mut world = super::components::hecs_world(entities, true);
    let order: Vec<hecs::Entity> = shuffled(world.iter().map(|entity| entity.entity()).collect());
    warmth.contender("hecs", entities, move || {
        let mut positions = world.view_mut::<&mut theirs::Position>();
        for entity in &order {
            positions.get_mut(*entity).expect("all have one").value.x += 1.0;
        }
    })
}

#[cfg(feature = "peers")]
fn flecs(entities: usize, warmth: Warmth) -> Contender {
    use flecs_ecs::prelude::{EntityViewGet as _, QueryAPI as _};
    let world = super::flecs::flecs_world(entities, true);
    let mut order = Vec::new();
    world.new_query::<&theirs::Position>().each_entity(|entity, _| order.push(*entity));
    let order: Vec<flecs_ecs::prelude::Entity> = shuffled(order);
    warmth.contender("flecs_ecs", entities, move || {
        for entity in &order {
            world.entity_from_id(*entity).get::<&mut theirs::Position>(|position| position.value.x += 1.0);
        }
    })
}
