//! A component added to each of 10,000 entities, and removed again: rows move between two tables.

use engine_component::World;

use super::ENTITIES;
use super::components::components;
use crate::case::{Case, OURS, Unit};
use crate::measure::repeated;

components! {
    Stays(f32) = "bench.Stays";
    Comes(f32) = "bench.Comes";
}

pub(crate) fn case() -> Case {
    Case {
        name: "ecs/add_remove",
        about: "add a component to each of 10,000 entities, remove it from each; per operation",
        unit: Unit::Nanoseconds,
        contenders: || {
            Ok(vec![
                {
                    let mut world = World::default();
                    let entities = world.spawn_batch((0..ENTITIES).map(|_| ours::Stays { value: 0.0 }));
                    repeated(OURS, 2 * ENTITIES, move || {
                        for entity in &entities {
                            world.insert(*entity, ours::Comes { value: 0.0 }).expect("the entity lives");
                        }
                        for entity in &entities {
                            world.remove::<ours::Comes>(*entity).expect("the entity lives");
                        }
                    })
                },
                #[cfg(feature = "peers")]
                {
                    let mut world = bevy_ecs::world::World::new();
                    let rows = (0..ENTITIES).map(|_| theirs::Stays { value: 0.0 });
                    let entities: Vec<_> = world.spawn_batch(rows).collect();
                    repeated("bevy_ecs", 2 * ENTITIES, move || {
                        for entity in &entities {
                            world.entity_mut(*entity).insert(theirs::Comes { value: 0.0 });
                        }
                        for entity in &entities {
                            world.entity_mut(*entity).remove::<theirs::Comes>();
                        }
                    })
                },
                #[cfg(feature = "peers")]
                {
                    let mut world = hecs::World::new();
                    let rows = (0..ENTITIES).map(|_| (theirs::Stays { value: 0.0 },));
                    let entities: Vec<_> = world.spawn_batch(rows).collect();
                    repeated("hecs", 2 * ENTITIES, move || {
                        for entity in &entities {
                            world.insert_one(*entity, theirs::Comes { value: 0.0 }).expect("the entity lives");
                        }
                        for entity in &entities {
                            world.remove_one::<theirs::Comes>(*entity).expect("the entity lives");
                        }
                    })
                },
                #[cfg(feature = "peers")]
                {
                    use flecs_ecs::prelude::ComponentId as _;
                    let world = flecs_ecs::prelude::World::new();
                    let rows = vec![theirs::Stays { value: 0.0 }; ENTITIES];
                    let entities = world.entity_bulk(ENTITIES as u32).set(&rows).build();
                    repeated("flecs_ecs", 2 * ENTITIES, move || {
                        for entity in &entities {
                            world.entity_from_id(*entity).set(theirs::Comes { value: 0.0 });
                        }
                        for entity in &entities {
                            world.entity_from_id(*entity).remove(theirs::Comes::id());
                        }
                    })
                },
            ])
        },
    }
}
