//! A running tick: which nodes wait, run, or are merged.
//!
//! ```text
//!            predecessors merged          all jobs in             merged into the world
//!  Waiting ───────────────────▶ Running ─────────────▶ Complete ───────────────────────▶ Merged
//! ```
//!
//! There is no barrier between stages: a node starts as soon as the nodes that it waits for are merged.
//! What a job brought is staged here until its node is complete, so that a node is merged whole or not at
//! all; but for rows of which nobody can tell when they were merged.

use crate::plan::TickPlan;

/// The state of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeState {
    /// So many predecessors are not merged yet.
    Waiting(usize),
    /// So many jobs are not in yet.
    Running(u32),
    /// All jobs are in.
    Complete,
    /// Its results are part of the world.
    Merged,
}

/// The progress of one tick. `R` is what a job brings back.
#[derive(Debug)]
pub struct TickRun<R> {
    plan: TickPlan,
    states: Vec<NodeState>,
    staged: Vec<Option<R>>,
    ready: Vec<usize>,
    unmerged: usize,
}

impl<R> TickRun<R> {
    /// Begins a tick.
    #[must_use]
    pub fn new(plan: TickPlan) -> Self {
        let states: Vec<NodeState> = plan.nodes.iter().map(|node| NodeState::Waiting(node.waits_for.len())).collect();
        let ready = (0..states.len()).filter(|node| states[*node] == NodeState::Waiting(0)).collect();
        let staged = plan.jobs.iter().map(|_| None).collect();
        Self { unmerged: states.len(), plan, states, staged, ready }
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &TickPlan {
        &self.plan
    }

    /// The state of a node.
    #[must_use]
    pub fn state(&self, node: usize) -> NodeState {
        self.states[node]
    }

    /// Whether every node is merged.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.unmerged == 0
    }

    /// Takes the next node whose predecessors are all merged; it is running from now on (or complete at
    /// once, without jobs).
    pub fn start_next(&mut self) -> Option<usize> {
        if self.ready.is_empty() {
            return None;
        }
        let node = self.ready.remove(0);
        let jobs = self.plan.nodes[node].jobs.len() as u32;
        self.states[node] = if jobs == 0 { NodeState::Complete } else { NodeState::Running(jobs) };
        Some(node)
    }

    /// Whether a job is open: its node runs and its result is not in.
    #[must_use]
    pub fn is_open(&self, job: u32) -> bool {
        let Some(plan) = self.plan.jobs.get(job as usize) else { return false };
        matches!(self.states[plan.node], NodeState::Running(_)) && self.staged[job as usize].is_none()
    }

    /// Stages the result of an open job; whether its node is complete with it.
    ///
    /// # Panics
    /// When the job is not open: the caller has to have checked.
    pub fn stage(&mut self, job: u32, result: R) -> bool {
        assert!(self.is_open(job), "job {job} is not open");
        self.staged[job as usize] = Some(result);
        let node = self.plan.jobs[job as usize].node;
        let NodeState::Running(open) = self.states[node] else { return false };
        self.states[node] = if open == 1 { NodeState::Complete } else { NodeState::Running(open - 1) };
        open == 1
    }

    /// Replaces what a job of a running node brought, or stages it: for nodes that are given up whole.
    pub fn replace(&mut self, job: u32, result: R) {
        if self.is_open(job) {
            self.stage(job, result);
        } else {
            self.staged[job as usize] = Some(result);
        }
    }

    /// What a job brought, while it is staged.
    #[must_use]
    pub fn staged(&self, job: u32) -> Option<&R> {
        self.staged.get(job as usize)?.as_ref()
    }

    /// Does something with what a job brought, while it is staged.
    pub fn merge_staged<T>(&mut self, job: u32, merge: impl FnOnce(&mut R, &TickPlan) -> Option<T>) -> Option<T> {
        merge(self.staged.get_mut(job as usize)?.as_mut()?, &self.plan)
    }

    /// Takes the staged results of a complete node, in the order of its jobs.
    pub fn take_results(&mut self, node: usize) -> Vec<(u32, R)> {
        debug_assert_eq!(self.states[node], NodeState::Complete);
        let jobs = self.plan.nodes[node].jobs.clone();
        jobs.filter_map(|job| Some((job, self.staged[job as usize].take()?))).collect()
    }

    /// A complete node is part of the world: those that waited for it may become ready.
    pub fn merged(&mut self, node: usize) {
        debug_assert_eq!(self.states[node], NodeState::Complete);
        self.states[node] = NodeState::Merged;
        self.unmerged -= 1;
        for (waiter, plan) in self.plan.nodes.iter().enumerate() {
            if let NodeState::Waiting(open) = &mut self.states[waiter]
                && plan.waits_for.contains(&node)
            {
                *open -= 1;
                if *open == 0 {
                    self.ready.push(waiter);
                }
            }
        }
    }

    /// Jobs that are open, with their nodes.
    pub fn open_jobs(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.plan.jobs.len() as u32).filter(|job| self.is_open(*job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{JobPlan, NodePlan};

    fn plan() -> TickPlan {
        let job = |node, shard| JobPlan { node, shard, parts: Vec::new(), resources: Vec::new() };
        let node = |jobs, waits_for: &[usize]| NodePlan {
            system: 0,
            waits_for: waits_for.to_vec(),
            jobs,
            views: Vec::new(),
            resources: Vec::new(),
        };
        TickPlan {
            nodes: vec![node(0..2, &[]), node(2..2, &[0]), node(2..3, &[1])],
            jobs: vec![job(0, 0), job(0, 1), job(2, 0)],
        }
    }

    #[test]
    fn a_node_waits_for_its_predecessors_and_is_complete_with_its_last_job() {
        let mut run = TickRun::new(plan());
        assert_eq!(run.start_next(), Some(0));
        assert_eq!(run.start_next(), None);
        assert!(!run.is_open(2), "its node waits");
        assert!(!run.stage(1, "b"));
        assert!(!run.is_open(1));
        assert!(run.stage(0, "a"));
        assert_eq!(run.take_results(0), [(0, "a"), (1, "b")]);
        run.merged(0);
        assert_eq!(run.start_next(), Some(1));
        assert_eq!(run.state(1), NodeState::Complete, "a node without jobs is complete at once");
        run.merged(1);
        assert_eq!(run.start_next(), Some(2));
        assert!(run.stage(2, "c"));
        run.merged(2);
        assert!(run.is_done());
    }
}
