//! Components that tests of schemas share: one of each storage, and the difficult ones.

#![allow(dead_code, unreachable_pub, reason = "each test uses some of them")]

use engine_component::{Component, Entity, Event, Plain};
use engine_math::{DVec2, Quat, Transform, Vec3};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "physics.Velocity")]
#[repr(C)]
pub struct Velocity {
    pub x: f32,
    pub y: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
pub struct Wheel {
    pub radius: f32,
    pub bolts: [u8; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "garage.Car", version = 3, finite)]
#[repr(C)]
pub struct Car {
    pub driver: Entity,
    pub place: DVec2,
    #[component(default = [Wheel { radius: 0.25, bolts: [5; 4] }; 2])]
    pub wheels: [Wheel; 2],
    #[component(default = -1, was = "heat")]
    pub temperature: i16,
    pub seats: [u8; 6],
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "test.Scalars")]
#[repr(C)]
pub struct Scalars {
    pub a: u64,
    pub b: i64,
    pub c: f64,
    pub d: u32,
    pub e: i32,
    pub f: f32,
    pub g: u16,
    pub h: i16,
    pub i: u8,
    pub j: i8,
    pub r#type: [u8; 6],
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "scene.Pose")]
#[repr(C)]
pub struct Pose {
    pub turn: Quat,
    #[component(default = Transform::IDENTITY)]
    pub local: Transform,
    pub up: Vec3,
    pub weight: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "arena.Health")]
#[repr(transparent)]
pub struct Health(pub f32);

#[derive(Clone, Copy, Debug, PartialEq, Event)]
#[event(name = "arena.Damage")]
#[repr(C)]
pub struct Damage {
    pub target: Entity,
    #[event(default = 1.5)]
    pub amount: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "arena.Alive")]
pub struct Alive;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Component)]
#[component(name = "arena.Profile", document)]
pub struct Profile {
    pub name: std::string::String,
    #[component(default = vec![7, 8])]
    pub hits: Vec<u32>,
    pub rival: Option<Entity>,
    #[serde(default)]
    pub friends: Vec<Entity>,
    #[serde(rename = "colour")]
    #[component(was = "color")]
    pub tint: (u8, u8, u8),
    #[serde(skip)]
    pub cached: u32,
}
