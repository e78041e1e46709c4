//! 10,000 entities with four components into an empty world: in a batch, and one after another.

use engine_component::World;

use super::ENTITIES;
use super::components::{Matrix, SCALED, wide_row};
use crate::case::{Case, OURS, Unit};
use crate::measure::with_fresh;
use engine_math::Vec3;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "ecs/simple_insert",
            about: "10,000 entities with four components, in a batch",
            unit: Unit::Microseconds,
            contenders: || {
                Ok(vec![
                    with_fresh(OURS, World::default, |mut world| {
                        world.spawn_batch((0..ENTITIES).map(|_| wide_row!(ours)));
                        world
                    }),
                    with_fresh("hand", Columns::default, Columns::filled),
                    #[cfg(feature = "peers")]
                    with_fresh("bevy_ecs", bevy_ecs::world::World::new, |mut world| {
                        world.spawn_batch((0..ENTITIES).map(|_| wide_row!(theirs))).for_each(drop);
                        world
                    }),
                    #[cfg(feature = "peers")]
                    with_fresh("hecs", hecs::World::new, |mut world| {
                        world.spawn_batch((0..ENTITIES).map(|_| wide_row!(theirs))).for_each(drop);
                        world
                    }),
                    #[cfg(feature = "peers")]
                    with_fresh("flecs_ecs", || (), |()| super::flecs::flecs_world(ENTITIES, true)),
                ])
            },
        },
        Case {
            name: "ecs/insert_each",
            about: "10,000 entities with four components, one call for each",
            unit: Unit::Microseconds,
            contenders: || {
                Ok(vec![
                    with_fresh(OURS, World::default, |mut world| {
                        for _ in 0..ENTITIES {
                            world.spawn(wide_row!(ours));
                        }
                        world
                    }),
                    #[cfg(feature = "peers")]
                    with_fresh("bevy_ecs", bevy_ecs::world::World::new, |mut world| {
                        for _ in 0..ENTITIES {
                            world.spawn(wide_row!(theirs));
                        }
                        world
                    }),
                    #[cfg(feature = "peers")]
                    with_fresh("hecs", hecs::World::new, |mut world| {
                        for _ in 0..ENTITIES {
                            world.spawn(wide_row!(theirs));
                        }
                        world
                    }),
                    #[cfg(feature = "peers")]
                    with_fresh("flecs_ecs", flecs_ecs::prelude::World::new, |world| {
                        for _ in 0..ENTITIES {
                            let (transform, position, rotation, velocity) = wide_row!(theirs);
                            world.entity().set(transform).set(position).set(rotation).set(velocity);
                        }
                        world
                    }),
                ])
            },
        },
    ]
}

#[derive(Default)]
struct Columns {
    transforms: Vec<Matrix>,
    vectors: [Vec<Vec3>; 3],
}

impl Columns {
    fn filled(mut self) -> Self {
        self.transforms.resize(ENTITIES, SCALED);
        for column in &mut self.vectors {
            column.resize(ENTITIES, Vec3::X);
        }
        self
    }
}
