//! Jobs that are late: asking after silent ones, giving up who does not answer, and what the system's policy says
//! at its deadline.

use engine_net::descriptor::DeadlinePolicy;
use engine_net::parcel::control::{self, Missing};
use engine_net::{ChunkKind, ChunkPrefix};
use engine_system::planted::{self, Bug};

use super::Coordinator;
use super::batches::{BatchId, OpenBatch};
use super::jobs::Gone;
use crate::members::QUIET;
use crate::merge::JobResult;

/// Who is called so late, in nanoseconds, stood still itself: nobody else's silence counts.
const STOOD_STILL: u64 = 1_000_000_000;

impl Coordinator {
    /// After a pause of this process, what arrived meanwhile is still to be read.
    pub(super) fn forgive_silence(&mut self, now: u64) {
        let before = std::mem::replace(&mut self.last_clock, now);
        if before == 0 || now.saturating_sub(before) < STOOD_STILL {
            return;
        }
        tracing::warn!(ms = (now - before) / 1_000_000, "the coordinator stood still");
        self.figures.count("stood_still");
        self.members.iter_mut().for_each(|member| (member.last_heard, member.last_done) = (now, now));
        if let Some(running) = &mut self.running {
            running.batches.values_mut().for_each(|open| open.heard_at = now);
        }
    }

    /// Asks after jobs that are silent, and applies deadline policies.
    pub(super) fn look_after_jobs(&mut self, now: u64) {
        let Some(running) = &self.running else { return };
        let ask_after = self.settings.ask_after_ms * 1_000_000;
        let timeout = self.settings.instance_timeout_ms * 1_000_000;
        let mut silent = Vec::new();
        let mut dead = Vec::new();
        for (id, open) in
            running.batches.iter().filter(|(id, open)| running.run.is_open(id.job) && open.early.is_none())
        {
            let silence = now.saturating_sub(open.heard_at);
            // Who computes for long says so, and sends heartbeats: without either it is given up sooner.
            let is_quiet = self.members.get(&open.member).is_some_and(|member| member.is_quiet(now));
            if silence > timeout || silence > QUIET && is_quiet {
                dead.push(open.member.clone());
            } else if silence > ask_after << open.asked.min(4) {
                silent.push(*id);
            }
        }
        for member in dead {
            self.lose_member(now, &member, Gone::Silent);
        }
        for id in silent {
            self.ask_after(id);
        }
        self.apply_deadlines(now);
        self.speculate(now);
    }

    /// Asks an instance for the result of a batch: for what is missing of it, or for all.
    fn ask_after(&mut self, id: BatchId) {
        let Some(running) = &mut self.running else { return };
        if planted::is(Bug::MergePartialNode) && running.run.is_open(id.job) {
            running.run.stage(id.job, JobResult::Held);
            return;
        }
        let tick = running.tick;
        let Some(open) = running.batches.get_mut(&id) else { return };
        open.asked += 1;
        let chunks: Vec<u16> = open
            .result
            .as_ref()
            .map(|result| result.missing().take(control::MAX_MISSING).collect())
            .unwrap_or_default();
        let missing = Missing { of: ChunkKind::Result as u8, chunks };
        let prefix = ChunkPrefix {
            kind: ChunkKind::Resend,
            attempt: id.attempt,
            job: id.job,
            epoch: self.epoch,
            tick,
            chunk: 0,
            chunks: 1,
            instance: open.slot,
        };
        let payload = control::encode(&prefix, ChunkKind::Resend, &missing);
        self.figures.count("asked_again");
        self.send_chunks(id, vec![payload], true);
    }

    /// Not in a tick that is repeated: what was decided then is in its record.
    fn apply_deadlines(&mut self, now: u64) {
        if self.replayed.is_some() {
            return;
        }
        let Some(running) = &self.running else { return };
        let plan = running.run.plan();
        // Of two attempts, the first one's time counts.
        let first = |(id, batch): &(&BatchId, &OpenBatch)| {
            batch.jobs.first().and_then(|job| running.open.get(job)).is_some_and(|open| open.batch == Some(**id))
        };
        let sent = running.batches.iter().filter(first);
        let sent = sent.flat_map(|(id, batch)| batch.jobs.iter().map(move |job| (*job, Some((id, batch)))));
        // Who has no instance is late as well, counted from when its system's turn came.
        let waiting = sent.chain(running.queue.homeless().iter().map(|job| (*job, None)));
        // A batch that was sent behind others is late from when it waits for nothing but its instance.
        let is_next = |job: u32, open: Option<&OpenBatch>| {
            let waits = running.run.waits(job) || open.is_some_and(|open| self.waits_for_leads(open));
            running.run.is_open(job) && !waits
        };
        let mut late = Vec::new();
        for (job, open) in waiting.filter(|(job, open)| is_next(*job, open.map(|(_, open)| open))) {
            let node = plan.jobs[job as usize].node;
            let system = &self.systems[plan.nodes[node].system];
            let options = &system.descriptor().options;
            let deadline = options.deadline_ms.map(|ms| u64::from(ms) * 1_000_000);
            let since = open.map_or(system.run.started, |(_, open)| open.counts_from);
            if deadline.is_some_and(|deadline| now.saturating_sub(since) > deadline) {
                late.push((job, node, options.deadline, open.map(|(id, open)| (id.attempt, open.member.clone()))));
            }
        }
        for (job, node, policy, at) in late {
            if !self.running.as_ref().is_some_and(|running| running.run.is_open(job)) {
                continue; // Its node was skipped just now.
            }
            match (policy, at) {
                (DeadlinePolicy::Retry { n }, Some((attempt, member))) if u32::from(attempt) < n => {
                    self.retry_elsewhere(now, job, &member);
                }
                (DeadlinePolicy::Wait | DeadlinePolicy::Retry { .. }, _) => {}
                (DeadlinePolicy::Hold, _) => {
                    let held = self.stage_held(job);
                    *self.figures.counters.entry("held".into()).or_default() += held;
                }
                (DeadlinePolicy::Skip, _) => self.skip_node(node),
            }
        }
    }

    /// A job that is late, and those that travel with it, go to somebody else.
    fn retry_elsewhere(&mut self, now: u64, job: u32, from: &str) {
        let Some(running) = &self.running else { return };
        let node = running.run.plan().jobs[job as usize].node;
        let name = self.systems[running.run.plan().nodes[node].system].name().to_owned();
        if self.members.of_system(&name).filter(|member| member.name != from).count() == 0 {
            return;
        }
        let Some(batch) = self.end_batches_of(job) else { return };
        self.figures.count("retried");
        // The slow one gets less from now on.
        self.members.slow_down(from);
        self.assign_jobs(now, batch.jobs);
    }

    /// The node does not happen in this tick: nothing of it is merged.
    fn skip_node(&mut self, node: usize) {
        self.figures.count("skipped");
        let Some(running) = &self.running else { return };
        for job in running.run.plan().nodes[node].jobs.clone() {
            self.end_batches_of(job);
            if let Some(running) = &mut self.running {
                running.kept.insert(job);
                running.run.replace(job, JobResult::Held);
            }
        }
    }
}
