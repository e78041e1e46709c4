//! Every kind of item, and the ways to reach rows.

use engine_component::Entity;
use engine_component::query::{NotSingle, Query, With, Without};

use crate::bodies::{Frozen, Mass, Name, Position, Velocity, four, position};

/// Runs a query on the world of four.
macro_rules! query {
    ($world:expr, $query:ty, $run:expr) => {
        $world
            .with_query(|query: $query| {
                let run: fn($query) -> _ = $run;
                run(query)
            })
            .unwrap()
    };
}

fn sorted(mut xs: Vec<f32>) -> Vec<f32> {
    xs.sort_by(f32::total_cmp);
    xs
}

#[test]
fn references_read_and_write() {
    let (mut world, entities) = four();
    query!(world, Query<(&mut Position, &Velocity)>, |mut query| {
        for (position, velocity) in &mut query {
            position.x += velocity.x;
        }
    });
    assert_eq!(world.get::<Position>(entities[1]).unwrap().x, 12.0);
    assert_eq!(world.get::<Position>(entities[3]).unwrap().x, 24.0);
    assert_eq!(world.get::<Position>(entities[0]).unwrap().x, 1.0);
    let xs = query!(world, Query<&Position>, |query| query.into_iter_sum());
    assert_eq!(xs, 40.0);
}

trait Sum {
    fn into_iter_sum(self) -> f32;
}

impl Sum for Query<'_, &Position> {
    fn into_iter_sum(self) -> f32 {
        let mut sum = 0.0;
        for position in &self {
            sum += position.x;
        }
        sum
    }
}

#[test]
fn optional_items_do_not_restrict() {
    let (mut world, entities) = four();
    let rows = query!(world, Query<(Entity, Option<&Velocity>, Option<&mut Position>)>, |mut query| {
        let mut rows = Vec::new();
        query.for_each(|(entity, velocity, position)| {
            position.expect("all have one").y = 1.0;
            rows.push((entity, velocity.map(|velocity| velocity.x)));
        });
        rows.sort_unstable_by_key(|row| row.0);
        rows
    });
    let velocities = [None, Some(10.0), None, Some(20.0)];
    assert_eq!(rows, entities.into_iter().zip(velocities).collect::<Vec<_>>());
    assert!(entities.iter().all(|entity| world.get::<Position>(*entity).unwrap().y == 1.0));
}

#[test]
fn tags_and_nested_tuples_are_items() {
    let (mut world, _) = four();
    let mut xs = query!(world, Query<((&Position, &Frozen), (Option<&Frozen>, ((&Velocity,), ())))>, |query| {
        query
            .iter()
            .map(|((position, _), (frozen, ((velocity,), ())))| (frozen.is_some(), position.x, velocity.x))
            .collect::<Vec<_>>()
    });
    assert_eq!(xs.pop(), Some((true, 4.0, 20.0)));
    assert!(xs.is_empty());
    let tags = query!(world, Query<&mut Frozen>, |mut query| query.iter_mut().map(|tag| *tag).collect::<Vec<_>>());
    assert_eq!(tags, [Frozen, Frozen]);
}

#[test]
fn twelve_items_fit() {
    let (mut world, _) = four();
    type P = &'static Position;
    let rows = query!(world, Query<(P, P, P, P, P, P, P, P, P, P, P, P)>, |query| query.len());
    assert_eq!(rows, 4);
}

#[test]
fn all_items_of_a_query_may_be_kept() {
    let (mut world, _) = four();
    let xs = query!(world, Query<&mut Position>, |mut query| {
        let mut rows: Vec<&mut Position> = query.iter_mut().collect();
        rows.iter_mut().for_each(|row| row.x *= 2.0);
        rows.sort_by(|a, b| a.x.total_cmp(&b.x));
        let (first, rest) = rows.split_first_mut().unwrap();
        std::mem::swap(*first, rest[0]);
        rows.iter().map(|row| row.x).collect::<Vec<_>>()
    });
    assert_eq!(xs, [4.0, 2.0, 6.0, 8.0]);
}

#[test]
fn several_readers_of_one_query_are_alive_at_once() {
    let (mut world, _) = four();
    let pairs = query!(world, Query<&mut Position>, |query| {
        query.iter().map(|a| query.iter().filter(|b| a.x < b.x).count()).sum::<usize>()
    });
    assert_eq!(pairs, 6);
}

#[test]
fn rows_are_found_by_entity() {
    let (mut world, [first, second, ..]) = four();
    world
        .with_query(|mut query: Query<(&mut Position, &Velocity)>| {
            assert_eq!(query.get(second).unwrap().1.x, 10.0);
            query.get_mut(second).unwrap().0.x = 7.0;
            assert_eq!(query.get(second).unwrap().0.x, 7.0);
            assert!(query.get(first).is_none());
            assert!(query.get_mut(Entity::NONE).is_none());
        })
        .unwrap();
    assert_eq!(*world.get::<Position>(second).unwrap(), position(7.0));
}

#[test]
fn a_single_row_is_exactly_one() {
    let (mut world, _) = four();
    query!(world, Query<&mut Position, (With<Frozen>, With<Velocity>)>, |mut query| {
        query.single_mut().unwrap().x = 5.0;
        assert_eq!(query.single().unwrap().x, 5.0);
    });
    let several = query!(world, Query<&Position>, |query| query.single().err());
    let none = query!(world, Query<&Mass>, |query| query.single().err());
    assert_eq!((several, none), (Some(NotSingle::Several), Some(NotSingle::None)));
}

#[test]
fn len_counts_what_iteration_visits() {
    let (mut world, _) = four();
    let lens = query!(world, Query<&Position>, |query| (query.len(), query.iter().count(), query.is_empty()));
    assert_eq!(lens, (4, 4, false));
    let names = query!(world, Query<&Name>, |query| (query.len(), query.iter().count()));
    assert_eq!(names, (1, 1));
    assert_eq!(query!(world, Query<&Mass>, |query| (query.len(), query.is_empty())), (0, true));
}

#[test]
fn slices_are_whole_columns() {
    let (mut world, entities) = four();
    query!(world, Query<(&mut Position, &Velocity)>, |mut query| {
        for (positions, velocities) in query.slices_mut() {
            for (position, velocity) in positions.iter_mut().zip(velocities) {
                position.x += velocity.x;
            }
        }
    });
    let mut seen = query!(world, Query<(Entity, Option<&Velocity>, &Position), Without<Frozen>>, |query| {
        let part = |(entities, velocities, positions): (&[Entity], Option<&[Velocity]>, &[Position])| {
            assert!(entities.len() == positions.len() && velocities.is_none_or(|all| all.len() == entities.len()));
            (entities[0], velocities.is_some(), positions[0].x)
        };
        query.slices().map(part).collect::<Vec<_>>()
    });
    seen.sort_by_key(|part| part.0);
    assert_eq!(seen, [(entities[0], false, 1.0), (entities[1], true, 12.0)]);
}

#[test]
fn optional_columns_are_optional_slices() {
    let (mut world, _) = four();
    let parts = query!(world, Query<(&Position, Option<&mut Velocity>)>, |mut query| {
        let mut parts: Vec<_> = query.slices_mut().collect();
        for (_, velocities) in &mut parts {
            velocities.iter_mut().for_each(|all| all.iter_mut().for_each(|velocity| velocity.x = 3.0));
        }
        parts.len()
    });
    assert_eq!(parts, 4);
    let xs = query!(world, Query<&Velocity>, |query| query.iter().map(|velocity| velocity.x).collect::<Vec<_>>());
    assert_eq!(sorted(xs), [3.0, 3.0]);
}
