//! Parameters of systems over rows that jobs share: what their `unsafe` blocks promise, on several threads.
//! All of it runs under Miri: `cargo +nightly miri test -p engine_system --test params`.

#![allow(elided_lifetimes_in_paths, clippy::needless_pass_by_value, reason = "systems are written as users write them")]
#![allow(clippy::type_complexity, clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Frozen, Name, Position, Total, Velocity, run, shared_rows};
use engine_component::query::{DocumentColumn, Part, PartColumn, Query, With, Without};
use engine_component::{Data, Entity, World};
use engine_system::{IntoSystem, JobError, JobInput, Res, ResMut, System, Time, View};

fn system<M>(function: impl IntoSystem<M>) -> Box<dyn System> {
    function.into_system("test").unwrap()
}

fn name(text: &str) -> Name {
    Name { text: text.to_owned() }
}

/// Rows of three archetypes; positions 0, 1, 2, …
fn world() -> World {
    let mut world = World::default();
    for row in 0..6_u8 {
        let position = Position { x: f32::from(row) };
        match row % 3 {
            0 => world.spawn((position, Velocity { x: 1.0 })),
            1 => world.spawn((position, Velocity { x: 1.0 }, Frozen)),
            _ => world.spawn((position, Velocity { x: 1.0 }, name("somebody"))),
        };
    }
    world
}

/// Each thread writes the velocities of a row of its own and reads all positions, by iteration, by entity and
/// from an index that is built once.
#[test]
fn jobs_on_threads_share_a_view() {
    static BUILT: AtomicUsize = AtomicUsize::new(0);
    struct Sum(f32);
    fn gather(mut bodies: Query<(Entity, &mut Velocity)>, others: View<(Entity, &Position, Option<&Frozen>)>) {
        let sum = others.index(|others| {
            BUILT.fetch_add(1, Ordering::Relaxed);
            Sum(others.iter().map(|(_, place, _)| place.x).sum())
        });
        for (entity, velocity) in &mut bodies {
            let (_, own, frozen) = others.get(entity).unwrap();
            let others: f32 = others.iter().filter(|other| other.0 != entity).map(|other| other.1.x).sum();
            assert_eq!(others + own.x, sum.0);
            velocity.x = if frozen.is_some() { -own.x } else { others };
        }
    }
    let world = world();
    let system = system(gather);
    let views = shared_rows(&world, &system.descriptor().views[0]);
    let table = world.tables().iter().find(|table| table.components().contains(&Frozen::ID)).unwrap();
    let mut written = [0.0_f32; 2];
    std::thread::scope(|scope| {
        for (row, value) in written.iter_mut().enumerate() {
            let (system, views) = (&system, &views);
            scope.spawn(move || {
                let mut job = JobInput::new(Time::default(), 0);
                job.queries = vec![vec![Part {
                    entities: &table.entities()[row..=row],
                    archetype: table.components(),
                    columns: [PartColumn::write(bytemuck_of(value), 4)].into_iter().collect(),
                    changed: Vec::new(),
                }]];
                job.views = vec![views];
                system.run(&job).unwrap();
            });
        }
    });
    assert_eq!(written, [-1.0, -4.0]);
    assert_eq!(BUILT.load(Ordering::Relaxed), 1);
}

fn bytemuck_of(value: &mut f32) -> &mut [u8] {
    engine_component::bytemuck::bytes_of_mut(value)
}

#[test]
fn rows_of_several_parts_are_alive_together() {
    fn turn(mut bodies: Query<&mut Position, Without<Frozen>>, frozen: View<&Velocity, With<Frozen>>) {
        let mut rows: Vec<_> = bodies.iter_mut().collect();
        let (first, rest) = rows.split_first_mut().unwrap();
        for other in rest {
            std::mem::swap(*first, *other);
        }
        first.x += frozen.iter().map(|velocity| velocity.x).sum::<f32>();
    }
    let mut world = world();
    let before: f32 = places(&world).iter().sum();
    run(&mut world, system(turn).as_ref()).unwrap();
    assert_eq!(places(&world).iter().sum::<f32>(), before + 2.0);
    assert_ne!(places(&world)[0], 0.0);
}

