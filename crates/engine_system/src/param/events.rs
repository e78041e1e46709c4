//! Readers and writers of events as parameters.

use std::marker::PhantomData;

use engine_component::{Event, Ref, Storage, StorageKind};

use crate::declaration::{Declaration, short_name};
use crate::events::{EventBatch, EventSlice};
use crate::job_input::JobScope;
use crate::param::Param;
use crate::system::JobError;

/// Reads the events that were sent since the system last ran, in the order of (node, shard, row,
/// sequence). A parameter of systems; every shard gets all of them.
#[derive(Debug)]
pub struct EventReader<'w, E: Event> {
    source: Source<'w, E>,
    undecoded: usize,
}

/// Plain events are read where they are; others are decoded once per job.
#[derive(Debug)]
enum Source<'w, E> {
    InPlace(EventSlice<'w>),
    Decoded(Vec<E>),
}

impl<'w, E: Event> EventReader<'w, E> {
    /// A reader of these events; those that are not of the type are left out, and counted.
    #[must_use]
    pub fn new(events: EventSlice<'w>) -> Self {
        if !events.holds::<E>() {
            return Self { source: Source::Decoded(Vec::new()), undecoded: events.len() };
        }
        if E::KIND == StorageKind::Plain
            && events.rows().all(|row| matches!(E::Storage::view(row), Ok(Ref::Borrowed(_))))
        {
            return Self { source: Source::InPlace(events), undecoded: 0 };
        }
        let decoded: Vec<E> = events.rows().filter_map(|row| E::Storage::decode(row).ok()).collect();
        Self { undecoded: events.len() - decoded.len(), source: Source::Decoded(decoded) }
    }

    /// The events.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        let (events, decoded) = match &self.source {
            Source::InPlace(events) => (*events, [].as_slice()),
            Source::Decoded(decoded) => (EventSlice::default(), decoded.as_slice()),
        };
        let in_place = events.rows().filter_map(|row| match E::Storage::view(row) {
            Ok(Ref::Borrowed(event)) => Some(event),
            _ => None,
        });
        in_place.chain(decoded)
    }

    /// The number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.source {
            Source::InPlace(events) => events.len(),
            Source::Decoded(decoded) => decoded.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Events that were left out because they did not decode.
    #[must_use]
    pub fn undecoded(&self) -> usize {
        self.undecoded
    }
}

/// Sends events to systems that run later, and, after the commit, to the outside. A parameter of systems.
#[derive(Debug)]
pub struct EventWriter<'w, E: Event> {
    batch: &'w mut EventBatch,
    event: PhantomData<fn(E)>,
}

impl<'w, E: Event> EventWriter<'w, E> {
    /// A writer into this batch.
    #[must_use]
    pub fn new(batch: &'w mut EventBatch) -> Self {
        Self { batch, event: PhantomData }
    }

    /// Sends an event. It may carry entities that the same job spawned.
    #[expect(clippy::needless_pass_by_value, reason = "who sends an event is done with it")]
    pub fn send(&mut self, event: E) {
        self.batch.push(&event);
    }

    /// Sends events, in their order.
    pub fn send_all(&mut self, events: impl IntoIterator<Item = E>) {
        for event in events {
            self.send(event);
        }
    }
}

impl<E: Event> Param for EventReader<'_, E> {
    type Item<'w> = EventReader<'w, E>;

    fn declare(declaration: &mut Declaration) {
        declaration.reads_event(format!("EventReader<{}>", short_name::<E>()), E::schema());
    }

    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self::Item<'w>, JobError> {
        job.next_events().map(EventReader::new)
    }
}

impl<E: Event> Param for EventWriter<'_, E> {
    type Item<'w> = EventWriter<'w, E>;

    fn declare(declaration: &mut Declaration) {
        declaration.writes_event(format!("EventWriter<{}>", short_name::<E>()), E::schema());
    }

    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self::Item<'w>, JobError> {
        job.next_sent().map(EventWriter::new)
    }
}
