use engine_component::Component;

#[derive(Component)]
#[component(name = "test.Mute", document)]
struct Mute {
    text: String,
}

fn main() {}
