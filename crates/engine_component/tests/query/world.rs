//! Queries on a world: what they mark as changed, and prepared ones.

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine_component::query::{Or, Query, QueryState, With, Without};
use engine_component::{ComponentId, Data, Entity, World};

use crate::bodies::{Frozen, Mass, Position, Velocity, four, position, velocity};

/// The version at which a component of an entity last changed.
fn version(world: &World, entity: Entity, component: ComponentId) -> u64 {
    let location = world.location(entity).unwrap();
    let table = world.table(location.table);
    table.column(table.column_index(component).unwrap()).block_versions()[0]
}

#[test]
fn what_a_query_writes_counts_as_changed() {
    let (mut world, entities) = four();
    let before = world.hash();
    let now = world.advance_version();
    world
        .with_query(|mut query: Query<(&mut Position, &Velocity), Without<Frozen>>| {
            query.for_each(|(position, velocity)| position.x += velocity.x);
        })
        .unwrap();
    assert_eq!(version(&world, entities[1], Position::ID), now);
    assert!(version(&world, entities[1], Velocity::ID) < now, "only read");
    assert!(version(&world, entities[3], Position::ID) < now, "not matched");
    assert_ne!(world.hash(), before);
}

#[test]
fn what_was_written_before_a_panic_counts_as_changed() {
    let (mut world, entities) = four();
    let before = world.hash();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        world.with_query(|mut query: Query<&mut Position>| {
            query.for_each(|position| position.x = 9.0);
            panic!("as systems do");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(world.get::<Position>(entities[0]).unwrap().x, 9.0);
    assert_ne!(world.hash(), before);
}

#[test]
fn a_prepared_query_is_the_same_query() {
    let (mut world, entities) = four();
    let mut moving =
        QueryState::<(Entity, &mut Position, Option<&Velocity>), Or<(With<Velocity>, With<Frozen>)>>::new().unwrap();
    let rows = |moving: &mut QueryState<_, _>, world: &World| {
        moving
            .iter(world)
            .map(|(entity, position, velocity): (_, &Position, Option<&Velocity>)| {
                (entity, position.x, velocity.is_some())
            })
            .collect::<Vec<_>>()
    };
    let expected = [(entities[1], 2.0, true), (entities[2], 3.0, false), (entities[3], 4.0, true)];
    assert_eq!(rows(&mut moving, &world), expected);
    for (_, position, _) in moving.iter_mut(&mut world) {
        position.x += 1.0;
    }
    moving.for_each(&mut world, |(_, position, _)| position.x *= 10.0);
    assert_eq!(rows(&mut moving, &world).iter().map(|row| row.1).collect::<Vec<_>>(), [30.0, 40.0, 50.0]);
    assert_eq!(world.get::<Position>(entities[0]).unwrap().x, 1.0);
}

#[test]
fn a_prepared_query_marks_what_it_writes() {
    let (mut world, entities) = four();
    let now = world.advance_version();
    let mut state = QueryState::<(&mut Position, &Velocity)>::new().unwrap();
    assert_eq!(state.iter(&world).count(), 2);
    assert!(version(&world, entities[1], Position::ID) < now, "only read");
    state.for_each(&mut world, |(position, _)| position.x = 0.0);
    assert_eq!(version(&world, entities[1], Position::ID), now);
    assert_eq!(version(&world, entities[3], Position::ID), now);
    assert!(version(&world, entities[1], Velocity::ID) < now && version(&world, entities[0], Position::ID) < now);
}

#[test]
fn items_of_several_tables_may_be_kept() {
    let (mut world, _) = four();
    let mut state = QueryState::<(Entity, &mut Position)>::new().unwrap();
    let mut rows: Vec<_> = state.iter_mut(&mut world).collect();
    let (first, rest) = rows.split_first_mut().unwrap();
    for (_, position) in rest {
        std::mem::swap(first.1, *position);
    }
    assert_eq!(state.iter(&world).map(|row| row.1.x).collect::<Vec<_>>(), [4.0, 1.0, 2.0, 3.0]);
}

#[test]
fn a_prepared_query_sees_tables_and_rows_that_come_later() {
    let (mut world, entities) = four();
    let mut state = QueryState::<&Position>::new().unwrap();
    assert_eq!(state.iter(&world).count(), 4);
    world.spawn((position(5.0),));
    world.spawn((position(6.0), Mass { kilograms: 1.0 }));
    assert_eq!(state.iter(&world).map(|position| position.x).sum::<f32>(), 21.0);
    world.despawn(entities[0]).unwrap();
    assert_eq!(state.iter(&world).count(), 5);
}

#[test]
fn a_prepared_query_is_not_bound_to_one_world() {
    let (mut world, _) = four();
    let mut other = World::default();
    other.spawn((velocity(1.0),));
    other.spawn((position(7.0), Mass { kilograms: 1.0 }));
    let mut state = QueryState::<&mut Position>::new().unwrap();
    for _ in 0..2 {
        assert_eq!(state.iter(&world).map(|position| position.x).sum::<f32>(), 10.0);
        assert_eq!(state.iter(&other).map(|position| position.x).sum::<f32>(), 7.0);
        state.for_each(&mut world, |_| ());
    }
    assert_eq!(state.iter(&World::default()).count(), 0);
}

#[test]
fn tags_and_empty_tables_are_fine() {
    let (mut world, entities) = four();
    entities.iter().for_each(|entity| world.despawn(*entity).unwrap());
    let mut state = QueryState::<(&mut Position, &Frozen)>::new().unwrap();
    assert_eq!(state.iter_mut(&mut world).count(), 0);
    world.spawn((position(1.0), Frozen));
    assert_eq!(state.iter_mut(&mut world).count(), 1);
    assert_eq!(state.iter(&world).count(), 1);
}

#[test]
fn rows_are_reached_by_entity() {
    let (mut world, entities) = four();
    let frozen: Vec<bool> = entities.iter().map(|entity| world.get::<Frozen>(*entity).is_some()).collect();
    let mut thawed = QueryState::<(Entity, &mut Position, Option<&Velocity>), Without<Frozen>>::new().unwrap();
    for (entity, frozen) in entities.iter().zip(&frozen) {
        let found = thawed.by_entity(&world).get(*entity).map(|(entity, position, _)| (entity, *position));
        assert_eq!(found, (!frozen).then(|| (*entity, *world.get::<Position>(*entity).unwrap())));
    }
    let (written, kept) = (entities[frozen.iter().position(|frozen| !frozen).unwrap()], world.hash());
    assert_eq!(thawed.by_entity_mut(&mut world).get_mut(written).map(|row| row.0), Some(written));
    assert_eq!(world.hash(), kept, "nothing was written");
    let now = world.advance_version();
    {
        let mut rows = thawed.by_entity_mut(&mut world);
        assert!(rows.get_mut(Entity::NONE).is_none());
        rows.get_mut(written).unwrap().1.x = 77.0;
    }
    assert_eq!(world.get::<Position>(written).unwrap().x, 77.0);
    assert_eq!(version(&world, written, Position::ID), now);
    assert_ne!(world.hash(), kept);
    world.despawn(written).unwrap();
    assert!(thawed.by_entity_mut(&mut world).get_mut(written).is_none());
}

#[test]
fn only_rows_that_are_asked_for_count_as_changed() {
    let mut world = World::default();
    let entities = world.spawn_batch((0..3000).map(|row| position(row as f32)));
    world.hash();
    let now = world.advance_version();
    let mut places = QueryState::<&mut Position>::new().unwrap();
    places.by_entity_mut(&mut world).get_mut(entities[1500]).unwrap().x = 0.0;
    let table = &world.tables()[0];
    let changed: Vec<bool> = table.column(0).block_versions().iter().map(|version| *version == now).collect();
    assert_eq!(changed, [false, true, false]);
}

#[test]
fn who_tracks_a_column_learns_of_rows_that_were_reached_by_entity() {
    let mut world = World::default();
    let moving = world.spawn_batch((0..100).map(|row| (position(row as f32), velocity(1.0))));
    let resting = world.spawn((position(0.0),));
    let tracker = world.track(Velocity::ID).unwrap();
    world.clear_tracker(Velocity::ID, tracker);
    let mut bodies = QueryState::<(&mut Position, Option<&mut Velocity>)>::new().unwrap();
    {
        let mut rows = bodies.by_entity_mut(&mut world);
        assert!(rows.get_mut(resting).unwrap().1.is_none());
        assert!(rows.get_mut(moving[77]).unwrap().1.is_some());
    }
    let location = world.location(moving[77]).unwrap();
    let table = world.table(location.table);
    let velocities = table.column(table.column_index(Velocity::ID).unwrap());
    assert_eq!(velocities.tracked(tracker).iter_ones().collect::<Vec<_>>(), [77]);
}
