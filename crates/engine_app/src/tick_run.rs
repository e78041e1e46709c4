//! A running tick: which nodes wait, run, or are merged.
//!
//! ```text
//!            predecessors merged          all jobs in             merged into the world
//!  Waiting ───────────────────▶ Running ─────────────▶ Complete ───────────────────────▶ Merged
//! ```
//!
//! There is no barrier between stages: a node starts as soon as the nodes that it waits for are merged; and where only
//! rows matter, job by job, as soon as those jobs of them are in that have its rows ([`RowOrder`]).
//! What a job brought is staged here until its node is complete, so that a node is merged whole or not at
//! all; but for rows of which nobody can tell when they were merged.

use std::collections::BTreeSet;

use crate::plan::TickPlan;
pub use crate::row_waits::RowOrder;
use crate::row_waits::RowWaits;

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
    orders: Vec<RowOrder>,
    states: Vec<NodeState>,
    /// Of each node the number of predecessors that have to be merged before any of its jobs begins.
    blocked: Vec<usize>,
    /// Who waits for a node.
    followers: Vec<Vec<usize>>,
    staged: Vec<Option<R>>,
    rows: RowWaits,
    ready: Vec<usize>,
    complete: BTreeSet<usize>,
    unmerged: usize,
}

impl<R> TickRun<R> {
    /// Begins a tick. `order` tells what each node allows.
    #[must_use]
    pub fn new(plan: TickPlan, order: impl Fn(usize) -> RowOrder) -> Self {
        let blocked: Vec<usize> = plan.nodes.iter().map(|node| node.waits_for.len()).collect();
        let states: Vec<NodeState> = blocked.iter().map(|waits| NodeState::Waiting(*waits)).collect();
        let ready = (0..states.len()).filter(|node| states[*node] == NodeState::Waiting(0)).collect();
        let staged = plan.jobs.iter().map(|_| None).collect();
        let mut followers = vec![Vec::new(); states.len()];
        for (node, planned) in plan.nodes.iter().enumerate() {
            planned.waits_for.iter().for_each(|before| followers[*before].push(node));
        }
        let orders = (0..states.len()).map(order).collect();
        let (rows, unmerged) = (RowWaits::default(), states.len());
        let complete = BTreeSet::new();
        Self { plan, orders, states, blocked, followers, staged, rows, ready, complete, unmerged }
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

    /// Takes the next node of which jobs may begin; it is running from now on (or complete at once, without jobs).
    pub fn start_next(&mut self) -> Option<usize> {
        if self.ready.is_empty() {
            return None;
        }
        let node = self.ready.remove(0);
        let jobs = self.plan.nodes[node].jobs.len() as u32;
        self.states[node] = NodeState::Running(jobs);
        if jobs == 0 {
            self.complete(node);
        }
        let before: Vec<usize> =
            self.plan.nodes[node].waits_for.iter().copied().filter(|node| !self.is_merged(*node)).collect();
        self.rows.add(&self.plan, node, &before, |job| self.staged[job as usize].is_some());
        if self.orders[node].leads {
            self.unblock(node);
        }
        Some(node)
    }

    fn is_merged(&self, node: usize) -> bool {
        self.states[node] == NodeState::Merged
    }

    /// Those that wait for a node need not wait for all of it any more.
    fn unblock(&mut self, node: usize) {
        for follower in &self.followers[node] {
            self.blocked[*follower] -= 1;
            let waits = matches!(self.states[*follower], NodeState::Waiting(waits) if waits > 0);
            if waits && self.blocked[*follower] == 0 && self.orders[*follower].follows {
                self.ready.push(*follower);
            }
        }
    }

    /// Complete nodes that may be merged.
    pub fn next_merges(&self) -> impl Iterator<Item = usize> {
        self.complete.iter().copied().filter(|node| self.is_next(*node))
    }

    /// Whether a complete node may be merged: all that it waited for is.
    #[must_use]
    pub fn is_next(&self, node: usize) -> bool {
        self.states[node] == NodeState::Complete
            && self.plan.nodes[node].waits_for.iter().all(|before| self.is_merged(*before))
    }

    /// Whether a job of a running node waits for rows.
    #[must_use]
    pub fn waits(&self, job: u32) -> bool {
        self.rows.waits(job)
    }

    /// The jobs whose rows a job waits for.
    #[must_use]
    pub fn leads(&self, job: u32) -> &[u32] {
        self.rows.leads(job)
    }

    /// The jobs that wait for the rows of a job.
    #[must_use]
    pub fn followers(&self, job: u32) -> &[u32] {
        self.rows.followers(job)
    }

    /// Jobs whose rows have come since the last call.
    pub fn take_released(&mut self) -> Vec<u32> {
        self.rows.take_released()
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
        self.rows.done(job);
        let node = self.plan.jobs[job as usize].node;
        let NodeState::Running(open) = self.states[node] else { return false };
        self.states[node] = NodeState::Running(open - 1);
        if open == 1 {
            self.complete(node);
        }
        open == 1
    }

    fn complete(&mut self, node: usize) {
        self.states[node] = NodeState::Complete;
        self.complete.insert(node);
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
        debug_assert!(self.is_next(node));
        self.states[node] = NodeState::Merged;
        self.complete.remove(&node);
        self.unmerged -= 1;
        for waiter in &self.followers[node] {
            if let NodeState::Waiting(open) = &mut self.states[*waiter] {
                *open -= 1;
                if *open == 0 && !self.ready.contains(waiter) {
                    self.ready.push(*waiter);
                }
            }
        }
        if !self.orders[node].leads {
            self.unblock(node);
        }
    }

    /// Jobs that are open, with their nodes.
    pub fn open_jobs(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.plan.jobs.len() as u32).filter(|job| self.is_open(*job))
    }
}