fn places(world: &World) -> Vec<f32> {
    (1..7).map(|number| world.get::<Position>(Entity::from_bits(number)).unwrap().x).collect()
}

#[test]
fn a_resource_is_written_beside_views_and_read_by_many() {
    fn sum(mut total: ResMut<Total>, places: View<&Position>) {
        total.sum = places.iter().map(|place| place.x).sum();
        let again = &mut *total;
        again.sum += 1.0;
    }
    fn spread(total: Res<Total>, mut bodies: Query<&mut Velocity>) {
        let total = &*total;
        bodies.for_each(|velocity| velocity.x = total.sum);
    }
    let mut world = world();
    world.insert_resource(Total::default());
    run(&mut world, system(sum).as_ref()).unwrap();
    assert_eq!(world.resource::<Total>().unwrap().sum, 16.0);
    run(&mut world, system(spread).as_ref()).unwrap();
    assert_eq!(world.get::<Velocity>(Entity::from_bits(3)).unwrap().x, 16.0);
}

#[test]
fn a_document_as_a_resource_is_decoded_for_whoever_asks() {
    fn rename(mut name: ResMut<Name>) {
        name.text.push('!');
    }
    let system = system(rename);
    let mut world = World::default();
    let holder = world.insert_resource(name("world"));
    let table = world.table(world.location(holder).unwrap().table);
    let mut job = JobInput::new(Time::default(), 0);
    job.resources = vec![Part {
        entities: table.entities(),
        archetype: table.components(),
        columns: [PartColumn::Document(DocumentColumn::new(table.column(0).documents(), 0, 1))].into_iter().collect(),
        changed: Vec::new(),
    }];
    system.run(&job).unwrap();
    let PartColumn::Document(column) = &job.resources[0].columns[0] else { unreachable!() };
    let changes = column.changes();
    drop(job);
    assert_eq!(changes.len(), 1);
    world.set_raw(holder, Name::ID, &changes[0].1).unwrap();
    assert_eq!(world.resource::<Name>().unwrap().text, "world!");
}

#[test]
fn documents_are_seen_by_views_and_written_by_queries() {
    fn meet(mut names: Query<(Entity, &mut Name)>, places: View<(Entity, &Position)>) {
        for (entity, name) in &mut names {
            let (_, place) = places.get(entity).unwrap();
            name.text = format!("at {}", place.x);
        }
    }
    fn read(names: View<(Entity, &Name)>, mut bodies: Query<(Entity, &mut Velocity)>) {
        for (entity, velocity) in &mut bodies {
            velocity.x = names.get(entity).map_or(-1.0, |(_, name)| name.text.len() as f32);
        }
    }
    let mut world = world();
    run(&mut world, system(meet).as_ref()).unwrap();
    let third = Entity::from_bits(3);
    assert_eq!(world.get::<Name>(third).unwrap().text, "at 2");
    run(&mut world, system(read).as_ref()).unwrap();
    assert_eq!(world.get::<Velocity>(third).unwrap().x, 4.0);
    assert_eq!(world.get::<Velocity>(Entity::from_bits(1)).unwrap().x, -1.0);
}

#[test]
fn a_resource_that_is_not_there_or_a_panic_is_an_error() {
    fn wants(_: Res<Total>) {}
    fn panics(mut bodies: Query<&mut Position>) {
        bodies.for_each(|position| position.x = 7.0);
        panic!("as systems do");
    }
    let mut world = world();
    assert!(matches!(run(&mut world, system(wants).as_ref()), Err(JobError::NoResource { .. })));
    assert!(run(&mut world, system(panics).as_ref()).is_err());
}
