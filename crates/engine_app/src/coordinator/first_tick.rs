//! What is done once in the life of a world: when its first tick begins.

use engine_component::{Entity, World};
use engine_net::messages::Problem;
use engine_net::messages::command::Action;

use super::{Coordinator, CoordinatorError};
use crate::record::Input;

/// The world when its very first tick is about to begin: everything that is waited for is there.
pub struct FirstTick<'a> {
    coordinator: &'a mut Coordinator,
}

impl FirstTick<'_> {
    /// The world.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.coordinator.world
    }

    /// Does what a command from outside would do; it is recorded as one. Answers the entities that were spawned.
    ///
    /// # Errors
    /// When it can't be done; then nothing of it is.
    pub fn apply(&mut self, action: Action) -> Result<Vec<Entity>, Problem> {
        let id = format!("first-{}", self.coordinator.inputs.len());
        let done = self.coordinator.apply(action.clone())?;
        self.coordinator.inputs.push(Input::Command { id, by: None, action });
        Ok(done.entities)
    }
}

/// Done once, before the first tick of a world.
pub type BeforeFirstTick = Box<dyn FnOnce(&mut FirstTick<'_>) -> Result<(), String> + Send>;

impl Coordinator {
    /// Adds something to be done when the first tick of the world begins; never in one that has had it.
    pub fn before_first_tick(&mut self, first: BeforeFirstTick) {
        self.first = Some(first);
    }

    /// What was to be done when the first tick begins, if that did not happen.
    pub fn take_before_first_tick(&mut self) -> Option<BeforeFirstTick> {
        self.first.take()
    }

    pub(super) fn do_first(&mut self) -> Result<(), ()> {
        if self.tick > 0 || self.recovering {
            return Ok(());
        }
        let Some(first) = self.first.take() else { return Ok(()) };
        first(&mut FirstTick { coordinator: self }).map_err(|error| {
            self.failure = Some(CoordinatorError::FirstTick(error));
        })
    }
}
