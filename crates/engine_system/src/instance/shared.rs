//! What all jobs of a node read alike: made once from the shared parcel, by the first job that needs it.
//!
//! Views keep what is expensive (indices over all rows) beside their rows, so the rows live as long as
//! the node's jobs, in one place.

#![expect(unsafe_code, reason = "views borrow from buffers that they are kept with")]

use std::sync::{Arc, OnceLock};

use engine_component::{AlignedBytes, StorageKind};
use engine_net::descriptor::SystemDescriptor;
use engine_net::parcel::{EventManifest, Parcel, PartSource, SharedManifest};

use super::layout::Layouts;
use super::rows::{self, PartRows};
use super::work::Failure;
use crate::events::EventSlice;
use crate::view::{SharedPart, SharedRows};

/// A shared parcel that is complete, and what is made of it when the first job needs it.
#[derive(Debug)]
pub(super) struct SharedParcel {
    parcel: Parcel,
    made: OnceLock<Result<SharedInput, Failure>>,
}

impl SharedParcel {
    pub(super) fn new(parcel: Parcel) -> Self {
        Self { parcel, made: OnceLock::new() }
    }

    /// What the parcel holds. The first call unpacks it, others wait for that.
    pub(super) fn input(&self, descriptor: &SystemDescriptor, layouts: &Layouts) -> Result<&SharedInput, Failure> {
        let made = self.made.get_or_init(|| SharedInput::new(&self.parcel, descriptor, layouts));
        made.as_ref().map_err(Clone::clone)
    }
}

/// Views, resources and events of a node.
#[derive(Debug)]
pub(super) struct SharedInput {
    // Dropped before the buffers that they borrow from.
    views: Vec<SharedRows<'static>>,
    resources: Vec<SharedPart<'static>>,
    events: Vec<EventSlice<'static>>,
    _buffers: Arc<Buffers>,
}

#[derive(Debug)]
struct Buffers {
    parts: Vec<PartRows>,
    events: Vec<AlignedBytes>,
}

impl SharedInput {
    fn new(parcel: &Parcel, descriptor: &SystemDescriptor, layouts: &Layouts) -> Result<Self, Failure> {
        let manifest: SharedManifest = parcel.manifest().map_err(Failure::refused)?;
        if manifest.system != descriptor.name {
            return Err(Failure::refused("the shared input is for another system"));
        }
        let (parts, streams) = rows::unpack(parcel, descriptor, layouts, &manifest.parts, &manifest.events)?;
        if parts.iter().any(|part| part.source == PartSource::Query) {
            return Err(Failure::refused("rows of a query are not shared"));
        }
        let declared = manifest.events.iter().map(|event| event.event);
        if !declared.eq(descriptor.reads_events.iter().copied()) {
            return Err(Failure::refused("other events than the system reads"));
        }
        let mut events = Vec::with_capacity(streams.len());
        for (event, bytes) in manifest.events.iter().zip(streams) {
            events.push(event_bytes(layouts, event, bytes)?);
        }
        let buffers = Arc::new(Buffers { parts, events });
        // SAFETY: the buffers are never changed, stay where the `Arc` has put them, and are kept in the
        // same struct as everything that borrows from them, behind it, so that they are dropped last. No
        // borrow of 'static leaves the struct: its methods shorten it to their own.
        let held: &'static Buffers = unsafe { &*Arc::as_ptr(&buffers) };
        let mut views: Vec<Vec<SharedPart<'static>>> = vec![Vec::new(); descriptor.views.len()];
        let mut resources = Vec::new();
        for part in &held.parts {
            match part.source {
                PartSource::View => views[part.number].push(part.shared()),
                PartSource::Resource | PartSource::Query => resources.push(part.shared()),
            }
        }
        let mut slices = Vec::with_capacity(held.events.len());
        for (event, bytes) in manifest.events.iter().zip(&held.events) {
            let layout = layouts.get(event.event).ok_or_else(|| unknown(event))?;
            let slice = EventSlice::from_bytes(&layout.mine, event.count as usize, bytes.as_slice());
            slices.push(slice.map_err(Failure::refused)?);
        }
        Ok(Self { views: views.into_iter().map(SharedRows::new).collect(), resources, events: slices, _buffers: buffers })
    }

    pub(super) fn views(&self) -> &[SharedRows<'_>] {
        &self.views
    }

    pub(super) fn resources(&self) -> &[SharedPart<'_>] {
        &self.resources
    }

    pub(super) fn events(&self) -> &[EventSlice<'_>] {
        &self.events
    }
}

fn event_bytes(layouts: &Layouts, event: &EventManifest, bytes: Vec<u8>) -> Result<AlignedBytes, Failure> {
    let layout = layouts.get(event.event).ok_or_else(|| unknown(event))?;
    // Tags have no bytes, so nothing bears witness to their number.
    if layout.mine.kind == StorageKind::Tag && event.count > 1 << 24 {
        return Err(Failure::refused("more tag events than are possible"));
    }
    let bytes = layout.events_in(bytes).map_err(Failure::adapt)?;
    let mut aligned = AlignedBytes::zeroed(bytes.len());
    aligned.as_mut_slice().copy_from_slice(&bytes);
    Ok(aligned)
}

fn unknown(event: &EventManifest) -> Failure {
    Failure::refused(format_args!("event {} is not known here", event.event))
}
