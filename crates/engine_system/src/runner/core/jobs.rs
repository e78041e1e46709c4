//! From parcels to jobs, and what became of them.

use std::sync::Arc;

use bytes::Bytes;
use engine_net::parcel::{ChunkSizes, Failed, JobManifest, Missing, Parcel, control};
use engine_net::{ChunkKind, ChunkPrefix};

use super::super::compute::{Computed, Work};
use super::collect::Asking;
use super::{Answer, InstanceCore};

/// A job in its epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct JobKey {
    pub(super) tick: u64,
    pub(super) job: u32,
    pub(super) attempt: u16,
}

impl From<&ChunkPrefix> for JobKey {
    fn from(prefix: &ChunkPrefix) -> Self {
        Self { tick: prefix.tick, job: prefix.job, attempt: prefix.attempt }
    }
}

/// A complete job whose shared input is not.
pub(super) struct WaitingJob {
    pub(super) prefix: ChunkPrefix,
    pub(super) manifest: JobManifest,
    pub(super) parcel: Parcel,
    pub(super) arrived: u64,
}

/// A job that was handed out.
pub(super) struct Running {
    /// What its parcel holds.
    pub(super) bytes: usize,
}

impl InstanceCore {
    /// Whether all of a job is here, or was.
    pub(super) fn has_job(&self, key: &JobKey) -> bool {
        self.running.contains_key(key)
            || self.results.contains_key(key)
            || self.waiting.iter().any(|job| JobKey::from(&job.prefix) == *key)
    }

    pub(super) fn complete(&mut self, prefix: &ChunkPrefix, parcel: Parcel) {
        if prefix.kind == ChunkKind::Shared {
            self.shared.insert((prefix.tick, prefix.job), (prefix.attempt, Arc::new(parcel)));
            self.lacking.remove(&(prefix.tick, prefix.job));
            return self.start_jobs();
        }
        let manifest = match parcel.manifest::<JobManifest>() {
            Ok(manifest) => manifest,
            Err(error) => return self.refuse(prefix, &format!("the job's manifest can't be read: {error}")),
        };
        if !self.systems.contains_key(&manifest.system) {
            let known: Vec<&str> = self.systems.keys().map(String::as_str).collect();
            let message = format!(
                "instance `{}` does not run system `{}`; it runs {}",
                self.name,
                manifest.system,
                known.join(", ")
            );
            return self.refuse(prefix, &message);
        }
        let prefix = prefix.answer(ChunkKind::Job);
        self.waiting.push(WaitingJob { prefix, manifest, parcel, arrived: self.now });
        self.start_jobs();
    }

    /// A job that can't be run is answered with the reason. A shared input that can't be used is only
    /// counted: the jobs that need it ask for it.
    pub(super) fn refuse(&mut self, prefix: &ChunkPrefix, message: &str) {
        self.figures.refused += 1;
        let (epoch, tick, job) = (prefix.epoch, prefix.tick, prefix.job);
        tracing::warn!(epoch, tick, job, why = message, "a parcel is refused");
        if prefix.kind == ChunkKind::Job {
            let body = Failed { reason: "refused".to_owned(), message: message.to_owned() };
            let payload = control::encode(prefix, ChunkKind::Failed, &body);
            self.keep(&prefix.answer(ChunkKind::Job), vec![payload]);
        }
    }

    /// Starts jobs that have all that they need, in the order in which they became complete.
    fn start_jobs(&mut self) {
        let Some(accepted) = &self.accepted else { return };
        let limit = self.max_payload.saturating_sub(16 << 10).max(4 << 10);
        let sizes = ChunkSizes { aim: accepted.chunk_bytes as usize, limit };
        for job in std::mem::take(&mut self.waiting) {
            let node = (job.prefix.tick, job.manifest.node);
            let needed = job.manifest.shared;
            let shared = self.shared.get(&node).filter(|(attempt, _)| needed.is_some_and(|needed| *attempt >= needed));
            let shared = shared.map(|(_, parcel)| parcel.clone());
            if needed.is_some() && shared.is_none() {
                self.lacking.entry(node).or_insert_with(|| Asking::new(self.now));
                self.waiting.push(job);
                continue;
            }
            let name = &job.manifest.system;
            let (Some(system), Some(adapters)) = (self.systems.get(name), self.adapters.get(name)) else { continue };
            self.running.insert(JobKey::from(&job.prefix), Running { bytes: job.parcel.bytes() });
            self.answers.push_back(Answer::Compute(Box::new(Work {
                system: system.clone(),
                adapters: adapters.clone(),
                prefix: job.prefix,
                shared,
                manifest: job.manifest,
                parcel: job.parcel,
                copies: self.copies.clone(),
                mapping: self.mapping.clone(),
                sizes,
                arrived: job.arrived,
            })));
        }
    }

    /// Whether a job that was handed out is still wanted.
    #[must_use]
    pub fn wants(&self, work: &Work) -> bool {
        self.running.contains_key(&JobKey::from(&work.prefix))
    }

    /// A job is begun now: heartbeats count the time that it takes.
    pub fn begin(&mut self, now: u64) {
        self.figures.begin(now);
    }

    /// A job is computed.
    pub fn computed(&mut self, computed: Computed) {
        self.figures.done(computed.compute_ns);
        let current = self.accepted.as_ref().is_some_and(|accepted| {
            accepted.epoch == computed.prefix.epoch && accepted.slot == computed.prefix.instance
        });
        if !current || self.running.remove(&JobKey::from(&computed.prefix)).is_none() {
            return; // Of an epoch that is over: nobody wants it.
        }
        self.keep(&computed.prefix, computed.chunks);
    }

    /// Answers a job, and keeps the answer to give it again.
    fn keep(&mut self, prefix: &ChunkPrefix, chunks: Vec<Bytes>) {
        for payload in &chunks {
            self.answer(prefix.epoch, payload.clone());
        }
        self.results.insert(prefix.into(), chunks);
    }

    /// The coordinator has not heard of a job.
    pub(super) fn send_again(&mut self, prefix: &ChunkPrefix, missing: &Missing) {
        let key = JobKey::from(prefix);
        let id = ChunkPrefix { kind: ChunkKind::Job, ..*prefix }.parcel();
        if let Some(chunks) = self.results.get(&key) {
            let Some(wanted) = missing.wanted(chunks.len()) else {
                self.figures.refused += 1;
                return;
            };
            let wanted: Vec<Bytes> = wanted.into_iter().map(|number| chunks[number].clone()).collect();
            wanted.into_iter().for_each(|payload| self.answer(prefix.epoch, payload));
        } else if self.has_job(&key) {
            self.answer(prefix.epoch, control::working(&prefix.answer(ChunkKind::Working)));
        } else if self.incoming.contains_key(&id) {
            self.ask_for(&id);
        } else {
            self.ask_for_all(prefix, ChunkKind::Job);
        }
    }
}
