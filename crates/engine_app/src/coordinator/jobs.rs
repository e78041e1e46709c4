//! Jobs at instances: who gets which, and moving them when an instance dies.

use super::Coordinator;
use super::batches::{BatchId, OpenBatch};
use crate::members::{Member, MemberState, shard_key};

/// A job that is assigned to an instance.
pub(super) struct OpenJob {
    /// The instance.
    pub(super) member: String,
    /// Which attempt is the latest; a job that moves gets the next one.
    pub(super) attempt: u16,
    /// It is in its instance's line, or was; one that waits for rows is not.
    pub(super) queued: bool,
    /// When it could be sent, for figures.
    pub(super) since: u64,
    /// In which batch it was sent; none before. Of two attempts that are open, the first.
    pub(super) batch: Option<BatchId>,
    /// Instances that died with it.
    pub(super) deaths: u32,
    /// It was in a batch that failed: now it is sent by itself, so that it is known which job it was.
    pub(super) alone: bool,
    /// It was given to a second instance while it was open at a first: once in a tick is enough.
    pub(super) doubled: bool,
}

impl OpenJob {
    /// Its instance is gone, and may have died of it.
    fn blame(&mut self, jobs_of_batch: usize) {
        // Which job of a batch it was nobody knows: they are tried one by one.
        if jobs_of_batch > 1 {
            self.alone = true;
        } else {
            self.deaths += 1;
        }
    }
}

/// Why an instance is taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gone {
    /// Nobody listens on its subject.
    NobodyListens,
    /// It did not answer for too long.
    Silent,
    /// Another process has its name now.
    Replaced,
    /// The same process registers once more.
    Anew,
    /// The connection of the coordinator was lost.
    Disconnected,
    /// It said so.
    Leaves,
}

impl Gone {
    /// Whether its jobs may have killed it. Who merely lost its connection computes them well the next time,
    /// however often that happens.
    fn is_death(self) -> bool {
        matches!(self, Self::NobodyListens | Self::Silent | Self::Replaced)
    }
}

impl Coordinator {
    /// Chooses an instance for each job. Jobs for which there is none stay unassigned until one joins.
    pub(super) fn assign_jobs(&mut self, now: u64, jobs: Vec<u32>) {
        let since = self.lap();
        let Some(running) = &mut self.running else { return };
        let Some(first) = jobs.first() else { return };
        let node = running.run.plan().jobs[*first as usize].node;
        let name = self.systems[running.run.plan().nodes[node].system].name().to_owned();
        let shards: Vec<(u64, u64)> = jobs
            .iter()
            .map(|job| {
                let parts = &running.run.plan().jobs[*job as usize].parts;
                let key = parts
                    .first()
                    .map_or(0, |part| shard_key(self.world.table(part.table).archetype().to_bits(), part.first_row));
                (key, parts.iter().map(|part| u64::from(part.rows)).sum())
            })
            .collect();
        let is_behind = |member: &Member| self.late_results.is_behind(now, member.slot);
        let members = self.members.assign(now, &name, &shards, is_behind);
        if members.is_empty() {
            for job in jobs {
                if let Some(open) = running.open.get_mut(&job) {
                    open.batch = None;
                }
                running.queue.push_homeless(job);
            }
            return;
        }
        for (job, member) in jobs.into_iter().zip(members) {
            if self.members.get(&member).is_none() {
                continue;
            }
            let queued = !running.run.waits(job);
            if queued {
                running.queue.push(&member, job);
            }
            let open = match running.open.remove(&job) {
                None => {
                    let (alone, doubled) = (false, false);
                    OpenJob { member, attempt: 0, queued, since, batch: None, deaths: 0, alone, doubled }
                }
                Some(before) => {
                    let attempt = before.attempt.wrapping_add(before.queued.into());
                    OpenJob { member, attempt, queued, since, batch: None, ..before }
                }
            };
            running.open.insert(job, open);
        }
    }

