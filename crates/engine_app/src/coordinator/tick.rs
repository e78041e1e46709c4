//! A tick, from its beginning to its commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine_component::{ComponentId, Entity, WorldHash};
use engine_net::messages::tick::Tick;
use engine_system::{EventBatch, planted};
use xxhash_rust::xxh3::Xxh3;

use super::batches::BatchId;
use super::early::row_order;
use super::handled::{Answers, take_answers};
use super::send_queue::SendQueue;
use super::spawned::{Recorded, name_in_columns};
use super::{Commit, Coordinator, CoordinatorError, KEPT_TICKS, Output, Running};
use crate::local::{LocalJob, LocalShared};
use crate::merge::JobResult;
use crate::plan::TickPlan;
use crate::schedule::{Registered, Schedule};
use crate::settings::TimeMode;
use crate::system_entry::RunFigures;
use crate::tick_run::{RowOrder, TickRun};

const SECOND: f64 = 1e9;

impl Coordinator {
    /// Does all that can be done without waiting, up to the end of one tick: a world without jobs that runs as
    /// fast as it can would never come back else.
    pub(super) fn advance(&mut self, now: u64) {
        self.now = now;
        if self.failure.is_some() {
            return;
        }
        let mut committed = false;
        loop {
            if self.running.is_none() {
                self.between_ticks(now);
                self.apply_settings();
                self.apply_while_standing();
                if committed || !self.is_due(now) || self.begin(now).is_err() {
                    return;
                }
            }
            self.run_nodes(now);
            if self.running.as_ref().is_some_and(|running| running.run.is_done()) {
                self.commit(now);
                committed = true;
            }
            if self.running.is_some() {
                return;
            }
        }
    }

    fn between_ticks(&mut self, now: u64) {
        self.accept_joins(now);
        self.place_columns();
        if (self.world.tables().len(), self.systems.len()) != self.scheduled_for
            && let Err(error) = self.reschedule()
        {
            self.failure = Some(error);
        }
    }

    pub(super) fn reschedule(&mut self) -> Result<(), CoordinatorError> {
        let registered: Vec<Registered> = self.systems.iter().map(|entry| entry.registered.clone()).collect();
        let archetypes: Vec<&[ComponentId]> =
            self.world.sorted_tables().iter().map(|id| self.world.table(*id).components()).collect();
        self.schedule = Schedule::build(&registered, &archetypes)?;
        self.scheduled_for = (self.world.tables().len(), self.systems.len());
        Ok(())
    }

    /// What the next tick waits for, besides its time.
    pub(super) fn waits_for(&self) -> Option<String> {
        let expected =
            self.settings.expect.iter().find(|name| !self.systems.iter().any(|entry| entry.name() == name.as_str()));
        if let Some(name) = expected {
            return Some(format!("an instance of {name}"));
        }
        let nobody = self
            .systems
            .iter()
            .find(|entry| entry.local.is_none() && self.members.of_system(entry.name()).next().is_none());
        nobody.map(|entry| format!("an instance of {}", entry.name()))
    }

    fn is_due(&self, now: u64) -> bool {
        if self.failure.is_some() || self.waits_for().is_some() {
            return false;
        }
        if self.replayed.is_some() {
            return true;
        }
        if self.recovering || self.is_finished() || self.log_lags() {
            return false;
        }
        if self.sim.paused { self.sim.steps > 0 } else { now >= self.next_tick_at }
    }

    /// Nanoseconds between ticks; 0 for as fast as possible. Speeds near 0 make it as long as a number can be.
    pub(super) fn interval(&self) -> u64 {
        if self.settings.time == TimeMode::Fast || self.sim.speed <= 0.0 {
            return 0;
        }
        (SECOND / (self.settings.rate * self.sim.speed)) as u64
    }

