//! Jobs on threads: rows of one table, and columns of one table, at the same time.

#![expect(unsafe_code, reason = "parts of one table go to several threads as raw pointers")]

use engine_component::query::{Part, PartColumn, Query};
use engine_component::{ComponentId, Data, Entity, World};

use crate::bodies::{Position, Velocity, position, velocity};

/// A part that another thread gets, by pointers that were taken before any thread began.
struct Job<'a> {
    entities: &'a [Entity],
    archetype: &'a [ComponentId],
    columns: Vec<(*mut u8, bool)>,
}

// SAFETY: the tests below give each thread rows or columns of its own.
unsafe impl Send for Job<'_> {}

impl Job<'_> {
    fn run(self, work: impl FnOnce(&[Part<'_>])) {
        // SAFETY: the pointers lead to as many rows as there are entities, which nobody else uses.
        let column = |(first, write): &(*mut u8, bool)| unsafe { PartColumn::from_raw(*first, 8, *write) };
        let columns = self.columns.iter().map(column).collect();
        work(&[Part { entities: self.entities, archetype: self.archetype, columns, changed: Vec::new() }]);
    }
}

const ROWS: usize = 100;

fn world() -> World {
    let mut world = World::default();
    world.spawn_batch((0..ROWS).map(|row| (position(row as f32), velocity(1.0))));
    world
}

/// The first values of positions and velocities of the only table.
fn pointers(world: &mut World) -> [*mut u8; 2] {
    let mut table = world.tables_mut().next().unwrap();
    [Position::ID, Velocity::ID].map(|id| {
        let index = table.column_index(id).unwrap();
        table.column_mut(index).as_mut_ptr()
    })
}

#[test]
fn shards_of_one_table_are_written_at_the_same_time() {
    let mut world = world();
    let [positions, velocities] = pointers(&mut world);
    let table = &world.tables()[0];
    std::thread::scope(|scope| {
        for first in (0..ROWS).step_by(64) {
            let entities = &table.entities()[first..ROWS.min(first + 64)];
            let columns = vec![(positions.wrapping_add(first * 8), true), (velocities.wrapping_add(first * 8), false)];
            let job = Job { entities, archetype: table.components(), columns };
            scope.spawn(|| {
                job.run(|parts| {
                    // SAFETY: the only query over these parts, whose columns are the ones of its description.
                    let mut query: Query<(&mut Position, &Velocity)> = unsafe { Query::new(parts) };
                    for (position, velocity) in &mut query {
                        position.x += velocity.x;
                    }
                });
            });
        }
    });
    assert_eq!(sum(&mut world), (1..=ROWS).sum::<usize>() as f32);
}

#[test]
fn columns_of_one_table_are_written_at_the_same_time() {
    let mut world = world();
    let columns = pointers(&mut world);
    let table = &world.tables()[0];
    std::thread::scope(|scope| {
        let job =
            |first| Job { entities: table.entities(), archetype: table.components(), columns: vec![(first, true)] };
        let [moving, slowing] = columns.map(job);
        scope.spawn(|| {
            moving.run(|parts| {
                // SAFETY: as above.
                let mut query: Query<&mut Position> = unsafe { Query::new(parts) };
                query.for_each(|position| position.x *= 2.0);
            });
        });
        scope.spawn(|| {
            slowing.run(|parts| {
                // SAFETY: as above.
                let mut query: Query<&mut Velocity> = unsafe { Query::new(parts) };
                query.slices_mut().flatten().for_each(|velocity| velocity.x = 0.0);
            });
        });
    });
    assert_eq!(sum(&mut world), (0..ROWS).map(|row| row * 2).sum::<usize>() as f32);
}

fn sum(world: &mut World) -> f32 {
    world.with_query(|query: Query<&Position>| query.iter().map(|position| position.x).sum()).unwrap()
}
