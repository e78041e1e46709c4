use engine_component::Component;
use engine_system::{IntoSystem, View};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "ui.Position")]
struct Position {
    x: f32,
}

fn push(_others: View<&mut Position>) {}

fn main() {
    let _ = push.into_system("push");
}
