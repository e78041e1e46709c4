//! A recorded tick as spans that wait for one another:
//!
//! ```text
//! apply ─▶ plan ─▶ wait ─▶ ship ─▶ queue ─▶ compute ─▶ return ─▶ merge ─▶ node ─▶ structure ─▶ hash ─▶ commit
//!                   ▲               ▲ the batch before it at its instance           │
//!                   └───────────────────────── nodes and batches that it needed ────┘
//! ```

use engine_net::messages::trace::{BatchTrace, Step, TickTrace};

use super::path::{Segment, Span, critical_path};
use crate::phases::Phase;

/// What a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Something that the coordinator does by itself.
    Step(Step),
    /// A phase of a batch, by its place.
    Batch(usize, Phase),
    /// The merge of a node, by its place.
    Merge(usize),
}

/// A tick as spans.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// When they were, and who waited for whom.
    pub spans: Vec<Span>,
    /// What they are.
    pub whats: Vec<What>,
    /// For each batch its first span, the wait.
    pub batches: Vec<usize>,
}

impl Spans {
    /// Of a recorded tick. Numbers in it that point nowhere are skipped.
    #[must_use]
    pub fn of(tick: &TickTrace) -> Self {
        let mut spans = Self::default();
        let step =
            |step: Step| tick.steps.iter().find(|trace| trace.0 == step).map_or((0, 0), |trace| (trace.1, trace.2));
        let apply = spans.add(What::Step(Step::Apply), step(Step::Apply), Vec::new());
        let plan = spans.add(What::Step(Step::Plan), step(Step::Plan), vec![apply]);
        let first_batch = spans.spans.len();
        let first_node = first_batch + tick.batches.len() * Phase::ALL.len();
        let needs = Needs::new(tick);
        for (place, batch) in tick.batches.iter().enumerate() {
            spans.batches.push(spans.spans.len());
            let mut causes = vec![plan];
            causes.extend(needs.node_before(tick, batch).map(|node| first_node + node));
            causes.extend(needs.batch_before(tick, batch).map(|other| span_of(first_batch, other, Phase::Merge)));
            for phase in Phase::ALL {
                let (from, mut to) = (batch.at[phase as usize], batch.at[phase as usize + 1]);
                if let (Phase::Merge, Some(node)) = (phase, tick.nodes.get(batch.node as usize)) {
                    // From then on it is the node that is merged.
                    to = if node.merging > 0 { to.min(node.merging).max(from) } else { to };
                }
                if phase == Phase::Queue {
                    causes
                        .extend(needs.busy_with(tick, place).map(|other| span_of(first_batch, other, Phase::Compute)));
                }
                causes = vec![spans.add(What::Batch(place, phase), (from, to), causes)];
            }
        }
        for (number, node) in tick.nodes.iter().enumerate() {
            let mut causes = vec![plan];
            causes.extend(needs.last_of(number).map(|other| span_of(first_batch, other, Phase::Merge)));
            causes.extend(
                needs
                    .merged_before(node.merging)
                    .map(|node| first_node + node)
                    .filter(|span| *span != first_node + number),
            );
            spans.add(What::Merge(number), (node.merging, node.merged.max(node.merging)), causes);
        }
        let mut causes: Vec<usize> = needs.merged_before(u64::MAX).map(|node| first_node + node).into_iter().collect();
        causes.push(plan);
        for which in [Step::Structure, Step::Hash, Step::Commit] {
            causes = vec![spans.add(What::Step(which), step(which), causes)];
        }
        spans
    }

    fn add(&mut self, what: What, (from, to): (u64, u64), causes: Vec<usize>) -> usize {
        self.spans.push(Span { from, to: to.max(from), causes });
        self.whats.push(what);
        self.spans.len() - 1
    }

    /// The critical path of the tick: to the end of its commit.
    #[must_use]
    pub fn critical_path(&self) -> Vec<Segment> {
        critical_path(&self.spans, self.spans.len().saturating_sub(1))
    }
}

