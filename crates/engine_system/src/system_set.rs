//! The systems of a program, in the order of their registration: the order in which conflicting systems
//! run where nothing else is said.

use crate::function::IntoSystem;
use crate::system::{System, SystemError};

/// Systems under different names, in the order of registration.
#[derive(Debug, Default)]
pub struct SystemSet {
    systems: Vec<Box<dyn System>>,
}

impl SystemSet {
    /// Adds a function as a system.
    ///
    /// # Errors
    /// When the name is taken, or the name or the parameters cannot be.
    pub fn add<M>(&mut self, name: &str, system: impl IntoSystem<M>) -> Result<(), SystemError> {
        self.add_boxed(system.into_system(name)?)
    }

    /// Adds a system.
    ///
    /// # Errors
    /// When the name is taken, or the descriptor is not valid.
    pub fn add_boxed(&mut self, system: Box<dyn System>) -> Result<(), SystemError> {
        let descriptor = system.descriptor();
        descriptor.check()?;
        if self.get(&descriptor.name).is_some() {
            return Err(SystemError::DuplicateName(descriptor.name.clone()));
        }
        self.systems.push(system);
        Ok(())
    }

    /// The system of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&dyn System> {
        self.iter().find(|system| system.descriptor().name == name)
    }

    /// All systems, in the order of registration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &dyn System> {
        self.systems.iter().map(Box::as_ref)
    }

    /// The number of systems.
    #[must_use]
    pub fn len(&self) -> usize {
        self.systems.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.systems.is_empty()
    }

    /// The systems, taken out.
    #[must_use]
    pub fn into_boxes(self) -> Vec<Box<dyn System>> {
        self.systems
    }
}
