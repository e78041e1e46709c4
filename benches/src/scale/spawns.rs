//! More entities that come and go in each tick: each lives for one tick.

use anyhow::Result;
use engine_app::App;
use engine_component::query::{Query, With};
use engine_component::{Component, Entity};
use engine_math::Vec3;
use engine_system::Commands;

use crate::curve::{Axis, Curve, Law};
use crate::dist::program::{Program, Sizes};
use crate::ecs::components::ours::{Position, Velocity};
use crate::tick::Ticker;

/// Who stays: it is not by them that a tick costs more.
const STAYING: usize = 10_000;

pub(crate) static PROGRAM: Program = Program { name: "spawns", app: spawning };

pub(super) fn curve() -> Curve {
    Curve {
        name: "scale/spawns",
        about: "entities of three components that come and go in each tick, beside 10,000 that stay",
        axis: Axis { label: "spawns and despawns per tick", law: Law::Linear },
        points: &[1, 10, 100, 1_000, 10_000, 100_000],
        quick: &[1, 100, 10_000],
        tickers,
    }
}

fn tickers(spawns: u64) -> Result<Vec<Ticker>> {
    super::here_and_there(PROGRAM.of(STAYING, spawns as usize))
}

#[derive(Component, Clone, Copy)]
#[component(name = "bench.Passing")]
struct Passing;

fn end(passing: Query<Entity, With<Passing>>, mut commands: Commands) {
    passing.iter().for_each(|entity| commands.despawn(entity));
}

fn spawning(Sizes { entities, of: spawns }: Sizes) -> App {
    let row = (Position { value: Vec3::X }, Velocity { value: Vec3::X });
    let begin = move |mut commands: Commands| {
        for _ in 0..spawns {
            commands.spawn((row.0, row.1, Passing));
        }
    };
    App::new("bench").add_system("end", end).add_system("begin", begin).on_start(move |start| {
        start.world.spawn_batch((0..entities).map(|_| row));
        Ok(())
    })
}
