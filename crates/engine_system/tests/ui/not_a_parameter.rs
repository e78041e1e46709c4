use engine_system::IntoSystem;

fn wait(seconds: f32) {
    let _ = seconds;
}

fn main() {
    let _ = wait.into_system("wait");
}
