use engine_component::{Component, Event};

struct Bare;

#[derive(Event)]
#[event(name = "test.Happened")]
struct Happened;

fn takes<T: Component>() {}

fn main() {
    takes::<Bare>();
    takes::<Happened>();
}
