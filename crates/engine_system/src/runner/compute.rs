//! Running jobs: from a complete job to the chunks of its result. Whatever goes wrong in here, a panic of
//! the system too, becomes the answer `failed`, and the instance goes on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use engine_net::parcel::{
    ChunkSizes, Failed, JobList, JobManifest, Jobs as WhichJobs, Parcel, PartManifest, PartSource, SharedManifest,
    control,
};
use engine_net::{ChunkKind, ChunkPrefix};

use super::adapt::Adapters;
use super::copies::{Batch, Copies};
use super::input::{self, SharedInput};
use super::mapped::{self, Both, Mapping, Ranges};
use super::output::{self, Before, Effects, Figures, NewDocuments};
use super::owned::OwnedPart;
use super::traced::Traced;
use crate::system::JobError;
use crate::view::SharedRows;
use crate::{EventBatch, JobInput, JobOutput, System, Time};

/// A complete job.
pub struct Work {
    pub(super) system: Arc<dyn System>,
    pub(super) adapters: Arc<Adapters>,
    pub(super) prefix: ChunkPrefix,
    pub(super) manifest: JobManifest,
    pub(super) parcel: Parcel,
    /// What the instance has kept, of the registration in which the jobs came.
    pub(super) copies: Arc<Mutex<Copies>>,
    /// What it has mapped, of the same registration.
    pub(super) mapping: Arc<Mapping>,
    /// What all jobs of the node read alike, when the system reads any of it.
    pub(super) shared: Option<Arc<Parcel>>,
    pub(super) sizes: ChunkSizes,
    pub(super) arrived: u64,
}

/// A job that was run: the chunks of its result, or of its failure.
pub struct Computed {
    pub(super) prefix: ChunkPrefix,
    pub(super) chunks: Vec<Bytes>,
    pub(super) compute_ns: u64,
    /// When it was, if its tick is sampled.
    pub(super) traced: Option<Traced>,
}

/// Why a job has no result.
#[derive(Debug)]
pub(super) struct Failure {
    /// `panic`, `error`, `adapt`, `refused`, `stale`, `corrupt` or `unmapped`.
    pub(super) reason: &'static str,
    /// For people.
    pub(super) message: String,
}

impl Failure {
    /// What came can't be used, or what should go can't be sent.
    pub(super) fn refused(reason: impl std::fmt::Display) -> Self {
        Self { reason: "refused", message: reason.to_string() }
    }

    /// The instance has not kept what came builds on: everything has to come anew.
    pub(super) fn stale() -> Self {
        Self { reason: "stale", message: "what was kept here is not what the job builds on".to_owned() }
    }

    /// What was kept here has other bytes than it should.
    pub(super) fn corrupt() -> Self {
        Self { reason: "corrupt", message: "what was kept here has other bytes than the world".to_owned() }
    }

    /// The job is about memory that is not mapped here.
    fn unmapped() -> Self {
        Self { reason: "unmapped", message: "the coordinator's columns are not mapped here".to_owned() }
    }

    fn panicked(system: &str, panic: &(dyn Any + Send)) -> Self {
        let message = panic.downcast_ref::<&str>().copied();
        let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message = message.unwrap_or("(no message)");
        Self { reason: "panic", message: format!("system `{system}` panicked: {message}") }
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        let reason = if matches!(error, JobError::Panicked { .. }) { "panic" } else { "error" };
        Self { reason, message: error.to_string() }
    }
}

impl Work {
    /// Runs the job by itself. The clock is in nanoseconds.
    #[must_use]
    pub fn run(self, clock: &dyn Fn() -> u64) -> Computed {
        match shared_input(&self) {
            Err(failure) => failed(&self.manifest.system, &self.prefix, failure),
            Ok(shared) => {
                let views = shared.views(self.system.descriptor().views.len());
                let computed = run(&self, &shared, &views, clock);
                drop(views);
                shared.put_back(self.prefix.tick, &mut self.copies());
                computed
            }
        }
    }

