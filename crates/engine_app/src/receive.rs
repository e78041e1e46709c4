//! From an instance to the world: a result is checked whole before any of it counts.

use engine_component::commands;
use engine_component::query::ColumnAccess;
use engine_component::{ComponentId, Entity, Schema, World};
use engine_net::descriptor::SystemDescriptor;
use engine_net::messages::rejected::RejectReason;
use engine_net::parcel::Expect;
use engine_net::parcel::{Body, Documents};
use engine_net::parcel::{JobEffects, MappedRows, PartManifest, PartSource, ResultManifest};
use engine_net::parcel::{Parcel, Refusal};
use engine_system::EventBatch;

use crate::plan::JobPlan;
use crate::ship::job_parts;

/// Bytes of commands, and of events, of one job, at the most.
pub const MAX_STREAM: u64 = 32 << 20;

/// The result of a batch, checked: it fits its jobs, and may be merged.
#[derive(Debug)]
pub struct Received {
    /// The columns, still in the buffers in which they came.
    pub parcel: Parcel,
    /// What each of the jobs did besides.
    pub effects: Vec<Effects>,
    /// Nanoseconds in the function.
    pub compute_ns: u64,
    /// Nanoseconds before it at the instance, and from its start on, as that says.
    pub at_instance: (u64, u64),
    /// Rows that are in memory that the instance has mapped. They are not checked.
    pub mapped: Vec<MappedRows>,
    /// For each part, how many entities its job spawns.
    pub spawns: Vec<u32>,
}

/// What a job did besides writing rows.
#[derive(Debug, Default)]
pub struct Effects {
    /// The record of commands.
    pub commands: Vec<u8>,
    /// How many entities they spawn.
    pub spawns: u32,
    /// A batch for each event type of which the job sent something.
    pub events: Vec<(ComponentId, EventBatch)>,
}

/// Why a result is refused.
#[derive(Debug)]
pub struct Rejection {
    /// For counters.
    pub reason: RejectReason,
    /// For people.
    pub message: String,
}

impl Rejection {
    /// A rejection.
    pub fn new(reason: RejectReason, message: impl std::fmt::Display) -> Self {
        Self { reason, message: message.to_string() }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), &refusal)
    }
}

/// The declared access of a column of a job's part.
pub(crate) fn access(descriptor: &SystemDescriptor, part: &PartManifest, column: u16) -> Option<ColumnAccess> {
    match part.source {
        PartSource::Query => {
            descriptor.queries.get(usize::from(part.number))?.columns.get(usize::from(column)).copied()
        }
        PartSource::Resource => {
            let resource = descriptor.resources.get(usize::from(part.number))?;
            Some(ColumnAccess { component: resource.component, write: resource.write, optional: false })
        }
        PartSource::View => None,
    }
}

/// Checks a whole result against the jobs of its batch, the system's declaration and the schemas.
///
/// # Errors
/// The first thing that is wrong with it; the world has not been touched.
pub fn check(
    world: &World,
    descriptor: &SystemDescriptor,
    jobs: &[&JobPlan],
    parcel: Parcel,
) -> Result<Received, Rejection> {
    take(world, descriptor, &parts_of(world, descriptor, jobs), parcel, check_values)
}

/// As [`check`], of jobs that may be over: only their parts are known.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check_late(
    world: &World,
    descriptor: &SystemDescriptor,
    parts: &[Vec<PartManifest>],
    parcel: Parcel,
) -> Result<Received, Rejection> {
    take(world, descriptor, parts, parcel, check_values)
}

/// The parts of each job, as its result names them.
pub(crate) fn parts_of(world: &World, descriptor: &SystemDescriptor, jobs: &[&JobPlan]) -> Vec<Vec<PartManifest>> {
    jobs.iter().map(|job| job_parts(world, descriptor, job, false)).collect()
}

/// As [`check`], of a result whose values were part of the world once: whatever they are, they stand.
///
/// # Errors
/// The first thing that is wrong with its form.
pub fn read(
    world: &World,
    descriptor: &SystemDescriptor,
    jobs: &[&JobPlan],
    parcel: Parcel,
) -> Result<Received, Rejection> {
    let received = take(world, descriptor, &parts_of(world, descriptor, jobs), parcel, |_, _, _, _, _| Ok(()))?;
    if received.mapped.is_empty() {
        return Ok(received);
    }
    Err(Rejection::new(RejectReason::UndeclaredColumn, "what is recorded is in memory that nobody has any longer"))
}

