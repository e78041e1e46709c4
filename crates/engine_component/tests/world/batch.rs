//! Changes of many entities at once come to the same as one after the other: rows, hashes, versions, trackers.

use engine_component::{Component, Data, Entity, On, World};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "batch.Small")]
struct Small {
    number: u32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "batch.Odd")]
struct Odd {
    bytes: [u8; 5],
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[component(name = "batch.Marked")]
struct Marked;

#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[component(name = "batch.Name", document)]
struct Name {
    text: String,
}

#[derive(Clone, Debug)]
enum Step {
    Name(Vec<usize>),
    Place(Vec<usize>),
    Unplace(Vec<usize>),
    Unmark(Vec<usize>),
    Despawn(usize),
    Hash,
}

const ENTITIES: usize = 40;

fn step() -> impl Strategy<Value = Step> {
    // Some twice, some that are dead by then.
    let some = || proptest::collection::vec(0..ENTITIES, 0..2 * ENTITIES);
    prop_oneof![
        some().prop_map(Step::Name),
        some().prop_map(Step::Place),
        some().prop_map(Step::Unplace),
        some().prop_map(Step::Unmark),
        (0..ENTITIES).prop_map(Step::Despawn),
        Just(Step::Hash),
    ]
}

/// Two worlds that are alike: in one, steps are taken at once; in the other, entity by entity.
struct Pair {
    entities: Vec<Entity>,
    at_once: World,
    one_by_one: World,
}

fn world() -> (World, Vec<Entity>) {
    let mut world = World::default();
    world.register::<Name>().unwrap();
    let tracker = world.spawn_batch((0..ENTITIES as u32).map(|number| (Small { number }, Marked)));
    (world, tracker)
}

impl Pair {
    fn new(tracked: bool) -> Self {
        let ((mut at_once, entities), (mut one_by_one, _)) = (world(), world());
        for world in [&mut at_once, &mut one_by_one] {
            if tracked {
                let tracker = world.track(Small::ID).unwrap();
                world.clear_tracker(Small::ID, tracker);
                world.set(entities[3], &Small { number: 1000 }).unwrap();
            }
        }
        Self { entities, at_once, one_by_one }
    }

    fn take(&mut self, step: &Step) {
        let chosen = |places: &[usize]| places.iter().map(|place| self.entities[*place]).collect::<Vec<_>>();
        let name = |entity: Entity| Name { text: "n".repeat(entity.to_bits() as usize) };
        let odd = |entity: Entity| (Odd { bytes: [entity.to_bits() as u8; 5] }, Small { number: 7 });
        let world = &mut self.one_by_one;
        let (missed, expected) = match step {
            Step::Name(places) => {
                let all = chosen(places);
                let rows = all.iter().map(|entity| (*entity, name(*entity)));
                let missed = all.iter().filter(|entity| world.insert(**entity, name(**entity)).is_err()).count();
                (self.at_once.insert_batch(rows).unwrap(), missed)
            }
            Step::Place(places) => {
                let all = chosen(places);
                let rows = all.iter().map(|entity| (*entity, odd(*entity)));
                let missed = all.iter().filter(|entity| world.insert(**entity, odd(**entity)).is_err()).count();
                (self.at_once.insert_batch(rows).unwrap(), missed)
            }
            Step::Unplace(places) => {
                let all = chosen(places);
                let missed = all.iter().filter(|entity| world.remove::<(Odd, Name)>(**entity).is_err()).count();
                (self.at_once.remove_batch::<(Odd, Name)>(all).unwrap(), missed)
            }
            Step::Unmark(places) => {
                let all = chosen(places);
                let missed = all.iter().filter(|entity| world.remove::<Marked>(**entity).is_err()).count();
                (self.at_once.remove_batch::<Marked>(all).unwrap(), missed)
            }
            Step::Despawn(place) => {
                let outcome = |world: &mut World| usize::from(world.despawn(self.entities[*place]).is_err());
                (outcome(&mut self.at_once), outcome(world))
            }
            Step::Hash => {
                self.at_once.hash();
                world.hash();
                (0, 0)
            }
        };
        assert_eq!(missed, expected);
    }

    fn check(&mut self) {
        let (a, b) = (&self.at_once, &self.one_by_one);
        a.check_invariants();
        assert_eq!(a.len(), b.len());
        for (a, b) in a.tables().iter().zip(b.tables()) {
            assert_eq!((a.components(), a.entities()), (b.components(), b.entities()));
            assert_eq!(a.entity_block_versions(), b.entity_block_versions());
            for (a, b) in a.columns().iter().zip(b.columns()) {
                assert_eq!((a.bytes(), a.block_versions()), (b.bytes(), b.block_versions()));
                if a.is_tracked() {
                    assert_eq!(a.tracked(0), b.tracked(0));
                }
            }
        }
        assert_eq!(self.at_once.hash(), self.one_by_one.hash());
    }
}

proptest! {
    #[test]
    fn it_is_the_same_at_once(tracked: bool, steps in proptest::collection::vec(step(), 0..12)) {
        let mut pair = Pair::new(tracked);
        for step in &steps {
            pair.take(step);
            pair.check();
        }
    }
}

#[test]
fn more_rows_than_a_block_has() {
    let mut worlds = [World::default(), World::default()];
    let rows = || (0..3000_u32).map(|number| Small { number });
    let entities = worlds.each_mut().map(|world| world.spawn_batch(rows())).into_iter().next().unwrap();
    for every in [3, 2, 1] {
        let [at_once, one_by_one] = &mut worlds;
        at_once.hash();
        one_by_one.hash();
        let some = || entities.iter().copied().step_by(every);
        at_once.insert_batch(some().map(|entity| (entity, Marked))).unwrap();
        some().for_each(|entity| one_by_one.insert(entity, Marked).unwrap());
        let [versions, expected] = worlds.each_ref().map(|world| {
            world.check_invariants();
            let tables = world.tables().iter();
            tables
                .map(|table| (table.column(0).block_versions().to_vec(), table.entity_block_versions().to_vec()))
                .collect::<Vec<_>>()
        });
        assert_eq!(versions, expected);
    }
    let [at_once, one_by_one] = &mut worlds;
    assert_eq!(at_once.hash(), one_by_one.hash());
}

#[test]
fn hooks_see_each_entity() {
    let (mut world, entities) = world();
    world.observe::<Odd>(On::Add, |_, entity, commands| commands.remove::<Marked>(entity)).unwrap();
    let rows = entities.iter().map(|entity| (*entity, Odd { bytes: [1; 5] }));
    assert_eq!(world.insert_batch(rows).unwrap(), 0);
    world.check_invariants();
    assert!(entities.iter().all(|entity| world.has(*entity, Odd::ID) && !world.has(*entity, Marked::ID)));
}

#[test]
fn what_came_before_a_panic_is_done() {
    let (mut world, entities) = world();
    let rows = entities.iter().map(|entity| {
        assert!(entity.to_bits() != 20, "on purpose");
        (*entity, Odd { bytes: [1; 5] })
    });
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.insert_batch(rows)));
    assert!(panicked.is_err());
    world.check_invariants();
    assert_eq!(entities.iter().filter(|entity| world.has(**entity, Odd::ID)).count(), 19);
}
