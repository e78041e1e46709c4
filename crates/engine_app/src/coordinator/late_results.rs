//! The slower one of two attempts: its result doesn't count. When it comes all the same it is compared with the one that
//! did: a system that is deterministic makes the same of the same, wherever it runs. If it did not, the system depends
//! on something that isn't in the world, or one of the two instances is broken, and somebody has to be told.
//!
//! It may come when its tick is over: so all that it takes to check it is kept here, for [`KEPT`] ticks and of [`MOST`]
//! attempts. Columns that an instance has mapped it reads in place: once the result that counts is merged there are other
//! values, and what comes of those says nothing. Such a result is compared only before.

use std::collections::VecDeque;

use bytes::Bytes;
use engine_net::messages::rejected::RejectReason;
use engine_net::parcel::control::{self, Failed, Missing};
use engine_net::parcel::{Assembler, Limits, Parcel, PartManifest, Progress};
use engine_net::{ChunkKind, ChunkPrefix};
use engine_system::planted::{self, Bug};

use super::Coordinator;
use super::batches::BatchId;
use super::early::crosses_nothing;
use super::speculation::rows_of;
use crate::merge::JobResult;
use crate::plan::PartPlan;
use crate::receive::{self, Received, Rejection};
use crate::result_digest::digests;
use crate::staged::{Reading, Staged};
use crate::tick_run::NodeState;

/// Attempts whose results are waited for, at the most.
const MOST: usize = 8;
/// Ticks for which they are.
const KEPT: u64 = 64;
/// How long an instance is taken to be still at it, at the most, in nanoseconds.
const BUSY: u64 = 1_000_000_000;

/// An attempt that another one was faster than.
struct LateResult {
    id: BatchId,
    tick: u64,
    node: usize,
    system: String,
    /// Where it is, and who was faster.
    slot: u32,
    instance: String,
    faster: String,
    sent_at: u64,
    jobs: Vec<u32>,
    /// The shards of its jobs, and what the result that counts made of each.
    shards: Vec<u32>,
    digests: Vec<u64>,
    /// The parts of each job as results name them, and of all as the instance was told them.
    parts: Vec<Vec<PartManifest>>,
    told: Vec<PartManifest>,
    /// The instance reads some of them in place.
    is_mapped: bool,
    /// Its rows were in the world as soon as the other result was.
    is_early: bool,
    /// It was the second attempt.
    is_second: bool,
    /// Until when its instance is taken to be still at it: it may have answered what was sent later, or be done for long,
    /// and the answer is lost.
    busy_until: u64,
    limit: usize,
    result: Option<Assembler>,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct LateResults {
    waiting: VecDeque<LateResult>,
}

impl LateResults {
    /// Waits for one more; whether the oldest one is given up for it.
    fn expect(&mut self, late: LateResult) -> bool {
        self.waiting.push_back(late);
        self.waiting.len() > MOST && self.waiting.pop_front().is_some()
    }

    fn find(&self, instance: &str, prefix: &ChunkPrefix) -> Option<usize> {
        self.waiting.iter().position(|late| {
            (late.tick, late.id, late.slot) == (prefix.tick, BatchId::of(prefix), prefix.instance)
                && late.instance == instance
        })
    }

    /// Whether an instance may still compute what doesn't count any longer.
    pub(super) fn is_busy(&self, now: u64, slot: u32) -> bool {
        self.waiting.iter().any(|late| late.slot == slot && late.busy_until > now)
    }

    /// Whether an instance was so slow that somebody else was faster, and is still at it: it gets no jobs while there are
    /// others, or each tick would wait for it anew.
    pub(super) fn is_behind(&self, now: u64, slot: u32) -> bool {
        self.waiting.iter().any(|late| late.slot == slot && late.busy_until > now && !late.is_second)
    }

    #[cfg(test)]
    pub(super) fn pretend_mapped(&mut self) {
        self.waiting.iter_mut().for_each(|late| late.is_mapped = true);
    }

    /// An instance has answered what was sent then: so it is done with all before.
    pub(super) fn done_since(&mut self, slot: u32, sent_at: u64) {
        let before = self.waiting.iter_mut().filter(|late| late.slot == slot && late.sent_at < sent_at);
        before.for_each(|late| late.busy_until = 0);
    }

    /// An instance is gone.
    pub(super) fn forget_instance(&mut self, slot: u32) {
        self.waiting.retain(|late| late.slot != slot);
    }

