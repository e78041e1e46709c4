//! What somebody has to be sent who holds an older copy of a column.

use engine_component::query::QueryState;
use engine_component::{Component, Data, Entity, World};
use proptest::prelude::*;

#[derive(Component, Clone, Copy, PartialEq, Debug)]
#[repr(C)]
#[component(name = "journal.Value")]
struct Value {
    x: u32,
}

#[derive(Component, Clone, Copy, PartialEq, Debug)]
#[repr(C)]
#[component(name = "journal.Other")]
struct Other {
    x: u32,
}

/// A copy of the values and entities of the one table, which is brought up to date by rows that changed.
struct Copied {
    version: u64,
    values: Vec<Value>,
    entities: Vec<Entity>,
}

impl Copied {
    fn of(world: &World) -> Self {
        let table = &world.tables()[0];
        Self {
            version: world.version(),
            values: table.column(0).as_slice().to_vec(),
            entities: table.entities().to_vec(),
        }
    }

    /// Takes over what changed, and nothing else; how many rows that were.
    fn catch_up(&mut self, world: &World) -> usize {
        let table = &world.tables()[0];
        let rows = table.len();
        let values = table.column(0).changed_since(self.version, 0..rows);
        let entities = table.entities_changed_since(self.version, 0..rows);
        self.values.resize(rows, Value { x: u32::MAX });
        self.entities.resize(rows, Entity::NONE);
        values.iter_ones().for_each(|row| self.values[row] = table.column(0).as_slice()[row]);
        entities.iter_ones().for_each(|row| self.entities[row] = table.entities()[row]);
        assert_eq!(self.values, table.column(0).as_slice::<Value>());
        assert_eq!(self.entities, table.entities());
        self.version = world.version();
        values.count()
    }
}

fn world(entities: u32) -> (World, Vec<Entity>) {
    let mut world = World::default();
    let spawned = world.spawn_batch((0..entities).map(|x| Value { x }));
    world.keep_journal(Value::ID).unwrap();
    world.advance_version();
    (world, spawned)
}

#[test]
fn a_row_that_was_set_is_the_only_one() {
    let (mut world, entities) = world(5000);
    let mut copy = Copied::of(&world);
    world.advance_version();
    world.set(entities[4000], &Value { x: 7 }).unwrap();
    assert_eq!(copy.catch_up(&world), 1);
    assert_eq!(copy.catch_up(&world), 0);
}

#[test]
fn access_by_entity_is_noted_by_row() {
    let (mut world, entities) = world(3000);
    let mut copy = Copied::of(&world);
    world.advance_version();
    let mut query = QueryState::<&mut Value>::new().unwrap();
    let mut prepared = query.by_entity_mut(&mut world);
    prepared.get_mut(entities[17]).unwrap().x = 3;
    assert_eq!(copy.catch_up(&world), 1);
}

#[test]
fn a_removed_row_is_shipped_as_the_one_that_took_its_place() {
    let (mut world, entities) = world(3000);
    let mut copy = Copied::of(&world);
    world.advance_version();
    world.despawn(entities[5]).unwrap();
    assert_eq!(copy.catch_up(&world), 1);
    world.advance_version();
    world.spawn(Value { x: 1 });
    assert_eq!(copy.catch_up(&world), 1);
}

#[test]
fn tables_that_come_later_have_a_journal_too() {
    let mut world = World::default();
    world.register::<Value>().unwrap();
    world.keep_journal(Value::ID).unwrap();
    let entities = world.spawn_batch((0..2000).map(|x| Value { x }));
    let mut copy = Copied::of(&world);
    world.advance_version();
    world.set(entities[0], &Value { x: 9 }).unwrap();
    assert_eq!(copy.catch_up(&world), 1);
}

#[test]
fn without_a_journal_whole_blocks_are_told() {
    let mut world = World::default();
    let entities = world.spawn_batch((0..3000).map(|x| Other { x }));
    let version = world.advance_version();
    world.advance_version();
    world.set(entities[1500], &Other { x: 9 }).unwrap();
    let column = world.tables()[0].column(0);
    assert_eq!(
        column.changed_since(version, 1024..3000).iter_ones().collect::<Vec<_>>(),
        (0..1024).collect::<Vec<_>>()
    );
    assert!(!column.any_changed_since(version, &(0..1024)) && column.any_changed_since(version, &(0..1025)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 64 }, ..ProptestConfig::default() })]

    #[test]
    fn two_copies_follow_whatever_happens(steps in proptest::collection::vec((0..7_u8, any::<u32>()), 1..60)) {
        let (mut world, mut alive) = world(2100);
        let (mut often, mut seldom) = (Copied::of(&world), Copied::of(&world));
        for (at, (what, number)) in steps.into_iter().enumerate() {
            world.advance_version();
            let any = number as usize % alive.len().max(1);
            match what {
                0 if !alive.is_empty() => world.despawn(alive.swap_remove(any)).unwrap(),
                1 => alive.extend(world.spawn_batch((0..number % 300).map(|x| Value { x }))),
                2 if !alive.is_empty() => world.set(alive[any], &Value { x: number }).unwrap(),
                // To another table and back: the row is another one then.
                3 if !alive.is_empty() => {
                    world.insert(alive[any], Other { x: 1 }).unwrap();
                    world.remove::<Other>(alive[any]).unwrap();
                }
                5 => {
                    let many: Vec<Entity> = alive.iter().copied().skip(any).step_by(3).take(50).collect();
                    world.insert_batch(many.iter().map(|entity| (*entity, Other { x: 2 }))).unwrap();
                    world.remove_batch::<Other>(many).unwrap();
                }
                4 => {
                    let mut all = QueryState::<&mut Value>::new().unwrap();
                    all.for_each(&mut world, |value| value.x = value.x.wrapping_add(1));
                }
                _ => {}
            }
            often.catch_up(&world);
            if at % 7 == 6 {
                seldom.catch_up(&world);
            }
        }
        seldom.catch_up(&world);
    }
}
