//! The world hash: kept up to date block by block, it equals that of an equal world that is hashed at once,
//! however either came about.

use std::fmt::Write;

use engine_component::{BLOCK_ROWS, Component, Entity, World};
use proptest::prelude::*;

use crate::model::{Model, empty, op, step, with_raw};
use crate::structure::assert_agree;
use crate::values::{Label, Marked, Mass, Place, Target, Value};

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "model.Scaffold")]
struct Scaffold;

/// An equal world that was made in another way: archetype by archetype, row by row.
fn rebuilt(model: &Model) -> World {
    let mut world = empty();
    world.register::<Scaffold>().unwrap();
    for number in 1..=model.last {
        let entity = world.spawn(());
        assert_eq!(entity.to_bits(), number);
    }
    for number in 1..=model.last {
        let entity = Entity::from_bits(number);
        match model.entities.get(&entity) {
            None => world.despawn(entity).unwrap(),
            Some(held) if held.is_empty() => world.insert(entity, Scaffold).unwrap(),
            Some(_) => {}
        }
    }
    for (archetype, rows) in model.rows.iter().rev() {
        for entity in rows {
            let values: Vec<Value> = model.entities[entity].values().cloned().collect();
            if archetype.is_empty() {
                world.remove::<Scaffold>(*entity).unwrap();
            } else {
                with_raw(&values, |raw| world.insert_raw(*entity, raw)).unwrap();
            }
        }
    }
    assert_agree(&world, model);
    world
}

/// Hashes rows of all columns ahead.
fn ahead(world: &mut World, rows: impl Fn(usize) -> std::ops::Range<usize>) {
    let tables = world.sorted_tables().to_vec();
    let columns: Vec<_> = tables
        .iter()
        .flat_map(|id| {
            let (columns, rows) = (world.table(*id).columns().len(), rows(world.table(*id).len()));
            (0..columns).map(move |column| (*id, column, rows.clone()))
        })
        .collect();
    world.hash_ahead(columns.into_iter());
}

