//! A system as the coordinator knows it.

use std::collections::VecDeque;
use std::sync::Arc;

use engine_component::query::QueryDescriptor;
use engine_component::{ComponentId, World, WorldError};
use engine_net::descriptor::SystemDescriptor;
use engine_system::System;

use crate::phases::Phases;
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
    /// What all of its runs cost.
    pub totals: Totals,
    /// Figures of the run that is going on.
    pub run: RunFigures,
    /// What batches took lately.
    pub paces: Paces,
}

/// What the last batches of a system took.
#[derive(Clone, Debug, Default)]
pub struct Paces {
    /// Nanoseconds and rows.
    last: VecDeque<(u64, u64)>,
}

impl Paces {
    /// Batches that are remembered.
    const MOST: usize = 32;
    /// Fewer of them say nothing.
    const LEAST: usize = 3;

    /// A batch of so many rows took so long.
    pub fn note(&mut self, took: u64, rows: u64) {
        if self.last.len() == Self::MOST {
            self.last.pop_front();
        }
        self.last.push_back((took, rows));
    }

    /// How long a batch takes, as the median of the last ones says: by itself or by its rows, whatever is longer.
    /// None before there were a few.
    #[must_use]
    pub fn expected(&self, rows: u64) -> Option<u64> {
        if self.last.len() < Self::LEAST {
            return None;
        }
        let median = |mut of: Vec<u64>| {
            of.sort_unstable();
            of[of.len() / 2]
        };
        let took = median(self.last.iter().map(|(took, _)| *took).collect());
        let per_1024 =
            median(self.last.iter().map(|(took, rows)| took.saturating_mul(1024) / (*rows).max(1)).collect());
        Some(took.max(per_1024.saturating_mul(rows) / 1024))
    }
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

/// What all runs of a system cost since the coordinator started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Ticks in which it ran.
    pub runs: u64,
    /// Jobs.
    pub jobs: u64,
    /// Nanoseconds in the function.
    pub compute_ns: u64,
    /// Nanoseconds from starts to merges.
    pub took_ns: u64,
    /// Bytes to instances.
    pub bytes_out: u64,
    /// Bytes from instances.
    pub bytes_in: u64,
    /// Jobs that went to another instance, since theirs was gone.
    pub reassigned: u64,
    /// Where the time of its batches went.
    pub phases: Phases,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, run: &RunFigures) {
        self.runs += 1;
        self.jobs += u64::from(run.jobs);
        self.compute_ns += run.compute;
        self.took_ns += run.took;
        self.bytes_out += run.bytes_out;
        self.bytes_in += run.bytes_in;
    }
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
        Ok(Self { registered, local, trackers, last_run, run, totals: Totals::default(), paces: Paces::default() })
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
        Ok(Self { registered, local, trackers, last_run, run, totals: Totals::default(), paces: Paces::default() })
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
