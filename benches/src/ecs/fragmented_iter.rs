//! 26 tables of 20 entities each, and a component that all have: the price of a table.

use engine_component::World;
use engine_component::query::QueryState;

use super::components::components;
#[cfg(feature = "peers")]
use crate::case::Contender;
use crate::case::{Case, OURS, Unit};
use crate::measure::repeated;

const OF_EACH: usize = 20;

/// One component that all entities have, and one more for each letter.
macro_rules! letters {
    ($($letter:ident = $declared:tt;)*) => {
        components! {
            Data(f32) = "bench.Data";
            $($letter(f32) = $declared;)*
        }

        #[cfg(feature = "peers")]
        fn flecs() -> Contender {
            let world = flecs_ecs::prelude::World::new();
            $(for _ in 0..OF_EACH {
                world.entity().set(theirs::Data { value: 1.0 }).set(theirs::$letter { value: 0.0 });
            })*
            let all = super::flecs::Rows::<&mut theirs::Data>::of(world);
            repeated("flecs_ecs", 1, move || all.each(|data| data.value *= 2.0))
        }

        macro_rules! spawn_all {
            ($module:ident, $world:ident, $finish:expr) => {
                $(
                    let rows = (0..OF_EACH).map(|_| ($module::Data { value: 1.0 }, $module::$letter { value: 0.0 }));
                    $finish($world.spawn_batch(rows));
                )*
            };
        }

    };
}

letters! {
    A = "bench.A"; B = "bench.B"; C = "bench.C"; D = "bench.D"; E = "bench.E"; F = "bench.F"; G = "bench.G";
    H = "bench.H"; I = "bench.I"; J = "bench.J"; K = "bench.K"; L = "bench.L"; M = "bench.M"; N = "bench.N";
    O = "bench.O"; P = "bench.P"; Q = "bench.Q"; R = "bench.R"; S = "bench.S"; T = "bench.T"; U = "bench.U";
    V = "bench.V"; W = "bench.W"; X = "bench.X"; Y = "bench.Y"; Z = "bench.Z";
}

pub(crate) fn case() -> Case {
    Case {
        name: "ecs/fragmented_iter",
        about: "26 tables of 20 entities each",
        unit: Unit::Nanoseconds,
        contenders: || {
            Ok(vec![
                {
                    let mut world = World::default();
                    spawn_all!(ours, world, drop);
                    let mut all = QueryState::<&mut ours::Data>::new()?;
                    repeated(OURS, 1, move || all.for_each(&mut world, |data| data.value *= 2.0))
                },
                {
                    let mut columns = vec![vec![1.0_f32; OF_EACH]; 26];
                    repeated("hand", 1, move || {
                        for column in std::hint::black_box(&mut columns) {
                            column.iter_mut().for_each(|value| *value *= 2.0);
                        }
                    })
                },
                #[cfg(feature = "peers")]
                {
                    let mut world = bevy_ecs::world::World::new();
                    spawn_all!(theirs, world, |spawned| Iterator::for_each(spawned, drop));
                    let mut all = world.query::<&mut theirs::Data>();
                    repeated("bevy_ecs", 1, move || {
                        all.iter_mut(&mut world).for_each(|mut data| data.value *= 2.0);
                    })
                },
                #[cfg(feature = "peers")]
                {
                    let mut world = hecs::World::new();
                    spawn_all!(theirs, world, |spawned| Iterator::for_each(spawned, drop));
                    repeated("hecs", 1, move || {
                        world.query_mut::<&mut theirs::Data>().into_iter().for_each(|data| data.value *= 2.0);
                    })
                },
                #[cfg(feature = "peers")]
                flecs(),
            ])
        },
    }
}
