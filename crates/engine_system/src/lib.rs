//! From a function to a system: parameters, declarations, jobs.
//!
//! A system is a plain function. Its parameters are its declaration: which components it reads and
//! writes, which events, whether it changes structure. The same function runs over the world's own memory
//! or over buffers that came through a network; nothing in here knows which.
//!
//! | file | what it is |
//! | --- | --- |
//! | `function.rs` | how a function becomes a system, and its options |
//! | `param/` | what a function may ask for |
//! | `declaration.rs` | what the parameters add up to, and the mistakes that this shows |
//! | `system.rs` | a system as others see it, its errors |
//! | `system_set.rs` | the systems of a program |
//! | `job_input.rs` | what one job brings |
//! | `view.rs` | rows that all jobs of a node share |
//! | `events.rs` | batches of events |
//! | `time.rs`, `rng.rs` | time and chance, the same wherever a job runs |
//! | `planted.rs` | mistakes on purpose, for the simulator |
//!
//! ```
//! use engine_component::{Component, query::Query};
//! use engine_system::{IntoSystem, Time};
//!
//! #[derive(Component, Clone, Copy)]
//! #[repr(C)]
//! #[component(name = "doc.Position")]
//! struct Position { x: f32 }
//! #[derive(Component, Clone, Copy)]
//! #[repr(C)]
//! #[component(name = "doc.Velocity")]
//! struct Velocity { x: f32 }
//!
//! fn integrate(time: Time, mut bodies: Query<(&mut Position, &Velocity)>) {
//!     for (position, velocity) in &mut bodies {
//!         position.x += velocity.x * time.dt;
//!     }
//! }
//!
//! let system = integrate.into_system("integrate").unwrap();
//! assert_eq!(system.descriptor().queries[0].columns.len(), 2);
//! ```

mod declaration;
mod events;
mod function;
mod job_input;
mod param;
#[doc(hidden)]
pub mod planted;
mod rng;
pub mod runner;
mod system;
mod system_set;
mod time;
mod view;

pub use declaration::{Declaration, resource_rows};
pub use engine_net::descriptor::{DeadlinePolicy, ResourceAccess, SystemDescriptor, SystemOptions};
pub use events::{EventBatch, EventError, EventSlice, SentEvents};
pub use function::{Configured, IntoSystem, SystemConfig, SystemFunction};
pub use job_input::{JobInput, JobScope};
pub use param::{
    CommandHandler, Commands, EntityCommands, EventReader, EventWriter, Given, Named, Param, ParamItem, Res, ResMut,
    View,
};
pub use rng::{EntityRng, Rng};
pub use system::{JobError, JobOutput, Parameter, System, SystemError};
pub use system_set::SystemSet;
pub use time::Time;
pub use view::{RowPlace, SharedColumn, SharedPart, SharedRows};