fn span_of(first: usize, batch: usize, phase: Phase) -> usize {
    first + batch * Phase::ALL.len() + phase as usize
}

/// Batches and nodes, in the orders in which they are looked for.
struct Needs {
    /// Batches of each node by the time at which they were merged.
    of_node: Vec<Vec<(u64, usize)>>,
    /// Nodes by the time at which they were.
    merged: Vec<(u64, usize)>,
    /// Batches by instance and by the end of their computation.
    computed: Vec<(u32, u64, usize)>,
}

impl Needs {
    fn new(tick: &TickTrace) -> Self {
        let mut of_node = vec![Vec::new(); tick.nodes.len()];
        let mut computed = Vec::new();
        for (place, batch) in tick.batches.iter().enumerate() {
            if let Some(of_node) = of_node.get_mut(batch.node as usize) {
                of_node.push((batch.at[6], place));
            }
            computed.extend(batch.instance.map(|instance| (instance, batch.at[Phase::Compute as usize + 1], place)));
        }
        of_node.iter_mut().for_each(|batches| batches.sort_unstable());
        computed.sort_unstable();
        let mut merged: Vec<(u64, usize)> =
            tick.nodes.iter().enumerate().map(|(number, node)| (node.merged, number)).collect();
        merged.sort_unstable();
        Self { of_node, merged, computed }
    }

    /// The node that a batch waited for last, if it waited for nodes.
    fn node_before(&self, tick: &TickTrace, batch: &BatchTrace) -> Option<usize> {
        let waits_for = &tick.nodes.get(batch.node as usize)?.waits_for;
        let before = waits_for
            .iter()
            .map(|node| *node as usize)
            .filter_map(|number| Some((tick.nodes.get(number)?.merged, number)));
        before.filter(|(merged, _)| *merged > 0 && *merged <= batch.at[0]).max().map(|(_, number)| number)
    }

    /// The batch of such a node whose rows it waited for last, if they were there before their node was merged.
    fn batch_before(&self, tick: &TickTrace, batch: &BatchTrace) -> Option<usize> {
        let waits_for = &tick.nodes.get(batch.node as usize)?.waits_for;
        let of_nodes = waits_for.iter().filter_map(|node| self.of_node.get(*node as usize));
        of_nodes.filter_map(|batches| last_before(batches, batch.at[0])).max().map(|(_, place)| place)
    }

    /// What its instance computed while it lay there.
    fn busy_with(&self, tick: &TickTrace, place: usize) -> Option<usize> {
        let batch = &tick.batches[place];
        let (instance, started) = (batch.instance?, batch.at[Phase::Compute as usize]);
        let end = self.computed.partition_point(|(of, at, _)| (*of, *at) <= (instance, started));
        let (of, at, other) = *self.computed[..end].iter().rfind(|(.., other)| *other != place)?;
        (of == instance && at > batch.at[Phase::Queue as usize]).then_some(other)
    }

    /// The batch of a node that was merged last.
    fn last_of(&self, node: usize) -> Option<usize> {
        self.of_node[node].iter().max_by_key(|(merged, place)| (*merged, *place)).map(|(_, place)| *place)
    }

    /// The node that was merged last before a time.
    fn merged_before(&self, at: u64) -> Option<usize> {
        last_before(&self.merged, at).filter(|(merged, _)| *merged > 0).map(|(_, node)| node)
    }
}

fn last_before(sorted: &[(u64, usize)], at: u64) -> Option<(u64, usize)> {
    let end = sorted.partition_point(|(time, _)| *time <= at);
    sorted[..end].last().copied()
}

#[cfg(test)]
pub(crate) mod tests {
    use engine_net::messages::trace::{NodeTrace, StepTrace};

    use super::*;

    fn batch(node: u32, instance: u32, at: [u64; 7]) -> BatchTrace {
        BatchTrace { node, instance: Some(instance), job: at[1] as u32, attempt: 0, jobs: 1, at }
    }

