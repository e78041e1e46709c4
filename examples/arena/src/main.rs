//! The arena, runnable in every topology:
//!
//! ```text
//! arena                       everything in this process, no broker
//! arena dev                   a private nats-server, a coordinator, a process per system; Ctrl-C ends all
//! arena coordinator           the world and its tick, over the nats-server at $NATS_URL
//! arena system steer strike   an instance of two systems; start as many as you like
//! arena replay                what the world of a log was, computed again and compared; also `diff` and `branch`
//! ```

/// Messages are received on one thread and dropped on another, which mimalloc does well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> engine::Result {
    arena::app().main()
}