    /// How many are waited for.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl Coordinator {
    /// The result of an attempt is there and checked. If there is another attempt, that one doesn't count any longer.
    pub(super) fn claim(&mut self, now: u64, id: BatchId, received: &Received, staged: &Staged) {
        let Some(running) = &self.running else { return };
        let Some(winner) = running.batches.get(&id) else { return };
        if winner.is_second {
            self.figures.count("speculative.won");
        }
        let Some((other, slower)) = running.batches.range(BatchId::all(id.job)).find(|(other, _)| **other != id) else {
            return;
        };
        let (other, faster) = (*other, winner.member.clone());
        let plan = running.run.plan();
        let jobs: Vec<_> = slower.jobs.iter().map(|job| &plan.jobs[*job as usize]).collect();
        let descriptor = self.systems[plan.nodes[jobs[0].node].system].descriptor();
        let parts = receive::parts_of(&self.world, descriptor, &jobs);
        let rows = rows_of(plan, &slower.jobs);
        let places: Vec<&PartPlan> = jobs.iter().flat_map(|job| job.parts.iter().chain(&job.resources)).collect();
        let mut late = LateResult {
            id: other,
            tick: running.tick,
            node: jobs[0].node,
            system: descriptor.name.clone(),
            slot: slower.slot,
            instance: slower.member.clone(),
            faster,
            sent_at: slower.sent_at,
            jobs: slower.jobs.clone(),
            shards: jobs.iter().map(|job| job.shard).collect(),
            digests: digests(&self.world, &places, &parts, received, staged),
            told: slower.cargo.parts.clone(),
            is_mapped: self.mapped.is_at(slower.slot),
            is_early: crosses_nothing(descriptor),
            is_second: slower.is_second,
            busy_until: now + BUSY,
            limit: self.result_limit(other),
            parts,
            result: None,
        };
        let ended = self.end_batch(other);
        late.result = ended.and_then(|ended| ended.result);
        // It may be slower than that.
        let took = now.saturating_sub(late.sent_at);
        let speed = rows as f64 * 1e9 / took.max(1) as f64;
        if self.members.get(&late.instance).is_some_and(|member| member.speed > speed) {
            self.members.note_work(&late.instance, rows, took);
        }
        if self.late_results.expect(late) {
            self.figures.count("speculative.uncompared");
        }
    }

    /// What is too old is not waited for.
    pub(super) fn forget_old_attempts(&mut self, tick: u64) {
        self.late_results.waiting.retain(|late| late.tick + KEPT > tick);
    }

    /// Whether something is about an attempt that another one was faster than.
    pub(super) fn is_superfluous(&self, instance: &str, prefix: &ChunkPrefix) -> bool {
        let is_answer = matches!(prefix.kind, ChunkKind::Result | ChunkKind::Working | ChunkKind::Failed);
        is_answer && prefix.epoch == self.epoch && self.late_results.find(instance, prefix).is_some()
    }

    /// Something about such an attempt.
    pub(super) fn superfluous(&mut self, now: u64, instance: &str, prefix: &ChunkPrefix, payload: Bytes) {
        if let Some(member) = self.members.get_mut(instance) {
            member.hear(now);
        }
        let Some(place) = self.late_results.find(instance, prefix) else { return };
        let outcome = match prefix.kind {
            ChunkKind::Result => self.late_chunk(now, place, prefix, payload),
            ChunkKind::Failed => self.late_failure(place, &payload.slice(engine_net::prefix::PREFIX_BYTES..)),
            _ => Ok(()),
        };
        if let Err(rejection) = outcome {
            self.reject_member(instance, prefix, &rejection);
        }
    }

    /// An instance lacks chunks. Those of what doesn't count any longer it doesn't get, so it will not compute that.
    pub(super) fn lacks_chunks(&mut self, instance: &str, prefix: &ChunkPrefix, body: &[u8]) {
        if self.late_results.len() == 0 {
            return;
        }
        let Ok(missing) = control::decode::<Missing>(body) else { return };
        let of_shared = missing.of == ChunkKind::Shared as u8;
        let is_meant = |late: &LateResult| {
            let is_it = if of_shared { late.node == prefix.job as usize } else { late.id == BatchId::of(prefix) };
            is_it && (late.tick, late.slot) == (prefix.tick, prefix.instance) && late.instance == instance
        };
        let before = self.late_results.len();
        self.late_results.waiting.retain(|late| !is_meant(late));
        if self.late_results.len() < before {
            self.figures.count("speculative.uncompared");
        }
    }

