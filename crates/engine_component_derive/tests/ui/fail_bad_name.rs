use engine_component::Component;

#[derive(Component)]
#[component(name = "test.>")]
struct Everything;

#[derive(Component)]
#[component(name = "")]
struct Nothing;

#[derive(Component)]
#[component(name = "two words")]
struct TwoWords;

fn main() {}