    /// Jobs whose rows have come may be sent; of those that were sent before, results may count.
    pub(super) fn begin_released(&mut self, now: u64) {
        loop {
            let Some(running) = &mut self.running else { return };
            let released = running.run.take_released();
            if released.is_empty() {
                return;
            }
            self.queue_released(now, &released);
            self.take_early(now, &released);
        }
    }

    fn queue_released(&mut self, now: u64, released: &[u32]) {
        let since = self.lap();
        let Some(running) = &mut self.running else { return };
        let mut moved = std::collections::BTreeMap::<usize, Vec<u32>>::new();
        for job in released {
            // One that has no instance is sent when there is one; others are in a line by now, or at their instance.
            let Some(open) = running.open.get_mut(job).filter(|open| !open.queued) else { continue };
            // It was chosen when its node began.
            let would_be_chosen = |member: &Member| {
                let is_left_out = member.is_quiet(now) || self.late_results.is_behind(now, member.slot);
                member.state == MemberState::Ready && !is_left_out
            };
            if self.members.get(&open.member).is_some_and(would_be_chosen) {
                (open.queued, open.since) = (true, since);
                running.queue.push(&open.member, *job);
            } else {
                moved.entry(running.run.plan().jobs[*job as usize].node).or_default().push(*job);
            }
        }
        for jobs in moved.into_values() {
            self.assign_jobs(now, jobs);
        }
    }

    /// Looks for instances for the jobs that had none.
    pub(super) fn assign_homeless(&mut self, now: u64) {
        let Some(running) = &mut self.running else { return };
        let mut by_node = std::collections::BTreeMap::<usize, Vec<u32>>::new();
        for job in running.queue.take_homeless() {
            if running.run.is_open(job) {
                by_node.entry(running.run.plan().jobs[job as usize].node).or_default().push(job);
            }
        }
        for jobs in by_node.into_values() {
            self.assign_jobs(now, jobs);
        }
    }

    /// Nobody listens where a job was sent: the instance is gone, and its jobs go elsewhere at once.
    pub fn nobody_there(&mut self, now: u64, token: &str) {
        let numbers: Vec<u64> = token.split('.').filter_map(|number| number.parse().ok()).collect();
        let [tick, job, attempt] = numbers[..] else { return };
        let Some(running) = self.running.as_ref().filter(|running| running.tick == tick) else { return };
        let (Ok(job), Ok(attempt)) = (job.try_into(), attempt.try_into()) else { return };
        if let Some(batch) = running.batches.get(&BatchId { job, attempt }) {
            let member = batch.member.clone();
            self.lose_member(now, &member, Gone::NobodyListens);
            self.advance(now);
        }
    }

    /// An instance is gone: its open jobs go elsewhere.
    pub(super) fn lose_member(&mut self, now: u64, name: &str, why: Gone) {
        let Some(member) = self.members.leave(name) else { return };
        tracing::warn!(tick = self.current_tick(), instance = name, ?why, "an instance is gone");
        self.figures.count("lost_instances");
        self.residents.leave(member.slot);
        self.mapped.withdraw(member.slot);
        self.late_results.forget_instance(member.slot);
        let Some(running) = &mut self.running else { return };
        running.shared_sent.retain(|(_, member), _| member != name);
        running.queue.drop_line(name);
        let mut moved = std::collections::BTreeMap::<usize, Vec<u32>>::new();
        let mut held = Vec::new();
        // Who was gone before it can have seen the job did not die of it: when a whole host dies, a job may
        // meet many that are gone already. Nor did who was never there.
        let may_be_death = why.is_death() && (why != Gone::Silent || member.seen);
        let long_enough = self.settings.ask_after_ms * 1_000_000;
        let may_be_blamed = |batch: &OpenBatch| {
            let is_behind_others = batch.jobs.iter().any(|job| running.run.waits(*job));
            may_be_death && !is_behind_others && now.saturating_sub(batch.sent_at) >= long_enough
        };
        // Where another attempt is open, that one goes on.
        for (id, batch) in
            running.batches.iter().filter(|(id, open)| open.member == name && running.run.is_open(id.job))
        {
            let Some((other, open)) = running.batches.range(BatchId::all(id.job)).find(|(other, _)| *other != id)
            else {
                continue;
            };
            for job in &batch.jobs {
                let Some(job) = running.open.get_mut(job) else { continue };
                if may_be_blamed(batch) {
                    job.blame(batch.jobs.len());
                }
                (job.batch, job.member) = (Some(*other), open.member.clone());
            }
        }
        for (job, open) in &mut running.open {
            if open.member != name || !running.run.is_open(*job) {
                continue;
            }
            if let Some(batch) = open.batch.take().and_then(|batch| running.batches.get(&batch)) {
                if may_be_blamed(batch) {
                    open.blame(batch.jobs.len());
                }
                *self.figures.counters.entry("reassigned".into()).or_default() += 1;
                let node = running.run.plan().jobs[*job as usize].node;
                self.systems[running.run.plan().nodes[node].system].totals.reassigned += 1;
            }
            // In a tick that is repeated its record decides.
            if open.deaths >= self.settings.max_deaths && self.replayed.is_none() {
                held.push(*job);
            } else {
                moved.entry(running.run.plan().jobs[*job as usize].node).or_default().push(*job);
            }
        }
        running.batches.retain(|_, batch| batch.member != name);
        for job in held {
            let tick = self.current_tick();
            tracing::error!(
                tick,
                system = self.system_of(job),
                job,
                "a job lost too many instances: its shard keeps its values in this tick"
            );
            self.figures.count("quarantined");
            self.stage_held(job);
        }
        for jobs in moved.into_values() {
            self.assign_jobs(now, jobs);
        }
    }

