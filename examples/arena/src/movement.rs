//! Where fighters want to go, and where that takes them.

use engine::math::Grid;
use engine::prelude::*;

use crate::components::{Pillar, Position, Team, Velocity, Wounded};
use crate::setup::HALF_WIDTH;

/// How far a fighter sees, in metres; also the width of the grid's cells.
pub(crate) const SIGHT: f32 = 12.0;
const SPEED: f32 = 4.0;
const TURN: f32 = 0.35;

/// Somebody whom others may see.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) entity: Entity,
    pub(crate) at: Vec2,
    pub(crate) team: u32,
}

/// All fighters by place. Built once per tick and process, however many shards the process has.
pub(crate) struct Crowd {
    grid: Grid<Vec2>,
    seen: Vec<Seen>,
}

/// What fighters know of each other.
pub(crate) type Fighters<'a> = View<'a, (Entity, &'static Position, &'static Team)>;

impl Crowd {
    pub(crate) fn of(fighters: &Fighters<'_>) -> Self {
        let seen: Vec<Seen> =
            fighters.iter().map(|(entity, place, team)| Seen { entity, at: place.at, team: team.number }).collect();
        let places = seen.iter().enumerate().map(|(index, seen)| (seen.at, index as u32));
        Self { grid: Grid::build(SIGHT, places), seen }
    }

    /// The nearest fighter of another team within `reach`; of two that are equally near, the older one.
    pub(crate) fn nearest_enemy(&self, at: Vec2, team: u32, reach: f32) -> Option<(Seen, f32)> {
        let mut nearest: Option<(Seen, f32)> = None;
        self.grid.for_each_near(at, reach, |near| {
            let seen = self.seen[near.payload as usize];
            let distance = near.distance_squared;
            let closer = nearest.is_none_or(|(best, least)| (distance, seen.entity) < (least, best.entity));
            if seen.team != team && closer {
                nearest = Some((seen, distance));
            }
        });
        nearest
    }
}

/// Turns fighters towards the nearest enemy in sight, the wounded away from it. Runs every third tick:
/// nobody changes his mind sixty times a second.
pub(crate) fn steer(mut fighters: Query<(&Position, &Team, &mut Velocity, Option<&Wounded>)>, others: Fighters<'_>) {
    let crowd = others.index(Crowd::of);
    for (place, team, velocity, wounded) in &mut fighters {
        let wish = match crowd.nearest_enemy(place.at, team.number, SIGHT) {
            Some((enemy, _)) if wounded.is_some() => place.at - enemy.at,
            Some((enemy, _)) => enemy.at - place.at,
            None => -place.at,
        };
        let wish = wish.normalize_or_zero() * SPEED;
        velocity.by += (wish - velocity.by) * TURN;
    }
}

/// Moves everybody. The query is taken as slices: the loop compiles to vector code.
pub(crate) fn integrate(time: Time, mut bodies: Query<(&mut Position, &Velocity)>) {
    for (places, velocities) in bodies.slices_mut() {
        for (place, velocity) in places.iter_mut().zip(velocities) {
            place.at += velocity.by * time.dt;
        }
    }
}

/// Keeps everybody on the plane and out of the pillars.
pub(crate) fn collide(mut bodies: Query<(&mut Position, &mut Velocity)>, pillars: View<&Pillar>) {
    for (place, velocity) in &mut bodies {
        for axis in 0..2 {
            if place.at[axis].abs() > HALF_WIDTH {
                place.at[axis] = place.at[axis].clamp(-HALF_WIDTH, HALF_WIDTH);
                velocity.by[axis] = -velocity.by[axis];
            }
        }
        for pillar in pillars.iter() {
            let away = place.at - pillar.at;
            let distance = away.length();
            if distance < pillar.radius && distance > 0.0 {
                let outwards = away / distance;
                place.at = pillar.at + outwards * pillar.radius;
                velocity.by -= outwards * (2.0 * velocity.by.dot(outwards)).min(0.0);
            }
        }
    }
}
