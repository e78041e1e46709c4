//! Entities that jobs spawn, and their numbers.
//!
//! A job names what it spawns by provisional numbers. Entities come into being when the tick ends, but what
//! they will be called is known before: the n-th spawn of a job gets the number
//!
//! ```text
//! next entity of the world + spawns of all jobs before this one + n
//! ```
//!
//! with jobs in the order of node and shard. So events and columns that name a new entity are given its
//! final number when the node is merged, and whoever reads them later in the same tick may keep it. The
//! number does not depend on who was faster; the price is that a node that names new entities is merged only
//! when the nodes before it that may spawn are complete. Nodes wait for earlier ones only, so that ends.

use engine_component::{Column, Entity, Schema, StorageKind, World};
use engine_net::descriptor::SystemDescriptor;

use super::{Coordinator, Running};
use crate::merge::JobResult;
use crate::plan::{JobPlan, PartPlan};
use crate::tick_run::NodeState;

/// The commands of a merged job.
pub(super) struct Recorded {
    /// The record.
    pub(super) bytes: Vec<u8>,
    /// How many entities it spawns.
    pub(super) spawns: u32,
}

impl Running {
    fn spawns_of(&self, job: u32) -> u32 {
        let merged = self.commands.get(&job).map(|recorded| recorded.spawns);
        merged.or_else(|| self.run.staged(job).map(JobResult::spawns)).unwrap_or(0)
    }

    /// How many entities the tick's merged jobs spawn.
    pub(super) fn spawns(&self) -> u64 {
        self.commands.values().map(|recorded| u64::from(recorded.spawns)).sum()
    }
}

impl Coordinator {
    /// Whether a complete node may be merged now: when it names no new entities, or their numbers are known.
    pub(super) fn may_merge(&self, running: &Running, node: usize) -> bool {
        let nodes = &running.run.plan().nodes;
        let declared = |node: usize| self.systems[nodes[node].system].descriptor();
        if !declared(node).commands
            || nodes[node].jobs.clone().all(|job| running.spawns_of(job) == 0)
            || !names_entities(&self.world, declared(node))
        {
            return true;
        }
        let is_known = |state| matches!(state, NodeState::Complete | NodeState::Merged);
        (0..node).all(|earlier| !declared(earlier).commands || is_known(running.run.state(earlier)))
    }

    /// The number of the first entity that a job spawns. Right as soon as [`Self::may_merge`].
    pub(super) fn first_spawn_of(&self, running: &Running, job: u32) -> Entity {
        let before: u64 = (0..job).map(|earlier| u64::from(running.spawns_of(earlier))).sum();
        Entity::from_bits(self.world.next_entity() + before)
    }
}

/// Whether others read what a system says of entities: in events, or in columns that it writes.
fn names_entities(world: &World, descriptor: &SystemDescriptor) -> bool {
    let columns = descriptor.queries.iter().flat_map(|query| &query.columns);
    let columns = columns.filter(|column| column.write).map(|column| column.component);
    let resources = descriptor.resources.iter().filter(|resource| resource.write).map(|resource| resource.component);
    columns
        .chain(resources)
        .chain(descriptor.writes_events.iter().copied())
        .any(|id| world.schema(id).is_none_or(Schema::may_hold_entities))
}

/// The first entity that a job spawns, and how many.
type Spawned = (Entity, u32);

/// Gives the entities that a job spawned their numbers, wherever the job wrote them.
pub(super) fn name_in_columns(world: &mut World, descriptor: &SystemDescriptor, job: &JobPlan, spawned: Spawned) {
    for part in &job.parts {
        for (slot, access) in descriptor.queries[usize::from(part.query)].columns.iter().enumerate() {
            if let Some(column) = part.columns[slot].filter(|_| access.write) {
                name_in_column(world, part, usize::from(column), spawned);
            }
        }
    }
    for part in &job.resources {
        if let Some(Some(column)) = part.columns.first() {
            name_in_column(world, part, usize::from(*column), spawned);
        }
    }
}

fn name_in_column(world: &mut World, part: &PartPlan, index: usize, spawned: Spawned) {
    let component = world.table(part.table).components()[index];
    let Some(offsets) = world.schema(component).filter(|schema| schema.may_hold_entities()).map(Schema::entity_offsets)
    else {
        return;
    };
    let version = world.version();
    let mut column = world.table_mut(part.table).into_column(index);
    for row in part.range() {
        if let Some(named) = named(&column, row, &offsets, spawned) {
            column.set_row(row, &named, version);
        }
    }
}

/// A row with its provisional entities replaced; none when it has none.
fn named(column: &Column, row: usize, offsets: &[u32], spawned: Spawned) -> Option<Vec<u8>> {
    let (first, count) = spawned;
    let bytes = column.row(row);
    let mut copy: Option<Vec<u8>> = None;
    match column.kind() {
        StorageKind::Plain => {
            for offset in offsets {
                let at = *offset as usize;
                let field = bytes.get(at..)?.first_chunk::<8>()?;
                let entity = Entity::from_bits(u64::from_le_bytes(*field));
                if entity.is_provisional() {
                    let number = entity.resolved(first, count).to_bits().to_le_bytes();
                    copy.get_or_insert_with(|| bytes.to_vec())[at..at + 8].copy_from_slice(&number);
                }
            }
        }
        StorageKind::Document => {
            let mut provisional = false;
            engine_component::msgpack::visit_entities(bytes, |entity| provisional |= entity.is_provisional());
            if provisional {
                let copy = copy.insert(bytes.to_vec());
                engine_component::msgpack::for_each_entity(copy, |entity| entity.resolved(first, count));
            }
        }
        StorageKind::Tag => {}
    }
    copy
}
