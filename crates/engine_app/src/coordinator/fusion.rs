//! Fusion: systems that follow one another on the same rows hand over at their instance.
//!
//! A job that waits for rows which are still computed may be sent behind the jobs that compute them, when all of those
//! are at the same instance and that keeps what they write. It then builds on their stamps: the instance goes on with
//! its own copies, without a round trip, and the results of both come back. What is written by then is not sent, so a
//! batch is the same whether it is made before or after those results are merged.
//!
//! The result of such a batch waits here until all that it builds on is in the world. If an attempt that it builds on
//! comes to nothing, whatever the reason, so does the batch, and nobody is blamed for it: its jobs wait for their rows
//! like any others then.
//!
//! Columns that an instance has mapped aren't copies: who needs rows of those waits for the world to have them.

use engine_net::ChunkPrefix;
use engine_net::parcel::{CopyKey, Parcel};
use engine_system::planted::{self, Bug};
use smallvec::SmallVec;

use super::batches::{BatchId, OpenBatch};
use super::jobs::OpenJob;
use super::{Coordinator, Running};

/// Attempts that a job builds on: as many as there are systems between which it stands.
type Leads = SmallVec<[BatchId; 4]>;

/// What a batch builds on that wasn't in the world when it was sent.
#[derive(Debug, Default)]
pub(super) struct Fused {
    /// The attempts, all at the same instance.
    pub(super) leads: Leads,
    /// Copies that they write, in order.
    copies: Vec<CopyKey>,
}

impl Fused {
    /// Whether what it builds on writes a copy.
    pub(super) fn writes(&self, key: &CopyKey) -> bool {
        self.copies.binary_search(key).is_ok()
    }
}

/// A whole result that waits for what it builds on.
pub(super) struct Early {
    prefix: ChunkPrefix,
    parcel: Parcel,
    at: u64,
}

impl Coordinator {
    /// Jobs that wait for rows of these may be sent behind them, if all goes well until it is their turn.
    pub(super) fn queue_followers(&mut self, jobs: &[u32]) {
        let Some(running) = self.running.as_ref().filter(|_| self.settings.fuse) else { return };
        let mut followers: SmallVec<[u32; 32]> =
            jobs.iter().flat_map(|job| running.run.followers(*job)).copied().collect();
        followers.sort_unstable();
        followers.dedup();
        self.queue_fused(followers);
    }

    /// Those of some jobs that may be sent although they wait for rows.
    pub(super) fn queue_fused(&mut self, jobs: impl IntoIterator<Item = u32>) {
        let since = self.lap();
        for job in jobs {
            let Some(running) = self.running.as_ref().filter(|_| self.settings.fuse) else { return };
            let Some(open) = running.open.get(&job).filter(|open| !open.queued) else { continue };
            if self.leads_at(job, &open.member).is_none() {
                continue;
            }
            let Some(Running { queue, open, .. }) = &mut self.running else { return };
            if let Some(open) = open.get_mut(&job) {
                queue.push(&open.member, job);
                (open.queued, open.since) = (true, since);
            }
        }
    }

    /// What a job builds on that is still computed, if it may be sent behind that.
    pub(super) fn leads_at(&self, job: u32, member: &str) -> Option<Leads> {
        let running = self.running.as_ref().filter(|_| self.settings.fuse)?;
        let plan = running.run.plan();
        let entry = &self.systems[plan.nodes[plan.jobs[job as usize].node].system];
        let open = running.open.get(&job)?;
        // Who may have killed an instance is tried by itself, so that it is known who did.
        let is_suspect = |open: &OpenJob| open.alone || open.deaths > 0;
        // Which rows changed, for `Changed`, is known when they have.
        if !entry.trackers.is_empty() || is_suspect(open) {
            return None;
        }
        let mut leads = Leads::new();
        for lead in running.run.leads(job) {
            let open = running.open.get(lead).filter(|open| !is_suspect(open) && !open.doubled)?;
            let id = open.batch?;
            let batch = running.batches.get(&id).filter(|batch| batch.member == member)?;
            if !self.keeps_what_is_written(running, batch, *lead, job) {
                return None;
            }
            if !leads.contains(&id) {
                leads.push(id);
            }
        }
        Some(leads)
    }