    fn begin(&mut self, now: u64) -> Result<(), ()> {
        let mut recording = self.begin_recording(self.tick + 1);
        self.do_first()?;
        self.apply_inputs();
        let time = self.time(self.tick + 1);
        for update in &mut self.updates {
            update(&mut self.world, time);
        }
        self.between_ticks(now);
        if self.failure.is_some() {
            return Err(());
        }
        if self.sim.paused {
            self.sim.steps = self.sim.steps.saturating_sub(1);
        }
        let interval = self.interval();
        let due = self.next_tick_at;
        self.next_tick_at = match self.settings.time {
            TimeMode::CatchUp { max } if due > 0 => {
                due.saturating_add(interval).max(now.saturating_sub(interval.saturating_mul(u64::from(max))))
            }
            // A tick that is late moves all later ones; one that is only a timer's jitter late does not.
            _ if due > 0 && now < due.saturating_add(interval / 4) => due.saturating_add(interval),
            _ => now.saturating_add(interval),
        };
        let tick = time.tick;
        let applied = recording.as_ref().map_or(0, |_| self.lap());
        let descriptors: Vec<_> = self.systems.iter().map(|entry| &entry.registered.descriptor).collect();
        let plan = TickPlan::new(&self.world, &descriptors, &self.schedule, tick);
        let orders: Vec<RowOrder> = plan.nodes.iter().map(|node| row_order(&self.systems[node.system])).collect();
        if let Some(recording) = &mut recording {
            self.planned(recording, applied, &plan);
        }
        self.running = Some(Running {
            tick,
            epoch: self.replayed.as_ref().map_or(self.epoch, |replayed| replayed.epoch),
            started: now,
            run: TickRun::new(plan, |node| orders[node]),
            commands: BTreeMap::new(),
            events: BTreeMap::new(),
            open: BTreeMap::new(),
            queue: SendQueue::default(),
            batches: BTreeMap::new(),
            shared_sent: BTreeMap::new(),
            sent_anew: true,
            emitted: Vec::new(),
            bytes: 0,
            kept: BTreeSet::new(),
            inputs: std::mem::take(&mut self.inputs),
            outcomes: BTreeMap::new(),
            recording,
        });
        if !self.members.is_empty() {
            let time = self.time(tick);
            self.publish(self.subjects.tick(), &Tick { epoch: self.epoch, tick, dt: time.dt, elapsed: time.elapsed });
        }
        Ok(())
    }

    /// Starts and merges nodes as long as there are any.
    fn run_nodes(&mut self, now: u64) {
        loop {
            self.begin_released(now);
            let Some(running) = &mut self.running else { return };
            if let Some(node) = running.run.start_next() {
                self.start_node(now, node);
                continue;
            }
            let Some(running) = &self.running else { return };
            let complete = running.run.next_merges().find(|node| self.may_merge(running, *node));
            match complete {
                Some(node) => self.merge_node(now, node),
                None => break,
            }
        }
        self.assign_homeless(now);
    }

    fn start_node(&mut self, now: u64, node: usize) {
        let Some(running) = &mut self.running else { return };
        let plan = running.run.plan().nodes[node].clone();
        let entry = &mut self.systems[plan.system];
        entry.run = RunFigures { jobs: plan.jobs.len() as u32, started: now, ..RunFigures::default() };
        let name = entry.name().to_owned();
        self.record_start(node);
        self.keep_replayed(node);
        self.take_recorded(node);
        let Some(running) = &mut self.running else { return };
        let open: Vec<u32> = plan.jobs.clone().filter(|job| running.run.is_open(*job)).collect();
        let entry = &mut self.systems[plan.system];
        let events: Vec<EventBatch> =
            entry.registered.descriptor.reads_events.iter().map(|event| self.events.unread(*event, &name)).collect();
        let Some(system) = entry.local.clone() else {
            running.events.insert(node, events);
            self.assign_jobs(now, open.clone());
            self.queue_fused(open);
            return;
        };
        let time = self.time(running_tick(&self.running));
        let entry = &self.systems[plan.system];
        let Some(running) = &self.running else { return };
        let world: *mut _ = &raw mut self.world;
        // SAFETY: the world keeps its structure until all nodes are merged, which needs all jobs; the
        // schedule keeps whoever writes what this node reads away until then.
        #[expect(unsafe_code, reason = "jobs in this process work on the world's own memory")]
        let shared = Arc::new(unsafe { LocalShared::new(world, entry, &plan, events) });
        let mut jobs = Vec::with_capacity(open.len());
        for number in open {
            let job = &running.run.plan().jobs[number as usize];
            let clock = (time, self.settings.seed);
            // SAFETY: as above; jobs of one node have rows of their own.
            #[expect(unsafe_code, reason = "jobs in this process work on the world's own memory")]
            jobs.push(unsafe {
                LocalJob::new(&mut *world, entry, system.clone(), shared.clone(), (number, job), clock)
            });
        }
        self.out.extend(jobs.into_iter().map(Output::Run));
    }

