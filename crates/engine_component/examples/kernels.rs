//! `position += velocity`, by hand and through queries: functions whose machine code `cargo xtask kernels` compares.

use std::hint::black_box;

use engine_component::query::{Query, QueryState};
use engine_component::{Component, World};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "kernels.Position")]
struct Position {
    value: [f32; 3],
}

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "kernels.Velocity")]
struct Velocity {
    value: [f32; 3],
}

type Moving = (&'static mut Position, &'static Velocity);

#[inline(always)]
fn integrate(position: &mut Position, velocity: &Velocity) {
    for (value, more) in position.value.iter_mut().zip(velocity.value) {
        *value += more;
    }
}

/// What nothing beats.
#[inline(never)]
fn kernel_hand(positions: &mut [Position], velocities: &[Velocity]) {
    positions.iter_mut().zip(velocities).for_each(|(position, velocity)| integrate(position, velocity));
}

/// A system that takes slices.
#[inline(never)]
fn kernel_slices(query: &mut Query<'_, Moving>) {
    for (positions, velocities) in query.slices_mut() {
        positions.iter_mut().zip(velocities).for_each(|(position, velocity)| integrate(position, velocity));
    }
}

/// A system that takes rows.
#[inline(never)]
fn kernel_rows(query: &mut Query<'_, Moving>) {
    query.for_each(|(position, velocity)| integrate(position, velocity));
}

/// A prepared query, outside of systems.
#[inline(never)]
fn kernel_prepared(query: &mut QueryState<Moving>, world: &mut World) {
    query.for_each(world, |(position, velocity)| integrate(position, velocity));
}

fn main() {
    let (position, velocity) = (Position { value: [0.0; 3] }, Velocity { value: [1.0; 3] });
    let (mut positions, velocities) = (vec![position; 1000], vec![velocity; 1000]);
    kernel_hand(black_box(&mut positions), black_box(&velocities));

    let mut world = World::default();
    world.spawn_batch((0..1000).map(|_| (position, velocity)));
    let ran = world.with_query(|mut query: Query<'_, Moving>| {
        kernel_slices(black_box(&mut query));
        kernel_rows(black_box(&mut query));
    });
    let prepared = QueryState::new().map(|mut query| kernel_prepared(black_box(&mut query), &mut world));
    assert!(ran.is_ok() && prepared.is_ok(), "the items of the query do not alias");

    let column = world.tables()[0].column_index(<Position as engine_component::Data>::ID);
    let places = column.map(|column| world.tables()[0].column(column).as_slice::<Position>());
    println!("{:?} by hand, {:?} by queries", positions[999].value, places.map(|places| places[999].value));
}
