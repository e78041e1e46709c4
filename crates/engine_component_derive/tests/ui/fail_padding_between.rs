use engine_component::Component;

#[derive(Clone, Copy, Component)]
#[component(name = "test.Padded")]
#[repr(C)]
struct Padded {
    small: u8,
    large: u32,
}

fn main() {}