    fn merge_node(&mut self, now: u64, node: usize) {
        self.record_merging(node);
        self.record_outcomes(node);
        let Some(running) = &self.running else { return };
        let plan = running.run.plan().nodes[node].clone();
        let may_spawn = self.systems[plan.system].descriptor().commands;
        let mut first = if may_spawn { self.first_spawn_of(running, plan.jobs.start) } else { Entity::NONE };
        let Some(running) = &mut self.running else { return };
        self.world.advance_version();
        let mut spawned = false;
        let (mut answers, mut has_run) = (Answers::new(), true);
        for (number, mut result) in running.run.take_results(node) {
            has_run &= !matches!(result, JobResult::Held);
            let spawns = result.spawns();
            spawned |= spawns > 0;
            let (commands, events) = result.take_effects();
            let compute_ns = result.compute_ns();
            self.systems[plan.system].run.compute += compute_ns;
            if matches!(result, JobResult::Local(_)) {
                self.systems[plan.system].totals.phases.add_compute(compute_ns);
            }
            if !commands.is_empty() {
                running.commands.insert(number, Recorded { bytes: commands, spawns });
            }
            for (event, mut batch) in events {
                if let Some(info) = self.world.registry().get(event).filter(|_| spawns > 0) {
                    batch.replace_entities(&info.schema.entity_offsets(), |entity| entity.resolved(first, spawns));
                }
                if take_answers(&self.handled, event, &batch, &mut answers) {
                    continue;
                }
                running.emitted.push((event, batch.clone()));
                self.events.append(event, batch);
            }
            if let Some(buffer) = result.merge(&mut self.world, running.run.plan(), &mut self.row_counts) {
                self.mapped.give_back(buffer);
            }
            if spawns > 0 {
                let job = running.run.plan().jobs[number as usize].clone();
                name_in_columns(&mut self.world, self.systems[plan.system].descriptor(), &job, (first, spawns));
                first = Entity::from_bits(first.to_bits() + u64::from(spawns));
            }
        }
        running.run.merged(node);
        running.events.remove(&node);
        self.batches_merged(&plan.jobs, spawned);
        self.record_merged(node);
        self.settle_given(plan.system, answers, has_run);
        let entry = &mut self.systems[plan.system];
        for event in &entry.registered.descriptor.reads_events {
            self.events.advance(*event, &entry.registered.descriptor.name);
        }
        for (component, tracker) in &entry.trackers {
            self.world.clear_tracker(*component, *tracker);
        }
        entry.run.took = now.saturating_sub(entry.run.started);
        entry.last_run = entry.run;
        entry.totals.add(&entry.run);
    }

