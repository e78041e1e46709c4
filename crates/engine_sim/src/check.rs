//! Runs schedules, and compares them with the undisturbed world and with their own replay.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use engine_app::log::virtual_store::VirtualStore;
use engine_app::log::virtual_stream::VirtualStream;
use engine_app::log::writer::Limits;
use engine_app::{Settings, TimeMode};
use engine_component::{Entity, WorldHash};
use engine_net::subject::Subjects;
use engine_system::planted::Bug;
use engine_system::{EntityRng, Rng};

use crate::cluster::{Cluster, Contest, Parts, Put, Shortcuts, plant};
use crate::faults::{Climate, FaultCounts};
use crate::log::Log;
use crate::scenario::{self, Scenario};
use crate::trace::Trace;
use crate::truth::Truth;

const MS: u64 = 1_000_000;

/// What every schedule of a run has in common.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Entities at the start.
    pub entities: u32,
    /// Ticks of a schedule.
    pub ticks: u64,
    /// A mistake that is made on purpose; only with the feature `planted`.
    pub bug: Option<Bug>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { entities: 240, ticks: 8, bug: None }
    }
}

impl Plan {
    fn settings(&self) -> Settings {
        Settings {
            world: "sim".into(),
            time: TimeMode::Fast,
            rate: 100.0,
            ticks: Some(self.ticks),
            rows_per_shard: 64,
            chunk_bytes: 384,
            in_flight_bytes: 16 << 10,
            // To give up a shard is a decision that changes the world: hasty schedules do.
            max_deaths: u32::MAX,
            expect: scenario::SYSTEMS.map(str::to_owned).to_vec(),
            threads: 1,
            ..Settings::default()
        }
    }
}

/// The hash of the undisturbed world after each tick, the first one first.
#[derive(Clone, Debug)]
pub struct Baseline(Arc<Vec<WorldHash>>);

impl Baseline {
    /// Runs the world in this process, with nothing to disturb it.
    ///
    /// # Errors
    /// When the world can't run at all.
    pub fn of(plan: &Plan) -> Result<Self> {
        let mut hashes = Vec::new();
        let stop = engine_app::Stop::default();
        let app = scenario::app(Scenario { entities: plan.entities, is_hasty: false });
        let settings = Settings { expect: Vec::new(), ..plan.settings() };
        app.run_in_process(settings, &BTreeMap::new(), &stop, |commit, _| hashes.push(commit.hash))?;
        Ok(Self(Arc::new(hashes)))
    }

    /// That after a tick; the first one is 1.
    pub(crate) fn hash(&self, tick: usize) -> Option<WorldHash> {
        self.0.get(tick.checked_sub(1)?).copied()
    }
}

/// How a schedule went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Ticks that were committed.
    pub ticks: u64,
    /// Records in the log.
    pub records: u64,
    /// Reigns that began.
    pub epochs: u64,
    /// Keyframes that were made.
    pub keyframes: u64,
    /// Records that were replayed in one recovery, at the most.
    pub most_replayed: u64,
    /// Commands that clients gave.
    pub commands: u64,
    /// Run-time settings that took effect.
    pub settings: u64,
    /// Shards that kept their values since they were given up.
    pub kept: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// Virtual milliseconds from the end of the last fault to the end; 0 when the schedule ended before.
    pub recovery_ms: u64,
    /// Second attempts at batches that were late.
    pub shortcuts: Shortcuts,
    /// Faults by kind.
    pub faults: FaultCounts,
    /// What was wrong, if anything was; its first word says which check found it.
    pub problem: Option<String>,
    /// What happened, when it was asked for.
    pub trace: Vec<String>,
}

/// Runs the schedule of a seed.
#[must_use]
pub fn simulate(plan: &Plan, baseline: &Baseline, seed: u64) -> Outcome {
    run(plan, baseline, seed, Trace::default())
}

/// Runs the schedule of a seed once more, and tells what happened.
#[must_use]
pub fn traced(plan: &Plan, baseline: &Baseline, seed: u64) -> Outcome {
    run(plan, baseline, seed, Trace::kept())
}

