//! What instances send: results, requests for chunks, signs of life. Whatever does not belong to an open
//! job, to the letter, is refused whole and counted.

use bytes::Bytes;
use engine_net::headers::Headers;
use engine_net::messages::rejected::{RejectReason, Rejected};
use engine_net::parcel::control::{self, Failed, Missing};
use engine_net::parcel::{Assembler, Jobs, Limits, Parcel, Progress, Refusal};
use engine_net::subject::Sender;
use engine_net::{ChunkKind, ChunkPrefix};
use engine_system::planted::{self, Bug};

use super::Coordinator;
use super::batches::{BatchId, Piece, SharedSent};
use crate::merge::JobResult;
use crate::plan::JobPlan;
use crate::receive::{self, Received, Rejection};
use crate::ship::Cargo;
use crate::staged::{Reading, Staged};

/// Bytes that a result may have beyond the columns of its job: commands, events, manifests.
const RESULT_ALLOWANCE: usize = receive::MAX_STREAM as usize + (1 << 20);

impl Coordinator {
    pub(super) fn result_chunk(&mut self, now: u64, epoch: u64, from: Sender<'_>, payload: Bytes) {
        let instance = from.instance;
        let prefix = match ChunkPrefix::decode(&payload) {
            Ok((prefix, _)) => prefix,
            Err(error) => return self.reject_whom(from, &Rejection::new(RejectReason::Garbage, error)),
        };
        if let Err(rejection) = self.is_who_it_says(from) {
            return self.reject(from, &prefix, &rejection);
        }
        let body = payload.slice(engine_net::prefix::PREFIX_BYTES..);
        if prefix.kind == ChunkKind::Missing && epoch == self.epoch {
            self.lacks_chunks(instance, &prefix, &body);
        }
        if epoch == self.epoch && self.is_superfluous(instance, &prefix) {
            return self.superfluous(now, instance, &prefix, payload);
        }
        if let Err(rejection) = self.belongs(epoch, instance, &prefix) {
            return self.reject(from, &prefix, &rejection);
        }
        self.heard_of(now, instance, BatchId::of(&prefix));
        let outcome = match prefix.kind {
            ChunkKind::Result => self.take_chunk(now, instance, &prefix, payload),
            ChunkKind::Missing => self.send_missing(&prefix, &body),
            ChunkKind::Working => Ok(()),
            ChunkKind::Failed => self.job_failed(now, instance, &prefix, &body),
            _ => Err(Rejection::new(RejectReason::Garbage, "a kind of chunk that only the coordinator sends")),
        };
        if let Err(rejection) = outcome {
            self.reject(from, &prefix, &rejection);
        }
    }

    /// A name is an instance's with its systems: who may speak for other systems does not speak for it.
    fn is_who_it_says(&self, from: Sender<'_>) -> Result<(), Rejection> {
        match self.members.get(from.instance) {
            Some(member) if member.systems_token != from.systems => {
                let text =
                    format!("instance `{}` runs `{}`, not `{}`", from.instance, member.systems_token, from.systems);
                Err(Rejection::new(RejectReason::WrongInstance, text))
            }
            _ => Ok(()),
        }
    }

