//! The coordinator's core: a state machine without I/O.
//!
//! Inputs go in (messages, finished jobs, the clock), outputs come out (messages, jobs to run here). A
//! driver connects it to threads and to NATS, a test or a simulator to whatever it likes. The world
//! belongs to it alone.
//!
//! ```text
//!            due, systems there            all nodes merged
//!    Idle ─────────────────────▶ Running ──────────────────▶ commit ──▶ Idle
//!     ▲ inputs, joins: applied here │ jobs out, results in
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | `tick.rs` | begins a tick, starts and merges nodes, commits |
//! | `first_tick.rs` | what is done once, before it |
//! | `error.rs` | why there is no coordinator, or it ends |
//! | `spawned.rs` | the numbers of entities that jobs spawn |
//! | `jobs.rs` | which instance gets which job; moves them when one dies |
//! | `batches.rs` | sends them, several at a time |
//! | `cargo.rs`, `residents.rs` | what is sent, given what an instance has kept |
//! | `mapped.rs` | columns that instances on this host read in place |
//! | `late.rs` | asks after silent jobs, applies deadlines |
//! | `speculation.rs`, `late_results.rs` | a second attempt beside one that is late; their results compared |
//! | `send_queue.rs` | who is sent the next job |
//! | `results.rs` | takes what instances send, or refuses it |
//! | `membership.rs` | registrations, heartbeats, leaving |
//! | `commands.rs`, `edits.rs` | commands, and what they do to the world |
//! | `access.rs` | what programs outside may see and change |
//! | `remembered.rs` | commands that may be repeated |
//! | `queries.rs`, `status.rs` | what may be asked |
//! | `durable.rs` | what is held back until it is durable |
//! | `kept_events.rs` | events that are kept, and counted until they are |
//! | `replay.rs` | the records of ticks, and ticks of records |
//! | `outcomes.rs` | what systems did that are not deterministic |
//! | `state.rs` | a coordinator as it can be stored, and made of what was stored |
//! | `run_time.rs` | settings that change while the world runs, and the time of a tick |
//! | `snapshots.rs` | keyframes that somebody asked for |
//! | `watch.rs` | live queries |
//! | `schemas.rs` | what components look like, for whoever asks |
//! | `load.rs` | what it holds, for whoever checks that it is bounded |
//! | `recording.rs` | what the time of a tick is spent on, when somebody asks |
//! | `measures.rs` | what it measures, for those who run it |

mod access;
mod announce;
mod batches;
mod cargo;
mod commands;
mod durable;
mod early;
mod edits;
mod error;
mod first_tick;
mod fusion;
mod handled;
mod incoming;
mod jobs;
mod kept_events;
mod late;
mod late_results;
mod load;
mod mapped;
mod measures;
mod membership;
mod outcomes;
mod queries;
mod recording;
mod registration;
mod remembered;
mod replay;
mod residents;
mod results;
mod run_time;
mod schemas;
mod send_queue;
mod snapshots;
mod spawned;
mod speculation;
mod state;
mod status;
mod tick;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use engine_component::{World, WorldHash};
use engine_net::headers::Headers;
use engine_net::messages::Message;
use engine_net::messages::register::Register;
use engine_net::parcel::ChunkSizes;
use engine_net::strict;
use engine_net::subject::Subjects;
use engine_system::{JobError, System};

use crate::event_queue::EventQueues;
use crate::kept::KeptTick;
use crate::local::{LocalJob, LocalResult};
use crate::members::Members;
use crate::merge::JobResult;
use crate::record::{Input, TickRecord};
use crate::schedule::{Registered, Schedule};
use crate::settings::Settings;
use crate::system_entry::SystemEntry;
use crate::tick_run::TickRun;

