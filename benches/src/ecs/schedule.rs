//! Three systems that swap two components each, over 60,000 rows in four tables: what a tick costs beside
//! its systems.

use engine_app::App;
use engine_component::World;
use engine_component::query::{Query, QueryState};

use super::ENTITIES;
use super::components::components;
use super::whole_tick::ticks;
use crate::case::{Case, Contender, OURS, Unit};
use crate::measure::repeated;

components! {
    A(f32) = "bench.SwapA";
    B(f32) = "bench.SwapB";
    C(f32) = "bench.SwapC";
    D(f32) = "bench.SwapD";
    E(f32) = "bench.SwapE";
}

/// Spawns the four tables into `$world`.
macro_rules! spawn_all {
    ($module:ident, $world:ident, $finish:expr) => {
        use $module::{A, B, C, D, E};
        let (a, b, c, d, e) =
            (A { value: 0.0 }, B { value: 1.0 }, C { value: 2.0 }, D { value: 3.0 }, E { value: 4.0 });
        $finish($world.spawn_batch((0..ENTITIES).map(|_| (a, b))));
        $finish($world.spawn_batch((0..ENTITIES).map(|_| (a, b, c))));
        $finish($world.spawn_batch((0..ENTITIES).map(|_| (a, b, c, d))));
        $finish($world.spawn_batch((0..ENTITIES).map(|_| (a, b, c, e))));
    };
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "ecs/schedule",
            about: "three systems over 60,000 rows, one after another",
            unit: Unit::Microseconds,
            contenders: || {
                Ok(vec![
                    engine()?,
                    hand(),
                    #[cfg(feature = "peers")]
                    bevy(1),
                    #[cfg(feature = "peers")]
                    hecs(),
                    #[cfg(feature = "peers")]
                    flecs(1),
                ])
            },
        },
        Case {
            name: "ecs/schedule_tick",
            about: "the same as a whole tick: planned, run, merged and hashed",
            unit: Unit::Microseconds,
            contenders: || Ok(vec![ticks(app(), 1)?, hand()]),
        },
        Case {
            name: "ecs/schedule_tick_2",
            about: "the same on two threads; the peers hash nothing",
            unit: Unit::Microseconds,
            contenders: || {
                Ok(vec![
                    ticks(app(), 2)?,
                    hand(),
                    #[cfg(feature = "peers")]
                    bevy(2),
                    #[cfg(feature = "peers")]
                    flecs(2),
                ])
            },
        },
    ]
}

fn ab(mut rows: Query<(&mut ours::A, &mut ours::B)>) {
    rows.for_each(|(a, b)| std::mem::swap(&mut a.value, &mut b.value));
}

fn cd(mut rows: Query<(&mut ours::C, &mut ours::D)>) {
    rows.for_each(|(c, d)| std::mem::swap(&mut c.value, &mut d.value));
}

fn ce(mut rows: Query<(&mut ours::C, &mut ours::E)>) {
    rows.for_each(|(c, e)| std::mem::swap(&mut c.value, &mut e.value));
}

fn app() -> App {
    App::new("bench").add_system("ab", ab).add_system("cd", cd).add_system("ce", ce).on_start(|start| {
        let world = &mut *start.world;
        spawn_all!(ours, world, drop);
        Ok(())
    })
}

fn engine() -> anyhow::Result<Contender> {
    let mut world = World::default();
    spawn_all!(ours, world, drop);
    let mut ab = QueryState::<(&mut A, &mut B)>::new()?;
    let mut cd = QueryState::<(&mut C, &mut D)>::new()?;
    let mut ce = QueryState::<(&mut C, &mut E)>::new()?;
    Ok(repeated(OURS, 1, move || {
        ab.for_each(&mut world, |(a, b)| std::mem::swap(&mut a.value, &mut b.value));
        cd.for_each(&mut world, |(c, d)| std::mem::swap(&mut c.value, &mut d.value));
        ce.for_each(&mut world, |(c, e)| std::mem::swap(&mut c.value, &mut e.value));
    }))
}

fn hand() -> Contender {
    let mut pairs = vec![(vec![0.0_f32; ENTITIES], vec![1.0_f32; ENTITIES]); 6];
    repeated("hand", 1, move || {
        for (left, right) in std::hint::black_box(&mut pairs) {
            left.swap_with_slice(right);
        }
    })
}

