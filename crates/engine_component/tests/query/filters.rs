//! Filters, over parts with and without rows that changed.

#![expect(unsafe_code, reason = "queries over parts are made here as the runner of a system makes them")]

use engine_component::query::{Changed, Or, Part, PartColumn, Query, QueryFilter, With, Without, describe};
use engine_component::{BitRows, ComponentId, Data, Entity};

use crate::bodies::{Frozen, Mass, Name, Position, Velocity, four, position};

fn matching<F: QueryFilter>() -> Vec<f32> {
    let (mut world, _) = four();
    let xs = world.with_query(|query: Query<&Position, F>| query.iter().map(|position| position.x).collect());
    let mut xs: Vec<f32> = xs.unwrap();
    xs.sort_by(f32::total_cmp);
    xs
}

#[test]
fn filters_take_whole_archetypes() {
    assert_eq!(matching::<()>(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(matching::<With<Velocity>>(), [2.0, 4.0]);
    assert_eq!(matching::<Without<Velocity>>(), [1.0, 3.0]);
    assert_eq!(matching::<(With<Velocity>, Without<Frozen>)>(), [2.0]);
    assert_eq!(matching::<Or<(With<Velocity>, With<Frozen>)>>(), [2.0, 3.0, 4.0]);
    assert_eq!(matching::<Or<(Without<Velocity>, (With<Frozen>, With<Name>))>>(), [1.0, 3.0, 4.0]);
    assert_eq!(matching::<Or<(With<Mass>,)>>(), [0.0; 0]);
}

#[test]
fn outside_of_systems_everything_counts_as_changed() {
    assert_eq!(matching::<Changed<Velocity>>(), [2.0, 4.0]);
    assert_eq!(matching::<Or<(Changed<Velocity>, Without<Frozen>)>>(), [1.0, 2.0, 4.0]);
}

fn rows(len: usize, set: &[usize]) -> BitRows {
    let mut rows = BitRows::new(len);
    set.iter().for_each(|row| rows.set(*row));
    rows
}

/// The rows of a part of 70 positions, in which some positions (3, 5, 69) and velocities (5, 6) changed.
fn changed<F: QueryFilter>(components: &[ComponentId]) -> Vec<f32> {
    let entities: Vec<Entity> = (1..=70).map(Entity::from_bits).collect();
    let positions: Vec<Position> = (0..70).map(|row| position(row as f32)).collect();
    let mut archetype = components.to_vec();
    archetype.sort();
    let part = Part {
        entities: &entities,
        archetype: &archetype,
        columns: vec![PartColumn::read(bytemuck_bytes(&positions), size_of::<Position>())],
        changed: vec![(Position::ID, rows(70, &[3, 5, 69])), (Velocity::ID, rows(70, &[5, 6]))],
    };
    let parts = [part];
    assert!(describe::<&Position, F>().unwrap().matches(&archetype));
    // SAFETY: the only query over these parts, whose columns are the ones of its description.
    let query: Query<&Position, F> = unsafe { Query::new(&parts) };
    let xs: Vec<f32> = query.iter().map(|position| position.x).collect();
    assert_eq!(query.len(), xs.len());
    let by_entity = entities.iter().filter_map(|entity| query.get(*entity)).map(|position| position.x);
    assert_eq!(by_entity.collect::<Vec<_>>(), xs);
    xs
}

fn bytemuck_bytes<T: engine_component::Plain>(values: &[T]) -> &[u8] {
    engine_component::bytemuck::cast_slice(values)
}

#[test]
fn changed_looks_at_rows() {
    let both = [Position::ID, Velocity::ID];
    assert_eq!(changed::<Changed<Position>>(&both), [3.0, 5.0, 69.0]);
    assert_eq!(changed::<(Changed<Position>, Changed<Velocity>)>(&both), [5.0]);
    assert_eq!(changed::<Or<(Changed<Position>, Changed<Velocity>)>>(&both), [3.0, 5.0, 6.0, 69.0]);
    assert_eq!(changed::<(Without<Frozen>, Or<(Changed<Velocity>, With<Frozen>)>)>(&both), [5.0, 6.0]);
}

#[test]
fn or_takes_all_rows_when_one_side_takes_the_archetype() {
    assert_eq!(changed::<Or<(Changed<Position>, With<Velocity>)>>(&[Position::ID, Velocity::ID]).len(), 70);
    assert_eq!(changed::<Or<(Changed<Position>, With<Frozen>)>>(&[Position::ID, Velocity::ID]), [3.0, 5.0, 69.0]);
}

#[test]
fn a_component_that_nobody_tracks_counts_as_changed() {
    assert_eq!(changed::<Changed<Mass>>(&[Position::ID, Mass::ID]).len(), 70);
    assert_eq!(changed::<Or<(Changed<Mass>, Changed<Position>)>>(&[Position::ID]), [3.0, 5.0, 69.0]);
}