    /// The name of the system that a job of the open tick is of.
    pub(super) fn system_of(&self, job: u32) -> Option<&str> {
        let plan = self.running.as_ref()?.run.plan();
        let node = plan.jobs.get(job as usize)?.node;
        Some(self.systems[plan.nodes[node].system].name())
    }

    pub(super) fn lose_all_members(&mut self, now: u64) {
        let names: Vec<String> = self.members.iter().map(|member| member.name.clone()).collect();
        for name in names {
            self.lose_member(now, &name, Gone::Disconnected);
        }
    }

    /// A batch is off its instance's hands: there is room for others.
    pub(super) fn free_room(&mut self, id: BatchId) {
        let Some(open) = self.running.as_mut().and_then(|running| running.batches.get_mut(&id)) else { return };
        let (bytes, jobs) = (std::mem::take(&mut open.bytes), open.jobs.len() as u32);
        let member = self.members.get_mut(&open.member).filter(|member| bytes > 0 && member.slot == open.slot);
        if let Some(member) = member {
            member.in_flight = member.in_flight.saturating_sub(bytes);
            member.open_jobs = member.open_jobs.saturating_sub(jobs);
        }
    }

    /// An attempt comes to nothing: what its instance made of it, or will, does not count. If there is another one,
    /// that goes on.
    pub(super) fn end_batch(&mut self, id: BatchId) -> Option<OpenBatch> {
        self.free_room(id);
        let running = self.running.as_mut()?;
        let open = running.batches.remove(&id)?;
        let other = running.batches.range(BatchId::all(id.job)).next();
        for job in &open.jobs {
            let Some(job) = running.open.get_mut(job) else { continue };
            job.batch = other.map(|(other, _)| *other);
            if let Some((_, other)) = other {
                job.member.clone_from(&other.member);
            }
        }
        self.forget_cargo(open.slot, &open.cargo);
        self.end_followers(id);
        Some(open)
    }

    /// All attempts at the batch of a job come to nothing. Gives back the first.
    pub(super) fn end_batches_of(&mut self, job: u32) -> Option<OpenBatch> {
        let mut first = None;
        while let Some(id) = self.running.as_ref()?.open.get(&job).and_then(|open| open.batch) {
            let Some(ended) = self.end_batch(id) else { break };
            first.get_or_insert(ended);
        }
        first
    }

    /// Whether there is an attempt at a batch.
    pub(super) fn is_at_somebody(&self, job: u32) -> bool {
        self.running.as_ref().is_some_and(|running| running.batches.range(BatchId::all(job)).next().is_some())
    }
}
