//! Jobs that wait for the jobs of other nodes that have the same rows, instead of for all of those nodes.
//!
//! Where neither of two nodes looks beyond its shards, a job of the later one needs nothing but its own rows. Shards
//! are cut alike for all systems, so each of its rows is in one job of the earlier node, or in none.

use std::collections::BTreeMap;

use engine_component::TableId;
use engine_system::planted::{self, Bug};
use smallvec::SmallVec;

use crate::plan::TickPlan;

/// What a node allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowOrder {
    /// Others may begin with the rows that it is done with.
    pub leads: bool,
    /// It may begin with the rows that others are done with.
    pub follows: bool,
}

/// A few jobs.
type Jobs = SmallVec<[u32; 4]>;

/// Which jobs wait for which.
#[derive(Debug, Default)]
pub(crate) struct RowWaits {
    /// Of each job the jobs that it waits for; none of those that wait for nodes.
    waits: BTreeMap<u32, Jobs>,
    followers: BTreeMap<u32, Jobs>,
    released: Vec<u32>,
}

impl RowWaits {
    /// The jobs of a node wait for those jobs of nodes before it that have the same rows and are not done.
    pub(crate) fn add(&mut self, plan: &TickPlan, node: usize, before: &[usize], is_done: impl Fn(u32) -> bool) {
        if planted::is(Bug::BeginWithoutRows) {
            return;
        }
        let rows_of = |job: u32| plan.jobs[job as usize].parts.first().map(|part| (part.table, part.first_row));
        let before: Vec<BTreeMap<(TableId, u32), u32>> = before
            .iter()
            .map(|node| plan.nodes[*node].jobs.clone().filter_map(|job| Some((rows_of(job)?, job))).collect())
            .collect();
        for job in plan.nodes[node].jobs.clone() {
            let Some(rows) = rows_of(job) else { continue };
            for earlier in before.iter().filter_map(|jobs| jobs.get(&rows)).filter(|earlier| !is_done(**earlier)) {
                self.waits.entry(job).or_default().push(*earlier);
                self.followers.entry(*earlier).or_default().push(job);
            }
        }
    }

    /// A job is done, and its rows are in the world: those that waited for it may begin.
    pub(crate) fn done(&mut self, job: u32) {
        for follower in self.followers.remove(&job).unwrap_or_default() {
            if let Some(leads) = self.waits.get_mut(&follower) {
                leads.retain(|lead| *lead != job);
                if leads.is_empty() {
                    self.waits.remove(&follower);
                    self.released.push(follower);
                }
            }
        }
    }

    /// Whether a job still waits.
    pub(crate) fn waits(&self, job: u32) -> bool {
        self.waits.contains_key(&job)
    }

    /// The jobs that a job waits for.
    pub(crate) fn leads(&self, job: u32) -> &[u32] {
        self.waits.get(&job).map_or(&[], SmallVec::as_slice)
    }

    /// The jobs that wait for a job.
    pub(crate) fn followers(&self, job: u32) -> &[u32] {
        self.followers.get(&job).map_or(&[], SmallVec::as_slice)
    }

    /// Jobs that don't wait any more, since the last call.
    pub(crate) fn take_released(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.released)
    }
}