#[cfg(feature = "peers")]
fn bevy(threads: usize) -> Contender {
    use bevy_ecs::schedule::{MultiThreadedExecutor, Schedule, SingleThreadedExecutor};
    use bevy_ecs::system::Query;
    fn ab(mut rows: Query<'_, '_, (&mut theirs::A, &mut theirs::B)>) {
        rows.iter_mut().for_each(|(mut a, mut b)| std::mem::swap(&mut a.value, &mut b.value));
    }
    fn cd(mut rows: Query<'_, '_, (&mut theirs::C, &mut theirs::D)>) {
        rows.iter_mut().for_each(|(mut c, mut d)| std::mem::swap(&mut c.value, &mut d.value));
    }
    fn ce(mut rows: Query<'_, '_, (&mut theirs::C, &mut theirs::E)>) {
        rows.iter_mut().for_each(|(mut c, mut e)| std::mem::swap(&mut c.value, &mut e.value));
    }
    let mut world = bevy_ecs::world::World::new();
    spawn_all!(theirs, world, |spawned| Iterator::for_each(spawned, drop));
    let mut schedule = Schedule::default();
    if threads == 1 {
        schedule.set_executor(SingleThreadedExecutor::new());
    } else {
        super::parallel::bevy_tasks();
        schedule.set_executor(MultiThreadedExecutor::new());
    }
    schedule.add_systems((ab, cd, ce));
    repeated("bevy_ecs", 1, move || schedule.run(&mut world))
}

#[cfg(feature = "peers")]
fn hecs() -> Contender {
    let mut world = hecs::World::new();
    spawn_all!(theirs, world, |spawned| Iterator::for_each(spawned, drop));
    repeated("hecs", 1, move || {
        let ab = world.query_mut::<(&mut A, &mut B)>().into_iter();
        ab.for_each(|(a, b)| std::mem::swap(&mut a.value, &mut b.value));
        let cd = world.query_mut::<(&mut C, &mut D)>().into_iter();
        cd.for_each(|(c, d)| std::mem::swap(&mut c.value, &mut d.value));
        let ce = world.query_mut::<(&mut C, &mut E)>().into_iter();
        ce.for_each(|(c, e)| std::mem::swap(&mut c.value, &mut e.value));
    })
}

#[cfg(feature = "peers")]
fn flecs(threads: i32) -> Contender {
    use flecs_ecs::prelude::{ParSystemAPI as _, SystemAPI as _};
    use theirs::{A, B, C, D, E};
    let world = flecs_world();
    if threads > 1 {
        world.system::<(&mut A, &mut B)>().par_each(|(a, b)| std::mem::swap(&mut a.value, &mut b.value));
        world.system::<(&mut C, &mut D)>().par_each(|(c, d)| std::mem::swap(&mut c.value, &mut d.value));
        world.system::<(&mut C, &mut E)>().par_each(|(c, e)| std::mem::swap(&mut c.value, &mut e.value));
        world.set_threads(threads);
    } else {
        world.system::<(&mut A, &mut B)>().each(|(a, b)| std::mem::swap(&mut a.value, &mut b.value));
        world.system::<(&mut C, &mut D)>().each(|(c, d)| std::mem::swap(&mut c.value, &mut d.value));
        world.system::<(&mut C, &mut E)>().each(|(c, e)| std::mem::swap(&mut c.value, &mut e.value));
    }
    repeated("flecs_ecs", 1, move || {
        world.progress();
    })
}

#[cfg(feature = "peers")]
fn flecs_world() -> flecs_ecs::prelude::World {
    use theirs::{A, B, C, D, E};
    let world = flecs_ecs::prelude::World::new();
    let (a, b, c) =
        (vec![A { value: 0.0 }; ENTITIES], vec![B { value: 1.0 }; ENTITIES], vec![C { value: 2.0 }; ENTITIES]);
    let (d, e) = (vec![D { value: 3.0 }; ENTITIES], vec![E { value: 4.0 }; ENTITIES]);
    let bulk = || world.entity_bulk(ENTITIES as u32);
    bulk().set(&a).set(&b).build();
    bulk().set(&a).set(&b).set(&c).build();
    bulk().set(&a).set(&b).set(&c).set(&d).build();
    bulk().set(&a).set(&b).set(&c).set(&e).build();
    world
}
