//! What a coordinator measures, as figures for Prometheus. Labels are names of systems, instances and components, of
//! which there is a bounded number each, and never two of those together.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::{Registry, Unit};

use crate::coordinator::{Durations, Load, Measures};
use crate::members::InstanceTotals;
use crate::phases::{Phase, Phases};
use crate::telemetry::{Counters, Gauges};

/// Instances that have figures of their own, at the most: the first ones by name. No more can be registered.
const MOST_INSTANCES: usize = 4096;

/// Adds all of it.
pub(crate) fn measured(registry: &mut Registry, measures: &Measures) {
    let of_systems = measures.systems.iter().map(|(name, totals)| (name, &totals.phases));
    let help = "Time of a system's batches by phase: wait, ship, queue, compute, return, merge";
    registry.register_with_unit("system_phase", help, Unit::Seconds, phases("system", of_systems));
    let reassigned = Counters::default();
    for (system, totals) in &measures.systems {
        count(&reassigned, &[("system", system)], totals.reassigned as f64);
    }
    registry.register("system_jobs_reassigned", "Jobs that moved, since their instance was gone", reassigned);
    instances(registry, &measures.instances);
    let updates = Counters::default();
    for (component, rows) in &measures.rows {
        count(&updates, &[("component", component)], *rows as f64);
    }
    registry.register("component_updates", "Rows of a component that systems changed", updates);
    let help = "Time from a query to its answer, without the wait for the log";
    registry.register_with_unit("query_duration", help, Unit::Seconds, Shown(measures.queries));
    let reconnects = Counter::<u64>::default();
    reconnects.inc_by(measures.reconnects);
    registry.register("reconnects", "Connections that were lost and are back", reconnects);
    queues(registry, &measures.load);
}

fn instances(registry: &mut Registry, all: &[(String, InstanceTotals)]) {
    let all = &all[..all.len().min(MOST_INSTANCES)];
    let of_instances = all.iter().map(|(name, totals)| (name, &totals.phases));
    let help = "Time of an instance's batches by phase";
    registry.register_with_unit("instance_phase", help, Unit::Seconds, phases("instance", of_instances));
    let (batches, jobs, bytes) = (Counters::default(), Counters::default(), Counters::default());
    for (instance, totals) in all {
        count(&batches, &[("instance", instance)], totals.batches as f64);
        count(&jobs, &[("instance", instance)], totals.jobs as f64);
        count(&bytes, &[("instance", instance), ("direction", "out")], totals.bytes_out as f64);
        count(&bytes, &[("instance", instance), ("direction", "in")], totals.bytes_in as f64);
    }
    registry.register("instance_batches_merged", "Batches of an instance that counted", batches);
    registry.register("instance_jobs_merged", "Jobs of an instance that counted", jobs);
    registry.register_with_unit("instance_wire", "Bytes to an instance, and from it", Unit::Bytes, bytes);
}

/// What became of spans for a collector.
pub(crate) fn spans(registry: &mut Registry, (sent, dropped): (u64, u64)) {
    let spans = Counters::default();
    count(&spans, &[("outcome", "sent")], sent as f64);
    count(&spans, &[("outcome", "dropped")], dropped as f64);
    registry.register("trace_spans", "Spans that a collector of OpenTelemetry has taken, or not", spans);
}

fn queues(registry: &mut Registry, load: &Load) {
    let depths = Gauges::default();
    for (queue, depth) in [
        ("send", load.queued),
        ("batches", load.open_batches),
        ("requests", load.waiting),
        ("registrations", load.joins),
        ("outputs", load.outputs),
        ("records", load.undurable),
        ("held", load.held),
    ] {
        depths.get_or_create(&vec![("queue", queue.to_owned())]).set(depth as f64);
    }
    registry.register("queue_depth", "What waits; docs/operations.md says for what", depths);
}

fn phases<'a>(label: &'static str, all: impl Iterator<Item = (&'a String, &'a Phases)>) -> Counters {
    let counters = Counters::default();
    for (name, phases) in all {
        for phase in Phase::ALL {
            count(&counters, &[(label, name), ("phase", phase.name())], phases.of(phase) as f64 / 1e9);
        }
    }
    counters
}

fn count(counters: &Counters, labels: &[(&'static str, &str)], value: f64) {
    let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
    counters.get_or_create(&labels).inc_by(value);
}

/// Durations as a histogram.
#[derive(Debug)]
struct Shown(Durations);

impl EncodeMetric for Shown {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.encode_histogram::<NoLabelSet>(self.0.sum(), self.0.count(), &self.0.buckets(), None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::coordinator::Measures;
    use crate::phases::BatchTimes;

    #[test]
    fn phases_rows_and_queries_are_shown() {
        let mut measures = Measures { rows: vec![("test.A".into(), 7)], ..Measures::default() };
        let mut totals = InstanceTotals { batches: 1, jobs: 4, ..InstanceTotals::default() };
        let times = BatchTimes {
            ready: 0,
            begun: 500_000_000,
            sent: 500_000_000,
            arrived: 2_500_000_000,
            ..BatchTimes::default()
        };
        totals.phases.add(&BatchTimes { worked_ns: 1_000_000_000, ..times }.way(2_500_000_000));
        measures.instances.push(("steer-1".into(), totals));
        measures.queries.note(80_000);
        let mut registry = Registry::with_prefix("engine");
        measured(&mut registry, &measures);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "engine_instance_phase_seconds_total{instance=\"steer-1\",phase=\"wait\"} 0.5",
            "engine_instance_phase_seconds_total{instance=\"steer-1\",phase=\"compute\"} 1.0",
            "engine_instance_phase_seconds_total{instance=\"steer-1\",phase=\"return\"} 0.5",
            "engine_instance_jobs_merged_total{instance=\"steer-1\"} 4.0",
            "engine_component_updates_total{component=\"test.A\"} 7.0",
            "engine_query_duration_seconds_bucket{le=\"0.0001\"} 1",
            "engine_query_duration_seconds_bucket{le=\"+Inf\"} 1",
            "# TYPE engine_query_duration_seconds histogram",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
    }
}