#[test]
fn what_is_hashed_ahead_and_changed_after_that_is_hashed_again() {
    let places = || (0..BLOCK_ROWS as u32 * 2 + 7).map(|x| Place { x: x as f32, y: 0.0 });
    let (mut world, mut other) = (World::default(), World::default());
    let entities = world.spawn_batch(places());
    other.spawn_batch(places());
    // All, whole blocks, parts of blocks, past the end, none.
    for (at, rows) in [0..2055, 0..2048, 1000..2050, 5..usize::MAX, 40..41, 9..9].into_iter().enumerate() {
        ahead(&mut world, |len| rows.start.min(len)..rows.end.min(len + 1));
        for world in [&mut world, &mut other] {
            world.get_mut::<Place>(entities[at * 400]).unwrap().y = 1.0 + at as f32;
        }
        if at % 2 == 0 {
            ahead(&mut world, |len| 0..len);
        }
        assert_eq!(world.hash(), other.hash(), "{rows:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_hashed_ahead_the_hash_is_the_same(
        ops in proptest::collection::vec((op(), any::<bool>(), 0..3_usize), 1..40)
    ) {
        let (mut world, mut model) = (empty(), Model::default());
        for (op, hash, first) in &ops {
            step(&mut world, &mut model, op);
            ahead(&mut world, |len| (*first).min(len)..len);
            if *hash {
                assert_eq!(world.hash(), rebuilt(&model).hash());
            }
        }
        assert_eq!(world.hash(), rebuilt(&model).hash());
    }

    #[test]
    fn the_hash_of_blocks_is_the_hash_of_the_whole(ops in proptest::collection::vec(op(), 1..40)) {
        let (mut world, mut model) = (empty(), Model::default());
        let mut last = world.hash();
        for op in &ops {
            let before = model.clone();
            step(&mut world, &mut model, op);
            let hash = world.hash();
            assert_eq!(hash, rebuilt(&model).hash());
            // Empty archetypes are no difference.
            let rows = |model: &Model| -> Vec<_> { model.rows.values().filter(|rows| !rows.is_empty()).cloned().collect() };
            let equal = before.entities == model.entities && before.last == model.last && rows(&before) == rows(&model);
            assert_eq!(hash == last, equal, "worlds that differ have hashes that differ");
            last = hash;
        }
    }
}

/// What happens at the ends of blocks.
#[derive(Clone, Debug)]
enum Edit {
    Write(usize),
    Despawn(usize),
    Append(usize),
    Move(usize),
    Hash,
}

fn edit() -> impl Strategy<Value = Edit> {
    let row = prop_oneof![0..4_usize, BLOCK_ROWS - 3..BLOCK_ROWS + 3, 2 * BLOCK_ROWS - 4..2 * BLOCK_ROWS + 4];
    prop_oneof![
        row.clone().prop_map(Edit::Write),
        row.clone().prop_map(Edit::Despawn),
        (1..5_usize).prop_map(Edit::Append),
        row.prop_map(Edit::Move),
        Just(Edit::Hash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Operations about the ends of blocks of 1024 rows, where blocks come and go.
    #[test]
    fn blocks_come_and_go(edits in proptest::collection::vec(edit(), 1..24)) {
        let (mut world, mut model) = (empty(), Model::default());
        for row in 0..2 * BLOCK_ROWS {
            let values = [Value::Place(Place { x: row as f32, y: 0.0 }), Value::Mass(Mass { kilograms: 1.0 })];
            with_raw(&values, |raw| world.spawn_raw(raw)).unwrap();
            model.spawn(&values);
        }
        world.hash();
        for edit in &edits {
            // The model's entity numbers are drawn through a remainder, which leaves those that exist alone.
            let rows = world.tables()[0].entities();
            let at = |row: usize| rows[row % rows.len()].to_bits();
            let op = match edit {
                Edit::Write(row) => crate::model::Op::Write(at(*row), 9.0),
                Edit::Despawn(row) => crate::model::Op::Despawn(at(*row)),
                Edit::Append(count) => {
                    for _ in 1..*count {
                        let values = [Value::Place(Place { x: 0.5, y: 0.5 }), Value::Mass(Mass { kilograms: 2.0 })];
                        with_raw(&values, |raw| world.spawn_raw(raw)).unwrap();
                        model.spawn(&values);
                    }
                    continue;
                }
                Edit::Move(row) => crate::model::Op::Insert(at(*row), vec![Value::Marked]),
                Edit::Hash => crate::model::Op::Hash,
            };
            step(&mut world, &mut model, &op);
        }
        assert_eq!(world.hash(), rebuilt(&model).hash());
    }
}

#[test]
fn every_nan_is_one_value_and_every_other_bit_counts() {
    let hash = |bits: u32| {
        let mut world = empty();
        world.spawn(Place { x: f32::from_bits(bits), y: 0.0 });
        world.hash()
    };
    let nan = hash(f32::NAN.to_bits());
    assert!([0x7fc0_0001, 0xffc1_2345, 0x7f80_0001].iter().all(|bits| hash(*bits) == nan));
    assert_ne!(hash(0.0_f32.to_bits()), hash((-0.0_f32).to_bits()));
    assert_ne!(hash(f32::INFINITY.to_bits()), nan);
}

/// A small world, and its hash after each step of a script. The hashes are part of every log and of every
/// check between processes: `ENGINE_BLESS=1` writes them anew, which is a change of the format.
#[test]
fn the_hashes_of_a_scripted_world_are_those_of_the_golden_file() {
    let mut world = empty();
    let mut text = String::new();
    let mut note = |what: &str, world: &mut World| writeln!(text, "{} {what}", world.hash()).unwrap();
    note("an empty world", &mut world);
    let place = |x: f32| Place { x, y: -x };
    let first = world.spawn((place(1.0), Mass { kilograms: 2.5 }));
    note("one of place and mass", &mut world);
    let label = |text: &str, friend| Label { text: text.into(), friend };
    let second = world.spawn((place(2.0), Marked, label("second", Some(first))));
    note("one more of place, mark and label", &mut world);
    let batch =
        world.spawn_batch((0..1500_u16).map(|row| (place(row.into()), Target { entity: second, shots: row.into() })));
    note("1500 of place and target", &mut world);
    world.set(batch[1200], &Target { entity: Entity::NONE, shots: u64::MAX }).unwrap();
    note("one target is none", &mut world);
    world.set(second, &label("a label that is longer than the one before", None)).unwrap();
    note("another label", &mut world);
    world.despawn(batch[0]).unwrap();
    note("the first of the 1500 goes", &mut world);
    world.insert(batch[7], (Marked, place(f32::NAN))).unwrap();
    note("one moves, and its place is no number", &mut world);
    world.remove::<(Mass, Place)>(first).unwrap();
    note("the first has nothing left", &mut world);
    batch[1..].iter().for_each(|entity| world.despawn(*entity).unwrap());
    note("none of the 1500 is left", &mut world);

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/world_hashes.txt");
    if std::env::var_os("ENGINE_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap(), "the world hash has changed");
}