    /// Equality, not "newer or equal": a result counts only for the very attempt that is open, or one of the two.
    fn belongs(&self, epoch: u64, instance: &str, prefix: &ChunkPrefix) -> Result<(), Rejection> {
        let refuse = |reason, message: String| Err(Rejection::new(reason, message));
        if (epoch != self.epoch || prefix.epoch != self.epoch) && !planted::is(Bug::SkipEpochCheck) {
            return refuse(RejectReason::ForeignEpoch, format!("epoch {} where {} reigns", prefix.epoch, self.epoch));
        }
        let known = self.members.get(instance);
        if known.is_none_or(|member| member.slot != prefix.instance) {
            return refuse(
                RejectReason::WrongInstance,
                format!("instance `{instance}` is not registered with slot {}", prefix.instance),
            );
        }
        if planted::is(Bug::AcceptLateResult) && self.running.as_ref().is_some_and(|open| open.run.is_open(prefix.job))
        {
            return Ok(());
        }
        let Some(running) = self.running.as_ref().filter(|running| running.tick == prefix.tick) else {
            return refuse(RejectReason::OldTick, format!("tick {} is not open", prefix.tick));
        };
        if prefix.kind == ChunkKind::Missing
            && running.run.plan().nodes.len() > prefix.job as usize
            && !self.is_at_somebody(prefix.job)
        {
            return Ok(()); // Asks for a shared input, by its node.
        }
        if running.run.plan().jobs.len() <= prefix.job as usize {
            return refuse(RejectReason::UnknownJob, format!("tick {} has no job {}", prefix.tick, prefix.job));
        }
        if prefix.kind == ChunkKind::Missing {
            return Ok(());
        }
        if !running.run.is_open(prefix.job) {
            return refuse(RejectReason::Claimed, format!("job {} has its result", prefix.job));
        }
        match running.batches.get(&BatchId::of(prefix)) {
            Some(open) if open.slot == prefix.instance => Ok(()),
            _ => refuse(
                RejectReason::OldAttempt,
                format!("attempt {} of job {} is not open at `{instance}`", prefix.attempt, prefix.job),
            ),
        }
    }

    fn heard_of(&mut self, now: u64, instance: &str, id: BatchId) {
        if let Some(member) = self.members.get_mut(instance) {
            member.hear(now);
        }
        let open = self.running.as_mut().and_then(|running| running.batches.get_mut(&id));
        if let Some(open) = open.filter(|open| open.member == instance) {
            (open.heard_at, open.asked) = (now, 0);
        }
    }

    fn take_chunk(&mut self, now: u64, instance: &str, prefix: &ChunkPrefix, payload: Bytes) -> Result<(), Rejection> {
        let id = self.attempt_of(prefix);
        let limits = Limits { chunks: u16::MAX, bytes: self.result_limit(id) };
        let Some(running) = &mut self.running else { return Ok(()) };
        let Some(open) = running.batches.get_mut(&id) else { return Ok(()) };
        if open.early.is_some() {
            self.figures.count("duplicates");
            return Ok(());
        }
        let assembler = match &mut open.result {
            Some(assembler) => assembler,
            none => none.insert(Assembler::new(prefix, limits)?),
        };
        let bytes = payload.len() as u64;
        let progress = match assembler.push(payload) {
            Ok(progress) => progress,
            Err(refusal) => {
                open.result = None;
                // Whoever is asked for it again would send the same.
                if matches!(refusal, Refusal::TooLarge { .. }) {
                    self.fail_attempt(now, id);
                }
                return Err(refusal.into());
            }
        };
        running.bytes += bytes;
        if progress == Progress::Duplicate {
            self.figures.count("duplicates");
            return Ok(());
        }
        if progress != Progress::Complete {
            return Ok(());
        }
        let Some(parcel) = open.result.take().and_then(Assembler::finish) else { return Ok(()) };
        self.note_arrival(id);
        let open = self.running.as_ref().and_then(|running| running.batches.get(&id));
        if open.is_some_and(|open| self.waits_for_leads(open)) && !planted::is(Bug::MergeBeforeLead) {
            self.keep_early(now, id, *prefix, parcel);
            return Ok(());
        }
        self.take_result(now, instance, id, parcel, now)
    }

    fn note_arrival(&mut self, id: BatchId) {
        let arrived = self.lap();
        if let Some(open) = self.running.as_mut().and_then(|running| running.batches.get_mut(&id)) {
            open.times.arrived = arrived;
        }
    }

