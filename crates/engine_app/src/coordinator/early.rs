//! Columns that are merged before their node is complete, while the rest of it is still computed.
//!
//! A node is merged whole or not at all wherever that makes a difference. It makes none when nothing of the node
//! crosses shards: then who reads a row that it writes either has that row's own job, or waits for all of the node.
//! What a job did besides waits for the node in any case, and so does the order of that.
//!
//! Rows that nobody else writes in this tick are hashed at once: they are in the cache, and the tick ends sooner.

use std::ops::Range;

use engine_component::{ComponentId, TableId};
use engine_net::descriptor::{DeadlinePolicy, SystemDescriptor};

use super::Coordinator;
use super::batches::BatchId;
use crate::system_entry::SystemEntry;
use crate::tick_run::{NodeState, RowOrder};

impl Coordinator {
    /// The rows of a batch that has just come, into the world, if that may be.
    pub(super) fn merge_early(&mut self, id: BatchId) {
        let Some(running) = &mut self.running else { return };
        let node = running.run.plan().jobs[id.job as usize].node;
        let descriptor = self.systems[running.run.plan().nodes[node].system].descriptor();
        if !crosses_nothing(descriptor) {
            return;
        }
        // Whoever was sent something since has not seen these rows.
        if std::mem::take(&mut running.sent_anew) {
            self.world.advance_version();
        }
        let counts = &mut self.row_counts;
        if let Some(buffer) =
            running.run.merge_staged(id.job, |result, plan| result.merge(&mut self.world, plan, counts))
        {
            self.mapped.give_back(buffer);
        }
        // What its instance has of them is what the world has, whatever others make of them after this.
        if let Some(open) = running.batches.get_mut(&id) {
            open.merged = true;
            let (slot, keep, copies) = (open.slot, open.cargo.keep, std::mem::take(&mut open.cargo.copies));
            self.copies_merged(slot, keep, &copies, false);
        }
        self.note_way(id, self.lap());
        let rows = self.final_rows(id, node);
        if !rows.is_empty() {
            self.world.hash_ahead(rows.into_iter());
        }
    }

    /// Rows that a batch has written, of columns that no other node of the tick writes from now on.
    fn final_rows(&self, id: BatchId, node: usize) -> Vec<(TableId, usize, Range<usize>)> {
        let Some(running) = &self.running else { return Vec::new() };
        let (plan, Some(open)) = (running.run.plan(), running.batches.get(&id)) else { return Vec::new() };
        let written = |node: usize| self.systems[plan.nodes[node].system].descriptor().queries.iter();
        let others =
            (0..plan.nodes.len()).filter(|other| *other != node && running.run.state(*other) != NodeState::Merged);
        let others: Vec<ComponentId> = others
            .flat_map(written)
            .flat_map(|query| &query.columns)
            .filter(|access| access.write)
            .map(|access| access.component)
            .collect();
        let queries = &self.systems[plan.nodes[node].system].descriptor().queries;
        let mut rows: Vec<(TableId, usize, Range<usize>)> = Vec::new();
        for part in open.jobs.iter().flat_map(|job| &plan.jobs[*job as usize].parts) {
            let columns = queries[usize::from(part.query)].columns.iter().zip(&part.columns);
            let mine = columns.filter(|(access, _)| access.write && !others.contains(&access.component));
            for column in mine.filter_map(|(_, column)| column.map(usize::from)) {
                let range = part.range();
                // Blocks may be longer than shards.
                let last = rows.iter_mut().rev().take(8).find(|last| (last.0, last.1) == (part.table, column));
                match last.filter(|last| last.2.end == range.start) {
                    Some(last) => last.2.end = range.end,
                    None => rows.push((part.table, column, range)),
                }
            }
        }
        rows
    }
}

/// Whether jobs of others may begin with the rows that a system is done with, and its own with those that others are.
pub(super) fn row_order(entry: &SystemEntry) -> RowOrder {
    let descriptor = entry.descriptor();
    // Each of its jobs has one part, and reads nothing else.
    let has_rows_alone = entry.local.is_none()
        && !descriptor.options.whole
        && !descriptor.options.nondeterministic
        && descriptor.queries.len() == 1
        && descriptor.views.is_empty()
        && descriptor.resources.is_empty();
    RowOrder {
        // What a tracker saw is forgotten when its system's node is merged: nobody may have written by then.
        leads: has_rows_alone && entry.trackers.is_empty() && crosses_nothing(descriptor),
        follows: has_rows_alone && descriptor.reads_events.is_empty(),
    }
}

/// Whether each job of a system has rows of its own, reads no others that its node writes, and can't be undone.
pub(super) fn crosses_nothing(descriptor: &SystemDescriptor) -> bool {
    let options = &descriptor.options;
    // Who spawns may name in columns what has no number before the node is complete.
    if options.deadline == DeadlinePolicy::Skip || options.nondeterministic || descriptor.commands {
        return false;
    }
    let columns = || descriptor.queries.iter().flat_map(|query| &query.columns);
    let viewed = || descriptor.views.iter().flat_map(|view| &view.columns);
    columns().filter(|access| access.write).all(|written| {
        let uses = columns().chain(viewed()).filter(|access| access.component == written.component);
        uses.count() == 1
    })
}

#[cfg(test)]
mod tests {
    use engine_component::Component;
    use engine_component::query::describe;

    use super::*;

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "test.Height")]
    struct Height(f32);

    #[test]
    fn only_what_stays_in_its_shard_is_merged_early() {
        let query = describe::<&mut Height, ()>().unwrap();
        let climb = SystemDescriptor { queries: vec![query], ..SystemDescriptor::new("climb") };
        assert!(crosses_nothing(&climb));
        let looks_around = SystemDescriptor { views: vec![describe::<&Height, ()>().unwrap()], ..climb.clone() };
        assert!(!crosses_nothing(&looks_around), "a job that is tried again would see what others wrote");
        let twice =
            SystemDescriptor { queries: [climb.queries.clone(), climb.queries.clone()].concat(), ..climb.clone() };
        assert!(!crosses_nothing(&twice));
        assert!(!crosses_nothing(&SystemDescriptor { commands: true, ..climb.clone() }));
        for (deadline, nondeterministic) in [(DeadlinePolicy::Skip, false), (DeadlinePolicy::Wait, true)] {
            let mut climb = climb.clone();
            (climb.options.deadline, climb.options.nondeterministic) = (deadline, nondeterministic);
            assert!(!crosses_nothing(&climb));
        }
    }
}
