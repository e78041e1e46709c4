//! Hooks run in a defined order, each exactly once, and what they decide stands.

use std::sync::{Arc, Mutex};

use engine_component::commands::CommandBuffer;
use engine_component::{Component, Data, Entity, On, World};
use proptest::prelude::*;

use crate::model::{Call, Model, empty, op, step};
use crate::structure::assert_agree;
use crate::values::{Label, Marked, Mass, Place, Target};

type Log = Arc<Mutex<Vec<Call>>>;

/// Notes every call for a component. The entity has it whenever a hook is called.
fn note<T: Component>(world: &mut World, log: &Log) {
    for on in [On::Add, On::Change, On::Remove] {
        let log = log.clone();
        let note = move |world: &World, entity: Entity, _: &mut CommandBuffer| {
            assert!(world.get::<T>(entity).is_some(), "{on:?} of {} sees it", T::NAME);
            log.lock().unwrap().push((on, T::ID, entity));
        };
        world.observe::<T>(on, note).unwrap();
    }
}

fn noted() -> (World, Log) {
    let (mut world, log) = (empty(), Log::default());
    note::<Place>(&mut world, &log);
    note::<Mass>(&mut world, &log);
    note::<Target>(&mut world, &log);
    note::<Label>(&mut world, &log);
    note::<Marked>(&mut world, &log);
    (world, log)
}

proptest! {
    #[test]
    fn calls_are_those_of_the_model(ops in proptest::collection::vec(op(), 1..60)) {
        let ((mut world, log), mut model) = (noted(), Model::default());
        for op in &ops {
            step(&mut world, &mut model, op);
            assert_eq!(std::mem::take(&mut *log.lock().unwrap()), std::mem::take(&mut model.calls), "{op:?}");
        }
        assert_agree(&world, &model);
    }
}

fn place(x: f32) -> Place {
    Place { x, y: 0.0 }
}

#[test]
fn what_loses_a_component_loses_it_whatever_hooks_give_it() {
    let mut world = empty();
    world.observe::<Place>(On::Remove, |_, entity, commands| commands.insert(entity, Marked)).unwrap();
    let entity = world.spawn((place(1.0), Mass { kilograms: 1.0 }));
    world.remove::<Place>(entity).unwrap();
    assert!(!world.has(entity, Place::ID) && world.has(entity, Marked::ID) && world.has(entity, Mass::ID));
    world.check_invariants();
}

#[test]
fn what_loses_a_component_loses_it_though_its_row_moves_meanwhile() {
    let mut world = empty();
    let first = world.spawn((place(1.0), Marked));
    let last = world.spawn((place(2.0), Marked));
    // The last row fills the gap of the first.
    world.observe::<Marked>(On::Remove, move |_, _, commands| commands.despawn(first)).unwrap();
    world.remove::<Marked>(last).unwrap();
    assert!(!world.contains(first) && !world.has(last, Marked::ID));
    assert_eq!(*world.get::<Place>(last).unwrap(), place(2.0));
    world.check_invariants();
}

#[test]
fn a_hook_may_despawn_what_is_being_removed_or_despawned() {
    let mut world = empty();
    world.observe::<Place>(On::Remove, |_, entity, commands| commands.despawn(entity)).unwrap();
    let entity = world.spawn((place(1.0), Marked));
    world.remove::<Place>(entity).unwrap();
    assert!(!world.contains(entity));
    let entity = world.spawn((place(1.0), Marked));
    world.despawn(entity).unwrap();
    assert!(!world.contains(entity));
    world.check_invariants();
}

#[test]
fn what_a_hook_takes_away_is_not_told_again() {
    let (mut world, log) = noted();
    let (first, second) = (Place::ID.min(Mass::ID), Place::ID.max(Mass::ID));
    let take = move |_: &World, entity: Entity, commands: &mut CommandBuffer| commands.remove_raw(entity, &[second]);
    if first == Place::ID {
        world.observe::<Place>(On::Remove, take).unwrap();
    } else {
        world.observe::<Mass>(On::Remove, take).unwrap();
    }
    let entity = world.spawn((place(1.0), Mass { kilograms: 1.0 }));
    log.lock().unwrap().clear();
    world.despawn(entity).unwrap();
    assert_eq!(*log.lock().unwrap(), [(On::Remove, first, entity), (On::Remove, second, entity)]);

    log.lock().unwrap().clear();
    world.observe::<Marked>(On::Add, |_, entity, commands| commands.despawn(entity)).unwrap();
    let entity = world.spawn((Marked, Target { entity: Entity::NONE, shots: 0 }));
    let calls = log.lock().unwrap().clone();
    assert!(!calls.contains(&(On::Add, Target::ID, entity)), "it was gone before it was told");
    assert_eq!(calls.iter().filter(|call| call.0 == On::Remove).count(), 2);
    assert!(!world.contains(entity));
}

#[test]
fn what_a_despawned_entity_is_given_on_its_way_is_told_too() {
    let (mut world, log) = noted();
    world.observe::<Place>(On::Remove, |_, entity, commands| commands.insert(entity, Marked)).unwrap();
    let entity = world.spawn(place(1.0));
    log.lock().unwrap().clear();
    world.despawn(entity).unwrap();
    let calls = [(On::Remove, Place::ID, entity), (On::Add, Marked::ID, entity), (On::Remove, Marked::ID, entity)];
    assert_eq!(*log.lock().unwrap(), calls);
    assert!(world.is_empty());
}

#[test]
fn hooks_of_one_component_run_as_they_were_added_and_then_what_they_recorded() {
    let mut world = empty();
    for number in 0..3_u8 {
        let hook = move |world: &World, entity: Entity, commands: &mut CommandBuffer| {
            assert!(!world.has(entity, Mass::ID), "nothing is applied before all of them have run");
            commands.insert(entity, Mass { kilograms: number.into() });
        };
        world.observe::<Place>(On::Add, hook).unwrap();
    }
    let entity = world.spawn(place(1.0));
    assert_eq!(world.get::<Mass>(entity).unwrap().kilograms, 2.0);
}

#[test]
fn change_hooks_that_change_are_called_once_a_run() {
    let (mut world, log) = noted();
    world.observe::<Place>(On::Change, |_, entity, commands| commands.insert(entity, place(9.0))).unwrap();
    let entity = world.spawn(place(1.0));
    for _ in 0..2 {
        log.lock().unwrap().clear();
        world.run_change_hooks();
        assert_eq!(*log.lock().unwrap(), [(On::Change, Place::ID, entity)]);
    }
}

#[test]
fn hooks_that_set_off_each_other_come_to_an_end() {
    let mut world = empty();
    world.observe::<Marked>(On::Add, |_, _, commands| _ = commands.spawn(Marked)).unwrap();
    world.spawn(Marked);
    assert_eq!(world.len(), 17, "sixteen deep");
    world.check_invariants();
}
