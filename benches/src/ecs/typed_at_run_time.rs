//! `position += velocity` where the program learns only when it runs what a position is: an editor, a script, a
//! coordinator that was not compiled with the components.
//!
//! Columns are found by the names of components, numbers by the schemas. Where both rows are nothing but these
//! numbers, the columns are two arrays of them; else each number is a pass over all rows.

use engine_component::{Column, ColumnMut, World, bytemuck};

use super::ENTITIES;
use super::components::engine_world;
#[cfg(feature = "peers")]
use super::components::theirs;
use crate::case::{Case, Contender, OURS, Unit};
use crate::measure::repeated;

pub(crate) fn case() -> Case {
    Case {
        name: "ecs/typed_at_run_time",
        about: "position += velocity by names and schemas, 10,000 entities; per row",
        unit: Unit::Nanoseconds,
        contenders: || {
            Ok(vec![
                engine(),
                hand(),
                #[cfg(feature = "peers")]
                bevy(),
            ])
        },
    }
}

fn engine() -> Contender {
    let mut world = engine_world(ENTITIES, true);
    repeated(OURS, ENTITIES, move || add(&mut world, "bench.Position", "bench.Velocity"))
}

/// Adds the floats of a component to those of another one, in all tables that have both.
fn add(world: &mut World, to: &str, from: &str) {
    let known = |name: &str| world.registry().iter().find(|info| info.schema.name == name);
    let (Some(to), Some(from)) = (known(to), known(from)) else { return };
    let (to, from, lanes) = (to.schema.id(), from.schema.id(), to.schema.float_lanes());
    let version = world.version();
    for mut table in world.tables_mut() {
        let (Some(written), Some(read)) = (table.column_index(to), table.column_index(from)) else { continue };
        let Some([mut into, other]) = table.disjoint_columns([written, read]) else { continue };
        if [into.stride(), other.stride()] == [lanes.len() * 4; 2] {
            add_rows(&mut into, &other);
        } else {
            lanes.iter().for_each(|(offset, _)| add_lane(&mut into, &other, *offset as usize));
        }
        table.mark_all_changed(written, version);
    }
}

/// All floats of rows that have nothing else.
fn add_rows(into: &mut ColumnMut<'_>, from: &Column) {
    let ours: &mut [f32] = bytemuck::cast_slice_mut(into.bytes_mut());
    let theirs: &[f32] = bytemuck::cast_slice(from.bytes());
    ours.iter_mut().zip(theirs).for_each(|(value, more)| *value += more);
}

/// One float of each row.
fn add_lane(into: &mut ColumnMut<'_>, from: &Column, offset: usize) {
    let (stride, other) = (into.stride() / 4, from.stride() / 4);
    let theirs: &[f32] = bytemuck::cast_slice(from.bytes());
    let ours: &mut [f32] = bytemuck::cast_slice_mut(into.bytes_mut());
    let ours = ours[offset / 4..].iter_mut().step_by(stride);
    ours.zip(theirs[offset / 4..].iter().step_by(other)).for_each(|(value, more)| *value += more);
}

/// The same over two plain slices.
fn hand() -> Contender {
    let (mut positions, velocities) = (vec![1.0_f32; 3 * ENTITIES], vec![1.0_f32; 3 * ENTITIES]);
    repeated("hand", ENTITIES, move || {
        let (positions, velocities) = std::hint::black_box((&mut positions, &velocities));
        positions.iter_mut().zip(velocities).for_each(|(value, more)| *value += more);
    })
}

/// It only finds the values of each row: to add them takes unsafe code, and would be on top of this.
#[cfg(feature = "peers")]
fn bevy() -> Contender {
    use bevy_ecs::query::QueryBuilder;
    use bevy_ecs::world::FilteredEntityMut;
    let mut world = super::components::bevy_world(ENTITIES, true);
    let position = world.register_component::<theirs::Position>();
    let velocity = world.register_component::<theirs::Velocity>();
    let mut builder = QueryBuilder::<FilteredEntityMut>::new(&mut world);
    let mut moving = builder.mut_id(position).ref_id(velocity).build();
    repeated("bevy_ecs, without adding", ENTITIES, move || {
        moving.iter_mut(&mut world).for_each(|mut row| {
            std::hint::black_box(row.get_by_id(velocity).map(bevy_ecs::ptr::Ptr::as_ptr));
            std::hint::black_box(row.get_mut_by_id(position).map(|value| value.into_inner().as_ptr()));
        });
    })
}
