//! The plan of a tick: which nodes run, and which jobs each of them consists of.
//!
//! Structure does not change while a tick runs (commands are applied at its end), so all jobs of a tick
//! are known when it starts, and a shard means the same rows until it ends. The plan is a pure function of
//! the world, the schedule and the tick: how many instances are up has no part in it.

use std::ops::Range;

use engine_component::query::QueryDescriptor;
use engine_component::{ComponentId, TableId, World};
use engine_net::descriptor::SystemDescriptor;
use smallvec::SmallVec;

use crate::schedule::Schedule;

/// A run of rows of one table, and where the columns of a query are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartPlan {
    /// Which query (or view, or resource) of the system.
    pub query: u16,
    /// The table.
    pub table: TableId,
    /// The first row; a multiple of `rows_per_shard` for shards.
    pub first_row: u32,
    /// The number of rows.
    pub rows: u32,
    /// The table's column for each column of the query; none where an optional one is absent.
    pub columns: SmallVec<[Option<u16>; 8]>,
}

impl PartPlan {
    /// The rows, as a range of the table's.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        let first = self.first_row as usize;
        first..first + self.rows as usize
    }
}

/// One system on one shard (or on all, for a `whole` system) in one tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPlan {
    /// The node in the plan.
    pub node: usize,
    /// The place among the node's jobs.
    pub shard: u32,
    /// Parts of queries, in the order of query, archetype, row.
    pub parts: Vec<PartPlan>,
    /// Parts of resources that the job writes; `query` is the resource's place in the declaration.
    pub resources: Vec<PartPlan>,
}

/// A system that runs in this tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// The index of the system.
    pub system: usize,
    /// Nodes of this plan that have to be merged first.
    pub waits_for: Vec<usize>,
    /// The node's jobs, by their numbers.
    pub jobs: Range<u32>,
    /// What all jobs of the node read alike: views, and resources that they only read.
    pub views: Vec<PartPlan>,
    /// Resources that are only read; `query` is the resource's place in the declaration.
    pub resources: Vec<PartPlan>,
}

/// A tick's nodes and jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TickPlan {
    /// Nodes in the order of the schedule; those that are not due are left out.
    pub nodes: Vec<NodePlan>,
    /// Jobs in the order of node and shard; a job's number is its place.
    pub jobs: Vec<JobPlan>,
}

impl TickPlan {
    /// The plan of one tick. O(nodes · tables + jobs).
    #[must_use]
    pub fn new(world: &World, systems: &[&SystemDescriptor], schedule: &Schedule, tick: u64) -> Self {
        let mut plan = Self::default();
        let mut places: Vec<Option<usize>> = vec![None; schedule.nodes.len()];
        for (index, node) in schedule.nodes.iter().enumerate() {
            let system = systems[node.system];
            if !tick.is_multiple_of(u64::from(system.options.every.max(1))) {
                continue;
            }
            let place = plan.nodes.len();
            places[index] = Some(place);
            let first = plan.jobs.len() as u32;
            plan.add_jobs(world, system, place);
            plan.nodes.push(NodePlan {
                system: node.system,
                waits_for: node.waits_for.iter().filter_map(|earlier| places[*earlier]).collect(),
                jobs: first..plan.jobs.len() as u32,
                views: parts_of_all(world, &system.views),
                resources: resource_parts(world, system, false),
            });
        }
        plan
    }

    fn add_jobs(&mut self, world: &World, system: &SystemDescriptor, node: usize) {
        let resources = resource_parts(world, system, true);
        let single = |parts| JobPlan { node, shard: 0, parts, resources: resources.clone() };
        if system.options.whole {
            self.jobs.push(single(parts_of_all(world, &system.queries)));
            return;
        }
        let Some(query) = system.queries.first() else {
            self.jobs.push(single(Vec::new()));
            return;
        };
        let rows = world.settings().rows_per_shard;
        let mut shard = 0;
        for whole in parts_of(world, 0, query) {
            for first in (0..whole.rows).step_by(rows) {
                let part = PartPlan { first_row: first, rows: (whole.rows - first).min(rows as u32), ..whole.clone() };
                self.jobs.push(JobPlan { node, shard, parts: vec![part], resources: Vec::new() });
                shard += 1;
            }
        }
    }
}

fn parts_of_all(world: &World, queries: &[QueryDescriptor]) -> Vec<PartPlan> {
    queries.iter().enumerate().flat_map(|(index, query)| parts_of(world, index as u16, query)).collect()
}

fn resource_parts(world: &World, system: &SystemDescriptor, write: bool) -> Vec<PartPlan> {
    let resources = system.resources.iter().enumerate().filter(|(_, resource)| resource.write == write);
    resources
        .filter_map(|(index, resource)| {
            // A resource is the component on an entity that has nothing else.
            let query = crate::schedule::resource_query(resource.component, resource.write);
            let mut part = parts_of(world, index as u16, &query)
                .into_iter()
                .find(|part| world.table(part.table).components() == [resource.component])?;
            part.rows = 1;
            Some(part)
        })
        .collect()
}

/// Whole tables that match a query, in the order of their archetypes' ids; empty ones are left out.
#[must_use]
pub fn parts_of(world: &World, query: u16, descriptor: &QueryDescriptor) -> Vec<PartPlan> {
    let tables = world.sorted_tables().iter().map(|id| (*id, world.table(*id)));
    tables
        .filter(|(_, table)| !table.is_empty() && descriptor.matches(table.components()))
        .map(|(id, table)| PartPlan {
            query,
            table: id,
            first_row: 0,
            rows: table.len() as u32,
            columns: columns_in(descriptor, table.components()),
        })
        .collect()
}

fn columns_in(descriptor: &QueryDescriptor, components: &[ComponentId]) -> SmallVec<[Option<u16>; 8]> {
    let place =
        |component: &ComponentId| components.iter().position(|held| held == component).map(|index| index as u16);
    descriptor.columns.iter().map(|column| place(&column.component)).collect()
}
