//! Two worlds side by side: what is said to differ is what differs, and nothing else.

use std::collections::BTreeSet;

use engine_component::compare::{Comparison, MAX_FIELDS, Shown, Whose, compare};
use engine_component::schema::FieldType;
use engine_component::{BLOCK_ROWS, Component, Data, Entity, Schema, StorageKind, World};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::{Model, empty, op, step};
use crate::values::{Label, Marked, Mass, Place, Target};

/// Who differs by the models.
fn differing(a: &Model, b: &Model) -> Vec<(Entity, Whose)> {
    let entities: BTreeSet<Entity> = a.entities.keys().chain(b.entities.keys()).copied().collect();
    let whose = |entity: Entity| match (a.entities.get(&entity), b.entities.get(&entity)) {
        (Some(a), Some(b)) => (a != b).then_some(Whose::Both),
        (Some(_), None) => Some(Whose::A),
        _ => Some(Whose::B),
    };
    entities.into_iter().filter_map(|entity| Some((entity, whose(entity)?))).collect()
}

fn found(comparison: &Comparison) -> Vec<(Entity, Whose)> {
    comparison.differences.iter().map(|difference| (difference.entity, difference.whose)).collect()
}

proptest! {
    #[test]
    fn what_differs_is_found(
        before in proptest::collection::vec(op(), 0..30),
        [left, right] in [(); 2].map(|()| proptest::collection::vec(op(), 0..6)),
        limit in 0..20_usize,
    ) {
        let mut worlds = [(empty(), Model::default()), (empty(), Model::default())];
        for ((world, model), ops) in worlds.iter_mut().zip([&left, &right]) {
            before.iter().chain(ops).for_each(|op| step(world, model, op));
        }
        let [(a, a_model), (b, b_model)] = &mut worlds;
        let comparison = compare(a, b, usize::MAX);
        prop_assert_eq!(comparison.is_empty(), a.hash() == b.hash(), "{}", comparison);
        let expected = differing(a_model, b_model);
        prop_assert_eq!(found(&comparison), expected.clone());
        let both = a_model.entities.keys().filter(|entity| b_model.entities.contains_key(entity)).count();
        prop_assert_eq!(comparison.counts.both, both as u64);

        let total: u64 = comparison.components.iter().map(|total| total.differ + total.only_a + total.only_b).sum();
        let described: usize = comparison.differences.iter().map(|difference| difference.components.len()).sum();
        prop_assert_eq!(total, described as u64);
        for component in comparison.differences.iter().flat_map(|difference| &difference.components) {
            let says_something = |a: &Shown, b: &Shown| a != b || matches!(a, Shown::Bytes(_));
            prop_assert!(!component.fields.is_empty());
            prop_assert!(component.fields.iter().all(|field| says_something(&field.a, &field.b)));
        }

        let bounded = compare(a, b, limit);
        prop_assert_eq!(&bounded.differences[..], &comparison.differences[..limit.min(expected.len())]);
        prop_assert_eq!(bounded.left_out as usize, expected.len().saturating_sub(limit));
        prop_assert_eq!(bounded.components, comparison.components);
    }
}

#[test]
fn a_comparison_reads_well() {
    let build = |changed: bool| {
        let mut world = empty();
        let first = world.spawn((Place { x: 1.0, y: -1.0 }, Mass { kilograms: 2.5 }));
        let second = world.spawn((Marked, Label { text: "second".into(), friend: Some(first) }));
        let third = world.spawn(Target { entity: second, shots: 1 });
        if changed {
            world.get_mut::<Place>(first).unwrap().y = 0.5;
            world.insert(second, Label { text: "another".into(), friend: None }).unwrap();
            world.remove::<Marked>(second).unwrap();
            world.despawn(third).unwrap();
            world.spawn((Mass { kilograms: f64::INFINITY }, Marked));
        }
        world
    };
    let text = compare(&build(false), &build(true), 10).to_string();
    let expected = "\
entities in both: 2, of which differ: 2; only in a: 1; only in b: 1
next entity: #4 → #5
model.Label: differ: 1; only in a: 0; only in b: 0
model.Marked: differ: 0; only in a: 1; only in b: 1
model.Mass: differ: 0; only in a: 0; only in b: 1
model.Place: differ: 1; only in a: 0; only in b: 0
model.Target: differ: 0; only in a: 1; only in b: 0
~ #1
      model.Place.y: -1.0 → 0.5
~ #2
      model.Label.friend: 1 → null
      model.Label.text: \"second\" → \"another\"
    - model.Marked {}
- #3
    - model.Target {\"entity\":2,\"shots\":1}
+ #4
    + model.Marked {}
    + model.Mass {\"kilograms\":\"inf\"}";
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // Components of an entity are in the order of their ids, which are hashes.
        lines[8..].sort();
        lines
    };
    assert_eq!(sorted(&text), sorted(expected), "{text}");
    let bounded = compare(&build(false), &build(true), 1).to_string();
    assert!(bounded.ends_with("~ #1\n      model.Place.y: -1.0 → 0.5\n… and more entities: 3"), "{bounded}");
    assert_eq!(compare(&build(true), &build(true), 1).to_string(), "the same: 3 entities");
}

#[test]
fn one_row_of_many_blocks_is_found() {
    let build = || {
        let mut world = empty();
        let spawned = world.spawn_batch((0..5 * BLOCK_ROWS as u32).map(|row| Place { x: row as f32, y: 0.0 }));
        (world, spawned)
    };
    let ((a, _), (mut b, spawned)) = (build(), build());
    b.get_mut::<Place>(spawned[4000]).unwrap().y = 7.0;
    let comparison = compare(&a, &b, 5);
    assert_eq!(found(&comparison), [(spawned[4000], Whose::Both)]);
    // Rows behind one that went move, and are the same otherwise.
    b.get_mut::<Place>(spawned[4000]).unwrap().y = 0.0;
    b.despawn(spawned[10]).unwrap();
    let comparison = compare(&a, &b, 5);
    assert_eq!((found(&comparison), comparison.counts.moved), (vec![(spawned[10], Whose::A)], 1));
}

#[test]
fn nan_is_nan_and_zero_has_a_sign() {
    let with = |x: f32, y: f32| {
        let mut world = World::default();
        world.spawn(Place { x, y });
        world
    };
    let nan = f32::from_bits(0xffc1_2345);
    let (mut a, mut b) = (with(f32::NAN, 1.0), with(nan, 1.0));
    assert_eq!(a.hash(), b.hash());
    assert!(compare(&a, &b, 9).is_empty());
    let comparison = compare(&with(f32::NAN, 0.0), &with(nan, -0.0), 9);
    let fields = &comparison.differences[0].components[0].fields;
    assert_eq!((fields.len(), &*fields[0].path), (1, "y"));
    assert_eq!(fields[0].b.to_string(), "-0.0");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Component)]
