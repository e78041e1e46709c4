//! An Entity Component System whose systems run anywhere: as functions in one process, or each as its own
//! process, in any number of instances, on any number of machines, over NATS.
//!
//! ```
//! use engine::prelude::*;
//!
//! #[derive(Component, Clone, Copy)]
//! #[repr(C)]
//! #[component(name = "hello.Position")]
//! struct Position { at: Vec2 }
//!
//! #[derive(Component, Clone, Copy)]
//! #[repr(C)]
//! #[component(name = "hello.Velocity")]
//! struct Velocity { by: Vec2 }
//!
//! fn integrate(time: Time, mut bodies: Query<(&mut Position, &Velocity)>) {
//!     for (position, velocity) in &mut bodies {
//!         position.at += velocity.by * time.dt;
//!     }
//! }
//!
//! let app = App::new("hello").add_system("integrate", integrate).on_start(|start| {
//!     start.world.spawn((Position { at: Vec2::ZERO }, Velocity { by: Vec2::X }));
//!     Ok(())
//! });
//! // `app.main()` makes it a program with every topology; here, three ticks in this process.
//! let outcome = app.run_ticks(Settings { ticks: Some(3), ..Settings::default() }).unwrap();
//! assert_eq!(outcome.tick, 3);
//! ```

pub use engine_app as app;
pub use engine_component as component;
pub use engine_math as math;
pub use engine_net as net;
pub use engine_service as service;
pub use engine_system as system;

pub use engine_app::{App, Plugin, Result, Settings};

/// What most programs need.
pub mod prelude {
    pub use engine_app::{App, Plugin, Settings, Start};
    pub use engine_component::query::{Changed, Or, Query, With, Without};
    pub use engine_component::{Command, Component, Entity, Event, Plain, World};
    pub use engine_math::{Quat, Vec2, Vec3, Vec4};
    pub use engine_system::{
        CommandHandler, Commands, EntityRng, EventReader, EventWriter, IntoSystem, Res, ResMut, Rng, Time, View,
    };
}
