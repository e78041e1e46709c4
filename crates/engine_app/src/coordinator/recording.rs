//! What the time of a tick is spent on, written down while somebody wants to know: for `trace.request`, and for one in so
//! many ticks that are sampled. A tick that nobody asked for costs one comparison.
//!
//! What is kept is bounded in ticks and in bytes, and forgotten when nobody has asked for [`FORGET_AFTER`]. Nothing of it
//! decides anything: a tick that is recorded is the tick that it would have been.

use std::collections::{BTreeMap, VecDeque};

use engine_net::messages::trace::{
    BatchTrace, MAX_BATCHES, MAX_TICKS, MAX_WAITS, NodeTrace, Step, StepTrace, TickTrace, TracePage, TraceReply,
    TraceRequest,
};
use engine_net::messages::{Message, Problem, Reply};
use engine_net::otlp::TraceId;
use engine_net::strict;

use super::Coordinator;
use super::batches::{BatchId, OpenBatch};
use crate::phases::Way;
use crate::plan::TickPlan;

/// Bytes of recorded ticks that are kept, at the most, as they will be sent; older ones go.
const MAX_KEPT: usize = 32 << 20;
/// Nanoseconds without a request, after which nothing is recorded or kept any more.
const FORGET_AFTER: u64 = 30_000_000_000;
/// Bytes that a page needs besides its ticks.
const PAGE_ALLOWANCE: usize = 1024;

/// Is given each tick that is sampled, with the epoch.
pub type TraceSink = Box<dyn FnMut(u64, &TickTrace) + Send>;

/// Which ticks are recorded, and those that were.
#[derive(Default)]
pub(super) struct Recordings {
    /// Up to which tick somebody wants to know.
    until: u64,
    asked_at: u64,
    kept: VecDeque<(TickTrace, usize)>,
    bytes: usize,
    sampled: Option<(u64, TraceSink)>,
}

impl Recordings {
    fn wants(&self, tick: u64) -> bool {
        tick <= self.until || self.is_sampled(tick)
    }

    pub(super) fn is_sampled(&self, tick: u64) -> bool {
        self.sampled.as_ref().is_some_and(|(every, _)| tick.is_multiple_of(*every))
    }

    pub(super) fn keep(&mut self, trace: TickTrace) {
        let bytes = strict::encode(&trace).len();
        self.bytes += bytes;
        self.kept.push_back((trace, bytes));
        while self.bytes > MAX_KEPT || self.kept.len() > MAX_TICKS as usize {
            let Some((_, bytes)) = self.kept.pop_front() else { break };
            self.bytes -= bytes;
        }
    }

    /// Nobody has asked for long.
    fn forget(&mut self) {
        (self.until, self.bytes) = (0, 0);
        self.kept = VecDeque::new();
    }

    /// Ticks that are kept, and their bytes.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.kept.len(), self.bytes)
    }

    /// Ticks from one on, as far as they are there and fit into a page.
    pub(super) fn page(&self, from: u64, end: u64, room: usize) -> Vec<TickTrace> {
        let (mut ticks, mut bytes): (Vec<TickTrace>, usize) = (Vec::new(), 0);
        for (trace, size) in self.kept.iter().filter(|(trace, _)| (from..end).contains(&trace.tick)) {
            let is_next = trace.tick == from + ticks.len() as u64;
            if !is_next || (bytes + size > room && !ticks.is_empty()) {
                break;
            }
            bytes += size;
            ticks.push(if *size > room { shortened(trace, room, *size) } else { trace.clone() });
        }
        ticks
    }
}

/// A tick of which as many batches are told of as fit.
fn shortened(trace: &TickTrace, room: usize, size: usize) -> TickTrace {
    let mut trace = trace.clone();
    let all = trace.batches.len();
    // Batches are nearly all of it; a third less is enough, whatever the names of instances are.
    trace.batches.truncate((all * room / size.max(1)) * 2 / 3);
    trace.left_out += (all - trace.batches.len()) as u32;
    trace
}

/// A tick that is being recorded.
pub(super) struct Recording {
    trace: TickTrace,
    /// The places of instances, by their slots.
    places: BTreeMap<u32, u32>,
}

impl Recording {
    fn since(&self, at: u64) -> u64 {
        at.saturating_sub(self.trace.began_ns)
    }

    fn step(&mut self, step: Step, from: u64, to: u64) {
        let step = StepTrace(step, self.since(from), self.since(to));
        self.trace.steps.push(step);
    }

    fn batch(&mut self, batch: BatchTrace) {
        if self.trace.batches.len() < MAX_BATCHES {
            self.trace.batches.push(batch);
        } else {
            self.trace.left_out += 1;
        }
    }

    /// A batch of an instance is in the world.
    pub(super) fn merged(&mut self, id: BatchId, node: usize, open: &OpenBatch, way: &Way) {
        let places = self.places.len() as u32;
        let place = *self.places.entry(open.slot).or_insert_with(|| {
            self.trace.instances.push(open.member.clone());
            places
        });
        let at = way.moments().map(|at| self.since(at));
        let (jobs, instance) = (open.jobs.len() as u32, Some(place));
        self.batch(BatchTrace { node: node as u32, instance, job: id.job, attempt: id.attempt, jobs, at });
    }
}

impl Coordinator {
    /// Gives one in so many ticks, those whose numbers are multiples of `every`, to somebody when it is committed.
    pub fn sample_ticks(&mut self, every: u64, sink: TraceSink) {
        self.recordings.sampled = Some((every.max(1), sink));
    }

    /// The trace of a tick, if that is sampled.
    pub(super) fn trace_of(&self, tick: u64) -> Option<TraceId> {
        let world = self.subjects.world();
        self.recordings.is_sampled(tick).then(|| TraceId::of_tick(world, self.epoch, tick))
    }

