//! A matrix inverted ten times for each of 10,000 entities: the iteration itself should not be seen.

use engine_component::query::QueryState;
use engine_math::{Mat4, Vec3};

use super::ENTITIES;
#[cfg(feature = "peers")]
use super::components::theirs;
use super::components::{Matrix, SCALED, engine_world, ours};
use crate::case::{Case, OURS, Unit};
use crate::measure::repeated;

pub(super) fn compute(transform: &mut Matrix, position: &mut Vec3) {
    let mut matrix = Mat4::from_cols_array(transform);
    for _ in 0..10 {
        matrix = matrix.inverse();
    }
    *transform = matrix.to_cols_array();
    *position = matrix.transform_vector3(*position);
}

pub(crate) fn case() -> Case {
    Case {
        name: "ecs/heavy_compute",
        about: "ten matrix inversions for each of 10,000 entities, one thread",
        unit: Unit::Microseconds,
        contenders: || {
            Ok(vec![
                {
                    let mut world = engine_world(ENTITIES, true);
                    let mut all = QueryState::<(&mut ours::Transform, &mut ours::Position)>::new()?;
                    repeated(OURS, 1, move || {
                        all.for_each(&mut world, |(transform, position)| {
                            compute(&mut transform.value, &mut position.value);
                        });
                    })
                },
                {
                    let (mut transforms, mut positions) = (vec![SCALED; ENTITIES], vec![Vec3::X; ENTITIES]);
                    repeated("hand", 1, move || {
                        for (transform, position) in transforms.iter_mut().zip(&mut positions) {
                            compute(transform, position);
                        }
                    })
                },
                #[cfg(feature = "peers")]
                {
                    let mut world = super::components::bevy_world(ENTITIES, true);
                    let mut all = world.query::<(&mut theirs::Transform, &mut theirs::Position)>();
                    repeated("bevy_ecs", 1, move || {
                        all.iter_mut(&mut world).for_each(|(mut transform, mut position)| {
                            compute(&mut transform.value, &mut position.value);
                        });
                    })
                },
                #[cfg(feature = "peers")]
                {
                    let mut world = super::components::hecs_world(ENTITIES, true);
                    repeated("hecs", 1, move || {
                        let all = world.query_mut::<(&mut theirs::Transform, &mut theirs::Position)>();
                        all.into_iter().for_each(|(transform, position)| {
                            compute(&mut transform.value, &mut position.value);
                        });
                    })
                },
                #[cfg(feature = "peers")]
                {
                    let world = super::flecs::flecs_world(ENTITIES, true);
                    let all = super::flecs::Rows::<(&mut theirs::Transform, &mut theirs::Position)>::of(world);
                    repeated("flecs_ecs", 1, move || {
                        all.each(|(transform, position)| compute(&mut transform.value, &mut position.value));
                    })
                },
            ])
        },
    }
}
