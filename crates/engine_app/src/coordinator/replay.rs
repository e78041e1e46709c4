//! Recording what a tick was given, and giving it again.

use super::registration::News;
use super::{Coordinator, Running};
use crate::record::{Input, KeptShard, ReplayError, TickRecord};

impl Coordinator {
    /// The record of the tick that is being committed.
    pub(super) fn record(&mut self, running: &Running) -> TickRecord {
        let plan = running.run.plan();
        let shard = |job: &u32| {
            let node = &plan.nodes[plan.jobs[*job as usize].node];
            KeptShard { system: self.systems[node.system].name().to_owned(), shard: job - node.jobs.start }
        };
        let kept = running.kept.iter().map(shard).collect();
        self.replayed.clear();
        let inputs = std::mem::take(&mut self.inputs);
        TickRecord { epoch: self.epoch, tick: self.tick, inputs, kept, hash: self.hash }
    }

    /// Gives a tick what it was given before, and lets it run also when the world is paused. The world must be
    /// what it was before that tick, with the same systems; whether it is what it was after it, the hash of the
    /// next [`Commit`](super::Commit) tells.
    ///
    /// # Errors
    /// When the record does not fit; the world may have part of its inputs then.
    pub fn replay(&mut self, record: &TickRecord) -> Result<(), ReplayError> {
        if self.running.is_some() {
            return Err(ReplayError::Running);
        }
        if record.tick != self.tick + 1 {
            return Err(ReplayError::Tick { record: record.tick, next: self.tick + 1 });
        }
        for (number, input) in record.inputs.iter().enumerate() {
            let applied = match input.clone() {
                Input::Arrived { schemas, systems } => self.add(News { schemas, systems }),
                Input::Command { action, .. } => {
                    self.inputs.push(input.clone());
                    self.apply(action).map(drop)
                }
            };
            applied.map_err(|problem| ReplayError::Refused { tick: record.tick, number, reason: problem.message })?;
        }
        self.replayed.clone_from(&record.kept);
        self.step(1);
        Ok(())
    }

    /// Shards of a node that starts, of which a record says that they keep their values.
    pub(super) fn keep_replayed(&mut self, node: usize) {
        let Some(running) = &self.running else { return };
        let plan = &running.run.plan().nodes[node];
        let name = self.systems[plan.system].name();
        let jobs = plan.jobs.clone();
        let kept: Vec<u32> = self
            .replayed
            .iter()
            .filter(|kept| kept.system == name)
            .filter_map(|kept| jobs.start.checked_add(kept.shard).filter(|job| jobs.contains(job)))
            .collect();
        for job in kept {
            self.stage_held(job);
        }
    }
}
