use engine_component::Component;

#[derive(Component)]
#[component(name = "test.Choice")]
enum Choice {
    This,
    That,
}

fn main() {}