    /// The memory in which these parts are; none when they aren't in any.
    fn hold(&self, parts: &[PartManifest]) -> Result<Option<MutexGuard<'_, Option<Both>>>, Failure> {
        let is_mapped = |part: &PartManifest| part.places().any(|place| place.mapped().is_some());
        if !parts.iter().any(is_mapped) {
            return Ok(None); // Nor waits for somebody who is about to map it.
        }
        let both = self.mapping.hold();
        if both.is_some() { Ok(Some(both)) } else { Err(Failure::unmapped()) }
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where jobs come from, and where their results go.
pub(super) trait Jobs {
    /// The next job; waits for it. None when there will be no more.
    fn next(&mut self) -> Option<Work>;
    /// A job is done.
    fn done(&mut self, computed: Computed);
    /// Nanoseconds of the clock that jobs arrive by.
    fn now(&self) -> u64;
}

/// Runs jobs until there are no more. Jobs of one node that follow one another share what is built from
/// their views.
pub(super) fn work(jobs: &mut impl Jobs) {
    let mut next = jobs.next();
    while let Some(first) = next.take() {
        let node = node_of(&first);
        match shared_input(&first) {
            Err(failure) => {
                jobs.done(failed(&first.manifest.system, &first.prefix, failure));
                next = jobs.next();
            }
            Ok(shared) => {
                let views = shared.views(first.system.descriptor().views.len());
                let copies = first.copies.clone();
                let mut current = Some(first);
                while let Some(job) = current.take() {
                    let computed = run(&job, &shared, &views, &|| jobs.now());
                    jobs.done(computed);
                    match jobs.next() {
                        Some(job) if node_of(&job) == node => current = Some(job),
                        other => next = other,
                    }
                }
                drop(views);
                shared.put_back(node.1, &mut copies.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}

/// The node that jobs are of, and the shared input that they have.
fn node_of(work: &Work) -> (u64, u64, u32, Option<u16>) {
    (work.prefix.epoch, work.prefix.tick, work.manifest.node, work.manifest.shared)
}

fn shared_input(work: &Work) -> Result<SharedInput, Failure> {
    guarded(work, || {
        let Some(parcel) = &work.shared else { return Ok(SharedInput::default()) };
        let manifest: SharedManifest = parcel.manifest().map_err(|error| {
            Failure::refused(format_args!("the manifest of the shared input can't be read: {error}"))
        })?;
        let (system, adapters) = (work.system.as_ref(), work.adapters.as_ref());
        let declared = (&manifest.parts[..], &manifest.events[..]);
        let mut copies = work.copies();
        let memory = work.hold(&manifest.parts)?;
        let both = memory.as_ref().and_then(|both| both.as_ref());
        let parts = input::parts((system, adapters, both), &mut copies, parcel, declared, manifest.keep.as_ref())?;
        let events = input::events((system, adapters), parcel, &manifest.events)?;
        Ok(SharedInput { parts, events, stamp: manifest.keep.map(|keep| keep.stamp) })
    })
}

/// Systems are other people's code, and so is what encodes their documents: a panic ends the job, not the
/// instance.
fn guarded<T>(work: &Work, run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // Unwind safe: after a panic everything that the job has touched is thrown away. What jobs of a node
    // share is only read; an index over it that was not finished is built anew.
    let ran = catch_unwind(AssertUnwindSafe(run));
    ran.unwrap_or_else(|panic| Err(Failure::panicked(&work.manifest.system, panic.as_ref())))
}

fn failed(system: &str, prefix: &ChunkPrefix, failure: Failure) -> Computed {
    let (epoch, tick, job) = (prefix.epoch, prefix.tick, prefix.job);
    let (reason, why) = (failure.reason, &failure.message);
    if reason == "stale" {
        tracing::info!(epoch, tick, system, job, why, "a job has to come anew");
    } else {
        tracing::error!(epoch, tick, system, job, reason, why, "a job fails");
    }
    let body = Failed { reason: failure.reason.to_owned(), message: failure.message };
    Computed {
        prefix: *prefix,
        chunks: vec![control::encode(prefix, ChunkKind::Failed, &body)],
        compute_ns: 0,
        traced: None,
    }
}

fn run(work: &Work, shared: &SharedInput, views: &[SharedRows<'_>], clock: &dyn Fn() -> u64) -> Computed {
    guarded(work, || compute(work, shared, views, clock))
        .unwrap_or_else(|failure| failed(&work.manifest.system, &work.prefix, failure))
}

fn compute(
    work: &Work,
    shared: &SharedInput,
    views: &[SharedRows<'_>],
    clock: &dyn Fn() -> u64,
) -> Result<Computed, Failure> {
    // One batch at a time works in the memory that is mapped.
    let (batch, mut parts, _memory) = take_in(work)?;
    let (mut started, mut compute_ns, mut first) = (None, 0, 0);
    let (mut before, mut changes, mut effects) = (Before::default(), Vec::with_capacity(parts.len()), Vec::new());
    let mut mapped = Ranges::default();
    for (job, count) in batch.counts.iter().enumerate() {
        let number = first;
        let parts = &mut parts[first..first + usize::from(*count)];
        first += parts.len();
        before.take(parts);
        parts.iter_mut().for_each(OwnedPart::begin);
        let begun = clock();
        started.get_or_insert(begun);
        let (output, documents) = run_one(work, parts, shared, views)?;
        compute_ns += clock().saturating_sub(begun);
        mapped.add(number, parts);
        changes.extend(output::changes(&before, parts, documents)?);
        effects.extend(Effects::of(work, job as u32, output)?);
    }
    let started = started.unwrap_or(work.arrived);
    let figures = Figures {
        compute_ns,
        wait_ns: started.saturating_sub(work.arrived),
        rest_ns: clock().saturating_sub(started).saturating_sub(compute_ns),
    };
    let mapped = mapped.finish(&parts);
    let chunks = output::result(work, (&parts, mapped), &changes, &effects, figures)?;
    if let Some(keep) = work.manifest.keep {
        let mut copies = work.copies();
        for (mut part, changes) in parts.into_iter().zip(&changes) {
            output::absorb(&mut part, changes);
            part.put_back(work.prefix.tick, keep.stamp, &mut copies);
        }
    }
    let traced = Traced::of(work, started, clock);
    Ok(Computed { prefix: work.prefix, chunks, compute_ns, traced })
}

/// The jobs of a batch, their parts, and the memory in which some of them are.
type TakenIn<'a> = (Arc<Batch>, Vec<OwnedPart>, Option<MutexGuard<'a, Option<Both>>>);

/// The parts of all jobs, from what came and what was kept.
fn take_in(work: &Work) -> Result<TakenIn<'_>, Failure> {
    let (tick, keep) = (work.prefix.tick, work.manifest.keep.as_ref());
    let mut copies = work.copies();
    copies.look_through(tick);
    let batch = match &work.manifest.jobs {
        WhichJobs::Again(digest) => copies.list(tick, *digest).ok_or_else(Failure::stale)?,
        WhichJobs::List(list) => {
            let parts = list.parts().map(|(parts, counts)| Arc::new(Batch { parts, counts }));
            parts.ok_or_else(|| Failure::refused("the list of jobs contradicts itself, or is too long"))?
        }
    };
    let memory = work.hold(&batch.parts)?;
    let both = memory.as_ref().and_then(|both| both.as_ref());
    let reader = (work.system.as_ref(), work.adapters.as_ref(), both);
    let parts = input::parts(reader, &mut copies, &work.parcel, (&batch.parts, &[]), keep)?;
    mapped::check_disjoint(&parts)?;
    if let Some(list) = list_of(&work.manifest.jobs).filter(|list| list.is_remembered()) {
        copies.remember(tick, list.clone());
    }
    Ok((batch, parts, memory))
}

fn list_of(jobs: &WhichJobs) -> Option<&JobList> {
    if let WhichJobs::List(list) = jobs { Some(list) } else { None }
}

/// The documents that a job wrote, for each of its parts.
type Documents = Vec<Vec<Option<NewDocuments>>>;

/// Runs the system on the parts of one job.
fn run_one(
    work: &Work,
    parts: &mut [OwnedPart],
    shared: &SharedInput,
    views: &[SharedRows<'_>],
) -> Result<(JobOutput, Documents), Failure> {
    let descriptor = work.system.descriptor();
    let wire = work.manifest.time;
    let mut job = JobInput::new(Time { tick: wire.tick, dt: wire.dt, elapsed: wire.elapsed }, work.manifest.seed);
    job.queries = descriptor.queries.iter().map(|_| Vec::new()).collect();
    let mut places = Vec::with_capacity(parts.len());
    for part in parts {
        let (source, number) = (part.source, usize::from(part.number));
        let list = if source == PartSource::Query { &mut job.queries[number] } else { &mut job.resources };
        places.push((source, number, list.len()));
        list.push(part.part());
    }
    job.views = views.iter().collect();
    job.resources.extend(shared.parts.iter().filter(|part| part.source == PartSource::Resource).map(OwnedPart::read));
    job.events = shared.events.iter().map(EventBatch::as_slice).collect();
    let output = work.system.run(&job)?;
    let documents = places.iter().map(|(source, number, index)| {
        let list = if *source == PartSource::Query { &job.queries[*number] } else { &job.resources };
        output::documents(&list[*index])
    });
    Ok((output, documents.collect()))
}