    fn commit(&mut self, now: u64) {
        let Some(mut running) = self.running.take() else { return };
        let recording = running.recording.take();
        let lap = |core: &Self| recording.as_ref().map_or(0, |_| core.lap());
        let ended = lap(self);
        self.world.advance_version();
        let mut first = self.world.reserve_entities(running.spawns());
        for recorded in planted::in_order(&running.commands) {
            let applied = self.world.apply_reserved(&recorded.bytes, first);
            first = Entity::from_bits(first.to_bits() + u64::from(recorded.spawns));
            match applied {
                Ok(applied) => {
                    *self.figures.counters.entry("missed_commands".into()).or_default() += u64::from(applied.missed);
                }
                // Records of instances were checked when they came: this one is of a system in this process.
                Err(error) => {
                    tracing::error!(tick = running.tick, %error, "a record of commands is refused");
                    self.failure.get_or_insert(error.into());
                }
            }
        }
        self.world.run_change_hooks();
        self.residents.look_through(running.tick);
        self.members.note_speeds();
        self.forget_old_attempts(running.tick);
        self.tick = running.tick;
        let structured = lap(self);
        self.hash = self.whole_hash();
        let hashed = lap(self);
        let took = now.saturating_sub(running.started);
        self.note_figures(now, took, &running);
        let record = self.record(&mut running);
        self.finally(|core| {
            core.announce(&mut running);
            core.answer_waiting();
        });
        self.show_watches(now);
        if let Some(recording) = recording {
            self.end_recording(recording, [ended, structured, hashed]);
        }
        let bytes = running.bytes;
        self.commits.push_back(Commit { tick: self.tick, hash: self.hash, took_ns: took, bytes, record });
        if self.commits.len() > KEPT_TICKS {
            self.commits.pop_front();
        }
    }

    /// The hash over the world and what systems have still to read.
    pub(super) fn whole_hash(&mut self) -> WorldHash {
        let mut hash = Xxh3::new();
        hash.update(&self.world.hash().0.to_le_bytes());
        self.events.hash_into(&mut hash);
        WorldHash(hash.digest128())
    }

    fn note_figures(&mut self, now: u64, took: u64, running: &Running) {
        let figures = &mut self.figures;
        figures.tick_ns.push_back(took);
        figures.tick_bytes.push_back(running.bytes);
        figures.commits.push_back(now);
        if figures.tick_ns.len() > KEPT_TICKS {
            figures.tick_ns.pop_front();
            figures.tick_bytes.pop_front();
        }
        while figures.commits.front().is_some_and(|at| now.saturating_sub(*at) > SECOND as u64) {
            figures.commits.pop_front();
        }
        figures.total_bytes += running.bytes;
        figures.events_last_tick = running.emitted.iter().map(|(_, batch)| batch.len() as u64).sum();
        let interval = self.interval();
        if interval > 0 && took > interval {
            self.figures.count("dilated");
        }
    }

    /// What instances made of their copies of a node is the world's now. Where jobs spawned entities, the world has
    /// their final numbers in its columns, and the copies have not.
    fn batches_merged(&mut self, jobs: &std::ops::Range<u32>, spawned: bool) {
        let at = self.lap();
        let range = BatchId { job: jobs.start, attempt: 0 }..BatchId { job: jobs.end, attempt: 0 };
        let mut next = range.start;
        while let Some((id, merged)) = self
            .running
            .as_ref()
            .and_then(|running| running.batches.range(next..range.end).next().map(|(id, open)| (*id, open.merged)))
        {
            if !merged {
                self.note_way(id, at);
            }
            next = id.next();
        }
        let Some(running) = &mut self.running else { return };
        let mut later = running.batches.split_off(&BatchId { job: jobs.start, attempt: 0 });
        let mut others = later.split_off(&BatchId { job: jobs.end, attempt: 0 });
        running.batches.append(&mut others);
        for batch in later.into_values() {
            if !batch.merged {
                self.copies_merged(batch.slot, batch.cargo.keep, &batch.cargo.copies, spawned);
            }
        }
    }

    /// A job comes to nothing, and those of its batch with it: their shards keep their values. How many.
    pub(super) fn stage_held(&mut self, job: u32) -> u64 {
        let jobs = self.end_batches_of(job).map_or_else(|| vec![job], |batch| batch.jobs);
        jobs.iter().for_each(|job| self.stage_held_alone(*job));
        jobs.len() as u64
    }

    fn stage_held_alone(&mut self, job: u32) {
        if let Some(running) = &mut self.running
            && running.run.is_open(job)
        {
            running.kept.insert(job);
            running.run.stage(job, JobResult::Held);
        }
    }
}

fn running_tick(running: &Option<Running>) -> u64 {
    running.as_ref().map_or(0, |running| running.tick)
}
