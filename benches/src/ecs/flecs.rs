//! What the cases need of flecs, a peer that is written in C.

use engine_math::Vec3;
use flecs_ecs::prelude::{Query, QueryAPI as _, QueryTuple, World};

use super::components::SCALED;

/// A query with its world, which has to outlive it.
pub(crate) struct Rows<T: QueryTuple> {
    // Dropped in this order.
    query: Query<T>,
    _world: World,
}

impl<T: QueryTuple> Rows<T> {
    pub(crate) fn of(world: World) -> Self {
        Self { query: world.new_query(), _world: world }
    }

    pub(crate) fn each(&self, visit: impl FnMut(T::TupleType<'_>)) {
        self.query.each(visit);
    }
}

/// As [`engine_world`](super::components::engine_world): from whole columns, since flecs has no other batch.
pub(crate) fn flecs_world(entities: usize, wide: bool) -> World {
    use super::components::theirs::{Position, Rotation, Transform, Velocity};
    let world = World::new();
    let count = u32::try_from(entities).expect("fewer entities than 2^32");
    let positions = vec![Position { value: Vec3::X }; entities];
    let velocities = vec![Velocity { value: Vec3::X }; entities];
    if wide {
        let transforms = vec![Transform { value: SCALED }; entities];
        let rotations = vec![Rotation { value: Vec3::X }; entities];
        world.entity_bulk(count).set(&transforms).set(&positions).set(&rotations).set(&velocities).build();
    } else {
        world.entity_bulk(count).set(&positions).set(&velocities).build();
    }
    world
}
