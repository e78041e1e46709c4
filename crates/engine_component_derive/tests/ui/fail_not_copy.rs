use engine_component::Component;

#[derive(Component)]
#[component(name = "test.Moved")]
#[repr(C)]
struct Moved {
    x: f32,
}

fn main() {}
