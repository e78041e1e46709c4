//! Teams of fighters on a plane: they look for each other, run, bump into pillars, strike, suffer, fall
//! and come back. Every part of the engine's interface has a use in it:
//!
//! | file | what it shows |
//! | --- | --- |
//! | `components.rs` | Plain, Document and Tag components, events, a resource |
//! | `movement.rs` | queries as rows and as slices, a `View` through a spatial grid, `every` |
//! | `combat.rs` | events, `Rng`, `Commands`, `Changed`, resources |
//! | `setup.rs` | a plugin that fills the world at the start |

mod combat;
mod components;
mod movement;
mod setup;

pub use components::{
    Chronicle, Cooldown, Damage, Fallen, Health, Hit, Pillar, Position, Score, Team, Velocity, Wounded,
};

use engine::prelude::*;

/// The arena's systems, in the order in which they run where one needs what the other wrote.
#[must_use]
pub fn app() -> App {
    App::new("arena")
        .about("Teams of fighters on a plane")
        .option("entities", "20000", "Fighters at the start, spread over the teams")
        .add_plugin(setup::Fighters)
        .add_system("steer", movement::steer.every(3))
        .add_system("integrate", movement::integrate)
        .add_system("collide", movement::collide)
        .add_system("strike", combat::strike)
        .add_system("suffer", combat::suffer)
        .add_system("respawn", combat::respawn)
        .add_system("score", combat::score)
}
