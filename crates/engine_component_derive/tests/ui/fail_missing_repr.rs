use engine_component::Component;

#[derive(Clone, Copy, Component)]
#[component(name = "test.Loose")]
struct Loose {
    x: f32,
}

#[derive(Clone, Copy, Component)]
#[component(name = "test.Packed")]
#[repr(C, packed)]
struct Packed {
    x: f32,
}

fn main() {}
