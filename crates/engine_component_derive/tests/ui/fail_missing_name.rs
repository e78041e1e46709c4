use engine_component::{Component, Event};

#[derive(Component)]
struct Nameless;

#[derive(Event)]
#[event(document)]
struct Unheard {
    text: String,
}

fn main() {}