    /// A result is whole since then: if it can be used, it counts.
    pub(super) fn take_result(
        &mut self,
        now: u64,
        instance: &str,
        id: BatchId,
        parcel: Parcel,
        at: u64,
    ) -> Result<(), Rejection> {
        let Some(running) = &self.running else { return Ok(()) };
        let Some(open) = running.batches.get(&id) else { return Ok(()) };
        let (sent_at, jobs) = (open.sent_at, open.jobs.clone());
        let plans: Vec<&JobPlan> = jobs.iter().map(|job| &running.run.plan().jobs[*job as usize]).collect();
        let system = running.run.plan().nodes[plans[0].node].system;
        let received_bytes = parcel.bytes() as u64;
        let rows: u64 = plans.iter().flat_map(|plan| &plan.parts).map(|part| u64::from(part.rows)).sum();
        let checked = receive::check(&self.world, self.systems[system].descriptor(), &plans, parcel);
        let checked = checked.and_then(|received| self.check_answers(system, &received.effects).map(|()| received));
        let (received, staged) = match checked.and_then(|received| self.stage(id, system, received)) {
            Ok(received) => received,
            Err(rejection) => {
                self.fail_attempt(now, id);
                return Err(rejection);
            }
        };
        planted::arrived(id.job);
        if let Some(open) = self.running.as_mut().and_then(|running| running.batches.get_mut(&id)) {
            (open.times.lay_ns, open.times.worked_ns) = received.at_instance;
        }
        if let Some(member) = self.members.get_mut(instance) {
            member.totals.bytes_in += received_bytes;
        }
        self.free_room(id);
        self.note_batch(at, instance, system, (sent_at, rows));
        self.claim(now, id, &received, &staged);
        self.systems[system].run.bytes_in += received_bytes;
        if let Some(running) = &mut self.running {
            for (job, result) in JobResult::of_batch(&jobs, received, staged) {
                running.run.stage(job, result);
            }
        }
        self.merge_early(id);
        Ok(())
    }

    /// Which attempt a result is of.
    fn attempt_of(&self, prefix: &ChunkPrefix) -> BatchId {
        let id = BatchId::of(prefix);
        if !planted::is(Bug::AcceptLateResult) {
            return id;
        }
        let open = self.running.as_ref().and_then(|running| running.batches.range(BatchId::all(id.job)).next());
        open.map_or(id, |(open, _)| *open)
    }

    /// Takes what an instance has written to memory instead of sending it.
    fn stage(&mut self, id: BatchId, system: usize, received: Received) -> Result<(Received, Staged), Rejection> {
        if received.mapped.is_empty() {
            return Ok((received, Staged::default()));
        }
        let buffer = self.mapped.buffer();
        let Some(open) = self.running.as_ref().and_then(|running| running.batches.get(&id)) else {
            return Ok((received, Staged::default()));
        };
        let Some(output) = self.mapped.output(open.slot) else {
            let message = "the result names rows in memory, and the instance has none";
            return Err(Rejection::new(RejectReason::UndeclaredColumn, message));
        };
        let reading = Reading {
            world: &self.world,
            descriptor: self.systems[system].descriptor(),
            parts: &open.cargo.parts,
            spawns: &received.spawns,
            output: &output,
        };
        let staged = reading.stage(&received.mapped, buffer)?;
        Ok((received, staged))
    }

    /// A result is at most what the jobs could write, and some.
    pub(super) fn result_limit(&self, id: BatchId) -> usize {
        let Some(running) = &self.running else { return RESULT_ALLOWANCE };
        let jobs = running.batches.get(&id).map_or(&[][..], |batch| &batch.jobs);
        let plans = jobs.iter().map(|job| &running.run.plan().jobs[*job as usize]);
        let columns = plans.flat_map(|plan| plan.parts.iter().chain(&plan.resources)).map(|part| {
            let table = self.world.table(part.table);
            let stride: usize =
                part.columns.iter().flatten().map(|column| table.column(usize::from(*column)).stride() + 16).sum();
            stride * part.rows as usize
        });
        columns.sum::<usize>() * 2 + RESULT_ALLOWANCE
    }

