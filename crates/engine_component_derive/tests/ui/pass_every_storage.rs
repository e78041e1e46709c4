#![forbid(unsafe_code)]

use engine_component::{Component, Entity, Event, Plain};

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Inner {
    parts: [f32; 3],
    flags: u32,
}

#[derive(Clone, Copy, Component)]
#[component(name = "test.Outer", version = 2, finite)]
#[repr(C, align(16))]
struct Outer {
    of: Entity,
    inner: Inner,
    #[component(default = 3, was = "count")]
    number: u64,
}

#[derive(Clone, Copy, Component)]
#[component(name = "test.Wrapper")]
#[repr(transparent)]
struct Wrapper(Inner);

#[derive(Component)]
#[component(name = "test.Marked")]
struct Marked;

#[derive(serde::Serialize, serde::Deserialize, Event)]
#[event(name = "test.Said", document)]
struct Said {
    text: String,
    #[event(default = Vec::new())]
    to: Vec<Entity>,
}

fn main() {}
