//! A world whose columns are in an arena is the same world.

use std::sync::Arc;

use engine_component::{Component, Data, World};
use engine_net::shm::Arena;

use crate::columns::Place;

#[derive(Component, Clone, Copy)]
#[component(name = "test.Marked")]
struct Marked;

/// Grows, moves rows to another table and shrinks again.
fn live(world: &mut World) {
    let mut entities = Vec::new();
    for batch in 0..30_u64 {
        entities.extend(world.spawn_batch((0..2_000).map(|x| Place { x: x * batch })));
        for entity in entities.iter().skip(batch as usize).step_by(50) {
            if world.contains(*entity) {
                world.insert(*entity, Marked).unwrap();
            }
        }
        for entity in entities.iter().skip(batch as usize).step_by(70) {
            if world.contains(*entity) {
                world.despawn(*entity).unwrap();
            }
        }
    }
    world.check_invariants();
}

#[test]
fn its_hash_is_the_same_in_an_arena_that_is_large_small_or_left() {
    let mut plain = World::default();
    live(&mut plain);
    for bytes in [64 << 20, 256 << 10, 16 << 10] {
        let arena = Arc::new(Arena::new(bytes).unwrap());
        let mut world = World::default();
        world.set_memory(Some(arena.clone()));
        live(&mut world);
        assert_eq!(world.hash(), plain.hash());
        let shared = world.tables().iter().filter(|table| table.entities_shared_offset().is_some()).count();
        // What doesn't fit is on the heap.
        assert!((shared > 0 || bytes < 1 << 20) && arena.used() <= bytes, "{arena:?}");
        assert!(arena.used() == 0 || bytes > 16 << 10, "no column is so small: {arena:?}");
        world.set_memory(None);
        assert_eq!((world.hash(), arena.used()), (plain.hash(), 0));
        live(&mut world);
    }
}

#[test]
fn columns_grow_where_they_are_while_they_can() {
    let arena = Arc::new(Arena::new(64 << 20).unwrap());
    let mut world = World::default();
    world.set_memory(Some(arena.clone()));
    let mut places = Vec::new();
    for _ in 0..400 {
        world.spawn_batch((0..1_000).map(|x| Place { x }));
        let table = &world.tables()[0];
        let column = table.column(table.column_index(Place::ID).unwrap());
        places.push(column.shared_offset());
    }
    places.dedup();
    assert!(places.len() < 12, "3.2 MB in blocks that double: {places:?}");
    assert!(arena.used() <= 2 * (4 << 20), "what was left is used again: {arena:?}");
}
