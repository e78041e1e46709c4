//! Running jobs: from a complete job to the chunks of its result. Whatever goes wrong in here, a panic of
//! the system too, becomes the answer `failed`, and the instance goes on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use engine_net::parcel::{ChunkSizes, Failed, JobManifest, Parcel, PartSource, SharedManifest, control};
use engine_net::{ChunkKind, ChunkPrefix};

use super::adapt::Adapters;
use super::input::{self, OwnedPart, SharedInput};
use super::output::{self, Figures, NewDocuments};
use crate::system::JobError;
use crate::view::SharedRows;
use crate::{EventBatch, JobInput, System, Time};

/// A complete job.
pub struct Work {
    pub(super) system: Arc<dyn System>,
    pub(super) adapters: Arc<Adapters>,
    pub(super) prefix: ChunkPrefix,
    pub(super) manifest: JobManifest,
    pub(super) parcel: Parcel,
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
}

/// Why a job has no result.
#[derive(Debug)]
pub(super) struct Failure {
    /// `panic`, `error`, `adapt` or `refused`.
    pub(super) reason: &'static str,
    /// For people.
    pub(super) message: String,
}

impl Failure {
    /// What came can't be used, or what should go can't be sent.
    pub(super) fn refused(reason: impl std::fmt::Display) -> Self {
        Self { reason: "refused", message: reason.to_string() }
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
            Err(failure) => failed(&self.prefix, failure),
            Ok(shared) => {
                let views = shared.views(self.system.descriptor().views.len());
                run(&self, &shared, &views, clock)
            }
        }
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
                jobs.done(failed(&first.prefix, failure));
                next = jobs.next();
            }
            Ok(shared) => {
                let views = shared.views(first.system.descriptor().views.len());
                let mut current = Some(first);
                while let Some(job) = current.take() {
                    let computed = run(&job, &shared, &views, &|| jobs.now());
                    jobs.done(computed);
                    match jobs.next() {
                        Some(job) if node_of(&job) == node => current = Some(job),
                        other => next = other,
                    }
                }
            }
        }
    }
}

fn node_of(work: &Work) -> (u64, u64, u32) {
    (work.prefix.epoch, work.prefix.tick, work.manifest.node)
}

fn shared_input(work: &Work) -> Result<SharedInput, Failure> {
    guarded(work, || {
        let Some(parcel) = &work.shared else { return Ok(SharedInput::default()) };
        let manifest: SharedManifest = parcel.manifest().map_err(|error| {
            Failure::refused(format_args!("the manifest of the shared input can't be read: {error}"))
        })?;
        let (system, adapters) = (work.system.as_ref(), work.adapters.as_ref());
        let parts = input::parts((system, adapters), parcel, &manifest.parts, &manifest.events)?;
        let events = input::events((system, adapters), parcel, &manifest.events)?;
        Ok(SharedInput { parts, events })
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

fn failed(prefix: &ChunkPrefix, failure: Failure) -> Computed {
    tracing::error!(
        tick = prefix.tick,
        job = prefix.job,
        reason = failure.reason,
        message = failure.message,
        "a job fails"
    );
    let body = Failed { reason: failure.reason.to_owned(), message: failure.message };
    Computed { prefix: *prefix, chunks: vec![control::encode(prefix, ChunkKind::Failed, &body)], compute_ns: 0 }
}

fn run(work: &Work, shared: &SharedInput, views: &[SharedRows<'_>], clock: &dyn Fn() -> u64) -> Computed {
    guarded(work, || compute(work, shared, views, clock)).unwrap_or_else(|failure| failed(&work.prefix, failure))
}

fn compute(
    work: &Work,
    shared: &SharedInput,
    views: &[SharedRows<'_>],
    clock: &dyn Fn() -> u64,
) -> Result<Computed, Failure> {
    let (system, adapters) = (work.system.as_ref(), work.adapters.as_ref());
    let descriptor = system.descriptor();
    let mut parts = input::parts((system, adapters), &work.parcel, &work.manifest.parts, &[])?;
    let wire = work.manifest.time;
    let mut job = JobInput::new(Time { tick: wire.tick, dt: wire.dt, elapsed: wire.elapsed }, work.manifest.seed);
    job.queries = descriptor.queries.iter().map(|_| Vec::new()).collect();
    let mut places = Vec::with_capacity(parts.len());
    for part in &mut parts {
        let (source, number) = (part.source, usize::from(part.number));
        let list = if source == PartSource::Query { &mut job.queries[number] } else { &mut job.resources };
        places.push((source, number, list.len()));
        list.push(part.part());
    }
    job.views = views.iter().collect();
    job.resources.extend(shared.parts.iter().filter(|part| part.source == PartSource::Resource).map(OwnedPart::read));
    job.events = shared.events.iter().map(EventBatch::as_slice).collect();
    let started = clock();
    let output = system.run(&job)?;
    let compute_ns = clock().saturating_sub(started);
    let documents: Vec<Vec<Option<NewDocuments>>> = places
        .iter()
        .map(|(source, number, index)| {
            let list = if *source == PartSource::Query { &job.queries[*number] } else { &job.resources };
            output::documents(&list[*index])
        })
        .collect();
    drop(job);
    let figures = Figures { compute_ns, wait_ns: started.saturating_sub(work.arrived) };
    let chunks = output::result(work, &parts, documents, output, figures)?;
    Ok(Computed { prefix: work.prefix, chunks, compute_ns })
}
