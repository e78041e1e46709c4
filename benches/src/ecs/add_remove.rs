//! A component added to each of 10,000 entities, and removed again: rows move between two tables.

use engine_component::World;

use super::ENTITIES;
use super::components::components;
use crate::case::{Case, Contender, OURS, Unit};
use crate::measure::repeated;

components! {
    Stays(f32) = "bench.Stays";
    Comes(f32) = "bench.Comes";
}

pub(crate) fn cases() -> Vec<Case> {
    vec![one_by_one(), at_once()]
}

/// What a command in a batch costs: both ways at once. None of the peers has such a call.
fn at_once() -> Case {
    Case {
        name: "ecs/add_remove_batch",
        about: "the same in two calls; per operation",
        unit: Unit::Nanoseconds,
        contenders: || {
            let mut world = World::default();
            let entities = world.spawn_batch((0..ENTITIES).map(|_| ours::Stays { value: 0.0 }));
            let ours = repeated(OURS, 2 * ENTITIES, move || {
                let rows = entities.iter().map(|entity| (*entity, ours::Comes { value: 0.0 }));
                let inserted = world.insert_batch(rows);
                let removed = world.remove_batch::<ours::Comes>(entities.iter().copied());
                std::hint::black_box((inserted.is_ok(), removed.is_ok()));
            });
            Ok(vec![ours, hand()])
        },
    }
}

/// Two stacks of rows: what comes is pushed to one, what goes is taken off the other.
fn hand() -> Contender {
    let (mut without, mut with) = (vec![(1_u64, 0.0_f32); ENTITIES], Vec::with_capacity(ENTITIES));
    repeated("hand", 2 * ENTITIES, move || {
        while let Some((entity, stays)) = without.pop() {
            with.push((entity, stays, std::hint::black_box(0.0_f32)));
        }
        while let Some((entity, stays, _)) = with.pop() {
            without.push((entity, stays));
        }
        std::hint::black_box(&mut without);
    })
}

fn one_by_one() -> Case {
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
