//! The components of the cases: the same values in the types of each contender.

use engine_component::World;
use engine_math::Vec3;

/// Columns of a 4×4 matrix.
pub(crate) type Matrix = [f32; 16];

/// What a row of Position and Velocity holds.
pub(crate) const NARROW_BYTES: usize = 24;
/// What a row of Transform, Position, Rotation and Velocity holds.
pub(crate) const WIDE_BYTES: usize = 100;

/// Declares components once for us and once for the peers, whose derives read the same attribute.
macro_rules! components {
    ($($name:ident($value:ty) = $declared:tt;)*) => {
        /// As Engine's components.
        #[allow(dead_code, reason = "of some components only the presence counts")]
        pub(crate) mod ours {
            $(
                #[derive(engine_component::Component, Clone, Copy)]
                #[repr(C)]
                #[component(name = $declared)]
                pub(crate) struct $name {
                    pub(crate) value: $value,
                }
            )*
        }

        /// As components of the peers.
        #[cfg(feature = "peers")]
        #[allow(dead_code, reason = "of some components only the presence counts")]
        pub(crate) mod theirs {
            $(
                #[derive(bevy_ecs::component::Component, flecs_ecs::macros::Component, Clone, Copy)]
                pub(crate) struct $name {
                    pub(crate) value: $value,
                }
            )*
        }
    };
}
pub(crate) use components;

mod declared {
    super::components! {
        Transform([f32; 16]) = "bench.Transform";
        Position(engine_math::Vec3) = "bench.Position";
        Rotation(engine_math::Vec3) = "bench.Rotation";
        Velocity(engine_math::Vec3) = "bench.Velocity";
    }
}
pub(crate) use declared::ours;
#[cfg(feature = "peers")]
pub(crate) use declared::theirs;

/// A matrix that can be inverted.
pub(crate) const SCALED: Matrix = [2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 1.0, 2.0, 3.0, 1.0];

/// A row of the wide table in the types of `$module`.
macro_rules! wide_row {
    ($module:ident) => {{
        use $crate::ecs::components::$module::{Position, Rotation, Transform, Velocity};
        (
            Transform { value: $crate::ecs::components::SCALED },
            Position { value: engine_math::Vec3::X },
            Rotation { value: engine_math::Vec3::X },
            Velocity { value: engine_math::Vec3::X },
        )
    }};
}
pub(crate) use wide_row;

/// A world of entities that are all alike: with two components, or with four when `wide`.
pub(crate) fn engine_world(entities: usize, wide: bool) -> World {
    use ours::{Position, Velocity};
    let mut world = World::default();
    if wide {
        world.spawn_batch((0..entities).map(|_| wide_row!(ours)));
    } else {
        world.spawn_batch((0..entities).map(|_| (Position { value: Vec3::X }, Velocity { value: Vec3::X })));
    }
    world
}

/// As [`engine_world`].
#[cfg(feature = "peers")]
pub(crate) fn bevy_world(entities: usize, wide: bool) -> bevy_ecs::world::World {
    use theirs::{Position, Velocity};
    let mut world = bevy_ecs::world::World::new();
    if wide {
        world.spawn_batch((0..entities).map(|_| wide_row!(theirs))).for_each(drop);
    } else {
        let rows = (0..entities).map(|_| (Position { value: Vec3::X }, Velocity { value: Vec3::X }));
        world.spawn_batch(rows).for_each(drop);
    }
    world
}

/// As [`engine_world`].
#[cfg(feature = "peers")]
pub(crate) fn hecs_world(entities: usize, wide: bool) -> hecs::World {
    use theirs::{Position, Velocity};
    let mut world = hecs::World::new();
    if wide {
        world.spawn_batch((0..entities).map(|_| wide_row!(theirs))).for_each(drop);
    } else {
        let rows = (0..entities).map(|_| (Position { value: Vec3::X }, Velocity { value: Vec3::X }));
        world.spawn_batch(rows).for_each(drop);
    }
    world
}
