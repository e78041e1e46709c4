//! Runs schedules, and compares them with the undisturbed world.

use std::collections::BTreeMap;

use anyhow::Result;
use engine_app::Settings;
use engine_component::{Entity, WorldHash};
use engine_system::{EntityRng, Rng};

use crate::cluster::Cluster;
use crate::faults::{Climate, FaultCounts};
use crate::scenario;
use crate::trace::Trace;

/// What every schedule of a run has in common.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Entities at the start.
    pub entities: u32,
    /// Ticks of a schedule.
    pub ticks: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { entities: 240, ticks: 8 }
    }
}

impl Plan {
    fn settings(&self) -> Settings {
        Settings {
            world: "sim".into(),
            time: engine_app::TimeMode::Fast,
            ticks: Some(self.ticks),
            rows_per_shard: 64,
            chunk_bytes: 1024,
            in_flight_bytes: 16 << 10,
            // To give up a shard is a decision that changes the world: not what is looked at here.
            max_deaths: u32::MAX,
            expect: scenario::SYSTEMS.map(str::to_owned).to_vec(),
            threads: 1,
            ..Settings::default()
        }
    }
}

/// The hash of the undisturbed world after each tick, the first one first.
#[derive(Clone, Debug)]
pub struct Baseline(Vec<WorldHash>);

impl Baseline {
    /// Runs the world in this process, with nothing to disturb it.
    ///
    /// # Errors
    /// When the world can't run at all.
    pub fn of(plan: &Plan) -> Result<Self> {
        let mut hashes = Vec::new();
        let stop = engine_app::Stop::default();
        let app = scenario::app(plan.entities);
        let settings = Settings { expect: Vec::new(), ..plan.settings() };
        app.run_in_process(settings, &BTreeMap::new(), &stop, |commit, _| hashes.push(commit.hash))?;
        Ok(Self(hashes))
    }
}

/// How a schedule went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Ticks that were committed.
    pub ticks: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// Faults by kind.
    pub faults: FaultCounts,
    /// What was wrong, if anything was.
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
    let mut rng = Rng::new(seed, 0, "schedule").of(Entity::NONE);
    let climate = Climate::of(&mut rng);
    let layout = layout(&mut rng);
    let mut outcome =
        Outcome { ticks: 0, virtual_ms: 0, faults: FaultCounts::default(), problem: None, trace: Vec::new() };
    let made = scenario::app(plan.entities)
        .into_coordinator(plan.settings(), &BTreeMap::new(), |_| false, 1)
        .and_then(|(coordinator, _)| Ok((coordinator, scenario::app(0).into_systems()?)));
    let (coordinator, systems) = match made {
        Ok(made) => made,
        Err(error) => return Outcome { problem: Some(format!("{error:#}")), ..outcome },
    };
    let mut cluster = Cluster::new(coordinator, systems, layout, climate, rng, trace);
    let result = cluster.run();
    outcome.ticks = cluster.commits.len() as u64;
    outcome.virtual_ms = cluster.now() / 1_000_000;
    outcome.faults = cluster.counts;
    outcome.problem = compare(baseline, &cluster.commits).or(result.err());
    outcome.trace = cluster.trace.into_lines();
    outcome
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

/// Each tick once, in order, with the hash that it has to have.
fn compare(baseline: &Baseline, commits: &[(u64, WorldHash)]) -> Option<String> {
    for (at, (tick, hash)) in commits.iter().enumerate() {
        if *tick != at as u64 + 1 {
            return Some(format!("tick {tick} is committed where tick {} is due", at + 1));
        }
        match baseline.0.get(at) {
            Some(expected) if expected == hash => {}
            Some(expected) => return Some(format!("divergence: tick {tick} has hash {hash} instead of {expected}")),
            None => return Some(format!("tick {tick} is beyond the last one")),
        }
    }
    None
}