fn run(plan: &Plan, baseline: &Baseline, seed: u64, trace: Trace) -> Outcome {
    let mut cluster = match cluster(plan, baseline, seed, trace) {
        Ok(cluster) => cluster,
        Err(error) => return Outcome { problem: Some(format!("{error:#}")), ..Outcome::default() },
    };
    plant(plan.bug);
    let result = cluster.run();
    plant(None);
    let problem = result.and_then(|()| check(&cluster)).err();
    Outcome {
        ticks: cluster.log.truth.last_tick(),
        records: cluster.log.truth.records.len() as u64,
        epochs: cluster.log.truth.epochs.len() as u64,
        keyframes: cluster.keyframes,
        most_replayed: cluster.most_records as u64,
        commands: cluster.ledger.len() as u64,
        settings: cluster.log.truth.set.len() as u64,
        kept: cluster.log.truth.records.iter().map(|record| record.kept.len() as u64).sum(),
        virtual_ms: cluster.now() / 1_000_000,
        recovery_ms: cluster.since_calm() / 1_000_000,
        shortcuts: cluster.shortcuts,
        faults: cluster.counts,
        problem,
        trace: cluster.trace.into_lines(),
    }
}

fn cluster(plan: &Plan, baseline: &Baseline, seed: u64, trace: Trace) -> Result<Cluster> {
    let mut rng = Rng::new(seed, 0, "schedule").of(Entity::NONE);
    let climate = Climate::of(&mut rng);
    let layout = layout(&mut rng);
    let clients = if rng.chance(0.3) { 0 } else { 1 + rng.below(3) as usize };
    let mut settings = plan.settings();
    if rng.chance(0.5) {
        // Time between ticks, in which the world is not computed.
        settings.time = TimeMode::Dilate;
    }
    settings.batch_bytes = [0, 1 << 10, 256 << 10][rng.below(3) as usize];
    let is_hasty = rng.chance(0.2);
    if is_hasty {
        settings.max_deaths = 3;
    }
    let scenario = Scenario { entities: plan.entities, is_hasty };
    let systems = scenario::app(scenario).into_systems()?;
    let subjects = Subjects::new(&settings.prefix, &settings.world)?;
    let truth = Truth::new(settings, scenario, baseline.clone(), plan.bug);
    let contest = contest(&mut rng);
    let mut stream = VirtualStream::default();
    stream.behaviour.ids_first = rng.chance(0.5);
    stream.behaviour.names_guard = rng.chance(0.3);
    stream.behaviour.id_window = [1024, 4][rng.below(2) as usize];
    stream.behaviour.ignores_guard = plan.bug == Some(Bug::NoEpochGuard);
    let log = Log::new(truth, stream, VirtualStore::new(contest.ttl).with_late_removal(contest.ttl / 2));
    Ok(Cluster::new(
        Parts { log, contest, systems, layout, clients, climate, puts: Put::all_of(seed) },
        subjects,
        rng,
        trace,
    ))
}

/// Who contends for the lease, and how they keep the log.
fn contest(rng: &mut EntityRng) -> Contest {
    let limits = Limits {
        message_bytes: [960 << 10, 2 << 10][rng.below(2) as usize],
        in_flight: [8, 2][rng.below(2) as usize],
        // Fewer than may be on their way, at times: then records wait for the writer.
        queued: [64, 3][rng.below(2) as usize],
        patience: 40 * MS,
        backoff_first: 4 * MS,
        backoff_most: 80 * MS,
        ..Limits::default()
    };
    Contest {
        contenders: 1 + rng.below(3) as usize,
        ttl: [100, 200, 400][rng.below(3) as usize] * MS,
        limits,
        keyframe_every: 1 + u64::from(rng.below(5)),
        keep: 1 + rng.below(3) as usize,
    }
}

/// After the schedule: it is what its records say, and what clients were told.
fn check(cluster: &Cluster) -> Result<(), String> {
    let truth = &cluster.log.truth;
    cluster.check_epochs()?;
    if !truth.is_disturbed() && cluster.ledger.len() == 0 {
        // Each tick has the hash of the undisturbed world.
        return Ok(());
    }
    let replayed = truth.replayed()?;
    replayed.world().check_invariants();
    cluster.ledger.check(&truth.records, replayed.world())
}

/// Which systems each instance runs; every system has somebody.
fn layout(rng: &mut EntityRng) -> Vec<Vec<String>> {
    let count = 2 + rng.below(4) as usize;
    let mut layout = vec![Vec::new(); count];
    for system in scenario::SYSTEMS {
        let somebody = rng.below(count as u32) as usize;
        for (index, systems) in layout.iter_mut().enumerate() {
            if index == somebody || rng.chance(0.5) {
                systems.push(system.to_owned());
            }
        }
    }
    layout.retain(|systems| !systems.is_empty());
    layout
}
