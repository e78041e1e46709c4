//! What `Changed` sees is what the model says: rows that were added or written since the last look, wherever
//! they have moved in between.

#![expect(unsafe_code, reason = "queries over parts are made by hand, as jobs make them")]

use std::collections::BTreeSet;

use engine_component::query::{Changed, Part, Query};
use engine_component::{Component, ComponentId, Data, Entity, World};
use proptest::prelude::*;

use crate::model::{Model, empty, op, step};
use crate::values::{IDS, Label, Marked, Mass, Place, Target};

fn tracked(world: &World, component: ComponentId, tracker: usize) -> BTreeSet<(ComponentId, Entity)> {
    let mut seen = BTreeSet::new();
    for table in world.tables() {
        let Some(index) = table.column_index(component) else { continue };
        let rows = table.column(index).tracked(tracker);
        assert_eq!(rows.len(), table.len());
        seen.extend(rows.iter_ones().map(|row| (component, table.entities()[row])));
    }
    seen
}

/// What a system with this filter would get.
fn queried<T: Component>(world: &World, tracker: usize) -> BTreeSet<(ComponentId, Entity)> {
    let tables = world.tables().iter().filter(|table| table.components().contains(&T::ID));
    let parts: Vec<Part<'_>> = tables
        .map(|table| {
            let column = table.column(table.column_index(T::ID).unwrap());
            let changed = vec![(T::ID, column.tracked(tracker).slice(0..table.len()))];
            let (entities, archetype) = (table.entities(), table.components());
            Part { entities, archetype, columns: [].into_iter().collect(), changed }
        })
        .collect();
    // SAFETY: the query touches no column.
    let query: Query<Entity, Changed<T>> = unsafe { Query::new(&parts) };
    query.iter().map(|entity| (T::ID, entity)).collect()
}

proptest! {
    #[test]
    fn changed_rows_are_those_of_the_model(ops in proptest::collection::vec(op(), 1..60)) {
        let (mut world, mut model) = (empty(), Model::default());
        for op in &ops {
            step(&mut world, &mut model, op);
            let seen: BTreeSet<_> = IDS.iter().flat_map(|component| tracked(&world, *component, 0)).collect();
            assert_eq!(seen, model.changed);
        }
        let queried: BTreeSet<_> = [
            queried::<Place>(&world, 0),
            queried::<Mass>(&world, 0),
            queried::<Target>(&world, 0),
            queried::<Label>(&world, 0),
            queried::<Marked>(&world, 0),
        ]
        .into_iter()
        .flatten()
        .collect();
        assert_eq!(queried, model.changed);
    }
}

#[test]
fn who_begins_to_look_sees_all_rows_and_others_are_not_disturbed() {
    let mut world = empty();
    let first = world.spawn((Place { x: 0.0, y: 0.0 }, Marked));
    world.clear_tracker(Place::ID, 0);
    let late = world.track(Place::ID).unwrap();
    assert_eq!(late, 1);
    let second = world.spawn(Place { x: 1.0, y: 0.0 });
    let on_place = |entities: &[Entity]| entities.iter().map(|entity| (Place::ID, *entity)).collect::<BTreeSet<_>>();
    assert_eq!(tracked(&world, Place::ID, 0), on_place(&[second]));
    assert_eq!(tracked(&world, Place::ID, late), on_place(&[first, second]));
    world.clear_tracker(Place::ID, late);
    world.remove::<Marked>(first).unwrap();
    assert_eq!(tracked(&world, Place::ID, 0), on_place(&[second]), "a row that only moved did not change");
    assert_eq!(tracked(&world, Place::ID, late), on_place(&[]));
}
