//! Components of each storage, and a world of them.

use engine_component::{Component, Entity, World};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "query.Position")]
#[repr(C)]
pub(crate) struct Position {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "query.Velocity")]
#[repr(C)]
pub(crate) struct Velocity {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "query.Mass")]
#[repr(C)]
pub(crate) struct Mass {
    pub(crate) kilograms: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "query.Frozen")]
pub(crate) struct Frozen;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Component)]
#[component(name = "query.Name", document)]
pub(crate) struct Name {
    pub(crate) text: String,
}

pub(crate) fn position(x: f32) -> Position {
    Position { x, y: 0.0 }
}

pub(crate) fn velocity(x: f32) -> Velocity {
    Velocity { x, y: 0.0 }
}

pub(crate) fn name(text: &str) -> Name {
    Name { text: text.to_owned() }
}

/// Four entities of four archetypes: all have a position (1, 2, 3, 4); the second and the fourth a velocity,
/// the third and the fourth are frozen, the fourth has a name.
pub(crate) fn four() -> (World, [Entity; 4]) {
    let mut world = World::default();
    let entities = [
        world.spawn((position(1.0),)),
        world.spawn((position(2.0), velocity(10.0))),
        world.spawn((position(3.0), Frozen)),
        world.spawn((position(4.0), velocity(20.0), Frozen, name("four"))),
    ];
    (world, entities)
}
