//! The same ticks in one process, from their records alone: what a log is there for.

use std::collections::BTreeMap;

use engine_app::Settings;
use engine_app::coordinator::{Coordinator, Output};
use engine_app::record::TickRecord;

use crate::scenario::{self, Scenario};

/// A coordinator with all systems in this process that was given these records. Its outputs are gone.
///
/// # Errors
/// When a tick comes out otherwise than it was recorded.
pub(crate) fn replayed(
    settings: &Settings,
    scenario: Scenario,
    epoch: u64,
    records: &[TickRecord],
) -> Result<Coordinator, String> {
    let made = scenario::app(scenario).into_coordinator(settings.clone(), &BTreeMap::new(), |_| true, epoch);
    let (mut coordinator, _) = made.map_err(|error| format!("{error:#}"))?;
    coordinator.begin_recovery();
    for record in records {
        coordinator.replay(record).map_err(|error| format!("divergence: {error}"))?;
        let hash = if coordinator.may_replay() { coordinator.committed().1 } else { run(&mut coordinator)? };
        if hash != record.hash {
            let tick = record.tick;
            return Err(format!(
                "divergence: tick {tick} has hash {} in the cluster, and {hash} replayed",
                record.hash
            ));
        }
    }
    while coordinator.next_output().is_some() {}
    Ok(coordinator)
}

/// Runs a tick.
fn run(coordinator: &mut Coordinator) -> Result<engine_component::WorldHash, String> {
    coordinator.clock(1);
    while let Some(output) = coordinator.next_output() {
        if let Output::Run(job) = output {
            let number = job.number();
            coordinator.local_done(1, number, job.run());
        }
    }
    if let Some(failure) = coordinator.take_failure() {
        return Err(format!("divergence: {failure}"));
    }
    coordinator.next_commit().map(|commit| commit.hash).ok_or_else(|| "a replayed tick does not end".to_owned())
}
