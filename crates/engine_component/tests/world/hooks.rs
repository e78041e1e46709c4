//! Hooks: each addition and removal once, in order; what they record is applied.

use std::sync::{Arc, Mutex};

use engine_component::hooks::On;
use engine_component::{Entity, World};
use proptest::prelude::*;

use crate::model::{KINDS, Kind, MANY, Marked, Model, Op, Small, Text, Wide, act, cases, ops};

type Log = Arc<Mutex<Vec<(Entity, Kind, bool)>>>;

fn observe(world: &mut World, log: &Log) {
    fn pair<T: engine_component::Component>(world: &mut World, log: &Log, kind: Kind) {
        for (on, added) in [(On::Add, true), (On::Remove, false)] {
            let log = log.clone();
            let note = move |world: &World, entity, _: &mut _| {
                // Added: it is there already. Removed: it is there still.
                assert!(world.get_raw(entity, T::ID).is_some());
                log.lock().unwrap().push((entity, kind, added));
            };
            world.observe::<T>(on, note).unwrap();
        }
    }
    pair::<Wide>(world, log, Kind::Wide);
    pair::<Small>(world, log, Kind::Small);
    pair::<Text>(world, log, Kind::Text);
    pair::<Marked>(world, log, Kind::Marked);
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn every_addition_and_removal_is_told_once(ops in ops(MANY)) {
        let (mut world, mut model, log) = (World::default(), Model::default(), Log::default());
        observe(&mut world, &log);
        for op in &ops {
            let before = model.clone();
            act(&mut world, &mut model, op);
            let has = |model: &Model, entity: &Entity, kind: &Kind| {
                model.entities.get(entity).is_some_and(|values| values.contains_key(kind))
            };
            let mut expected = Vec::new();
            for entity in &model.all {
                for kind in KINDS {
                    match (has(&before, entity, &kind), has(&model, entity, &kind)) {
                        (false, true) => expected.push((*entity, kind, true)),
                        (true, false) => expected.push((*entity, kind, false)),
                        _ => {}
                    }
                }
            }
            let mut told = std::mem::take(&mut *log.lock().unwrap());
            told.sort();
            expected.sort();
            prop_assert_eq!(told, expected, "after {:?}", op);
        }
    }
}

#[test]
fn changes_are_told_when_they_are_asked_for() {
    let (mut world, log) = (World::default(), Log::default());
    let note = log.clone();
    world
        .observe::<Small>(On::Change, move |_, entity, _| note.lock().unwrap().push((entity, Kind::Small, true)))
        .unwrap();
    let [one, two] = [1, 2].map(|value| world.spawn((Small { value },)));
    world.run_change_hooks();
    assert_eq!(std::mem::take(&mut *log.lock().unwrap()).len(), 2, "who is new is changed");
    world.run_change_hooks();
    assert_eq!(*log.lock().unwrap(), [], "nothing happened");
    world.set(two, &Small { value: 9 }).unwrap();
    world.run_change_hooks();
    assert_eq!(*log.lock().unwrap(), [(two, Kind::Small, true)]);
    assert!(world.contains(one));
}

/// A hook that sets itself off comes to an end.
#[test]
fn hooks_that_set_off_hooks_are_bounded() {
    let mut world = World::default();
    world
        .observe::<Small>(On::Add, |_, _, commands| {
            commands.spawn((Small { value: 0 },));
        })
        .unwrap();
    world.spawn((Small { value: 1 },));
    world.check_invariants();
    assert!((2..=64).contains(&world.len()), "{}", world.len());
}

#[test]
fn what_a_hook_records_is_applied() {
    let (mut world, mut model) = (World::default(), Model::default());
    world.register::<Marked>().unwrap();
    world.observe::<Wide>(On::Remove, |_, entity, commands| commands.insert(entity, (Marked,))).unwrap();
    let entity = world.spawn((Wide { a: 0.0, b: 0, c: 0 },));
    world.remove::<(Wide,)>(entity).unwrap();
    assert!(world.get::<Marked>(entity).is_some());
    act(&mut world, &mut model, &Op::Spawn(Vec::new()));
    world.check_invariants();
}
