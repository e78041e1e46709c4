//! Recorded commands of a job: read, checked, applied.

use engine::prelude::Vec2;
use engine_component::commands::{self, CommandBuffer};
use engine_component::{Data, Entity, World, WorldSettings};

use crate::app::{Drawn, Link, Place, Story};
use crate::{Seeds, bits};

fn world() -> World {
    let mut world = World::new(WorldSettings { rows_per_shard: 64 }).expect("the settings are allowed");
    for schema in bits::schemas() {
        world.register_schema(schema.clone()).expect("the schemas are sound");
    }
    for number in 0..8 {
        world.spawn((place(number as f32), Drawn));
    }
    world
}

fn place(x: f32) -> Place {
    Place { at: Vec2::new(x, 0.0) }
}

pub(super) fn run(input: &[u8]) {
    let mut world = world();
    let decodes = commands::decode(input).all(|command| command.is_ok());
    let before = bits::digest(&world);
    let Ok(spawns) = commands::check(input, world.registry()) else {
        assert_eq!(before, bits::digest(&world), "checking changes nothing");
        return;
    };
    assert!(decodes, "what is checked can be read");
    let applied = world.apply(input).expect("what was checked can be applied");
    assert_eq!(applied.spawned.len(), spawns as usize);
    bits::check(&world);
    let _ = world.hash();
}

pub(super) fn seeds() -> Seeds {
    let mut all = CommandBuffer::default();
    let link = Link { to: Entity::from_bits(2), weight: 1, spare: [0; 2] };
    let fresh = all.spawn((place(1.0), link));
    all.insert(fresh, (Story { friend: Some(fresh), hits: vec![1, 2], text: "once".into() },));
    all.insert(Entity::from_bits(3), (Drawn,));
    all.remove::<(Drawn,)>(Entity::from_bits(4));
    all.despawn(Entity::from_bits(5));
    all.despawn(fresh);
    let mut raw = CommandBuffer::default();
    raw.insert_raw(Entity::from_bits(1), &[(Place::ID, &[0; 8]), (Story::ID, &[0x80])]);
    raw.remove_raw(Entity::from_bits(1), &[Place::ID, Drawn::ID]);
    vec![("all", all.into_bytes()), ("raw", raw.into_bytes()), ("none", Vec::new())]
}