    /// An instance lacks chunks of a job or of a shared input.
    fn send_missing(&mut self, prefix: &ChunkPrefix, body: &[u8]) -> Result<(), Rejection> {
        let missing: Missing = control::decode(body).map_err(|error| Rejection::new(RejectReason::Garbage, error))?;
        let Some(running) = &self.running else { return Ok(()) };
        let is_shared = missing.of == ChunkKind::Shared as u8;
        // Any batch of the node that is at this instance stands for the shared input.
        let id = if is_shared {
            let open = running.batches.iter().find(|(id, open)| {
                let node = running.run.plan().jobs[id.job as usize].node;
                open.slot == prefix.instance && node == prefix.job as usize && open.shared == Some(prefix.attempt)
            });
            open.map(|(id, _)| *id)
        } else {
            let id = BatchId::of(prefix);
            running.batches.get(&id).filter(|open| open.slot == prefix.instance).map(|_| id)
        };
        let Some(id) = id else {
            return Err(Rejection::new(
                RejectReason::UnknownJob,
                "chunks of a job that is not at this instance are asked for",
            ));
        };
        let piece = if is_shared { Piece::Shared(prefix.job) } else { Piece::Jobs };
        let Some(chunks) = self.chunks(id, &piece) else { return Ok(()) };
        let Some(wanted) = missing.wanted(chunks.len()) else {
            return Err(Rejection::new(RejectReason::Garbage, "more chunks are asked for than one message may name"));
        };
        let wanted: Vec<Bytes> = wanted.into_iter().map(|number| chunks[number].clone()).collect();
        self.figures.count("sent_again");
        let sent = self.send_chunks(id, wanted, false);
        if let Some(running) = &mut self.running {
            running.bytes += sent;
        }
        Ok(())
    }

    /// A system failed at an instance. It would fail again elsewhere, so after a few attempts the shard
    /// keeps its values. An instance that has lost what it had kept gets everything anew.
    fn job_failed(&mut self, now: u64, instance: &str, prefix: &ChunkPrefix, body: &[u8]) -> Result<(), Rejection> {
        let failed: Failed = control::decode(body).map_err(|error| Rejection::new(RejectReason::Garbage, error))?;
        let id = BatchId::of(prefix);
        let is_about_copies = matches!(failed.reason.as_str(), "stale" | "corrupt");
        if is_about_copies && self.builds_on_copies(id) {
            if failed.reason == "corrupt" {
                tracing::error!(
                    tick = prefix.tick,
                    instance,
                    "what an instance had kept had other bytes than the world"
                );
            }
            self.figures.count(format!("copies.{}", failed.reason));
            self.send_anew(now, id);
            return Ok(());
        }
        if failed.reason == "unmapped" && self.mapped.withdraw(prefix.instance) {
            tracing::warn!(
                tick = prefix.tick,
                instance,
                "an instance has lost what it had mapped: its columns travel by wire"
            );
            self.figures.count("unmapped");
            self.send_anew(now, id);
            return Ok(());
        }
        let batch = self.running.as_ref().and_then(|running| running.batches.get(&id));
        if batch.is_some_and(|batch| self.waits_for_leads(batch)) {
            // Perhaps of what it builds on, which may come to nothing.
            self.take_back(id);
            return Ok(());
        }
        let (tick, job, system) = (prefix.tick, prefix.job, self.system_of(prefix.job));
        let Failed { reason, message: why } = &failed;
        tracing::error!(tick, system, instance, job, reason, why, "a job failed");
        self.figures.count("failed_jobs");
        self.fail_attempt(now, id);
        Ok(())
    }

