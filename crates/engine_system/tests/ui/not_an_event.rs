use engine_component::Component;
use engine_system::{EventReader, SystemSet};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "ui.Position")]
struct Position {
    x: f32,
}

fn listen(_positions: EventReader<Position>) {}

fn main() {
    let _ = SystemSet::default().add("listen", listen);
}
