//! The world that is simulated: small, but with everything that travels: Plain, Document and Tag columns,
//! views, events, commands that spawn and despawn, random numbers, `Changed`, a system for every other tick. And
//! what clients do to it: a command that is applied twice, or in another order, shows in the world.

use engine::prelude::*;
use engine_system::DeadlinePolicy;
use serde::{Deserialize, Serialize};

/// Where it is.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "sim.Place", finite)]
pub struct Place {
    /// On the plane.
    pub at: Vec2,
}

/// How it moves.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "sim.Motion", finite)]
pub struct Motion {
    /// In a tick.
    pub by: Vec2,
}

/// What it can still take.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "sim.Vigour")]
pub struct Vigour {
    /// At 0 it is gone.
    pub points: u32,
}

/// What happened to it.
#[derive(Component, Clone, Debug, Serialize, Deserialize)]
#[component(name = "sim.Story", document)]
pub struct Story {
    /// Whoever hit it last.
    pub hits: Vec<u32>,
}

/// Drawn to the middle.
#[derive(Component, Clone, Copy, Debug)]
#[component(name = "sim.Drawn")]
pub struct Drawn;

/// Made by a client: a number of its own, and what was stamped on it.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "sim.Mark")]
pub struct Mark {
    /// No other entity has it.
    pub number: u32,
    /// How often it was stamped.
    pub count: u32,
    /// All stamps, in their order: see [`stamped`].
    pub digest: u32,
}

/// Put on a marked entity by a client; the tick takes it off and counts it.
#[derive(Component, Clone, Copy, Debug)]
#[repr(C)]
#[component(name = "sim.Stamp")]
pub struct Stamp {
    /// No other stamp has it.
    pub number: u32,
}

/// The digest after one more stamp: another order makes another digest.
#[must_use]
pub fn stamped(digest: u32, number: u32) -> u32 {
    digest.wrapping_mul(31).wrapping_add(number)
}

/// One hits another.
#[derive(Event, Clone, Copy, Debug)]
#[repr(C)]
#[event(name = "sim.Hit")]
pub struct Hit {
    /// Whom.
    pub whom: Entity,
    /// How hard.
    pub points: u32,
    /// Nothing.
    pub spare: u32,
}

/// Stamps a marked entity, by way of a system; answered with the digest.
#[derive(Command, Clone, Debug, Serialize, Deserialize)]
#[command(name = "sim.mark.order", document, answer = u32)]
pub struct Order {
    /// Which.
    #[command(key)]
    pub mark: u64,
    /// No other stamp has it.
    pub number: u32,
}

/// The systems of the scenario, in their order.
pub const SYSTEMS: [&str; 8] = ["steer", "walk", "settle", "strike", "suffer", "renew", "count", "obey"];

/// The world, and how long its systems are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    /// Entities at the start.
    pub entities: u32,
    /// Systems are given up when they are late: what comes of it depends on the faults, and is recorded.
    pub is_hasty: bool,
}

/// A late result is late after so many milliseconds.
const DEADLINE_MS: u32 = 60;

/// The world of a scenario.
#[must_use]
pub fn app(scenario: Scenario) -> App {
    let Scenario { entities, is_hasty } = scenario;
    let late = |policy| if is_hasty { policy } else { DeadlinePolicy::Wait };
    App::new("simulation")
        .add_system("steer", steer.every(2))
        .add_system("walk", walk.deadline(late(DeadlinePolicy::Retry { n: 2 })).deadline_ms(DEADLINE_MS))
        .add_system("settle", settle.deadline(late(DeadlinePolicy::Hold)).deadline_ms(DEADLINE_MS))
        .add_system("strike", strike.deadline(late(DeadlinePolicy::Skip)).deadline_ms(DEADLINE_MS))
        .add_system("suffer", suffer.deadline(late(DeadlinePolicy::Hold)).deadline_ms(DEADLINE_MS))
        .add_system("renew", renew)
        .add_system("count", count)
        .add_system("obey", obey)
        .on_start(move |start| {
            let mut rng = start.rng("scenario").of(Entity::NONE);
            for number in 0..entities {
                let place = Place { at: Vec2::new(rng.range(-9.0..9.0), rng.range(-9.0..9.0)) };
                let motion = Motion { by: Vec2::new(rng.range(-0.5..0.5), rng.range(-0.5..0.5)) };
                let entity = start.world.spawn((place, motion, Vigour { points: 5 }));
                if number % 3 == 0 {
                    start.world.insert(entity, (Story { hits: Vec::new() },))?;
                }
                if number % 5 == 0 {
                    start.world.insert(entity, (Drawn,))?;
                }
            }
            Ok(())
        })
}

