//! Batches: jobs of one node that go to one instance together, in one parcel, and come back together.
//!
//! A batch is named by its first job, and each attempt at it by its number besides. It is made when there is room for
//! it: bytes in flight are bounded, and one batch is on its way while the next is made. What it may hold is bounded by
//! the bytes that it moves, in both directions: of shards in which nothing changes one message has any number, of others
//! the instance computes the first while later ones travel.

use std::ops::RangeInclusive;

use engine_net::parcel::{Assembler, MAX_JOBS, MAX_PARTS, WireTime};
use engine_net::{ChunkKind, ChunkPrefix};

use super::fusion::{Early, Fused};
use super::{Coordinator, Output};
use crate::phases::BatchTimes;
use crate::ship::{Cargo, Shipment, needs_shared};

/// An attempt at a batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct BatchId {
    /// Its first job.
    pub(super) job: u32,
    /// Which attempt at that.
    pub(super) attempt: u16,
}

impl BatchId {
    /// Which attempt a message is about.
    pub(super) fn of(prefix: &ChunkPrefix) -> Self {
        Self { job: prefix.job, attempt: prefix.attempt }
    }

    /// The lowest one above it.
    pub(super) fn next(self) -> Self {
        match self.attempt.checked_add(1) {
            Some(attempt) => Self { attempt, ..self },
            None => Self { job: self.job.saturating_add(1), attempt: 0 },
        }
    }

    /// All attempts at a batch.
    pub(super) fn all(job: u32) -> RangeInclusive<Self> {
        Self { job, attempt: 0 }..=Self { job, attempt: u16::MAX }
    }
}

/// A batch that was sent.
pub(super) struct OpenBatch {
    /// Its jobs, in order; the first one names it.
    pub(super) jobs: Vec<u32>,
    /// The instance.
    pub(super) member: String,
    /// Its slot.
    pub(super) slot: u32,
    /// Bytes that were sent for it.
    pub(super) bytes: u64,
    /// When it was first sent, and when the instance was last heard of about it.
    pub(super) sent_at: u64,
    pub(super) heard_at: u64,
    /// From when on its time counts: when it was sent, or when it waited for nothing but its instance any more.
    pub(super) counts_from: u64,
    /// When it was where, for figures.
    pub(super) times: BatchTimes,
    /// How often it was asked about since it was heard of.
    pub(super) asked: u32,
    /// What was sent.
    pub(super) cargo: Cargo,
    /// The attempt of the shared input that it needs.
    pub(super) shared: Option<u16>,
    /// The result, as far as it came.
    pub(super) result: Option<Assembler>,
    /// What it builds on that was not in the world when it was sent, and its result, as long as that isn't.
    pub(super) fused: Fused,
    pub(super) early: Option<Early>,
    /// Its rows are in the world already.
    pub(super) merged: bool,
    /// It is an attempt beside an earlier one, which is late (`speculation.rs`).
    pub(super) is_second: bool,
    /// It was late when the clock was last looked at.
    pub(super) is_late: bool,
}

/// A shared input at an instance.
pub(super) struct SharedSent {
    /// Which attempt: one that can't be used there is sent once more, whole.
    pub(super) attempt: u16,
    /// What was sent; none when it has to come anew.
    pub(super) cargo: Option<Cargo>,
}

/// Chunks of a shared input carry the node instead of a job.
pub(super) enum Piece {
    Jobs,
    Shared(u32),
}

impl Coordinator {
    fn wire_time(&self) -> WireTime {
        let time = self.time(self.running.as_ref().map_or(0, |running| running.tick));
        WireTime { tick: time.tick, dt: time.dt, elapsed: time.elapsed }
    }

