//! The critical paths of many ticks, summed: whose time, and which part of it.

use std::collections::BTreeMap;

use engine_net::messages::trace::{Step, TickTrace};

use super::path::Segment;
use super::spans::{Spans, What};
use crate::tool::table::Table;

/// Who took time of a tick, and doing what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// A system, or the coordinator.
    pub who: String,
    /// A phase of its batches, or a step.
    pub what: &'static str,
}

/// Nanoseconds on the paths of some ticks.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    shares: BTreeMap<Share, Vec<u64>>,
    ticks: Vec<u64>,
}

/// What the coordinator's own part is called; no system can be.
pub const COORDINATOR: &str = "(coordinator)";

/// Whose time a segment is, and what was done.
#[must_use]
pub fn share_of(tick: &TickTrace, spans: &Spans, segment: &Segment) -> Share {
    let system = |node: usize| tick.nodes.get(node).map_or_else(|| format!("node {node}"), |node| node.system.clone());
    let Some(what) = segment.span.and_then(|span| spans.whats.get(span)) else {
        return Share { who: COORDINATOR.to_owned(), what: "between" };
    };
    match *what {
        What::Step(step) => Share { who: COORDINATOR.to_owned(), what: step_name(step) },
        What::Batch(place, phase) => {
            let node = tick.batches.get(place).map_or(usize::MAX, |batch| batch.node as usize);
            Share { who: system(node), what: phase.name() }
        }
        What::Merge(node) => Share { who: system(node), what: "merge" },
    }
}

/// What a step is called.
#[must_use]
pub fn step_name(step: Step) -> &'static str {
    match step {
        Step::Apply => "apply",
        Step::Plan => "plan",
        Step::Structure => "structure",
        Step::Hash => "hash",
        Step::Commit => "commit",
    }
}

impl Summary {
    /// Adds a tick.
    pub fn add(&mut self, tick: &TickTrace) {
        let spans = Spans::of(tick);
        let mut shares: BTreeMap<Share, u64> = BTreeMap::new();
        for segment in spans.critical_path() {
            *shares.entry(share_of(tick, &spans, &segment)).or_default() += segment.to - segment.from;
        }
        self.ticks.push(shares.values().sum());
        for (share, ns) in shares {
            self.shares.entry(share).or_default().push(ns);
        }
    }

    /// How many ticks.
    #[must_use]
    pub fn ticks(&self) -> usize {
        self.ticks.len()
    }

    /// Nanoseconds of the median tick.
    #[must_use]
    pub fn median(&self) -> u64 {
        median(&self.ticks)
    }

    /// Whose time how much of all ticks was, the largest first: nanoseconds of all, and in how many ticks there were any.
    #[must_use]
    pub fn shares(&self) -> Vec<(&Share, u64, usize)> {
        let mut shares: Vec<_> =
            self.shares.iter().map(|(share, ns)| (share, ns.iter().sum::<u64>(), ns.len())).collect();
        shares.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        shares
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let total = self.ticks.iter().sum::<u64>().max(1);
        let mut table = Table::new(["who", "what", "%", "ms a tick", "in ticks"]);
        for (share, ns, ticks) in self.shares() {
            let percent = ns as f64 * 100.0 / total as f64;
            let per_tick = ns as f64 / 1e6 / self.ticks.len().max(1) as f64;
            table.row([
                share.who.clone(),
                share.what.to_owned(),
                format!("{percent:.1}"),
                format!("{per_tick:.3}"),
                ticks.to_string(),
            ]);
        }
        let ticks = if self.ticks() == 1 { "1 tick".to_owned() } else { format!("{} ticks", self.ticks()) };
        let median = self.median() as f64 / 1e6;
        format!("critical path over {ticks}; the median tick took {median:.3} ms\n{}", table.take())
    }
}

fn median(of: &[u64]) -> u64 {
    let mut of = of.to_vec();
    of.sort_unstable();
    of.get(of.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::spans::tests::tick;
    use super::*;

    #[test]
    fn shares_of_all_ticks_are_summed_and_sorted() {
        let mut summary = Summary::default();
        summary.add(&tick());
        summary.add(&tick());
        let shares = summary.shares();
        let told: Vec<(&str, &str, u64, usize)> =
            shares.iter().take(3).map(|(share, ns, ticks)| (&*share.who, share.what, *ns, *ticks)).collect();
        assert_eq!(told, [("steer", "compute", 680, 2), ("strike", "compute", 360, 2), (COORDINATOR, "hash", 180, 2)]);
        assert_eq!(shares.iter().map(|share| share.1).sum::<u64>(), 2000);
        let table = summary.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "critical path over 2 ticks; the median tick took 0.001 ms");
        assert!(lines[2].starts_with("steer") && lines[2].contains("compute") && lines[2].contains("34.0"), "{table}");
    }

    #[test]
    fn nothing_is_summed_up_too() {
        assert!(Summary::default().table().starts_with("critical path over 0 ticks"));
    }
}
