//! Random sequences of structural operations, and what may not be done.

use engine_component::{Data, Entity, World, WorldSettings};
use proptest::prelude::*;

use crate::model::{MANY, Marked, Model, Op, Small, Text, Wide, act, cases, ops};

proptest! {
    #![proptest_config(cases(96))]

    /// Values, rows, their order, and what is refused.
    #[test]
    fn a_world_is_a_map_of_maps(ops in ops(MANY)) {
        let (mut world, mut model) = (World::default(), Model::default());
        for op in &ops {
            act(&mut world, &mut model, op);
            model.check(&world);
        }
    }

    /// A tracker knows whose rows were written, wherever these rows have moved since.
    #[test]
    fn a_tracker_follows_its_rows(ops in ops(MANY), every in 1..20_usize) {
        let (mut world, mut model) = (World::default(), Model::default());
        world.register::<Wide>().unwrap();
        let tracker = world.track(Wide::ID).unwrap();
        for (step, op) in ops.iter().enumerate() {
            act(&mut world, &mut model, op);
            let mut seen: Vec<Entity> = Vec::new();
            for table in world.tables() {
                let Some(column) = table.column_index(Wide::ID) else { continue };
                let rows = table.column(column).tracked(tracker);
                seen.extend(rows.iter_ones().map(|row| table.entities()[row]));
            }
            seen.sort();
            prop_assert_eq!(&seen, &model.written.iter().copied().collect::<Vec<_>>());
            if step % every == 0 {
                world.clear_tracker(Wide::ID, tracker);
                model.written.clear();
            }
        }
    }
}

#[test]
fn numbers_are_never_used_again() {
    let mut world = World::default();
    let first = world.spawn((Small { value: 1 },));
    world.despawn(first).unwrap();
    let second = world.spawn((Small { value: 2 },));
    assert!(second > first && !world.contains(first) && world.get::<Small>(first).is_none());
}

/// Each is refused, and leaves the world as it was.
#[test]
fn what_is_refused_changes_nothing() {
    let mut world = World::new(WorldSettings { rows_per_shard: 64 }).unwrap();
    let entity = world.spawn((Wide { a: 1.0, b: 2, c: 3 }, Text { lines: vec!["x".into()] }));
    world.register::<Marked>().unwrap();
    let before = world.hash();
    let nobody = Entity::from_bits(77);
    assert!(world.despawn(nobody).is_err());
    assert!(world.insert(nobody, (Marked,)).is_err());
    assert!(world.remove::<(Wide,)>(nobody).is_err());
    assert!(world.set(entity, &Small { value: 1 }).is_err(), "it has none");
    assert!(world.set_raw(entity, Wide::ID, &[0; 15]).is_err(), "a byte too few");
    assert!(world.set_raw(entity, Wide::ID, &[0; 17]).is_err(), "a byte too many");
    assert!(world.insert_raw(entity, &[(Wide::ID, &[0; 3])]).is_err());
    assert!(world.spawn_raw(&[(Wide::ID, &[1])]).is_err());
    assert!(world.spawn_raw(&[(Marked::ID, &[1])]).is_err(), "a tag has no bytes");
    assert!(world.spawn_columns(2, &[(Wide::ID, &[0; 31])]).is_err());
    assert!(World::new(WorldSettings { rows_per_shard: 63 }).is_err(), "no multiple of 64");
    world.check_invariants();
    assert_eq!((world.len(), world.hash()), (1, before));
}

/// A table that grows over several shards and blocks, and shrinks to nothing.
#[test]
fn tables_grow_and_shrink() {
    let count = if cfg!(miri) { 130 } else { 5_000 };
    let (mut world, mut model) = (World::default(), Model::default());
    for _ in 0..count / 65 {
        act(&mut world, &mut model, &Op::SpawnBatch(65, 1));
    }
    model.check(&world);
    for step in 0..count as u16 {
        act(&mut world, &mut model, &Op::Despawn(step.wrapping_mul(7919)));
    }
    model.check(&world);
    for entity in model.all.clone() {
        assert_eq!(world.despawn(entity).is_ok(), model.despawn(entity));
    }
    model.check(&world);
    assert!(world.is_empty());
}