    /// Sends the next batch to an instance that has room. One at a time, when the driver asks for more to do:
    /// so bytes are on their way while the next batch is made. Returns whether there was one.
    pub(super) fn send_next_batch(&mut self) -> bool {
        while let Some(running) = &mut self.running {
            let (members, most) = (&self.members, self.settings.in_flight_bytes);
            let has_room =
                |name: &str| members.get(name).is_some_and(|member| member.open_jobs == 0 || member.in_flight < most);
            let Some((member, job)) = running.queue.next(has_room) else { return false };
            if self.may_be_sent(job, &member) {
                let jobs = self.gather(job, &member);
                // It is named by its first job, in the order of shards.
                let id = self.next_id(jobs[0]);
                self.send_batch(&member, jobs, id, false);
                return true;
            }
            self.take_off_line(job);
        }
        false
    }

    /// Which attempt at a job is the latest.
    pub(super) fn latest_attempt(&self, job: u32) -> u16 {
        let open = self.running.as_ref().and_then(|running| running.open.get(&job));
        open.map_or(0, |open| open.attempt)
    }

    /// Whether a job is assigned to an instance, was not sent, and waits for no rows, or for such as that instance has.
    pub(super) fn may_be_sent(&self, job: u32, member: &str) -> bool {
        let Some(running) = &self.running else { return false };
        let open = running.open.get(&job).filter(|open| open.member == member && open.batch.is_none());
        let is_next = open.is_some() && running.run.is_open(job);
        is_next && (!running.run.waits(job) || self.leads_at(job, member).is_some())
    }

    /// A job that was in a line, and waits for rows again.
    fn take_off_line(&mut self, job: u32) {
        let Some(running) = self.running.as_mut().filter(|running| running.run.waits(job)) else { return };
        if let Some(open) = running.open.get_mut(&job).filter(|open| open.batch.is_none()) {
            open.queued = false;
        }
    }

    /// The jobs that go together with this one: those that are next in the line, of the same node, as long as
    /// they don't move too many bytes.
    fn gather(&mut self, first: u32, member: &str) -> Vec<u32> {
        let mut jobs = vec![first];
        // One that is twice in the line is taken once.
        let taken = self.next_id(first);
        self.take_up(first, taken);
        let Some(running) = &self.running else { return jobs };
        let node = running.run.plan().jobs[first as usize].node;
        let system = &self.systems[running.run.plan().nodes[node].system];
        let descriptor = system.descriptor();
        let alone = |job: u32| running.open.get(&job).is_some_and(|open| open.alone);
        // What a system did that is not deterministic is recorded job by job.
        if alone(first) || descriptor.options.nondeterministic || self.settings.batch_bytes == 0 {
            return jobs;
        }
        let slot = self.members.get(member).map_or(0, |member| member.slot);
        let most_jobs = MAX_JOBS.min(usize::from(u16::MAX) / (1 + descriptor.writes_events.len()));
        let (mut bytes, mut parts) = (self.job_bytes(slot, first), self.part_count(first));
        let (node_jobs, most) = (running.run.plan().nodes[node].jobs.clone(), self.settings.batch_bytes as u64);
        while let Some(next) = self.running.as_ref().and_then(|running| running.queue.peek(member)) {
            let is_of_node = node_jobs.contains(&next) && !self.is_alone(next);
            let may_be_sent = self.may_be_sent(next, member);
            if is_of_node && may_be_sent {
                bytes += self.job_bytes(slot, next);
                parts += self.part_count(next);
                if bytes > most || jobs.len() >= most_jobs || parts > MAX_PARTS {
                    break;
                }
                jobs.push(next);
                self.take_up(next, taken);
            } else if may_be_sent {
                break;
            } else {
                self.take_off_line(next);
            }
            if let Some(running) = &mut self.running {
                running.queue.pop(member);
            }
        }
        // In the order of shards, whatever has moved: results are merged in that order.
        jobs.sort_unstable();
        jobs
    }

    fn next_id(&self, job: u32) -> BatchId {
        BatchId { job, attempt: self.latest_attempt(job) }
    }

    fn take_up(&mut self, job: u32, batch: BatchId) {
        if let Some(open) = self.running.as_mut().and_then(|running| running.open.get_mut(&job)) {
            open.batch = Some(batch);
        }
    }

