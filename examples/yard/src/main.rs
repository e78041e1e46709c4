//! The yard, runnable in every topology; see `arena` for what the arguments mean.
//!
//! ```sh
//! nats-server --jetstream &
//! yard coordinator --durability server &
//! yard system obey drive &
//! engine command yard.robot.go robot=3 to.x=4 to.y=2
//! ```

/// Messages are received on one thread and dropped on another, which mimalloc does well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> engine::Result {
    yard::app().main()
}
