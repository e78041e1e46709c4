//! What a job brings to a system, and how it is handed to the parameters.

use std::slice;

use engine_component::commands::CommandBuffer;
use engine_component::query::Part;
use engine_component::{ComponentId, Data};
use engine_net::descriptor::SystemDescriptor;

use crate::events::{EventBatch, EventSlice, SentEvents};
use crate::system::{JobError, JobOutput};
use crate::view::SharedRows;
use crate::{Rng, Time};

/// One job: everything that a system sees. It lies in the world's memory or in received buffers; the
/// system can't tell.
///
/// Each list is in the order of the descriptor's.
#[derive(Debug)]
pub struct JobInput<'a> {
    /// The tick.
    pub time: Time,
    /// The world's seed.
    pub seed: u64,
    /// The parts of each query.
    pub queries: Vec<Vec<Part<'a>>>,
    /// The rows of each view, shared with the other jobs of the node.
    pub views: Vec<&'a SharedRows<'a>>,
    /// A part of one row for each resource, found by its archetype: one that is missing may be left out.
    pub resources: Vec<Part<'a>>,
    /// The unread events for each event type that is read.
    pub events: Vec<EventSlice<'a>>,
}

impl<'a> JobInput<'a> {
    /// A job that brings nothing but the time.
    #[must_use]
    pub fn new(time: Time, seed: u64) -> Self {
        Self { time, seed, queries: Vec::new(), views: Vec::new(), resources: Vec::new(), events: Vec::new() }
    }

    /// Makes the parameters of one job and gives them to the system.
    pub(crate) fn give(
        &self,
        descriptor: &SystemDescriptor,
        call: impl FnOnce(&mut JobScope<'_>) -> Result<(), JobError>,
    ) -> Result<JobOutput, JobError> {
        let views: Vec<Vec<Part<'_>>> = self.views.iter().map(|rows| rows.parts()).collect();
        let mut output = JobOutput {
            commands: CommandBuffer::default(),
            events: descriptor.writes_events.iter().map(|event| (*event, EventBatch::default())).collect(),
        };
        let JobOutput { commands, events } = &mut output;
        let mut scope = JobScope::new(self, &views, &descriptor.name, commands, events);
        call(&mut scope)?;
        Ok(output)
    }
}

/// A job, on its way into the parameters of a system: each takes what is its own.
#[derive(Debug)]
pub struct JobScope<'w> {
    time: Time,
    seed: u64,
    system: &'w str,
    queries: slice::Iter<'w, Vec<Part<'w>>>,
    views: std::iter::Zip<slice::Iter<'w, &'w SharedRows<'w>>, slice::Iter<'w, Vec<Part<'w>>>>,
    resources: &'w [Part<'w>],
    events: slice::Iter<'w, EventSlice<'w>>,
    commands: Option<&'w mut CommandBuffer>,
    sent: slice::IterMut<'w, (ComponentId, EventBatch)>,
}

impl<'w> JobScope<'w> {
    fn new(
        job: &'w JobInput<'w>,
        views: &'w [Vec<Part<'w>>],
        system: &'w str,
        commands: &'w mut CommandBuffer,
        sent: &'w mut SentEvents,
    ) -> Self {
        Self {
            time: job.time,
            seed: job.seed,
            system,
            queries: job.queries.iter(),
            views: job.views.iter().zip(views),
            resources: &job.resources,
            events: job.events.iter(),
            commands: Some(commands),
            sent: sent.iter_mut(),
        }
    }

    /// The tick.
    #[must_use]
    pub fn time(&self) -> Time {
        self.time
    }

    /// The source of random numbers of this system and tick.
    #[must_use]
    pub fn rng(&self) -> Rng {
        Rng::new(self.seed, self.time.tick, self.system)
    }

    /// The next query's parts.
    pub(crate) fn next_query(&mut self) -> Result<&'w [Part<'w>], JobError> {
        let parts = self.queries.next();
        parts.map(Vec::as_slice).ok_or_else(|| self.lacks("rows for a query"))
    }

    /// The next view's rows, and this job's own parts of them.
    pub(crate) fn next_view(&mut self) -> Result<(&'w SharedRows<'w>, &'w [Part<'w>]), JobError> {
        let view = self.views.next();
        view.map(|(rows, parts)| (*rows, parts.as_slice())).ok_or_else(|| self.lacks("rows for a view"))
    }

    /// The one row of a resource.
    pub(crate) fn resource<R: Data>(&self) -> Result<&'w Part<'w>, JobError> {
        let found = self.resources.iter().find(|part| part.archetype.contains(&R::ID) && part.entities.len() == 1);
        found.ok_or_else(|| self.no_resource::<R>())
    }

    pub(crate) fn no_resource<R: Data>(&self) -> JobError {
        JobError::NoResource { system: self.system.to_owned(), resource: R::NAME }
    }

    /// The next event type's unread events.
    pub(crate) fn next_events(&mut self) -> Result<EventSlice<'w>, JobError> {
        let events = self.events.next();
        events.copied().ok_or_else(|| self.lacks("events"))
    }

    /// Where the next event type's events go.
    pub(crate) fn next_sent(&mut self) -> Result<&'w mut EventBatch, JobError> {
        let sent = self.sent.next();
        sent.map(|(_, batch)| batch).ok_or_else(|| self.lacks("place for sent events"))
    }

    /// Where commands go.
    pub(crate) fn take_commands(&mut self) -> Result<&'w mut CommandBuffer, JobError> {
        let commands = self.commands.take();
        commands.ok_or_else(|| self.lacks("place for commands"))
    }

    fn lacks(&self, what: &'static str) -> JobError {
        JobError::Incomplete { system: self.system.to_owned(), what }
    }
}