    /// Nobody may have asked for long, also in a world that stands still.
    pub(super) fn forget_recordings(&mut self, now: u64) {
        if self.recordings.until > 0 && now.saturating_sub(self.recordings.asked_at) > FORGET_AFTER {
            self.recordings.forget();
        }
    }

    /// Begins to record a tick, if somebody wants to know.
    pub(super) fn begin_recording(&mut self, tick: u64) -> Option<Box<Recording>> {
        if !self.recordings.wants(tick) || self.replayed.is_some() {
            return None;
        }
        let trace = TickTrace { tick, began_ns: self.lap(), ..TickTrace::default() };
        Some(Box::new(Recording { trace, places: BTreeMap::new() }))
    }

    /// What is due before a tick is done, and its jobs are planned since then.
    pub(super) fn planned(&self, recording: &mut Recording, applied: u64, plan: &TickPlan) {
        let began = recording.trace.began_ns;
        recording.step(Step::Apply, began, applied);
        recording.step(Step::Plan, applied, self.lap());
        let nodes = plan.nodes.iter().map(|node| NodeTrace {
            system: self.systems[node.system].name().to_owned(),
            waits_for: node.waits_for.iter().take(MAX_WAITS).map(|node| *node as u32).collect(),
            ..NodeTrace::default()
        });
        recording.trace.nodes = nodes.collect();
    }

    /// Whether the open tick is recorded.
    pub(super) fn records_tick(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.recording.is_some())
    }

    /// Writes something down about the open tick, if that is recorded; with the time.
    pub(super) fn write_down(&mut self, write: impl FnOnce(&mut Recording, u64)) {
        if self.records_tick() {
            let at = self.lap();
            let recording = self.running.as_mut().and_then(|running| running.recording.as_mut());
            if let Some(recording) = recording {
                write(recording, at);
            }
        }
    }

    pub(super) fn record_start(&mut self, node: usize) {
        self.write_down(|recording, at| recording.trace.nodes[node].started = recording.since(at));
    }

    pub(super) fn record_merging(&mut self, node: usize) {
        self.write_down(|recording, at| recording.trace.nodes[node].merging = recording.since(at));
    }

    pub(super) fn record_merged(&mut self, node: usize) {
        self.write_down(|recording, at| recording.trace.nodes[node].merged = recording.since(at));
    }

    /// A job in this process is done.
    pub(super) fn record_local(&mut self, job: u32, compute_ns: u64) {
        if !self.records_tick() {
            return;
        }
        let Some(running) = &self.running else { return };
        let node = running.run.plan().jobs[job as usize].node;
        self.write_down(|recording, at| {
            let (done, began) = (recording.since(at), recording.trace.nodes[node].started);
            let started = done.saturating_sub(compute_ns).max(began);
            let at = [began, began, began, started, done, done, done];
            recording.batch(BatchTrace { node: node as u32, instance: None, job, attempt: 0, jobs: 1, at });
        });
    }

    /// The tick is over: who wants it has it.
    pub(super) fn end_recording(&mut self, recording: Box<Recording>, [ended, structured, hashed]: [u64; 3]) {
        let (mut recording, at) = (recording, self.lap());
        recording.step(Step::Structure, ended, structured);
        recording.step(Step::Hash, structured, hashed);
        recording.step(Step::Commit, hashed, at);
        let took = recording.since(at);
        let mut trace = recording.trace;
        trace.took_ns = took;
        let (epoch, tick) = (self.epoch, trace.tick);
        if let Some((every, sink)) = &mut self.recordings.sampled
            && tick.is_multiple_of(*every)
        {
            sink(epoch, &trace);
        }
        if tick <= self.recordings.until {
            self.recordings.keep(trace);
        }
    }

    pub(super) fn trace_request(&mut self, reply: Option<&str>, payload: &[u8]) {
        let answer = match self.trace_page(payload) {
            Ok(page) => Reply::Ok(page),
            Err(problem) => {
                self.figures.count(format!("refused.{}", problem.code));
                Reply::Error(problem)
            }
        };
        self.answer::<TraceReply>(reply, &answer);
    }

    fn trace_page(&mut self, payload: &[u8]) -> Result<TracePage, Problem> {
        let request = strict::decode::<TraceRequest>(payload, TraceRequest::LIMIT)
            .map_err(|error| Problem::new("bad_request", error))?;
        if !(1..=MAX_TICKS).contains(&request.ticks) {
            let text = format!("{} ticks: 1 to {MAX_TICKS} can be recorded at once", request.ticks);
            return Err(Problem::new("bad_request", text));
        }
        if self.recovering {
            return Err(Problem::new("unavailable", "the world is being recovered from its log: try again"));
        }
        let begun = self.running.as_ref().map_or(self.tick, |running| running.tick);
        let from = request.from.unwrap_or(begun + 1);
        if from > begun.saturating_add(u64::from(MAX_TICKS)) {
            return Err(Problem::new(
                "bad_request",
                format_args!("tick {from} is too far ahead: the world is at {begun}"),
            ));
        }
        let end = from + u64::from(request.ticks);
        // What was asked for long ago, and forgotten, is begun anew.
        self.recordings.until = self.recordings.until.max(end - 1);
        self.recordings.asked_at = self.now;
        let room = self.sizes.limit.min(TraceReply::LIMIT) - PAGE_ALLOWANCE;
        let ticks = self.recordings.page(from, end, room);
        if ticks.is_empty() && from <= self.tick {
            return Err(Problem::new(
                "gone",
                format_args!("tick {from} is over, and is not kept: ask for the next ones"),
            ));
        }
        let next = from + ticks.len() as u64;
        Ok(TracePage { epoch: self.epoch, ticks, next: (next < end).then_some(next) })
    }
}
