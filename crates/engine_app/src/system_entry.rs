//! A system as the coordinator knows it.

use std::sync::Arc;

use engine_component::query::QueryDescriptor;
use engine_component::{ComponentId, World, WorldError};
use engine_net::descriptor::SystemDescriptor;
use engine_system::System;

use crate::schedule::Registered;

/// A registered system: its declaration, where it runs, and what it cost.
#[derive(Debug)]
pub struct SystemEntry {
    /// The declaration, and its place in the registration.
    pub registered: Registered,
    /// The function, when it runs in this process.
    pub local: Option<Arc<dyn System>>,
    /// The tracker of each component whose changes the system asks for.
    pub trackers: Vec<(ComponentId, usize)>,
    /// Figures of its last run.
    pub last_run: RunFigures,
    /// Figures of the run that is going on.
    pub run: RunFigures,
}

/// What one run of a system cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunFigures {
    /// Jobs.
    pub jobs: u32,
    /// Rows of jobs that were sent to instances.
    pub rows: u64,
    /// When the node started, in nanoseconds of the driver's clock.
    pub started: u64,
    /// Nanoseconds from the start to the merge.
    pub took: u64,
    /// Nanoseconds in the function, all jobs together.
    pub compute: u64,
    /// Bytes to instances.
    pub bytes_out: u64,
    /// Bytes from instances.
    pub bytes_in: u64,
}

impl SystemEntry {
    /// Makes a system known to a world: its components' changes are tracked from now on.
    ///
    /// # Errors
    /// When a component is not registered.
    pub fn new(registered: Registered, local: Option<Arc<dyn System>>, world: &mut World) -> Result<Self, WorldError> {
        let mut trackers: Vec<(ComponentId, usize)> = Vec::new();
        let descriptor = &registered.descriptor;
        for query in descriptor.queries.iter().chain(&descriptor.views) {
            for component in query.changed() {
                if !trackers.iter().any(|tracker| tracker.0 == component) {
                    trackers.push((component, world.track(component)?));
                }
            }
        }
        let (last_run, run) = (RunFigures::default(), RunFigures::default());
        Ok(Self { registered, local, trackers, last_run, run })
    }

    /// A system that the world knew already, with the trackers that it had.
    ///
    /// # Errors
    /// When a component or a tracker is not the world's, or the trackers are not those of the declaration.
    pub fn with_trackers(
        registered: Registered,
        local: Option<Arc<dyn System>>,
        trackers: Vec<(ComponentId, usize)>,
        world: &World,
    ) -> Result<Self, String> {
        let descriptor = &registered.descriptor;
        for (component, tracker) in &trackers {
            let known = world.registry().get(*component).ok_or_else(|| format!("{component} is not known"))?;
            if *tracker >= known.trackers() {
                return Err(format!("{component} has no tracker {tracker}"));
            }
        }
        let asked = descriptor.queries.iter().chain(&descriptor.views).flat_map(QueryDescriptor::changed);
        if let Some(missing) = asked.into_iter().find(|id| !trackers.iter().any(|tracker| tracker.0 == *id)) {
            return Err(format!("{missing} has no tracker"));
        }
        let (last_run, run) = (RunFigures::default(), RunFigures::default());
        Ok(Self { registered, local, trackers, last_run, run })
    }

    /// The declaration.
    #[must_use]
    pub fn descriptor(&self) -> &SystemDescriptor {
        &self.registered.descriptor
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.registered.descriptor.name
    }

    /// The tracker of a component whose changes the system asks for.
    #[must_use]
    pub fn tracker(&self, component: ComponentId) -> Option<usize> {
        self.trackers.iter().find(|tracker| tracker.0 == component).map(|tracker| tracker.1)
    }
}
