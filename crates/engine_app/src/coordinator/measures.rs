//! What the coordinator measures for those who run it: counted by the thread of the tick without a lock and without
//! memory, and copied for whoever shows it. Nothing here decides anything.

use engine_component::ComponentId;

use super::batches::BatchId;
use super::load::Load;
use super::{Coordinator, Running};
use crate::members::InstanceTotals;
use crate::system_entry::Totals;

/// Reads the driver's clock in the middle of a step.
pub type Stopwatch = Box<dyn Fn() -> u64 + Send>;

/// Rows that changed, by component.
#[derive(Clone, Debug, Default)]
pub struct RowCounts(Vec<(ComponentId, u64)>);

impl RowCounts {
    /// So many rows of a component changed.
    pub fn add(&mut self, component: ComponentId, rows: usize) {
        match self.0.binary_search_by_key(&component, |count| count.0) {
            Ok(place) => self.0[place].1 += rows as u64,
            Err(place) => self.0.insert(place, (component, rows as u64)),
        }
    }
}

/// How long something took, many times: how often it was at most so long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    counts: [u64; Self::BOUNDS],
    longer: u64,
    sum_ns: u64,
}

impl Durations {
    /// How many bounds there are.
    pub const BOUNDS: usize = 16;
    /// The lowest one in nanoseconds; each further one is twice as long.
    const FIRST: u64 = 50_000;

    /// It took so long.
    pub fn note(&mut self, ns: u64) {
        let place = (0..Self::BOUNDS).find(|place| ns <= Self::FIRST << place);
        *place.map_or(&mut self.longer, |place| &mut self.counts[place]) += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// How often.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.longer
    }

    /// All together, in seconds.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// Upper bounds in seconds, and how often it took that long and longer than the bound before.
    #[must_use]
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bound = |place: usize| (Self::FIRST << place) as f64 / 1e9;
        let buckets = self.counts.iter().enumerate().map(|(place, count)| (bound(place), *count));
        buckets.chain([(f64::INFINITY, self.longer)]).collect()
    }
}

/// A copy of all that is measured.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// Of each system, by name.
    pub systems: Vec<(String, Totals)>,
    /// Of each instance, by name, as long as it is registered.
    pub instances: Vec<(String, InstanceTotals)>,
    /// Rows that results changed, by the names of components.
    pub rows: Vec<(String, u64)>,
    /// From a query to its answer.
    pub queries: Durations,
    /// How often the connection was lost and came back.
    pub reconnects: u64,
    /// What it holds.
    pub load: Load,
}

impl Coordinator {
    /// Says how the driver's clock is read in the middle of a step. Without it a step takes no time: figures say so,
    /// and nothing else depends on it.
    pub fn set_stopwatch(&mut self, stopwatch: Option<Stopwatch>) {
        self.stopwatch = stopwatch;
    }

    /// The driver's clock as it is now.
    pub(super) fn lap(&self) -> u64 {
        self.stopwatch.as_ref().map_or(self.now, |stopwatch| stopwatch())
    }

    /// What was measured so far.
    #[must_use]
    pub fn measures(&self) -> Measures {
        let registry = self.world.registry();
        let name = |id: ComponentId| registry.get(id).map_or_else(|| id.to_string(), |info| info.schema.name.clone());
        Measures {
            systems: self.systems.iter().map(|entry| (entry.name().to_owned(), entry.totals)).collect(),
            instances: self.members.iter().map(|member| (member.name.clone(), member.totals)).collect(),
            rows: self.row_counts.0.iter().map(|(id, rows)| (name(*id), *rows)).collect(),
            queries: self.figures.queries,
            reconnects: self.counter("reconnects"),
            load: self.load(),
        }
    }

    /// The rows of a batch are in the world.
    pub(super) fn note_way(&mut self, id: BatchId, merged: u64) {
        let Some(Running { run, batches, recording, .. }) = &mut self.running else { return };
        let Some(open) = batches.get(&id).filter(|open| open.times.arrived > 0) else { return };
        let way = open.times.way(merged);
        let node = run.plan().jobs[id.job as usize].node;
        self.systems[run.plan().nodes[node].system].totals.phases.add(&way);
        if let Some(member) = self.members.get_mut(&open.member).filter(|member| member.slot == open.slot) {
            member.totals.batches += 1;
            member.totals.jobs += open.jobs.len() as u64;
            member.totals.phases.add(&way);
        }
        if let Some(recording) = recording {
            recording.merged(id, node, open, &way);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_their_length() {
        let mut durations = Durations::default();
        [0, 50_000, 50_001, 1_000_000, u64::MAX / 2].into_iter().for_each(|ns| durations.note(ns));
        let buckets = durations.buckets();
        let counted: Vec<(usize, u64)> = buckets
            .iter()
            .enumerate()
            .filter(|(_, bucket)| bucket.1 > 0)
            .map(|(place, bucket)| (place, bucket.1))
            .collect();
        assert_eq!(counted, [(0, 2), (1, 1), (5, 1), (16, 1)]);
        assert_eq!((buckets[5].0, durations.count()), (0.0016, 5));
        assert!(durations.sum() > 9e9);
    }

    #[test]
    fn rows_are_counted_by_component() {
        let mut counts = RowCounts::default();
        let (a, b) = (ComponentId::of_name("test.A"), ComponentId::of_name("test.B"));
        [(a, 3), (b, 1), (a, 4)].into_iter().for_each(|(component, rows)| counts.add(component, rows));
        let of = |id| counts.0.iter().find(|count| count.0 == id).map(|count| count.1);
        assert_eq!((of(a), of(b), counts.0.len()), (Some(7), Some(1), 2));
    }
}
