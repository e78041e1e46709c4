//! `position += velocity` over one shard, as a system's function gets it: the price of a row.
//!
//! The job is made anew each time, as in a tick; what is around jobs, planning and merging, is not in here.

use engine_component::query::{Part, PartColumn, Query};
use engine_component::{AlignedBytes, BitRows, ComponentId, Data, Entity, WorldSettings};
use engine_math::Vec3;
use engine_system::{IntoSystem, JobInput, Time};

use super::components::ours::{Position, Velocity};
#[cfg(feature = "peers")]
use super::components::theirs;
use crate::case::{Case, Contender, OURS, Unit};
use crate::measure::repeated;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "ecs/shard_kernel",
            about: "position += velocity over one shard of 4,096 rows, taken as slices; per row",
            unit: Unit::Nanoseconds,
            contenders: || contenders(slices),
        },
        Case {
            name: "ecs/shard_kernel_rows",
            about: "the same, taken row by row",
            unit: Unit::Nanoseconds,
            contenders: || contenders(rows),
        },
    ]
}

fn slices(mut bodies: Query<(&mut Position, &Velocity)>) {
    for (positions, velocities) in bodies.slices_mut() {
        for (position, velocity) in positions.iter_mut().zip(velocities) {
            position.value += velocity.value;
        }
    }
}

fn rows(mut bodies: Query<(&mut Position, &Velocity)>) {
    bodies.for_each(|(position, velocity)| position.value += velocity.value);
}

fn contenders<M>(system: impl IntoSystem<M>) -> anyhow::Result<Vec<Contender>> {
    let count = WorldSettings::default().rows_per_shard;
    let system = system.into_system("integrate")?;
    let mut shard = Shard::new(count);
    Ok(vec![
        repeated(OURS, count, move || {
            let ran = system.run(&shard.job());
            std::hint::black_box(&ran.is_ok());
        }),
        hand(count),
        #[cfg(feature = "peers")]
        bevy(count),
        #[cfg(feature = "peers")]
        hecs(count),
        #[cfg(feature = "peers")]
        flecs(count),
    ])
}

/// Rows of a table, as an instance keeps them.
pub(super) struct Shard {
    entities: Vec<Entity>,
    archetype: Vec<ComponentId>,
    positions: AlignedBytes,
    velocities: AlignedBytes,
}

impl Shard {
    pub(super) fn new(rows: usize) -> Self {
        let mut archetype = vec![Position::ID, Velocity::ID];
        archetype.sort_unstable();
        Self {
            entities: (1..=rows as u64).map(Entity::from_bits).collect(),
            archetype,
            positions: AlignedBytes::zeroed(rows * size_of::<Position>()),
            velocities: AlignedBytes::zeroed(rows * size_of::<Velocity>()),
        }
    }

    /// A job that writes Position and reads Velocity.
    fn job(&mut self) -> JobInput<'_> {
        let columns = vec![
            PartColumn::write(self.positions.as_mut_slice(), size_of::<Position>()),
            PartColumn::read(self.velocities.as_slice(), size_of::<Velocity>()),
        ];
        let (entities, archetype, changed) = (&self.entities[..], &self.archetype[..], Vec::new());
        one_part(Part { entities, archetype, columns, changed })
    }

    /// A job that reads Position, and is told which rows of it changed.
    pub(super) fn job_on_changed(&self, rows: BitRows) -> JobInput<'_> {
        let columns = vec![PartColumn::read(self.positions.as_slice(), size_of::<Position>())];
        let (entities, archetype, changed) = (&self.entities[..], &self.archetype[..], vec![(Position::ID, rows)]);
        one_part(Part { entities, archetype, columns, changed })
    }
}

fn one_part(part: Part<'_>) -> JobInput<'_> {
    let mut job = JobInput::new(Time::at(1, 1.0), 0);
    job.queries = vec![vec![part]];
    job
}

fn hand(rows: usize) -> Contender {
    let (mut positions, velocities) = (vec![Vec3::X; rows], vec![Vec3::X; rows]);
    repeated("hand", rows, move || {
        let (positions, velocities) = std::hint::black_box((&mut positions, &velocities));
        for (position, velocity) in positions.iter_mut().zip(velocities) {
            *position += *velocity;
        }
    })
}

#[cfg(feature = "peers")]
fn bevy(rows: usize) -> Contender {
    let mut world = super::components::bevy_world(rows, false);
    let mut moving = world.query::<(&mut theirs::Position, &theirs::Velocity)>();
    repeated("bevy_ecs", rows, move || {
        moving.iter_mut(&mut world).for_each(|(mut position, velocity)| position.value += velocity.value);
    })
}

#[cfg(feature = "peers")]
fn hecs(rows: usize) -> Contender {
    let mut world = super::components::hecs_world(rows, false);
    repeated("hecs", rows, move || {
        let moving = world.query_mut::<(&mut theirs::Position, &theirs::Velocity)>();
        moving.into_iter().for_each(|(position, velocity)| position.value += velocity.value);
    })
}

#[cfg(feature = "peers")]
fn flecs(rows: usize) -> Contender {
    let world = super::flecs::flecs_world(rows, false);
    let moving = super::flecs::Rows::<(&mut theirs::Position, &theirs::Velocity)>::of(world);
    repeated("flecs_ecs", rows, move || {
        moving.each(|(position, velocity)| position.value += velocity.value);
    })
}
