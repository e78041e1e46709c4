//! Whole columns into a world: as new entities, and as new values of a shard that is there.

use engine_component::{Component, Data, RawComponent, World, WorldSettings, bytemuck};
use engine_math::Vec3;

use super::ENTITIES;
use super::components::ours::{Position, Rotation, Transform, Velocity};
#[cfg(feature = "peers")]
use super::components::theirs;
use super::components::{SCALED, engine_world};
use crate::case::{Case, Contender, OURS, Unit};
use crate::measure::{repeated, with_fresh};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "ecs/spawn_columns",
            about: "10,000 entities with four components from whole columns",
            unit: Unit::Microseconds,
            contenders: || {
                Ok(vec![
                    spawned(),
                    hand(),
                    #[cfg(feature = "peers")]
                    hecs(),
                    #[cfg(feature = "peers")]
                    flecs(),
                ])
            },
        },
        Case {
            name: "ecs/apply_shard",
            about: "new values of one column of a shard, 4,096 rows of 12 bytes",
            unit: Unit::Nanoseconds,
            contenders: || Ok(vec![applied(), copied()]),
        },
    ]
}

/// The columns as bytes: transforms, and what all three vectors have.
struct Columns {
    transforms: Vec<u8>,
    vectors: Vec<u8>,
}

impl Columns {
    fn new() -> Self {
        Self { transforms: bytes_of(&vec![SCALED; ENTITIES]), vectors: bytes_of(&vec![Vec3::X; ENTITIES]) }
    }

    fn as_raw(&self) -> [RawComponent<'_>; 4] {
        [
            (Transform::ID, &self.transforms),
            (Position::ID, &self.vectors),
            (Rotation::ID, &self.vectors),
            (Velocity::ID, &self.vectors),
        ]
    }
}

fn bytes_of<T: bytemuck::Pod>(values: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

fn spawned() -> Contender {
    let columns = Columns::new();
    let empty = || {
        let mut world = World::default();
        register::<Transform>(&mut world);
        register::<Position>(&mut world);
        register::<Rotation>(&mut world);
        register::<Velocity>(&mut world);
        world
    };
    with_fresh(OURS, empty, move |mut world| {
        let first = world.spawn_columns(ENTITIES, &columns.as_raw());
        (world, first)
    })
}

fn register<T: Component>(world: &mut World) {
    world.register::<T>().expect("types of different names");
}

/// The columns, and nothing that knows of them.
fn hand() -> Contender {
    let columns = Columns::new();
    with_fresh("hand", || (), move |()| std::hint::black_box(columns.as_raw()).map(|(_, bytes)| bytes.to_vec()))
}

#[cfg(feature = "peers")]
fn hecs() -> Contender {
    use theirs::{Position, Rotation, Transform, Velocity};
    with_fresh("hecs", hecs::World::new, |mut world| {
        let mut types = hecs::ColumnBatchType::new();
        types.add::<Transform>().add::<Position>().add::<Rotation>().add::<Velocity>();
        let mut batch = types.into_batch(ENTITIES as u32);
        fill(&mut batch, Transform { value: SCALED });
        fill(&mut batch, Position { value: Vec3::X });
        fill(&mut batch, Rotation { value: Vec3::X });
        fill(&mut batch, Velocity { value: Vec3::X });
        if let Ok(batch) = batch.build() {
            world.spawn_column_batch(batch).for_each(drop);
        }
        world
    })
}

#[cfg(feature = "peers")]
fn fill<T: hecs::Component + Copy>(batch: &mut hecs::ColumnBatchBuilder, value: T) {
    let mut writer = batch.writer::<T>().expect("one of its types");
    for _ in 0..ENTITIES {
        let pushed = writer.push(value);
        debug_assert!(pushed.is_ok(), "there is room for all of them");
    }
}

#[cfg(feature = "peers")]
fn flecs() -> Contender {
    use theirs::{Position, Rotation, Transform, Velocity};
    let transforms = vec![Transform { value: SCALED }; ENTITIES];
    let positions = vec![Position { value: Vec3::X }; ENTITIES];
    let rotations = vec![Rotation { value: Vec3::X }; ENTITIES];
    let velocities = vec![Velocity { value: Vec3::X }; ENTITIES];
    with_fresh("flecs_ecs", flecs_ecs::prelude::World::new, move |world| {
        let count = ENTITIES as u32;
        world.entity_bulk(count).set(&transforms).set(&positions).set(&rotations).set(&velocities).build();
        world
    })
}

/// As the coordinator puts a column of a result into the world.
fn applied() -> Contender {
    let rows = WorldSettings::default().rows_per_shard;
    let mut world = engine_world(2 * rows, false);
    let values = bytes_of(&vec![Vec3::Y; rows]);
    repeated(OURS, 1, move || {
        let version = world.advance_version();
        for mut table in world.tables_mut() {
            let Some(index) = table.column_index(Position::ID) else { continue };
            let mut column = table.column_mut(index);
            column.bytes_mut()[values.len()..2 * values.len()].copy_from_slice(std::hint::black_box(&values));
            column.mark_range(rows..2 * rows, version);
        }
    })
}

fn copied() -> Contender {
    let rows = WorldSettings::default().rows_per_shard;
    let (values, mut column) = (bytes_of(&vec![Vec3::Y; rows]), bytes_of(&vec![Vec3::X; 2 * rows]));
    repeated("memcpy", 1, move || {
        column[values.len()..].copy_from_slice(std::hint::black_box(&values));
        std::hint::black_box(&mut column);
    })
}
