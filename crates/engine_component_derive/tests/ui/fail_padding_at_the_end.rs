use engine_component::Component;

#[derive(Clone, Copy, Component)]
#[component(name = "test.Padded")]
#[repr(C)]
struct Padded {
    large: u32,
    small: u8,
}

fn main() {}
