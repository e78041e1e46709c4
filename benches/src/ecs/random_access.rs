//! 10,000 entities, each written once, in an order that has nothing to do with their places.

use engine_component::query::QueryState;

use super::ENTITIES;
#[cfg(feature = "peers")]
use super::components::theirs;
use super::components::{engine_world, ours};
use crate::case::{Case, OURS, Unit};
use crate::measure::repeated;

/// A permutation that looks like chance and is the same in every run.
fn shuffled<T>(mut items: Vec<T>) -> Vec<T> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for end in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(end, (state >> 33) as usize % (end + 1));
    }
    items
}

pub(crate) fn case() -> Case {
    Case {
        name: "ecs/random_access",
        about: "write one component of each of 10,000 entities, in random order; per access",
        unit: Unit::Nanoseconds,
        contenders: || {
            Ok(vec![
                {
                    let mut world = engine_world(ENTITIES, true);
                    let entities = world.tables().iter().flat_map(|table| table.entities().to_vec()).collect();
                    let order = shuffled(entities);
                    let mut all = QueryState::<&mut ours::Position>::new()?;
                    repeated(OURS, ENTITIES, move || {
                        let mut positions = all.by_entity_mut(&mut world);
                        for entity in &order {
                            positions.get_mut(*entity).expect("all have one").value.x += 1.0;
                        }
                    })
                },
                {
                    let mut positions = vec![engine_math::Vec3::X; ENTITIES];
                    let order = shuffled((0..ENTITIES).collect());
                    repeated("hand", ENTITIES, move || {
                        for row in &order {
                            positions[*row].x += 1.0;
                        }
                    })
                },
                #[cfg(feature = "peers")]
                {
                    let mut world = super::components::bevy_world(ENTITIES, true);
                    let mut holders =
                        world.query_filtered::<bevy_ecs::entity::Entity, bevy_ecs::query::With<theirs::Position>>();
                    let entities = holders.iter(&world).collect();
                    let order: Vec<bevy_ecs::entity::Entity> = shuffled(entities);
                    let mut positions = world.query::<&mut theirs::Position>();
                    repeated("bevy_ecs", ENTITIES, move || {
                        for entity in &order {
                            positions.get_mut(&mut world, *entity).expect("all have one").value.x += 1.0;
                        }
                    })
                },
                #[cfg(feature = "peers")]
                {
                    let mut world = super::components::hecs_world(ENTITIES, true);
                    let order: Vec<hecs::Entity> = shuffled(world.iter().map(|entity| entity.entity()).collect());
                    repeated("hecs", ENTITIES, move || {
                        let mut positions = world.view_mut::<&mut theirs::Position>();
                        for entity in &order {
                            positions.get_mut(*entity).expect("all have one").value.x += 1.0;
                        }
                    })
                },
            ])
        },
    }
}
