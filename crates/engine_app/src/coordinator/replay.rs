//! Recording what a tick was given, and giving it again.

use engine_net::messages::command::{Action, Done};
use engine_net::messages::{Problem, Reply};

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
        self.resume(&record.inputs)?;
        self.replayed.clone_from(&record.kept);
        self.step(1);
        Ok(())
    }

    /// What was applied since the last commit, in order: by a world that stands still, for it answers commands
    /// without a tick; or by the tick that is going on.
    #[must_use]
    pub fn applied(&self) -> &[Input] {
        &self.inputs
    }

    /// Applies inputs of the next tick, without letting it run.
    ///
    /// # Errors
    /// When one is refused; the world may have those before it then.
    pub fn resume(&mut self, inputs: &[Input]) -> Result<(), ReplayError> {
        if self.running.is_some() {
            return Err(ReplayError::Running);
        }
        let tick = self.tick + 1;
        for (number, input) in inputs.iter().enumerate() {
            let applied = match input.clone() {
                Input::Arrived { schemas, systems } => self.add(News { schemas, systems }),
                Input::Command { id, action } => self.repeat_command(tick, id, action),
            };
            applied.map_err(|problem| ReplayError::Refused { tick, number, reason: problem.message })?;
        }
        Ok(())
    }

    /// A world that was replayed in this process goes on: systems that `runs_here` does not name are run by
    /// instances from now on, and ticks begin when they are due.
    pub fn reign(&mut self, runs_here: impl Fn(&str) -> bool) {
        for entry in &mut self.systems {
            if !runs_here(entry.name()) {
                entry.local = None;
            }
        }
        (self.sim.paused, self.sim.steps) = (false, 0);
    }

    /// Who lost the answer to a command asks again, perhaps the coordinator that comes after: it is remembered
    /// as if it had been answered here.
    fn repeat_command(&mut self, tick: u64, id: String, action: Action) -> Result<(), Problem> {
        let done = self.apply(action.clone())?;
        self.remembered.open(&id);
        self.remembered.answered(&id, &Reply::Ok(Done { tick, ..done }));
        self.inputs.push(Input::Command { id, action });
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
