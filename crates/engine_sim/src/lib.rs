//! The seeded simulator: a coordinator, its instances and clients, with real system functions, in one thread,
//! on virtual time, over a network that drops, doubles, delays, reorders, divides and cuts, while everybody is
//! killed, paused and started again.
//!
//! The parties are the very state machines that run over NATS; only what connects them is made up. All of a
//! schedule follows from its seed: the same seed gives the same messages at the same times, so a failure is
//! repeated by its number alone. What goes wrong, and what is checked, is in `docs/simulator.md`.
//!
//! | file | what it is |
//! | --- | --- |
//! | `scenario.rs` | the world: its components, its systems |
//! | `cluster.rs` | parties, virtual time, what happens next |
//! | `cluster/instance.rs`, `client.rs` | instances, and clients that give commands |
//! | `cluster/contender.rs`, `writing.rs`, `store.rs` | coordinators: those that lead and those that would |
//! | `log.rs` | the server of the log: stream, lease, keyframes |
//! | `truth.rs` | what the log ever held, and what may be shown of it |
//! | `cluster/mischief.rs`, `ghosts.rs` | what happens to parties; messages from the past |
//! | `cluster/shortcuts.rs` | second attempts, and what is sent ahead |
//! | `cluster/bounds.rs` | what has to stay small |
//! | `network.rs` | the virtual server: who gets a message, when, and whether |
//! | `faults.rs` | what goes wrong, by seed; counted by kind |
//! | `ledger.rs` | what clients asked for and were told, compared with records and world |
//! | `replay.rs` | the same ticks in one process, from their records |
//! | `check.rs` | runs schedules and says what was wrong |
//! | `trace.rs` | what happened, for people |
//!
//! ```
//! use engine_sim::{Baseline, Plan, simulate};
//!
//! let plan = Plan::default();
//! let baseline = Baseline::of(&plan).unwrap();
//! let outcome = simulate(&plan, &baseline, 7);
//! assert!(outcome.problem.is_none(), "{:?}", outcome.problem);
//! ```

mod check;
mod cluster;
mod faults;
mod ledger;
mod log;
mod network;
mod replay;
pub mod scenario;
mod trace;
mod truth;

pub use check::{Baseline, Outcome, Plan, simulate, traced};
pub use cluster::Shortcuts;
pub use engine_system::planted::Bug;
pub use faults::{Fault, FaultCounts};

/// Whether mistakes can be made on purpose.
pub const HAS_PLANTED: bool = cfg!(feature = "planted");
