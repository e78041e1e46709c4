//! The worlds of the distributed cases.

use engine_app::App;
use engine_component::query::Query;
use engine_math::Vec3;
use engine_system::Time;

use super::program::{Program, Sizes};
use crate::ecs::components::ours::{Position, Velocity};

/// Everything moves.
pub(crate) static MOVING: Program = Program { name: "moving", app: |sizes| partly(sizes.entities, 100) };
/// So many of a hundred move. The others are looked at as well, and stay what they are.
pub(crate) static PARTLY: Program = Program { name: "partly", app: |sizes| partly(sizes.entities, sizes.of) };
/// Nothing but computing.
pub(crate) static COMPUTING: Program = Program { name: "computing", app: computing };

/// Reads Velocity, writes Position: 24 bytes a row go out, 12 come back.
pub(crate) fn integrate(time: Time, mut bodies: Query<(&mut Position, &Velocity)>) {
    for (positions, velocities) in bodies.slices_mut() {
        for (position, velocity) in positions.iter_mut().zip(velocities) {
            position.value += velocity.value * time.dt;
        }
    }
}

fn partly(entities: usize, percent: usize) -> App {
    App::new("bench").add_system("integrate", integrate).on_start(move |start| {
        // Spread over the table as evenly as can be.
        let moves = |row: usize| row * percent / 100 != (row + 1) * percent / 100;
        let velocity = move |row: usize| if moves(row) { Vec3::X } else { Vec3::ZERO };
        let row = |row: usize| (Position { value: Vec3::X }, Velocity { value: velocity(row) });
        start.world.spawn_batch((0..entities).map(row));
        Ok(())
    })
}

/// About a microsecond a row, in a chain that no compiler shortens.
fn compute(mut bodies: Query<&mut Position>) {
    for positions in bodies.slices_mut() {
        for position in positions {
            for _ in 0..100 {
                position.value = (position.value.cross(Vec3::new(0.3, 0.5, 0.7)) + Vec3::Y).normalize();
            }
        }
    }
}

fn computing(sizes: Sizes) -> App {
    App::new("bench").add_system("compute", compute).on_start(move |start| {
        start.world.spawn_batch((0..sizes.entities).map(|row| (Position { value: Vec3::splat(row as f32) },)));
        Ok(())
    })
}