    pub(super) fn is_alone(&self, job: u32) -> bool {
        self.running.as_ref().and_then(|running| running.open.get(&job)).is_some_and(|open| open.alone)
    }

    fn part_count(&self, job: u32) -> usize {
        let plan = self.running.as_ref().map(|running| &running.run.plan().jobs[job as usize]);
        plan.map_or(0, |plan| plan.parts.len() + plan.resources.len())
    }

    /// Makes the chunks of a batch or of a shared input.
    pub(super) fn chunks(&self, id: BatchId, piece: &Piece) -> Option<Vec<bytes::Bytes>> {
        let running = self.running.as_ref()?;
        let open = running.batches.get(&id)?;
        let plans: Vec<_> = open.jobs.iter().map(|job| &running.run.plan().jobs[*job as usize]).collect();
        let number = plans.first()?.node;
        let node = &running.run.plan().nodes[number];
        let shipment = Shipment {
            world: &self.world,
            entry: &self.systems[node.system],
            time: self.wire_time(),
            seed: self.settings.seed,
            sizes: self.sizes,
            trace: self.trace_of(running.tick),
        };
        let prefix = ChunkPrefix {
            kind: ChunkKind::Job,
            attempt: id.attempt,
            job: id.job,
            epoch: self.epoch,
            tick: running.tick,
            chunk: 0,
            chunks: 1,
            instance: open.slot,
        };
        let nothing = Vec::new();
        let chunks = match piece {
            Piece::Jobs => shipment.jobs(prefix, (number as u32, node), (&plans, open.shared), &open.cargo),
            Piece::Shared(number) => {
                let events = running.events.get(&(*number as usize)).unwrap_or(&nothing);
                let sent = running.shared_sent.get(&(*number as usize, open.member.clone()))?;
                let prefix = ChunkPrefix { attempt: sent.attempt, ..prefix };
                shipment.shared(prefix, (*number, node), events, sent.cargo.as_ref()?)
            }
        };
        match chunks {
            Ok(chunks) => Some(chunks),
            Err(error) => {
                let (tick, system) = (running.tick, self.systems[node.system].name());
                tracing::error!(tick, system, instance = open.member, %error, "jobs can't be sent");
                None
            }
        }
    }

    /// Sends jobs to an instance as this attempt at them.
    pub(super) fn send_batch(&mut self, member: &str, jobs: Vec<u32>, id: BatchId, is_second: bool) {
        let (now, first, begun) = (self.now, id.job, self.lap());
        if !is_second {
            jobs.iter().for_each(|job| self.take_up(*job, id));
        }
        let Some(slot) = self.members.get(member).map(|member| member.slot) else { return };
        let fused = self.fuse(&jobs, member);
        let Some(cargo) = self.load_jobs(slot, &jobs, &fused) else { return };
        if !fused.leads.is_empty() {
            self.figures.count("fused");
        }
        let Some(running) = &mut self.running else { return };
        let node = running.run.plan().jobs[first as usize].node;
        let system = running.run.plan().nodes[node].system;
        let ready = running.open.get(&first).filter(|_| !is_second).map_or(begun, |open| open.since);
        let open = OpenBatch {
            member: member.to_owned(),
            slot,
            bytes: 0,
            sent_at: now,
            heard_at: now,
            counts_from: now,
            times: BatchTimes { ready, begun, ..BatchTimes::default() },
            asked: 0,
            cargo,
            shared: None,
            result: None,
            fused,
            early: None,
            merged: false,
            jobs: jobs.clone(),
            is_second,
            is_late: false,
        };
        running.batches.insert(id, open);
        let key = (node, member.to_owned());
        let mut sent = 0;
        if needs_shared(self.systems[system].descriptor(), &running.run.plan().nodes[node]) {
            let known = running.shared_sent.get(&key).map(|sent| (sent.attempt, sent.cargo.is_some()));
            let (attempt, is_new) = match known {
                Some((attempt, true)) => (attempt, false),
                Some((attempt, false)) => (attempt.wrapping_add(1), true),
                None => (0, true),
            };
            if let Some(open) = running.batches.get_mut(&id) {
                open.shared = Some(attempt);
            }
            if is_new {
                let cargo = self.load_shared(slot, node);
                if let Some(running) = &mut self.running {
                    running.shared_sent.insert(key, SharedSent { attempt, cargo });
                }
                let Some(chunks) = self.chunks(id, &Piece::Shared(node as u32)) else {
                    self.forget_shared(node, member, attempt);
                    return self.give_up(id, jobs);
                };
                sent += self.send_chunks(id, chunks, false);
            }
        }
        let Some(chunks) = self.chunks(id, &Piece::Jobs) else { return self.give_up(id, jobs) };
        sent += self.send_chunks(id, chunks, true);
        let Some(running) = &mut self.running else { return };
        running.bytes += sent;
        running.sent_anew = true;
        if !is_second {
            let rows = jobs.iter().flat_map(|job| &running.run.plan().jobs[*job as usize].parts);
            self.systems[system].run.rows += rows.map(|part| u64::from(part.rows)).sum::<u64>();
        }
        self.systems[system].run.bytes_out += sent;
        let handed_out = self.lap();
        let Some(running) = &mut self.running else { return };
        if let Some(open) = running.batches.get_mut(&id) {
            (open.bytes, open.times.sent) = (sent, handed_out);
        }
        if let Some(member) = self.members.get_mut(member) {
            member.totals.bytes_out += sent;
            member.in_flight += sent;
            member.open_jobs += jobs.len() as u32;
        }
        self.queue_followers(&jobs);
    }