    /// Whether the instance had to have kept something to run a batch.
    fn builds_on_copies(&self, id: BatchId) -> bool {
        let Some(running) = &self.running else { return false };
        let Some(open) = running.batches.get(&id) else { return false };
        let is_built = |cargo: &Cargo| {
            matches!(cargo.jobs, Some(Jobs::Again(_))) || cargo.keep.is_some_and(|keep| keep.bases != 0)
        };
        let node = running.run.plan().jobs[id.job as usize].node;
        let shared = running.shared_sent.get(&(node, open.member.clone())).filter(|_| open.shared.is_some());
        // One that was given up since could not be used.
        let current =
            |sent: &SharedSent| sent.cargo.as_ref().filter(|_| open.shared == Some(sent.attempt)).map(is_built);
        is_built(&open.cargo) || shared.is_some_and(|sent| current(sent).unwrap_or(true))
    }

    /// The batch once more, with all that it needs; unless there is another attempt at it.
    fn send_anew(&mut self, now: u64, id: BatchId) {
        let Some(open) = self.end_batch(id) else { return };
        let Some(running) = &self.running else { return };
        let node = running.run.plan().jobs[id.job as usize].node;
        if let Some(attempt) = open.shared {
            self.forget_shared(node, &open.member, attempt);
        }
        self.residents.forget_lists(open.slot);
        if !self.is_at_somebody(id.job) {
            self.assign_jobs(now, open.jobs);
        }
    }

    /// An attempt is over without a result: there is another one, or a new one, or none in this tick.
    fn fail_attempt(&mut self, now: u64, id: BatchId) {
        let Some(batch) = self.end_batch(id) else { return };
        let was_last = !self.is_at_somebody(id.job);
        let max = self.settings.max_deaths;
        let Some(running) = &mut self.running else { return };
        let is_alone = batch.jobs.len() == 1;
        let mut again = Vec::new();
        for job in batch.jobs {
            let Some(open) = running.open.get_mut(&job) else { continue };
            // Which job of a batch it was nobody knows: they are tried one by one.
            open.alone = true;
            open.deaths += u32::from(is_alone);
            again.push((job, open.deaths));
        }
        if !was_last {
            return;
        }
        let is_over = |deaths: u32| deaths >= max && self.replayed.is_none();
        let (over, again): (Vec<_>, Vec<_>) = again.into_iter().partition(|(_, deaths)| is_over(*deaths));
        for (job, _) in over {
            self.figures.count("quarantined");
            self.stage_held(job);
        }
        self.assign_jobs(now, again.into_iter().map(|(job, _)| job).collect());
    }

    /// Refuses something that is not about a job: of no tick.
    pub(super) fn reject_whom(&mut self, to: Sender<'_>, rejection: &Rejection) {
        let prefix = ChunkPrefix {
            kind: ChunkKind::Result,
            attempt: 0,
            job: 0,
            epoch: self.epoch,
            tick: 0,
            chunk: 0,
            chunks: 1,
            instance: 0,
        };
        self.reject(to, &prefix, rejection);
    }

    /// As [`Self::reject`], to an instance that is registered.
    pub(super) fn reject_member(&mut self, instance: &str, prefix: &ChunkPrefix, rejection: &Rejection) {
        let Some(member) = self.members.get(instance) else { return };
        let systems = member.systems_token.clone();
        self.reject(Sender { systems: &systems, instance }, prefix, rejection);
    }

    pub(super) fn reject(&mut self, to: Sender<'_>, prefix: &ChunkPrefix, rejection: &Rejection) {
        self.figures.count(format!("rejected.{}", rejection.reason));
        let (tick, job, why) = (prefix.tick, prefix.job, &rejection.message);
        tracing::debug!(tick, instance = to.instance, job, reason = %rejection.reason, why, "a message of an instance is refused");
        let message = Rejected {
            epoch: self.epoch,
            tick: prefix.tick,
            job: prefix.job,
            attempt: prefix.attempt,
            reason: rejection.reason,
            message: rejection.message.clone(),
        };
        let headers = Headers::of::<Rejected>().instance(to.instance);
        self.publish_with(self.subjects.rejected(to), headers, &message);
    }
}