#[cfg(test)]
mod tests {
    use engine_component::{Component, World};
    use smallvec::SmallVec;

    use super::*;
    use crate::plan::{JobPlan, NodePlan, PartPlan};

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "test.Height")]
    struct Height(f32);

    fn node(jobs: std::ops::Range<u32>, waits_for: &[usize]) -> NodePlan {
        NodePlan { system: 0, waits_for: waits_for.to_vec(), jobs, views: Vec::new(), resources: Vec::new() }
    }

    fn plan() -> TickPlan {
        let job = |node, shard| JobPlan { node, shard, parts: Vec::new(), resources: Vec::new() };
        TickPlan {
            nodes: vec![node(0..2, &[]), node(2..2, &[0]), node(2..3, &[1])],
            jobs: vec![job(0, 0), job(0, 1), job(2, 0)],
        }
    }

    #[test]
    fn a_node_waits_for_its_predecessors_and_is_complete_with_its_last_job() {
        let mut run = TickRun::new(plan(), |_| RowOrder::default());
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

    /// Three nodes over the same two shards, each of which waits for all before it; the second has only the first shard.
    fn over_the_same_rows() -> TickPlan {
        let mut world = World::default();
        let entity = world.spawn(Height(1.0));
        let table = world.location(entity).unwrap().table;
        let part = |shard: u32| PartPlan { query: 0, table, first_row: 64 * shard, rows: 64, columns: SmallVec::new() };
        let job = |node, shard| JobPlan { node, shard, parts: vec![part(shard)], resources: Vec::new() };
        TickPlan {
            nodes: vec![node(0..2, &[]), node(2..3, &[0]), node(3..5, &[0, 1])],
            jobs: vec![job(0, 0), job(0, 1), job(1, 0), job(2, 0), job(2, 1)],
        }
    }

    #[test]
    fn a_job_begins_when_its_rows_are_there() {
        let by_rows = |_| RowOrder { leads: true, follows: true };
        let mut run = TickRun::new(over_the_same_rows(), by_rows);
        assert_eq!([0; 3].map(|_| run.start_next()), [Some(0), Some(1), Some(2)]);
        let waits = |run: &TickRun<_>| (2..5).filter(|job| run.waits(*job)).collect::<Vec<_>>();
        assert_eq!(waits(&run), [2, 3, 4]);
        run.stage(1, "b");
        assert_eq!(
            (run.take_released(), waits(&run)),
            (vec![4], vec![2, 3]),
            "who has no rows there is not waited for"
        );
        run.stage(4, "e");
        run.stage(0, "a");
        assert_eq!(run.take_released(), [2]);
        run.merged(0);
        run.stage(2, "c");
        assert_eq!(run.take_released(), [3]);
        run.stage(3, "d");
        assert!(!run.is_next(2) && run.is_next(1), "in their order");
        run.merged(1);
        run.merged(2);
        assert!(run.is_done());
    }

    #[test]
    fn who_looks_beyond_its_rows_waits_for_all_of_them() {
        for (leads, follows) in [(false, true), (true, false)] {
            let order = |node| RowOrder { leads: leads || node > 0, follows: follows || node != 1 };
            let mut run = TickRun::new(over_the_same_rows(), order);
            assert_eq!((run.start_next(), run.start_next()), (Some(0), None));
            run.stage(0, "a");
            run.stage(1, "b");
            run.merged(0);
            assert_eq!((run.start_next(), run.waits(2)), (Some(1), false));
            assert_eq!((run.start_next(), run.waits(3), run.waits(4)), (Some(2), true, false));
        }
    }
}
