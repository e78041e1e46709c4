//! More systems over the same few entities: in a chain, since each writes what the next one reads, and side by
//! side, since they only read.

use anyhow::Result;
use engine_app::App;
use engine_component::query::Query;
use engine_math::Vec3;

use crate::curve::{Axis, Curve, Law};
use crate::dist::engine_side::{Place, Setup};
use crate::dist::integrate;
use crate::dist::program::{Program, Sizes};
use crate::ecs::components::ours::{Position, Velocity};
use crate::tick::Ticker;

const ENTITIES: usize = 1000;

pub(crate) static CHAIN: Program = Program { name: "chain", app: chain };
pub(crate) static BESIDE: Program = Program { name: "beside", app: beside };

pub(super) fn curve() -> Curve {
    Curve {
        name: "scale/systems",
        about: "systems over 1,000 entities, each after the other, or all of them at once",
        axis: Axis { label: "systems", law: Law::Linear },
        points: &[1, 2, 5, 10, 20, 50, 100, 200],
        quick: &[1, 10, 50],
        tickers,
    }
}

fn tickers(systems: u64) -> Result<Vec<Ticker>> {
    let systems = systems as usize;
    let ticker = |program: &'static Program, place, name| Setup::new(program.of(ENTITIES, systems), place).ticker(name);
    let mut waiting = Setup::new(CHAIN.of(ENTITIES, systems), Place::Processes(1));
    waiting.settings.fuse = false;
    Ok(vec![
        ticker(&CHAIN, Place::Here, "engine in process, chain")?,
        ticker(&BESIDE, Place::Here, "engine in process, beside")?,
        ticker(&CHAIN, Place::Processes(1), "engine over NATS, chain")?,
        waiting.ticker("engine over NATS, chain without fusion")?,
        ticker(&BESIDE, Place::Processes(1), "engine over NATS, beside")?,
    ])
}

fn world(entities: usize) -> App {
    App::new("bench").on_start(move |start| {
        let row = (Position { value: Vec3::X }, Velocity { value: Vec3::X });
        start.world.spawn_batch((0..entities).map(|_| row));
        Ok(())
    })
}

fn chain(Sizes { entities, of: systems }: Sizes) -> App {
    (0..systems).fold(world(entities), |app, number| app.add_system(&format!("integrate{number}"), integrate))
}

/// Reads everything, and keeps nothing.
fn look(mut bodies: Query<(&Position, &Velocity)>) {
    for (position, velocity) in &mut bodies {
        std::hint::black_box(position.value + velocity.value);
    }
}

fn beside(Sizes { entities, of: systems }: Sizes) -> App {
    (0..systems).fold(world(entities), |app, number| app.add_system(&format!("look{number}"), look))
}