    /// Whether all that a job reads or writes of what another one writes is in copies that the instance will have.
    fn keeps_what_is_written(&self, running: &Running, batch: &OpenBatch, lead: u32, job: u32) -> bool {
        let plan = running.run.plan();
        let queries = |job: u32| {
            let job = &plan.jobs[job as usize];
            let queries = &self.systems[plan.nodes[job.node].system].descriptor().queries;
            job.parts.iter().map(move |part| (part, &queries[usize::from(part.query)]))
        };
        let stamp = batch.cargo.keep.map(|keep| keep.stamp);
        queries(lead).flat_map(|(_, query)| &query.columns).filter(|access| access.write).all(|written| {
            queries(job).all(|(part, query)| {
                let columns = query.columns.iter().zip(&part.columns);
                columns.filter(|(access, column)| access.component == written.component && column.is_some()).all(|_| {
                    let archetype = self.world.table(part.table).archetype();
                    let key = CopyKey::in_shard(archetype, part.first_row, written.component);
                    stamp.is_some_and(|stamp| self.residents.is_made_of(batch.slot, &key, stamp))
                })
            })
        })
    }

    /// What jobs that are sent now build on; nothing for jobs whose rows are in the world.
    pub(super) fn fuse(&self, jobs: &[u32], member: &str) -> Fused {
        let Some(running) = &self.running else { return Fused::default() };
        let mut fused = Fused::default();
        for job in jobs.iter().filter(|job| running.run.waits(**job)) {
            fused.leads.extend(self.leads_at(*job, member).unwrap_or_default());
        }
        fused.leads.sort_unstable();
        fused.leads.dedup();
        for batch in fused.leads.iter().filter_map(|id| running.batches.get(id)) {
            fused.copies.extend(batch.cargo.copies.iter().filter(|(_, written)| *written).map(|(key, _)| *key));
        }
        fused.copies.sort_unstable();
        fused
    }

    /// Whether a batch was sent behind others, and waits for what comes of them.
    pub(super) fn waits_for_leads(&self, batch: &OpenBatch) -> bool {
        let Some(running) = &self.running else { return false };
        !batch.fused.leads.is_empty() && batch.jobs.iter().any(|job| running.run.waits(*job))
    }

    /// A result is whole, and what it builds on is not in the world.
    pub(super) fn keep_early(&mut self, now: u64, id: BatchId, prefix: ChunkPrefix, parcel: Parcel) {
        self.free_room(id);
        if let Some(open) = self.running.as_mut().and_then(|running| running.batches.get_mut(&id)) {
            open.early = Some(Early { prefix, parcel, at: now });
        }
    }

    /// The rows of some jobs have come, which were sent before: if their result is here, it counts now.
    pub(super) fn take_early(&mut self, now: u64, jobs: &[u32]) {
        let Some(running) = &self.running else { return };
        let mut ids: Leads = jobs.iter().filter_map(|job| running.open.get(job)?.batch).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let Some(open) = self.running.as_ref().and_then(|running| running.batches.get(&id)) else { continue };
            if self.waits_for_leads(open) {
                continue;
            }
            let Some(open) = self.running.as_mut().and_then(|running| running.batches.get_mut(&id)) else { continue };
            open.counts_from = now;
            let Some(Early { prefix, parcel, at }) = open.early.take() else { continue };
            let member = open.member.clone();
            if let Err(rejection) = self.take_result(now, &member, id, parcel, at) {
                self.reject_member(&member, &prefix, &rejection);
            }
        }
    }

    /// An attempt comes to nothing, and with it all that was sent behind it.
    pub(super) fn end_followers(&mut self, id: BatchId) {
        if planted::is(Bug::KeepFollowers) {
            return;
        }
        let Some(running) = &self.running else { return };
        let builds_on_it = |batch: &OpenBatch| batch.fused.leads.contains(&id);
        let ids: Vec<BatchId> =
            running.batches.iter().filter(|(_, batch)| builds_on_it(batch)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.take_back(id));
    }

    /// A batch that was sent behind others comes to nothing: its jobs wait for their rows.
    pub(super) fn take_back(&mut self, id: BatchId) {
        let Some(batch) = self.end_batch(id) else { return };
        self.figures.count("fused.ended");
        let Some(running) = &mut self.running else { return };
        let mut next = Vec::new();
        for job in batch.jobs {
            let Some(open) = running.open.get_mut(&job).filter(|open| open.batch.is_none()) else { continue };
            if running.run.waits(job) {
                (open.attempt, open.queued) = (open.attempt.wrapping_add(1), false);
            } else {
                next.push(job);
            }
        }
        self.assign_jobs(self.now, next);
    }
}
