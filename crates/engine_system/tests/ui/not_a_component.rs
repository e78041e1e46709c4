use engine_component::query::Query;
use engine_system::SystemSet;

struct Position {
    x: f32,
}

fn look(bodies: Query<&Position>) {
    let _ = bodies;
}

fn main() {
    let _ = SystemSet::default().add("look", look);
}
