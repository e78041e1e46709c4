use engine_component::{Component, Event};

#[derive(Component, Event)]
#[component(name = "test.Both")]
#[event(name = "test.Both")]
struct Both;

fn main() {}
