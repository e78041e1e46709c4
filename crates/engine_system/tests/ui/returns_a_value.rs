use engine_system::{SystemSet, Time};

fn count(time: Time) -> u64 {
    time.tick
}

fn main() {
    let _ = SystemSet::default().add("count", count);
}
