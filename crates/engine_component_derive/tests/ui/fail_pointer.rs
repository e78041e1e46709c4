use engine_component::Component;

#[derive(Clone, Copy, Component)]
#[component(name = "test.Pointing")]
#[repr(C)]
struct Pointing {
    text: &'static str,
}

fn main() {}
