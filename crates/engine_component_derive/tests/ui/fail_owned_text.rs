use engine_component::Component;

#[derive(Clone, Component)]
#[component(name = "test.Named")]
#[repr(C)]
struct Named {
    name: String,
}

fn main() {}
