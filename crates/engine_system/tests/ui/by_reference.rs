use engine_component::{Component, query::Query};
use engine_system::SystemSet;

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "ui.Position")]
struct Position {
    x: f32,
}

fn look(_bodies: &Query<&Position>) {}

fn main() {
    let _ = SystemSet::default().add("look", look);
}