    /// An attempt at a shared input came to nothing: whoever needs it next sends it anew. Unless that was done since.
    pub(super) fn forget_shared(&mut self, node: usize, member: &str, attempt: u16) {
        let Some(slot) = self.members.get(member).map(|member| member.slot) else { return };
        let Some(running) = &mut self.running else { return };
        let shared = running.shared_sent.get_mut(&(node, member.to_owned())).filter(|sent| sent.attempt == attempt);
        if let Some(cargo) = shared.and_then(|sent| sent.cargo.take()) {
            self.forget_cargo(slot, &cargo);
        }
    }

    /// Jobs that can't be put into messages: one by one; the shard of one that can't be sent alone either keeps its
    /// values, in this tick and in the next.
    fn give_up(&mut self, id: BatchId, jobs: Vec<u32>) {
        let is_second = self.end_batch(id).is_some_and(|open| open.is_second);
        if is_second {
            return; // The first attempt goes on.
        }
        if let [job] = jobs[..] {
            self.figures.count("unsendable");
            self.stage_held(job);
        } else if let Some(running) = &mut self.running {
            for job in &jobs {
                if let Some(open) = running.open.get_mut(job) {
                    open.alone = true;
                }
            }
            self.assign_jobs(self.now, jobs);
        }
        self.advance(self.now);
    }

    /// Sends chunks on the batch's subject; the first one of a batch asks for an answer when nobody is there.
    pub(super) fn send_chunks(&mut self, id: BatchId, chunks: Vec<bytes::Bytes>, asks: bool) -> u64 {
        let Some(running) = &self.running else { return 0 };
        let Some(open) = running.batches.get(&id) else { return 0 };
        let node = &running.run.plan().nodes[running.run.plan().jobs[id.job as usize].node];
        let subject = self.subjects.schedule(self.systems[node.system].name(), &open.member);
        let lane = self.members.get(&open.member).map_or(1, |member| member.lane + 1);
        let token = asks.then(|| format!("{}.{}.{}", running.tick, id.job, id.attempt));
        let mut bytes = 0;
        for (index, payload) in chunks.into_iter().enumerate() {
            bytes += payload.len() as u64;
            let token = token.clone().filter(|_| index == 0);
            self.out.push_back(Output::Send { lane, subject: subject.clone(), token, headers: None, payload });
        }
        bytes
    }
}
