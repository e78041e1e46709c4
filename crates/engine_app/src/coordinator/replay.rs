//! Recording what a tick was given, and giving it again.

use engine_component::WorldHash;
use engine_net::messages::Problem;

use super::registration::News;
use super::{Coordinator, CoordinatorError, Running};
use crate::record::{Input, KeptShard, Outcome, ReplayError, TickRecord};

/// A tick that is repeated: what the record says of it.
pub(super) struct Replayed {
    /// The reign that recorded it.
    pub(super) epoch: u64,
    hash: WorldHash,
    kept: Vec<KeptShard>,
    pub(super) outcomes: Vec<Outcome>,
}

impl Coordinator {
    /// The record of the tick that is being committed.
    pub(super) fn record(&mut self, running: &mut Running) -> TickRecord {
        let plan = running.run.plan();
        let shard = |job: u32| {
            let node = &plan.nodes[plan.jobs[job as usize].node];
            (self.systems[node.system].name().to_owned(), job - node.jobs.start)
        };
        let kept = running.kept.iter().map(|job| {
            let (system, shard) = shard(*job);
            KeptShard { system, shard }
        });
        let outcomes = std::mem::take(&mut running.outcomes).into_iter().map(|(job, chunks)| {
            let (system, shard) = shard(job);
            Outcome { system, shard, chunks }
        });
        let (kept, outcomes) = (kept.collect(), outcomes.collect());
        let inputs = std::mem::take(&mut running.inputs);
        let record = TickRecord { inputs, kept, outcomes, ..TickRecord::empty(self.epoch, self.tick, self.hash) };
        match self.replayed.take() {
            Some(replayed) => self.compare(replayed.hash),
            None => self.hand_out(&record),
        }
        record
    }

    fn compare(&mut self, recorded: WorldHash) {
        if self.hash != recorded {
            let diverged = CoordinatorError::Diverged { tick: self.tick, recorded, found: self.hash };
            self.failure.get_or_insert(diverged);
        }
    }

    /// From now on nothing happens but what records say ([`Self::replay`]), until [`Self::end_recovery`].
    /// Instances may join meanwhile, since they have to compute it; commands and queries are refused.
    pub fn begin_recovery(&mut self) {
        self.recovering = true;
    }

    /// The world is what it was: it goes on by itself.
    pub fn end_recovery(&mut self, now: u64) {
        self.recovering = false;
        self.figures = super::Figures::default();
        self.begin_announcing();
        self.advance(now);
    }

    /// Whether only records happen.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.recovering
    }

    /// Whether a record may be given to [`Self::replay`]: the one before it is done.
    #[must_use]
    pub fn may_replay(&self) -> bool {
        self.running.is_none() && self.replayed.is_none() && self.failure.is_none()
    }

    /// Gives a tick what it was given before, and lets it run also when the world is paused. The world must be
    /// what it was before that tick, with the same systems. When it is not what it was after it, the
    /// coordinator [fails](Self::take_failure).
    ///
    /// A record of the tick that the world has is of what was applied while it stood still: that is done at
    /// once.
    ///
    /// # Errors
    /// When the record does not fit; the world may have part of its inputs then.
    pub fn replay(&mut self, record: &TickRecord) -> Result<(), ReplayError> {
        if !self.may_replay() {
            return Err(ReplayError::Running);
        }
        let stands_still = record.tick == self.tick;
        if !stands_still && record.tick != self.tick + 1 {
            return Err(ReplayError::Tick { record: record.tick, next: self.tick + 1 });
        }
        for (number, input) in record.inputs.iter().enumerate() {
            let applied = match input.clone() {
                Input::Arrived { schemas, systems } => self.add(News { schemas, systems }),
                Input::Refused { id, problem, .. } => {
                    self.inputs.push(input.clone());
                    self.repeat_refusal(id, problem);
                    Ok(())
                }
                Input::Setting { revision, setting } => {
                    self.inputs.push(input.clone());
                    self.repeat_setting(revision, setting).map_err(|wrong| Problem::new("bad_value", wrong))
                }
                Input::Command { id, action, .. } => {
                    self.inputs.push(input.clone());
                    self.repeat_input(id, action)
                }
                Input::Given { id, by, command, row } => {
                    self.inputs.push(input.clone());
                    self.repeat_given(&id, by, &command, row.as_ref())
                }
            };
            applied.map_err(|problem| ReplayError::Refused { tick: record.tick, number, reason: problem.message })?;
        }
        if stands_still {
            self.inputs.clear();
            self.hash = self.whole_hash();
            self.answer_waiting();
            self.announce_entities();
            self.compare(record.hash);
        } else {
            let TickRecord { epoch, hash, kept, outcomes, .. } = record.clone();
            self.replayed = Some(Replayed { epoch, hash, kept, outcomes });
        }
        Ok(())
    }

    /// Shards of a node that starts, of which a record says that they keep their values.
    pub(super) fn keep_replayed(&mut self, node: usize) {
        let (Some(running), Some(replayed)) = (&self.running, &self.replayed) else { return };
        let plan = &running.run.plan().nodes[node];
        let name = self.systems[plan.system].name();
        let jobs = plan.jobs.clone();
        let kept: Vec<u32> = replayed
            .kept
            .iter()
            .filter(|kept| kept.system == name)
            .filter_map(|kept| jobs.start.checked_add(kept.shard).filter(|job| jobs.contains(job)))
            .collect();
        for job in kept {
            self.stage_held(job);
        }
    }
}