fn steer(time: Time, mut movers: Query<(&Place, &mut Motion), With<Drawn>>, others: View<&Place>) {
    let (sum, count) = others.iter().fold((Vec2::ZERO, 0.0), |(sum, count), place| (sum + place.at, count + 1.0));
    // Where it is drawn to depends on the time of the world, which depends on every rate that it ever had.
    let middle = sum / f32::max(count, 1.0) + Vec2::splat(time.elapsed as f32);
    for (place, motion) in &mut movers {
        motion.by = (motion.by + (middle - place.at) * 0.05).clamp_length_max(0.5);
    }
}

fn walk(time: Time, mut walkers: Query<(&mut Place, &Motion)>) {
    for (place, motion) in &mut walkers {
        place.at = (place.at + motion.by * (time.dt * 100.0)).clamp(Vec2::splat(-10.0), Vec2::splat(10.0));
    }
}

/// What it makes of a place depends on what `walk` has made of it.
fn settle(mut walkers: Query<(&mut Place, &mut Motion)>) {
    for (place, motion) in &mut walkers {
        if place.at.length() > 6.5 {
            (place.at, motion.by) = (place.at * 0.5, motion.by * -1.0);
        }
    }
}

fn strike(rng: Rng, near: Query<(Entity, &Place)>, mut hits: EventWriter<Hit>) {
    for (entity, place) in &near {
        let mut rng = rng.of(entity);
        if place.at.length() < 6.0 && rng.chance(0.2) {
            hits.send(Hit { whom: entity, points: 1 + rng.below(2), spare: 0 });
        }
    }
}

fn suffer(hits: EventReader<Hit>, mut bodies: Query<(Entity, &mut Vigour, Option<&mut Story>)>) {
    for (entity, vigour, story) in &mut bodies {
        let mut struck = hits.iter().filter(|hit| hit.whom == entity).map(|hit| hit.points).peekable();
        if struck.peek().is_none() {
            continue;
        }
        let all: Vec<u32> = struck.collect();
        vigour.points = vigour.points.saturating_sub(all.iter().sum());
        if let Some(story) = story {
            story.hits.extend(all);
        }
    }
}

fn renew(rng: Rng, worn: Query<(Entity, &Vigour), Changed<Vigour>>, mut commands: Commands) {
    for (entity, vigour) in &worn {
        if vigour.points > 0 {
            continue;
        }
        let mut rng = rng.of(entity);
        commands.despawn(entity);
        let place = Place { at: Vec2::new(rng.range(-9.0..9.0), rng.range(-9.0..9.0)) };
        let fresh = commands.spawn((place, Motion { by: Vec2::ZERO }, Vigour { points: 5 }));
        if rng.chance(0.5) {
            commands.insert(fresh, (Drawn, Story { hits: vec![0] }));
        }
    }
}

fn count(mut stamps: Query<(Entity, &Stamp, &mut Mark)>, mut commands: Commands) {
    for (entity, stamp, mark) in &mut stamps {
        mark.count += 1;
        mark.digest = stamped(mark.digest, stamp.number);
        commands.remove::<(Stamp,)>(entity);
    }
}

fn obey(orders: CommandHandler<Order>, mut marks: Query<(Entity, &mut Mark)>) {
    for (entity, mark) in &mut marks {
        for order in orders.iter().filter(|order| order.mark == entity.to_bits()) {
            mark.count += 1;
            mark.digest = stamped(mark.digest, order.number);
            orders.answer(order, mark.digest);
        }
    }
}
