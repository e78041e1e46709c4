//! The world at the start.

use engine::prelude::*;

use crate::components::{Chronicle, Cooldown, Health, Pillar, Position, Score, Team, Velocity};

/// The plane reaches this far from the middle, in metres, on each side.
pub(crate) const HALF_WIDTH: f32 = 250.0;
/// Health of a fighter that nobody struck.
pub(crate) const FRESH: i32 = 100;
const PILLARS: usize = 24;

/// Fills the world: fighters, pillars and the score.
pub(crate) struct Fighters;

impl Plugin for Fighters {
    fn build(&self, app: &mut App) {
        app.on_startup(|start| {
            let count: u32 = start.option("entities")?;
            let rng = start.rng("arena.setup");
            let fighters = (0..count).map(|number| {
                fighter(number % Team::COUNT, u64::from(number), &mut rng.of(Entity::from_bits(u64::from(number) + 1)))
            });
            start.world.spawn_batch(fighters);
            for number in 0..PILLARS {
                let mut rng = rng.of(Entity::from_bits(u64::MAX / 4 + number as u64));
                let at = somewhere(&mut rng) * 0.9;
                start.world.spawn((Pillar { at, radius: 2.0 + rng.f32() * 6.0 },));
            }
            start.world.insert_resource(Score::default());
            Ok(())
        });
    }
}

/// A fresh fighter somewhere on the plane.
pub(crate) fn fighter(
    team: u32,
    number: u64,
    rng: &mut EntityRng,
) -> (Position, Velocity, Team, Health, Cooldown, Chronicle) {
    (
        Position { at: somewhere(rng) },
        Velocity { by: Vec2::ZERO },
        Team { number: team },
        Health { points: FRESH },
        Cooldown { left: rng.f32() },
        Chronicle { name: name(number), hits: Vec::new() },
    )
}

fn somewhere(rng: &mut EntityRng) -> Vec2 {
    Vec2::new(rng.f32() * 2.0 - 1.0, rng.f32() * 2.0 - 1.0) * HALF_WIDTH
}

/// A name that can be shouted.
fn name(number: u64) -> String {
    const FIRST: [&str; 8] = ["Ar", "Bel", "Cor", "Dra", "Eli", "Fen", "Gor", "Hal"];
    const LAST: [&str; 8] = ["ion", "wyn", "dax", "mir", "os", "gast", "ra", "thas"];
    format!("{}{} {number}", FIRST[number as usize % 8], LAST[number as usize / 8 % 8])
}