    /// Two systems, one after the other; the second batch of the first lies behind the first one.
    pub(crate) fn tick() -> TickTrace {
        let node = |system: &str, waits_for: &[u32], [started, merging, merged]: [u64; 3]| NodeTrace {
            system: system.into(),
            waits_for: waits_for.to_vec(),
            started,
            merging,
            merged,
        };
        let step = |step, from, to| StepTrace(step, from, to);
        TickTrace {
            tick: 7,
            took_ns: 1000,
            steps: vec![
                step(Step::Apply, 0, 20),
                step(Step::Plan, 20, 50),
                step(Step::Structure, 850, 860),
                step(Step::Hash, 860, 950),
                step(Step::Commit, 950, 1000),
            ],
            nodes: vec![node("steer", &[], [50, 500, 520]), node("strike", &[0], [520, 830, 850])],
            instances: vec!["a".into(), "b".into()],
            batches: vec![
                batch(0, 0, [50, 55, 100, 110, 280, 320, 520]),
                batch(0, 0, [50, 60, 110, 290, 460, 490, 520]),
                batch(1, 1, [525, 530, 600, 600, 780, 820, 850]),
            ],
            ..TickTrace::default()
        }
    }

    fn told(tick: &TickTrace) -> Vec<(Option<What>, u64)> {
        let spans = Spans::of(tick);
        let path = spans.critical_path();
        path.iter().map(|segment| (segment.span.map(|span| spans.whats[span]), segment.to - segment.from)).collect()
    }

    #[test]
    fn the_path_goes_through_the_batch_that_its_instance_was_busy_with() {
        use Phase::{Compute, Merge, Queue, Return, Ship, Wait};
        let of = |place, phase| Some(What::Batch(place, phase));
        let step = |step| Some(What::Step(step));
        let expected = [
            (step(Step::Apply), 20),
            (step(Step::Plan), 30),
            (of(0, Wait), 5),
            (of(0, Ship), 45),
            (of(0, Queue), 10),
            (of(0, Compute), 170),
            (of(1, Queue), 10),
            (of(1, Compute), 170),
            (of(1, Return), 30),
            (of(1, Merge), 10),
            (Some(What::Merge(0)), 20),
            (None, 5),
            (of(2, Wait), 5),
            (of(2, Ship), 70),
            (of(2, Compute), 180),
            (of(2, Return), 40),
            (of(2, Merge), 10),
            (Some(What::Merge(1)), 20),
            (step(Step::Structure), 10),
            (step(Step::Hash), 90),
            (step(Step::Commit), 50),
        ];
        assert_eq!(told(&tick()), expected);
        assert_eq!(expected.iter().map(|(_, took)| took).sum::<u64>(), 1000);
    }

    #[test]
    fn a_batch_that_follows_rows_waits_for_the_batch_that_had_them() {
        let mut tick = tick();
        // The rows of the first batch are merged at once, and the other system goes on with them.
        tick.batches[0].at[6] = 330;
        tick.batches[2].at = [335, 340, 400, 400, 780, 820, 850];
        let path = told(&tick);
        let last = path.iter().position(|part| part.0 == Some(What::Batch(2, Phase::Wait))).unwrap();
        assert_eq!(path[last - 2..last], [(Some(What::Batch(0, Phase::Merge)), 10), (None, 5)]);
        assert!(!path.iter().any(|part| matches!(part.0, Some(What::Batch(1, _)))), "{path:?}");
    }

    #[test]
    fn numbers_that_point_nowhere_do_no_harm() {
        let mut tick = tick();
        tick.batches[0].node = 99;
        tick.batches[1].instance = Some(77);
        tick.nodes[1].waits_for = vec![5, 1];
        tick.steps.clear();
        let total: u64 = told(&tick).iter().map(|part| part.1).sum();
        assert_eq!(total, 0, "nothing says when it was over");
        assert_eq!(told(&TickTrace::default()), []);
    }
}