    fn late_failure(&mut self, place: usize, body: &[u8]) -> Result<(), Rejection> {
        let failed: Failed = control::decode(body).map_err(|error| Rejection::new(RejectReason::Garbage, error))?;
        let Some(late) = self.late_results.waiting.remove(place) else { return Ok(()) };
        self.figures.count("speculative.uncompared");
        match failed.reason.as_str() {
            // Its copies are forgotten already.
            "stale" | "corrupt" => self.residents.forget_lists(late.slot),
            "unmapped" => drop(self.mapped.withdraw(late.slot)),
            reason => {
                let LateResult { tick, system, instance, .. } = &late;
                tracing::warn!(tick, system, instance, reason, why = failed.message, "a late job failed");
            }
        }
        Ok(())
    }

    fn late_chunk(&mut self, now: u64, place: usize, prefix: &ChunkPrefix, payload: Bytes) -> Result<(), Rejection> {
        let Some(late) = self.late_results.waiting.get_mut(place) else { return Ok(()) };
        if let Some(running) = &mut self.running {
            running.bytes += payload.len() as u64;
        }
        let assembler = match &mut late.result {
            Some(assembler) => assembler,
            none => none.insert(Assembler::new(prefix, Limits { chunks: u16::MAX, bytes: late.limit })?),
        };
        let progress = assembler.push(payload).inspect_err(|_| late.result = None)?;
        if progress != Progress::Complete {
            return Ok(());
        }
        let Some(mut late) = self.late_results.waiting.remove(place) else { return Ok(()) };
        if let Some(member) = self.members.get_mut(&late.instance) {
            member.last_done = now;
        }
        let Some(parcel) = late.result.take().and_then(Assembler::finish) else { return Ok(()) };
        self.compare_late(&late, parcel)
    }

    /// Compares a result with the one that counted.
    fn compare_late(&mut self, late: &LateResult, parcel: Parcel) -> Result<(), Rejection> {
        let Some(entry) = self.systems.iter().find(|entry| entry.name() == late.system) else { return Ok(()) };
        let received = receive::check_late(&self.world, entry.descriptor(), &late.parts, parcel)?;
        let of_tick = self.running.as_ref().filter(|running| running.tick == late.tick);
        let plan = of_tick.map(|running| running.run.plan());
        let is_open =
            of_tick.is_some_and(|running| running.run.state(late.node) != NodeState::Merged && !late.is_early);
        let output = self.mapped.output(late.slot);
        let is_through_memory = !received.mapped.is_empty();
        if !is_open && late.is_mapped || is_through_memory && (!is_open || output.is_none()) {
            self.figures.count("speculative.uncompared");
            return Ok(());
        }
        let jobs =
            plan.filter(|_| is_open).into_iter().flat_map(|plan| late.jobs.iter().map(|job| &plan.jobs[*job as usize]));
        let places: Vec<&PartPlan> = jobs.flat_map(|job| job.parts.iter().chain(&job.resources)).collect();
        let staged = match output.filter(|_| is_through_memory) {
            Some(output) => {
                let (world, descriptor) = (&self.world, entry.descriptor());
                let (parts, spawns, output) = (&late.told, &received.spawns, &output);
                Reading { world, descriptor, parts, spawns, output }.stage(&received.mapped, Vec::new())?
            }
            None => Staged::default(),
        };
        let digests = digests(&self.world, &places, &late.parts, &received, &staged);
        if planted::is(Bug::MergeBothAttempts) {
            self.merge_again(late, received, staged);
        }
        let differing = digests.iter().zip(&late.digests).position(|(one, other)| one != other);
        let Some(job) = differing else {
            self.figures.count("speculative.equal");
            return Ok(());
        };
        self.figures.count("speculative.differs");
        let LateResult { system, tick, instance, faster, .. } = late;
        let shard = late.shards.get(job);
        tracing::error!(
            system,
            tick,
            shard,
            instance,
            faster,
            "two instances made different things of the same job: the system is not deterministic, or one of them is broken"
        );
        let message = format!(
            "system `{system}`, tick {tick}, shard {}: another result than that of instance `{faster}`, which counts",
            shard.copied().unwrap_or_default()
        );
        Err(Rejection::new(RejectReason::Nondeterminism, message))
    }

    /// The mistake that all this avoids.
    fn merge_again(&mut self, late: &LateResult, received: Received, staged: Staged) {
        let Some(running) = self.running.as_mut().filter(|running| running.tick == late.tick) else { return };
        self.world.advance_version();
        for (_, mut result) in JobResult::of_batch(&late.jobs, received, staged) {
            for (event, batch) in result.take_effects().1 {
                self.events.append(event, batch);
            }
            result.merge(&mut self.world, running.run.plan(), &mut self.row_counts);
        }
    }
}
