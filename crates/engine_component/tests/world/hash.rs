//! The world hash: of content, not of the way to it that the hash itself took.

use engine_component::{Entity, World, WorldSettings};
use proptest::prelude::*;

use crate::model::{MANY, Model, Small, Text, Wide, act, cases, ops};

proptest! {
    #![proptest_config(cases(48))]

    /// Hashing after each step, only what changed, gives what hashing once at the end gives.
    #[test]
    fn dirty_blocks_are_enough(ops in ops(MANY)) {
        let (mut often, mut model) = (World::default(), Model::default());
        let mut once = World::default();
        for op in &ops {
            act(&mut often, &mut model.clone(), op);
            act(&mut once, &mut model, op);
            often.hash();
            often.advance_version();
        }
        prop_assert_eq!(often.hash(), once.hash());
    }
}

fn small() -> World {
    let mut world = World::new(WorldSettings { rows_per_shard: 64 }).unwrap();
    for number in 0..70_u32 {
        let wide = Wide { a: number as f32 / 4.0, b: number, c: 1 << (number % 60) };
        let entity = world.spawn((wide,));
        if number % 3 == 0 {
            world.insert(entity, (Text { lines: vec![format!("line {number}"), String::new()] },)).unwrap();
        }
        if number % 7 == 0 {
            world.despawn(entity).unwrap();
        }
    }
    world
}

/// Pinned: a change of it is a change of the format of hashes, and of every golden file that holds one.
#[test]
fn a_small_world_has_the_hash_that_it_always_had() {
    assert_eq!(small().hash().to_string(), include_str!("../golden/world_hash.txt").trim());
    assert_eq!(World::default().hash(), World::default().hash());
}

#[test]
fn every_difference_shows() {
    let hash = small().hash();
    let changes: [fn(&mut World); 5] = [
        |world| world.set(Entity::from_bits(2), &Wide { a: 0.25, b: 1, c: 3 }).unwrap(),
        |world| world.set(Entity::from_bits(4), &Text { lines: vec!["line 3".into()] }).unwrap(),
        |world| {
            world.spawn((Small { value: 1 },));
        },
        |world| world.despawn(Entity::from_bits(2)).unwrap(),
        |world| world.remove::<(Text,)>(Entity::from_bits(4)).unwrap(),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut world = small();
        world.hash();
        world.advance_version();
        change(&mut world);
        assert_ne!(world.hash(), hash, "change {number}");
    }
}

/// All that is no number is one, whatever its bits.
#[test]
fn nan_is_canonical() {
    use engine_component::Component;

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "model.Loose")]
    struct Loose {
        x: f32,
    }
    let of = |bits: u32| {
        let mut world = World::default();
        world.spawn((Loose { x: f32::from_bits(bits) },));
        world.hash()
    };
    assert_eq!(of(0x7fc0_0000), of(0xffc0_1234));
    assert_eq!(of(0x7fc0_0000), of(0x7f80_0001));
    assert_ne!(of(0x7fc0_0000), of(0x7f80_0000), "infinity is a number of its own");
}
