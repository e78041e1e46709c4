//! The seeded simulator: a coordinator and its instances, with real system functions, in one thread, on
//! virtual time, over a network that drops, doubles, delays, reorders and cuts, while instances are killed,
//! paused and started again.
//!
//! The parties are the very state machines that run over NATS; only what connects them is made up. All of a
//! schedule follows from its seed: the same seed gives the same messages at the same times, so a failure is
//! repeated by its number alone.
//!
//! After each schedule: every committed tick has the hash that the undisturbed world has, each tick is
//! committed once, and the last tick was reached soon after the faults stopped.
//!
//! | file | what it is |
//! | --- | --- |
//! | `scenario.rs` | the world: its components, its systems |
//! | `cluster.rs` | parties, virtual time, what happens next |
//! | `network.rs` | the virtual server: who gets a message, when, and whether |
//! | `faults.rs` | what goes wrong, by seed; counted by kind |
//! | `check.rs` | runs schedules and compares them with the undisturbed world |
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
mod network;
mod replay;
pub mod scenario;
mod trace;

pub use check::{Baseline, Outcome, Plan, simulate, traced};
pub use engine_system::planted::Bug;
pub use faults::{Fault, FaultCounts};

/// Whether mistakes can be made on purpose.
pub const HAS_PLANTED: bool = cfg!(feature = "planted");
