use engine_system::{SystemSet, Time};

fn main() {
    let mut ticks = 0;
    let _ = SystemSet::default().add("count", move |_time: Time| ticks += 1);
}
