use engine_component::Component;

#[derive(Clone, Copy, Component)]
#[component(name = "test.Any")]
#[repr(C)]
struct Any<T> {
    value: T,
}

fn main() {}