use batches::{BatchId, OpenBatch, SharedSent};
use commands::Waiting;
use durable::Durability;
pub use error::CoordinatorError;
pub use first_tick::{BeforeFirstTick, FirstTick};
use handled::Handled;
use jobs::OpenJob;
use kept_events::Kept;
use late_results::LateResults;
pub use load::Load;
pub use mapped::HostMemory;
use mapped::Mapped;
pub use measures::{Durations, Measures, RowCounts, Stopwatch};
pub use recording::TraceSink;
use recording::{Recording, Recordings};
use remembered::Remembered;
use replay::Replayed;
use residents::Residents;
use run_time::RunTime;
use send_queue::SendQueue;
use snapshots::Snapshots;
use spawned::Recorded;
pub use state::{MAX_STATE, RestoreError};
use watch::Watches;

/// Ticks whose times are kept for the figures.
const KEPT_TICKS: usize = 512;

/// What the coordinator wants done.
pub enum Output {
    /// A message.
    Send {
        /// The connection; 0 is for everything but jobs.
        lane: usize,
        /// The subject.
        subject: String,
        /// Ask for an answer when nobody listens: the token comes back in [`Coordinator::nobody_there`].
        token: Option<String>,
        /// The headers of a control message.
        headers: Option<Headers>,
        /// The payload.
        payload: Bytes,
    },
    /// A job for the pool of this process.
    Run(LocalJob),
    /// A [`TickRecord`] for the log, behind all before it; only of a coordinator that was told to
    /// [keep one](Coordinator::keep_log).
    Record {
        /// Its tick.
        tick: u64,
        /// The record as MessagePack.
        record: Bytes,
    },
    /// Events to be kept, behind all before them; only of a coordinator that was told to
    /// [keep them](Coordinator::keep_events).
    Keep(KeptTick),
}

/// Pause, steps and speed.
#[derive(Debug)]
struct Sim {
    paused: bool,
    steps: u64,
    speed: f64,
    stopping: bool,
}

/// A tick that is going on.
struct Running {
    tick: u64,
    /// Of the record: of an earlier reign, when the tick is repeated.
    epoch: u64,
    started: u64,
    run: TickRun<JobResult>,
    /// Commands of merged jobs by job number: applied when the tick ends.
    commands: BTreeMap<u32, Recorded>,
    /// Events that each running node reads.
    events: BTreeMap<usize, Vec<engine_system::EventBatch>>,
    /// Open jobs at instances.
    open: BTreeMap<u32, OpenJob>,
    /// Batches that were sent, until their node is merged: one attempt at each, or two.
    batches: BTreeMap<BatchId, OpenBatch>,
    /// Jobs that wait for room, in order.
    queue: SendQueue,
    /// Shared inputs that were sent: (node, instance).
    shared_sent: BTreeMap<(usize, String), SharedSent>,
    /// Something was sent since the world's version was advanced.
    sent_anew: bool,
    /// Events for the outside.
    emitted: Vec<(engine_component::ComponentId, engine_system::EventBatch)>,
    bytes: u64,
    /// Jobs that bring nothing: their shards keep their values.
    kept: std::collections::BTreeSet<u32>,
    /// What it was given.
    inputs: Vec<Input>,
    /// What jobs did that have to be recorded, as chunks.
    outcomes: BTreeMap<u32, Vec<Bytes>>,
    /// What its time is spent on, if somebody wants to know.
    recording: Option<Box<Recording>>,
}

/// Figures since the start.
#[derive(Debug, Default)]
struct Figures {
    tick_ns: VecDeque<u64>,
    commits: VecDeque<u64>,
    /// Bytes of the same ticks.
    tick_bytes: VecDeque<u64>,
    total_bytes: u64,
    events_last_tick: u64,
    /// Requests that were refused, and why the last one was.
    refusals: u64,
    last_refusal: String,
    counters: BTreeMap<String, u64>,
    /// From queries to their answers.
    queries: Durations,
}

impl Figures {
    fn count(&mut self, name: impl Into<String>) {
        let name = name.into();
        if let Some(reason) = name.strip_prefix("refused.") {
            self.refusals += 1;
            reason.clone_into(&mut self.last_refusal);
        }
        *self.counters.entry(name).or_default() += 1;
    }

