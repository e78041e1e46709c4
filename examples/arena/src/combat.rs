//! Blows, wounds, falls and second chances.

use engine::prelude::*;

use crate::components::{Chronicle, Cooldown, Damage, Fallen, Health, Hit, Position, Score, Team, Wounded};
use crate::movement::{Crowd, Fighters};
use crate::setup::{self, FRESH};

const REACH: f32 = 1.5;
const PAUSE: f32 = 0.5;
const WOUNDED_BELOW: i32 = 30;

/// Strikes the nearest enemy in reach. Writes no foreign component: what happens to others is an event.
pub(crate) fn strike(
    time: Time,
    rng: Rng,
    mut fighters: Query<(Entity, &Position, &Team, &mut Cooldown)>,
    others: Fighters<'_>,
    mut blows: EventWriter<Damage>,
) {
    let crowd = others.index(Crowd::of);
    for (entity, place, team, cooldown) in &mut fighters {
        cooldown.left = (cooldown.left - time.dt).max(0.0);
        if cooldown.left > 0.0 {
            continue;
        }
        if let Some((enemy, _)) = crowd.nearest_enemy(place.at, team.number, REACH) {
            let points = 10 + rng.of(entity).below(20) as i32;
            blows.send(Damage { victim: enemy.entity, by: entity, points, team: team.number });
            cooldown.left = PAUSE;
        }
    }
}

/// Takes the blows of this tick: health goes down, the chronicle grows.
pub(crate) fn suffer(
    time: Time,
    mut fighters: Query<(&Team, &mut Health, &mut Chronicle)>,
    blows: EventReader<Damage>,
    mut fallen: EventWriter<Fallen>,
) {
    for blow in blows.iter() {
        let Some((team, health, chronicle)) = fighters.get_mut(blow.victim) else {
            continue; // Not in this shard, or gone.
        };
        if health.points <= 0 {
            continue;
        }
        health.points -= blow.points;
        chronicle.hits.push(Hit { by: blow.by, points: blow.points, tick: time.tick });
        if chronicle.hits.len() > Chronicle::LENGTH {
            chronicle.hits.remove(0);
        }
        if health.points <= 0 {
            fallen.send(Fallen { who: blow.victim, to_team: blow.team, of_team: team.number });
        }
    }
}

/// Looks only at those whose health changed: marks the badly hurt, and replaces the fallen.
pub(crate) fn respawn(
    rng: Rng,
    fighters: Query<(Entity, &Health, &Team, Option<&Wounded>), Changed<Health>>,
    mut commands: Commands,
) {
    for (entity, health, team, wounded) in &fighters {
        if health.points <= 0 {
            commands.despawn(entity);
            commands.spawn(setup::fighter(team.number, entity.to_bits(), &mut rng.of(entity)));
        } else if health.points < WOUNDED_BELOW && wounded.is_none() {
            commands.insert(entity, (Wounded,));
        } else if health.points == FRESH && wounded.is_some() {
            commands.remove::<(Wounded,)>(entity);
        }
    }
}

/// Keeps the score: no query, so it is one job a tick, and may write a resource.
pub(crate) fn score(mut score: ResMut<Score>, fallen: EventReader<Fallen>) {
    for event in fallen.iter() {
        if let Some(felled) = score.felled.get_mut(event.to_team as usize) {
            *felled += 1;
        }
    }
}