#[component(name = "model.Bag", document)]
struct Bag {
    items: Vec<u32>,
    note: String,
}

#[test]
fn parts_of_documents_are_named_and_bounded() {
    let with = |items: Vec<u32>, note: String| {
        let mut world = World::default();
        world.spawn(Bag { items, note });
        world
    };
    let a = with(vec![1, 2, 3], "n".repeat(10_000));
    let b = with(vec![1, 5], String::new());
    let comparison = compare(&a, &b, 9);
    let fields = &comparison.differences[0].components[0].fields;
    let paths: Vec<&str> = fields.iter().map(|field| &*field.path).collect();
    assert_eq!(paths, ["items[1]", "items[2]", "note"]);
    assert_eq!((&fields[0].a, &fields[0].b), (&Shown::Value(json!(2)), &Shown::Value(json!(5))));
    assert_eq!(fields[1].b, Shown::Absent);
    assert_eq!(fields[2].a, Shown::Bytes(10_002), "a long text is not carried around");
    let many = compare(&with((0..1000).collect(), String::new()), &with((1..1001).collect(), String::new()), 9);
    let component = &many.differences[0].components[0];
    assert_eq!((component.fields.len(), component.more), (MAX_FIELDS, 1000 - MAX_FIELDS));
    // The same value in other bytes is another world: MessagePack knows several ways to write a number.
    let (mut a, mut b) = (with(vec![1], String::new()), with(vec![1], String::new()));
    let (entity, id) = (Entity::from_bits(1), Bag::ID);
    let mut bytes = b.get_raw(entity, id).unwrap().to_vec();
    let place = bytes.iter().position(|byte| *byte == 0x91).unwrap();
    bytes.splice(place + 1..place + 2, [0xcc, 1]);
    b.set_raw(entity, id, &bytes).unwrap();
    assert_ne!(a.hash(), b.hash());
    let text = compare(&a, &b, 9).to_string();
    assert!(text.ends_with(&format!("model.Bag: ({} bytes) → ({} bytes)", bytes.len() - 1, bytes.len())), "{text}");
}

#[test]
fn worlds_of_two_builds_are_compared_field_by_field() {
    let mut a = World::default();
    let entity = a.spawn(Mass { kilograms: 2.0 });
    let other = a.spawn(Mass { kilograms: 3.0 });
    a.register::<Marked>().unwrap();
    let mut newer: Schema = Mass::schema();
    newer.version += 1;
    newer.size = 12;
    newer.align = 4;
    let grams = engine_component::schema::Field {
        name: "grams".into(),
        ty: FieldType::F32,
        offset: 8,
        ..newer.fields[0].clone()
    };
    newer.fields.push(grams);
    let mut b = World::default();
    let id = b.register_schema(newer).unwrap();
    for (kilograms, grams) in [(2.0_f64, 0.5_f32), (4.0, 0.5)] {
        b.spawn_raw(&[(id, &[&kilograms.to_le_bytes()[..], &grams.to_le_bytes()].concat())]).unwrap();
    }
    let comparison = compare(&a, &b, 9);
    assert_eq!(comparison.counts.differ, 2);
    let paths = |at: usize| comparison.differences[at].components[0].fields.iter().map(|field| field.path.clone());
    assert_eq!((comparison.differences[0].entity, paths(0).collect::<Vec<_>>()), (entity, vec!["grams".into()]));
    assert_eq!(
        (comparison.differences[1].entity, paths(1).collect::<Vec<_>>()),
        (other, vec!["kilograms".into(), "grams".into()])
    );
    let [marked, mass] = &comparison.schemas[..] else { panic!("{:?}", comparison.schemas) };
    assert_eq!((&*marked.component, marked.whose), ("model.Marked", Whose::A));
    assert!(mass.to_string().contains("field `grams`: not there, offered f32 at byte 8"), "{mass}");

    // The same name may even be of another storage.
    let mut c = World::default();
    let tag = Schema { kind: StorageKind::Tag, size: 0, align: 1, fields: Vec::new(), ..Mass::schema() };
    let id = c.register_schema(tag).unwrap();
    c.spawn_raw(&[(id, &[])]).unwrap();
    c.spawn(());
    assert_eq!(found(&compare(&a, &c, 9)), [(entity, Whose::Both), (other, Whose::Both)]);
}