    /// The mean over the kept ticks: a system that runs in every third one would make a single tick misleading.
    fn bytes_per_tick(&self) -> u64 {
        self.tick_bytes.iter().sum::<u64>().checked_div(self.tick_bytes.len() as u64).unwrap_or(0)
    }
}

/// What one committed tick was, for whoever drives the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The tick.
    pub tick: u64,
    /// The hash of the world after it.
    pub hash: WorldHash,
    /// Nanoseconds from its start to its commit.
    pub took_ns: u64,
    /// Bytes that were sent and received for it.
    pub bytes: u64,
    /// What the tick was given.
    pub record: TickRecord,
}

/// The state machine. See the module's text.
pub struct Coordinator {
    settings: Settings,
    subjects: Subjects,
    sizes: ChunkSizes,
    world: World,
    systems: Vec<SystemEntry>,
    schedule: Schedule,
    /// Tables and systems that the schedule was built for.
    scheduled_for: (usize, usize),
    events: EventQueues,
    /// Commands that systems answer, by name.
    handled: Vec<Handled>,
    members: Members,
    residents: Residents,
    mapped: Mapped,
    late_results: LateResults,
    joins: Vec<(Option<String>, Register)>,
    epoch: u64,
    tick: u64,
    hash: WorldHash,
    sim: Sim,
    run_time: RunTime,
    next_tick_at: u64,
    running: Option<Running>,
    /// The driver's clock when it last said what happened.
    now: u64,
    /// When the clock was last told to go on.
    last_clock: u64,
    waiting: Vec<Waiting>,
    /// The first entity that was not announced.
    announced: u64,
    /// What was applied since the last record.
    inputs: Vec<Input>,
    /// The tick that is repeated, since a record says so.
    replayed: Option<Replayed>,
    /// Only ticks of records happen.
    recovering: bool,
    /// Records that were made.
    records: u64,
    durability: Option<Durability>,
    kept: Kept,
    remembered: Remembered,
    watches: Watches,
    snapshots: Snapshots,
    /// What systems that arrive by a record are run with here, to repeat what was.
    functions: Vec<Arc<dyn System>>,
    figures: Figures,
    row_counts: RowCounts,
    recordings: Recordings,
    /// The driver's clock, for figures alone.
    stopwatch: Option<Stopwatch>,
    out: VecDeque<Output>,
    commits: VecDeque<Commit>,
    failure: Option<CoordinatorError>,
    updates: Vec<Update>,
    look: Option<Look>,
    first: Option<BeforeFirstTick>,
    wall_clock_ms: Option<u64>,
}

/// Looks at a coordinator now and then.
pub type Look = Box<dyn FnMut(u64, &Coordinator) + Send>;

/// What a plugin does with the world before each tick.
pub type Update = Box<dyn FnMut(&mut World, engine_system::Time) + Send>;

