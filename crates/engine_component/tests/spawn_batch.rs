//! Many entities at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine_component::{Component, World};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "batch.Place")]
#[repr(C)]
struct Place {
    x: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Component)]
#[component(name = "batch.Title", document)]
struct Title {
    #[serde(serialize_with = "unless_empty")]
    text: String,
}

fn unless_empty<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    assert!(!text.is_empty(), "a title that can't be stored");
    serializer.serialize_str(text)
}

fn row(number: u32) -> (Place, Title) {
    (Place { x: number as f32 }, Title { text: format!("number {number}") })
}

#[test]
fn a_batch_is_the_same_as_one_after_the_other() {
    let (mut batch, mut each) = (World::default(), World::default());
    batch.spawn(row(0));
    each.spawn(row(0));
    let entities = batch.spawn_batch((1..5000).map(row));
    let expected: Vec<_> = (1..5000).map(|number| each.spawn(row(number))).collect();
    assert_eq!(entities, expected);
    batch.check_invariants();
    assert_eq!(batch.hash(), each.hash());
}

#[test]
fn what_was_spawned_before_a_panic_stays_and_half_a_row_does_not() {
    let mut world = World::default();
    let rows = (0..10).map(|number| {
        let (place, title) = row(number);
        // The place of the eighth row is stored when its title is found to be none.
        (place, if number == 7 { Title { text: String::new() } } else { title })
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| world.spawn_batch(rows)));
    assert!(panicked.is_err());
    assert_eq!(world.len(), 7);
    world.check_invariants();
    let next = world.spawn(row(100));
    assert_eq!(world.get::<Place>(next).unwrap().x, 100.0);
    world.check_invariants();
}
