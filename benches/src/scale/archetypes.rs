//! The same entities in more tables.

use anyhow::Result;
use engine_app::App;
use engine_component::{Component, Entity, World};
use engine_math::Vec3;

use super::here_and_there;
use crate::curve::{Axis, Curve, Law};
use crate::dist::integrate;
use crate::dist::program::{Program, Sizes};
use crate::ecs::components::ours::{Position, Velocity};
use crate::tick::Ticker;

const ENTITIES: usize = 100_000;

pub(crate) static PROGRAM: Program = Program { name: "archetypes", app };

pub(super) fn curve() -> Curve {
    Curve {
        name: "scale/archetypes",
        about: "100,000 moving entities in so many tables, each of which is a job at the least",
        axis: Axis { label: "archetypes", law: Law::Linear },
        points: &[1, 10, 100, 1_000, 10_000],
        quick: &[1, 10, 100],
        tickers,
    }
}

fn tickers(archetypes: u64) -> Result<Vec<Ticker>> {
    here_and_there(PROGRAM.of(ENTITIES, archetypes as usize))
}

/// Declares tags, and what gives them to an entity by the bits of a number.
macro_rules! tags {
    ($($name:ident = $declared:tt at $bit:literal;)*) => {
        $(
            #[derive(Component, Clone, Copy)]
            #[component(name = $declared)]
            struct $name;
        )*

        /// The lowest bit first: what an entity is on its way are archetypes of smaller numbers, which are there
        /// already.
        fn tag(world: &mut World, entity: Entity, number: usize) -> engine_app::Result {
            $(
                if number & (1 << $bit) != 0 {
                    world.insert(entity, $name)?;
                }
            )*
            Ok(())
        }
    };
}

tags! {
    Tag0 = "bench.Tag0" at 0;
    Tag1 = "bench.Tag1" at 1;
    Tag2 = "bench.Tag2" at 2;
    Tag3 = "bench.Tag3" at 3;
    Tag4 = "bench.Tag4" at 4;
    Tag5 = "bench.Tag5" at 5;
    Tag6 = "bench.Tag6" at 6;
    Tag7 = "bench.Tag7" at 7;
    Tag8 = "bench.Tag8" at 8;
    Tag9 = "bench.Tag9" at 9;
    Tag10 = "bench.Tag10" at 10;
    Tag11 = "bench.Tag11" at 11;
    Tag12 = "bench.Tag12" at 12;
    Tag13 = "bench.Tag13" at 13;
}

fn app(Sizes { entities, of: archetypes }: Sizes) -> App {
    App::new("bench").add_system("integrate", integrate).on_start(move |start| {
        let row = (Position { value: Vec3::X }, Velocity { value: Vec3::X });
        let spawned = start.world.spawn_batch((0..entities).map(|_| row));
        for (number, entity) in spawned.into_iter().enumerate() {
            tag(start.world, entity, number % archetypes)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_tables_as_are_asked_for() {
        let mut world = World::default();
        for number in 0..100 {
            let entity = world.spawn((Position { value: Vec3::X },));
            tag(&mut world, entity, number).unwrap();
        }
        let filled = world.tables().iter().filter(|table| !table.is_empty()).count();
        assert_eq!(filled, 100);
    }
}