impl Coordinator {
    /// A coordinator of a world, with the systems that are known from the start; those with a function run
    /// in this process.
    ///
    /// # Errors
    /// When a setting, a name or a schema is wrong.
    pub fn new(
        settings: Settings,
        mut world: World,
        systems: Vec<(Arc<dyn System>, bool)>,
        epoch: u64,
    ) -> Result<Self, CoordinatorError> {
        if !(settings.rate.is_finite() && settings.rate > 0.0) {
            return Err(CoordinatorError::Setting(format!(
                "a rate of {} ticks a second: it has to be above 0",
                settings.rate
            )));
        }
        let subjects = Subjects::new(&settings.prefix, &settings.world)?;
        let mut events = EventQueues::default();
        let mut entries = Vec::new();
        for (place, (system, local)) in systems.into_iter().enumerate() {
            for schema in system.schemas() {
                world.register_schema(schema.clone())?;
            }
            let registered = Registered { descriptor: system.descriptor().clone(), place: Some(place as u32) };
            for event in &registered.descriptor.reads_events {
                events.add_reader(*event, &registered.descriptor.name);
            }
            entries.push(SystemEntry::new(registered, local.then_some(system), &mut world)?);
        }
        let sizes = ChunkSizes { aim: settings.chunk_bytes, ..ChunkSizes::default() };
        let sim = Sim { paused: settings.paused, steps: 0, speed: 1.0, stopping: false };
        let mut coordinator = Self {
            settings,
            subjects,
            sizes,
            world,
            systems: entries,
            schedule: Schedule::default(),
            scheduled_for: (usize::MAX, 0),
            events,
            handled: Vec::new(),
            members: Members::default(),
            residents: Residents::default(),
            mapped: Mapped::default(),
            late_results: LateResults::default(),
            joins: Vec::new(),
            epoch,
            tick: 0,
            hash: WorldHash(0),
            sim,
            run_time: RunTime::default(),
            next_tick_at: 0,
            running: None,
            now: 0,
            last_clock: 0,
            waiting: Vec::new(),
            announced: 1,
            inputs: Vec::new(),
            replayed: None,
            recovering: false,
            records: 0,
            durability: None,
            kept: Kept::default(),
            remembered: Remembered::default(),
            watches: Watches::default(),
            snapshots: Snapshots::default(),
            functions: Vec::new(),
            figures: Figures::default(),
            row_counts: RowCounts::default(),
            recordings: Recordings::default(),
            stopwatch: None,
            out: VecDeque::new(),
            commits: VecDeque::new(),
            failure: None,
            updates: Vec::new(),
            look: None,
            first: None,
            wall_clock_ms: None,
        };
        coordinator.find_handled()?;
        coordinator.reschedule()?;
        coordinator.hash = coordinator.whole_hash();
        coordinator.begin_announcing();
        Ok(coordinator)
    }

    /// Adds something to be done with the world before each tick.
    pub fn on_update(&mut self, update: Update) {
        self.updates.push(update);
    }

    /// The world, between ticks or in one.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The world, to be changed between ticks: for plugins. None while a tick runs.
    pub fn world_mut(&mut self) -> Option<&mut World> {
        self.running.is_none().then_some(&mut self.world)
    }

    /// The world, without its coordinator.
    #[must_use]
    pub fn into_world(self) -> World {
        self.world
    }

    /// The last committed tick, and the hash of the world after it.
    #[must_use]
    pub fn committed(&self) -> (u64, WorldHash) {
        (self.tick, self.hash)
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The subjects of the world.
    #[must_use]
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// Whether a tick is going on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The open tick, or the last one.
    pub(super) fn current_tick(&self) -> u64 {
        self.running.as_ref().map_or(self.tick, |running| running.tick)
    }

    /// Systems that don't run in this process.
    pub fn remote_systems(&self) -> impl Iterator<Item = &str> {
        self.systems.iter().filter(|entry| entry.local.is_none()).map(SystemEntry::name)
    }

    /// How many instances are registered.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.members.len()
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The limit of a payload that the server announced.
    pub fn set_payload_limit(&mut self, bytes: usize) {
        // What headers and the protocol need stays free.
        self.sizes.limit = bytes.saturating_sub(16 << 10).clamp(4 << 10, 1 << 20);
    }

    /// What a clock on the wall shows, in milliseconds since 1970: for the status alone, so that tools can
    /// tell how far clocks are apart. Nothing in the world depends on it.
    pub fn set_wall_clock(&mut self, unix_ms: u64) {
        self.wall_clock_ms = Some(unix_ms);
    }

    /// The next thing to be done.
    pub fn next_output(&mut self) -> Option<Output> {
        // A batch that can't be sent puts nothing out, and others may wait behind it.
        while self.out.is_empty() && self.send_next_batch() {}
        self.out.pop_front()
    }

    /// How many things wait to be done.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.out.len()
    }