/// Checks the values of the columns of parts, where the job of each part spawns so many entities.
type CheckValues = fn(&World, &SystemDescriptor, &[PartManifest], &Parcel, &[u32]) -> Result<(), Rejection>;

fn take(
    world: &World,
    descriptor: &SystemDescriptor,
    jobs: &[Vec<PartManifest>],
    parcel: Parcel,
    check_values: CheckValues,
) -> Result<Received, Rejection> {
    let manifest: ResultManifest = parcel.manifest()?;
    check_streams(descriptor, &manifest, jobs.len())?;
    let counts: Vec<usize> = jobs.iter().map(Vec::len).collect();
    let parts = jobs.concat();
    let sizes = manifest
        .jobs
        .iter()
        .flat_map(|job| std::iter::once(job.commands_bytes).chain(job.events.iter().map(|event| event.bytes)));
    let sizes: Vec<u64> = sizes.collect();
    let mut streams: Vec<Vec<u8>> = vec![Vec::new(); sizes.len()];
    let writes = |part: &PartManifest, column: u16| access(descriptor, part, column).is_some_and(|access| access.write);
    Expect::result(&parts, writes, sizes).verify(&parcel)?;
    for section in parcel.sections() {
        let section = section?;
        if let Body::Stream(bytes) = section.body {
            streams[usize::from(section.part)].extend_from_slice(bytes);
        }
    }
    let mut effects: Vec<Effects> = jobs.iter().map(|_| Effects::default()).collect();
    let mut streams = streams.into_iter();
    for job in &manifest.jobs {
        effects[job.job as usize] = effects_of(world, job, &mut streams)?;
    }
    // For each part, how many entities its job spawns.
    let spawns: Vec<u32> =
        effects.iter().zip(counts).flat_map(|(effects, parts)| std::iter::repeat_n(effects.spawns, parts)).collect();
    check_values(world, descriptor, &parts, &parcel, &spawns)?;
    let at_instance = (manifest.wait_ns, manifest.compute_ns.saturating_add(manifest.rest_ns));
    Ok(Received { parcel, effects, compute_ns: manifest.compute_ns, at_instance, mapped: manifest.mapped, spawns })
}

/// Takes the streams of a job: commands first, then each event type.
fn effects_of(
    world: &World,
    job: &JobEffects,
    streams: &mut impl Iterator<Item = Vec<u8>>,
) -> Result<Effects, Rejection> {
    let commands = streams.next().unwrap_or_default();
    let spawns = commands::check(&commands, world.registry())
        .map_err(|error| Rejection::new(RejectReason::BadCommand, error))?;
    let mut events = Vec::with_capacity(job.events.len());
    for (declared, bytes) in job.events.iter().zip(streams) {
        let refuse = |error: &dyn std::fmt::Display| Rejection::new(RejectReason::BadEvent, error);
        let schema = world.schema(declared.event).ok_or_else(|| refuse(&"an event type that is not registered"))?;
        let batch = EventBatch::from_bytes(schema, declared.count as usize, &bytes).map_err(|error| refuse(&error))?;
        if schema.may_hold_entities() {
            let rows = || batch.as_slice().rows();
            check_spawned(spawns, |visit| rows().for_each(|row| schema.visit_entities(row, &mut *visit)))?;
        }
        events.push((declared.event, batch));
    }
    Ok(Effects { commands, spawns, events })
}

