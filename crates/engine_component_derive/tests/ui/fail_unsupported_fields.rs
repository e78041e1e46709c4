use engine_component::Component;

#[derive(Clone, Copy, Component)]
#[component(name = "test.Flag")]
#[repr(C)]
struct Flag {
    on: bool,
}

#[derive(Clone, Copy, Component)]
#[component(name = "test.Sized")]
#[repr(C)]
struct Sized {
    length: usize,
}

fn main() {}
