//! The heavy computation on two threads.
//!
//! Engine does whole ticks: its rows are cut into shards, jobs go to the threads of the pool, and at the end the
//! world is merged and hashed, which nobody else does.

use engine_app::App;
use engine_component::query::Query;
use engine_math::Vec3;

use super::ENTITIES;
#[cfg(feature = "peers")]
use super::components::theirs;
use super::components::{SCALED, ours, wide_row};
use super::heavy_compute::compute;
use super::whole_tick::ticks;
use crate::case::{Case, Contender, Unit};
use crate::measure::repeated;

const THREADS: usize = 2;

pub(crate) fn case() -> Case {
    Case {
        name: "ecs/heavy_compute_2",
        about: "ten matrix inversions for each of 10,000 entities, two threads",
        unit: Unit::Microseconds,
        contenders: || {
            Ok(vec![
                ticks(app(), THREADS)?,
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

fn invert(mut all: Query<(&mut ours::Transform, &mut ours::Position)>) {
    all.for_each(|(transform, position)| compute(&mut transform.value, &mut position.value));
}

fn app() -> App {
    App::new("bench").add_system("invert", invert).on_start(|start| {
        start.world.spawn_batch((0..ENTITIES).map(|_| wide_row!(ours)));
        Ok(())
    })
}

fn hand() -> Contender {
    let (mut transforms, mut positions) = (vec![SCALED; ENTITIES], vec![Vec3::X; ENTITIES]);
    repeated("hand", 1, move || {
        let half = ENTITIES / THREADS;
        let work = |transforms: &mut [_], positions: &mut [_]| {
            transforms.iter_mut().zip(positions).for_each(|(transform, position)| compute(transform, position));
        };
        let ((a, b), (c, d)) = (transforms.split_at_mut(half), positions.split_at_mut(half));
        std::thread::scope(|scope| {
            scope.spawn(|| work(b, d));
            work(a, c);
        });
    })
}

#[cfg(feature = "peers")]
fn bevy() -> Contender {
    bevy_tasks();
    let mut world = super::components::bevy_world(ENTITIES, true);
    let mut all = world.query::<(&mut theirs::Transform, &mut theirs::Position)>();
    repeated("bevy_ecs", 1, move || {
        all.par_iter_mut(&mut world).for_each(|(mut transform, mut position)| {
            compute(&mut transform.value, &mut position.value);
        });
    })
}

/// Its threads: the caller's is not one of them.
#[cfg(feature = "peers")]
pub(super) fn bevy_tasks() {
    use bevy_tasks::{ComputeTaskPool, TaskPoolBuilder};
    ComputeTaskPool::get_or_init(|| TaskPoolBuilder::new().num_threads(THREADS).build());
}

#[cfg(feature = "peers")]
fn hecs() -> Contender {
    let mut world = super::components::hecs_world(ENTITIES, true);
    repeated("hecs", 1, move || {
        let all = world.query_mut::<(&mut theirs::Transform, &mut theirs::Position)>();
        let mut batches = all.into_iter_batched((ENTITIES / THREADS) as u32);
        let work = |batch: Option<hecs::Batch<'_, (&mut theirs::Transform, &mut theirs::Position)>>| {
            let rows = batch.into_iter().flatten();
            rows.for_each(|(transform, position)| compute(&mut transform.value, &mut position.value));
        };
        let (first, second) = (batches.next(), batches.next());
        std::thread::scope(|scope| {
            scope.spawn(|| work(second));
            work(first);
        });
    })
}

#[cfg(feature = "peers")]
fn flecs() -> Contender {
    use flecs_ecs::prelude::ParSystemAPI as _;
    let world = super::flecs::flecs_world(ENTITIES, true);
    world.system::<(&mut theirs::Transform, &mut theirs::Position)>().par_each(|(transform, position)| {
        compute(&mut transform.value, &mut position.value);
    });
    world.set_threads(THREADS as i32);
    repeated("flecs_ecs", 1, move || {
        world.progress();
    })
}