    /// The next tick that was committed since the last call.
    pub fn next_commit(&mut self) -> Option<Commit> {
        self.commits.pop_front()
    }

    /// Why the coordinator can't go on, if it can't.
    pub fn take_failure(&mut self) -> Option<CoordinatorError> {
        self.failure.take()
    }

    /// Whether the last tick that was asked for is committed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.running.is_none() && (self.sim.stopping || self.settings.ticks.is_some_and(|last| self.tick >= last))
    }

    /// No tick begins any more; the open one is finished.
    pub fn stop(&mut self) {
        self.sim.stopping = true;
    }

    /// Runs so many ticks more, when the world is paused.
    pub fn step(&mut self, ticks: u64) {
        self.sim.steps = self.sim.steps.saturating_add(ticks);
    }

    /// Announces the epoch: whoever runs systems registers again.
    pub fn hello(&mut self) {
        let hello = engine_net::messages::hello::Hello {
            epoch: self.epoch,
            tick: self.tick,
            protocol: engine_net::PROTOCOL,
            coordinator: format!("pid {}", std::process::id()),
        };
        self.publish(self.subjects.hello(), &hello);
    }

    /// A job in this process is done.
    pub fn local_done(&mut self, now: u64, job: u32, result: Result<LocalResult, JobError>) {
        let Some(running) = &mut self.running else { return };
        match result {
            Ok(result) => {
                if running.run.is_open(job) {
                    let compute_ns = result.compute_ns;
                    running.run.stage(job, JobResult::Local(result));
                    self.record_local(job, compute_ns);
                }
            }
            Err(error) => self.failure = Some(CoordinatorError::Failed { tick: running.tick, error }),
        }
        self.advance(now);
    }

    /// The clock went on: begins a tick when one is due, and looks after silent jobs.
    pub fn clock(&mut self, now: u64) {
        self.forgive_silence(now);
        self.look_after_jobs(now);
        self.forget_recordings(now);
        self.advance(now);
        self.show_watches(now);
        if let Some(mut look) = self.look.take() {
            look(now, self);
            self.look = Some(look);
        }
    }

    /// Is called at the end of each [`Self::clock`], with the driver's time: some tens of times a second.
    pub fn on_look(&mut self, look: Look) {
        self.look = Some(look);
    }

    /// When [`Self::clock`] wants to be called next.
    #[must_use]
    pub fn wake_at(&self, now: u64) -> u64 {
        let soon = now + 20_000_000;
        let stands_still = self.is_finished() || self.waits_for().is_some() || self.log_lags();
        match self.running {
            None if self.recovering => soon,
            None if self.sim.paused && self.sim.steps > 0 && !stands_still => now,
            None if !self.sim.paused && !stands_still => self.next_tick_at.clamp(now, soon),
            _ => soon,
        }
    }

    /// How many requests were refused, and why the last one was.
    #[must_use]
    pub fn refusals(&self) -> (u64, &str) {
        (self.figures.refusals, &self.figures.last_refusal)
    }

    /// The connection was lost and is back: whoever was registered registers again.
    pub fn reconnected(&mut self, now: u64) {
        self.figures.count("reconnects");
        self.lose_all_members(now);
        self.hello();
        self.advance(now);
    }

    fn publish<M: Message>(&mut self, subject: String, message: &M) {
        self.publish_with(subject, Headers::of::<M>(), message);
    }

    fn publish_with<M: Message>(&mut self, subject: String, headers: Headers, message: &M) {
        let payload = Bytes::from(strict::encode(message));
        let tick = self.current_tick();
        let headers = Some(headers.epoch(self.epoch).tick(tick));
        self.out.push_back(Output::Send { lane: 0, subject, token: None, headers, payload });
    }

    fn answer<M: Message>(&mut self, reply: Option<&str>, message: &M) {
        if let Some(reply) = reply {
            self.publish(reply.to_owned(), message);
        }
    }
}