fn check_streams(descriptor: &SystemDescriptor, manifest: &ResultManifest, jobs: usize) -> Result<(), Rejection> {
    let mut last = None;
    for job in &manifest.jobs {
        if job.job as usize >= jobs || last.is_some_and(|last| job.job <= last) {
            let message = format!("job {} of a batch of {jobs}, or out of order", job.job);
            return Err(Rejection::new(RejectReason::UnknownJob, message));
        }
        last = Some(job.job);
        check_effects(descriptor, job)?;
    }
    // Tags have no bytes, and are read one by one all the same: each counts as one.
    let of_job = |job: &JobEffects| {
        let sizes = job.events.iter().map(|event| event.bytes.max(event.count.into()));
        sizes.fold(job.commands_bytes, u64::saturating_add)
    };
    let bytes = manifest.jobs.iter().map(of_job).fold(0, u64::saturating_add);
    if bytes > MAX_STREAM {
        let message = format!("{bytes} bytes of commands and events; {MAX_STREAM} are accepted");
        return Err(Rejection::new(RejectReason::TooLarge, message));
    }
    Ok(())
}

fn check_effects(descriptor: &SystemDescriptor, job: &JobEffects) -> Result<(), Rejection> {
    if job.commands_bytes > 0 && !descriptor.commands {
        let message = format!("system `{}` does not declare commands and gives some", descriptor.name);
        return Err(Rejection::new(RejectReason::BadCommand, message));
    }
    for (at, event) in job.events.iter().enumerate() {
        let declared = descriptor.writes_events.contains(&event.event);
        let again = job.events[..at].iter().any(|other| other.event == event.event);
        if !declared || again {
            let message =
                format!("system `{}` does not declare event {}, or sends it twice", descriptor.name, event.event);
            return Err(Rejection::new(RejectReason::BadEvent, message));
        }
    }
    Ok(())
}

fn check_values(
    world: &World,
    descriptor: &SystemDescriptor,
    parts: &[PartManifest],
    parcel: &Parcel,
    spawns: &[u32],
) -> Result<(), Rejection> {
    for section in parcel.sections() {
        let section = section?;
        let Some(part) = parts.get(usize::from(section.part)) else { continue };
        let Some(schema) = access(descriptor, part, section.column).and_then(|access| world.schema(access.component))
        else {
            continue;
        };
        let spawns = spawns[usize::from(section.part)];
        match section.body {
            Body::Plain(bytes) | Body::PackedPlain(_, bytes) => check_plain(schema, bytes, spawns)?,
            Body::Documents(documents) | Body::PackedDocuments(_, documents) => {
                check_documents(schema, documents)?;
                check_spawned(spawns, |visit| {
                    documents.iter().for_each(|row| schema.visit_entities(row, &mut *visit));
                })?;
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn check_plain(schema: &Schema, bytes: &[u8], spawns: u32) -> Result<(), Rejection> {
    let stride = schema.stride().max(1);
    if schema.finite {
        let finite = schema.check_rows(bytes, bytes.len() / stride);
        finite.map_err(|error| Rejection::new(RejectReason::NotFinite, error))?;
    }
    let offsets = schema.entity_offsets();
    if offsets.is_empty() {
        return Ok(());
    }
    check_spawned(spawns, |visit| visit_plain(bytes, stride, &offsets, visit))
}

fn visit_plain(bytes: &[u8], stride: usize, offsets: &[u32], visit: &mut dyn FnMut(Entity)) {
    for row in bytes.chunks_exact(stride) {
        for offset in offsets {
            if let Some(field) = row.get(*offset as usize..).and_then(<[u8]>::first_chunk::<8>) {
                visit(Entity::from_bits(u64::from_le_bytes(*field)));
            }
        }
    }
}

/// What has no number yet is one of the entities that the job's own commands spawn.
fn check_spawned(spawns: u32, each: impl FnOnce(&mut dyn FnMut(Entity))) -> Result<(), Rejection> {
    let mut stranger = None;
    each(&mut |entity| {
        if entity.provisional_number().is_some_and(|number| number >= u64::from(spawns)) {
            stranger.get_or_insert(entity);
        }
    });
    match stranger {
        None => Ok(()),
        Some(entity) => {
            let message = format!("{entity} is named, and the job's commands spawn {spawns} entities");
            Err(Rejection::new(RejectReason::UnknownEntity, message))
        }
    }
}

fn check_documents(schema: &Schema, documents: Documents<'_>) -> Result<(), Rejection> {
    for document in documents.iter() {
        schema.check_row(document).map_err(|error| Rejection::new(RejectReason::BadDocument, error))?;
    }
    Ok(())
}
