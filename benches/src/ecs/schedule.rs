//! Three systems that swap two components each, over 60,000 rows in four tables: what a tick costs beside
//! its systems.

use engine_component::World;
use engine_component::query::QueryState;

use super::ENTITIES;
use super::components::components;
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

pub(crate) fn case() -> Case {
    Case {
        name: "ecs/schedule",
        about: "a schedule of three systems over 60,000 rows, one thread",
        unit: Unit::Microseconds,
        contenders: || {
            Ok(vec![
                engine()?,
                hand(),
                #[cfg(feature = "peers")]
                bevy(),
                #[cfg(feature = "peers")]
                hecs(),
            ])
        },
    }
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
fn bevy() -> Contender {
    use bevy_ecs::schedule::{Schedule, SingleThreadedExecutor};
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
    schedule.set_executor(SingleThreadedExecutor::new());
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
