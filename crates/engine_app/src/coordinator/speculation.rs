//! Stragglers: a batch that is late is also given to an instance that has nothing to do. Whichever result is complete
//! first counts, whole; the other one is compared with it (`late_results.rs`).
//!
//! A batch is late when it takes [`TIMES`] as long as the last batches of its system did, and [`LEAST`] at least, at two
//! looks at the clock: what came meanwhile was read between them. An instance that has more than one batch works at them
//! one after the other, so the time counts from when it was done with the one before. Only an instance without jobs gets
//! a second attempt: where all are busy there is none. There is one for each job in a tick, and [`MOST`] are open at once.
//!
//! Invariant: the clock decides whether there is a second attempt, and nothing of what is in the world. A system that
//! isn't deterministic would let it decide that too, so its jobs are left where they are; so are jobs that failed, or
//! that an instance may have died of, and all jobs of a tick that is repeated.

use super::Coordinator;
use super::batches::BatchId;
use crate::members::Member;
use crate::plan::TickPlan;

/// No batch is late before, in nanoseconds.
const LEAST: u64 = 20_000_000;
/// How many times as long as others it takes.
const TIMES: u64 = 3;
/// Second attempts that are open at once.
const MOST: usize = 8;

impl Coordinator {
    /// Gives batches that are late to idle instances.
    pub(super) fn speculate(&mut self, now: u64) {
        if !self.settings.speculate || self.replayed.is_some() || self.recovering {
            return;
        }
        for id in self.late_batches(now) {
            if self.second_attempts() >= MOST {
                return;
            }
            self.send_second(now, id);
        }
    }

    /// Second attempts that are open.
    pub(super) fn second_attempts(&self) -> usize {
        let Some(running) = &self.running else { return 0 };
        running.batches.iter().filter(|(id, open)| open.is_second && running.run.is_open(id.job)).count()
    }

    /// Batches that are late now, and were when the clock was last looked at.
    fn late_batches(&mut self, now: u64) -> Vec<BatchId> {
        let Some(running) = &mut self.running else { return Vec::new() };
        let plan = running.run.plan();
        let mut late = Vec::new();
        for (id, batch) in running.batches.iter_mut().filter(|(id, _)| running.run.is_open(id.job)) {
            let entry = &self.systems[plan.nodes[plan.jobs[id.job as usize].node].system];
            let done = self.members.get(&batch.member).map_or(now, |member| member.last_done);
            let waited = now.saturating_sub(batch.counts_from.max(done));
            let is_long = |expected: u64| waited > expected.saturating_mul(TIMES);
            let is_late = waited > LEAST && entry.paces.expected(rows_of(plan, &batch.jobs)).is_some_and(is_long);
            let was_late = std::mem::replace(&mut batch.is_late, is_late);
            let may_be_doubled = |job: &u32| {
                let open = running.open.get(job).filter(|open| open.batch == Some(*id));
                let is_next = open.is_some_and(|open| !open.doubled && !open.alone && open.deaths == 0);
                is_next && !running.run.waits(*job)
            };
            let is_deterministic = !entry.descriptor().options.nondeterministic;
            if is_late && was_late && is_deterministic && batch.jobs.iter().all(may_be_doubled) {
                late.push(*id);
            }
        }
        late
    }

    fn send_second(&mut self, now: u64, first: BatchId) {
        let Some(running) = &self.running else { return };
        let Some(batch) = running.batches.get(&first) else { return };
        let (jobs, from) = (batch.jobs.clone(), batch.member.clone());
        let node = running.run.plan().jobs[first.job as usize].node;
        let system = self.systems[running.run.plan().nodes[node].system].name().to_owned();
        let Some(to) = self.idle_instance(now, &system, &from) else { return };
        let Some(running) = &mut self.running else { return };
        for job in &jobs {
            let Some(open) = running.open.get_mut(job) else { continue };
            (open.attempt, open.doubled) = (open.attempt.wrapping_add(1), true);
        }
        let id = BatchId { job: first.job, attempt: self.latest_attempt(first.job) };
        let tick = self.current_tick();
        tracing::debug!(
            tick,
            system,
            job = first.job,
            from,
            to,
            "a batch is late, and is given to somebody else as well"
        );
        self.figures.count("speculative");
        self.send_batch(&to, jobs, id, true);
    }

    /// An instance of a system that has nothing to do: the fastest of them.
    fn idle_instance(&self, now: u64, system: &str, but: &str) -> Option<String> {
        let running = self.running.as_ref()?;
        let is_idle = |member: &&Member| {
            let Member { name, slot, open_jobs, in_flight, .. } = member;
            // What counts no longer is still computed.
            let is_busy = *open_jobs > 0 || *in_flight > 0 || self.late_results.is_busy(now, *slot);
            name != but
                && !is_busy
                && !member.is_quiet(now)
                && !running.queue.line(name).any(|job| self.may_be_sent(job, name))
        };
        let idle = self.members.of_system(system).filter(is_idle);
        idle.max_by(|a, b| a.speed.total_cmp(&b.speed).then_with(|| b.name.cmp(&a.name)))
            .map(|member| member.name.clone())
    }

    /// An instance has brought the result of a batch that was sent then.
    pub(super) fn note_batch(&mut self, now: u64, instance: &str, system: usize, (sent_at, rows): (u64, u64)) {
        let Some(member) = self.members.get_mut(instance) else { return };
        let (slot, done) = (member.slot, member.last_done);
        // One that waited here for another one's result tells nothing of how long it took.
        if now >= done {
            member.last_done = now;
            let took = now.saturating_sub(sent_at.max(done));
            self.systems[system].paces.note(took, rows);
            self.members.note_work(instance, rows.max(1), took);
        }
        self.late_results.done_since(slot, sent_at);
    }
}

/// Rows of a batch.
pub(super) fn rows_of(plan: &TickPlan, jobs: &[u32]) -> u64 {
    let parts = jobs.iter().flat_map(|job| &plan.jobs[*job as usize].parts);
    parts.map(|part| u64::from(part.rows)).sum()
}
