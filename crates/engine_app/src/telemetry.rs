//! A coordinator's probes and figures over HTTP.
//!
//! The tick's thread leaves a copy of the status here a few times a second, and the time of each tick; everything else
//! is done when somebody asks, on the server's thread.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use engine_net::http::{HttpServer, Pulse, Watched};
use engine_net::messages::status::{SimState, Status};
use engine_net::messages::trace::TickTrace;
use engine_net::otlp::{Collector, Exporter};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::coordinator::{Commit, Coordinator, Measures};
use crate::figures;
use crate::otlp::{Origin, spans_of};
use crate::system_entry::Totals;

/// Nanoseconds of the driver's clock between two copies of the status.
const COPY_EVERY: u64 = 250_000_000;
/// A tick's thread that did not look at the clock for so long stands still.
const STANDS_STILL: Duration = Duration::from_secs(30);
/// Ticks of a quarter of a millisecond to eight seconds, in doubles.
const BUCKETS: (f64, u16) = (0.000_25, 16);

/// What is served; the server ends when this is dropped.
pub struct Telemetry {
    seen: Arc<Seen>,
    server: Option<HttpServer>,
    traces: Option<Traces>,
}

/// Ticks that are given to a collector.
struct Traces {
    exporter: Arc<Exporter>,
    every: u64,
}

/// What the server's thread knows.
struct Seen {
    ticks: Histogram,
    pulse: Pulse,
    /// Locked to put it there and to take it from there, and no longer: the tick's thread waits for nobody.
    latest: Mutex<Option<Arc<Latest>>>,
    /// What became of spans; asked when figures are.
    spans: Mutex<Option<Arc<Exporter>>>,
}

/// Of the coordinator that leads, if there is one.
struct Latest {
    status: Status,
    measures: Measures,
}

impl Telemetry {
    /// Serves at an address; nothing when there is none.
    ///
    /// # Errors
    /// When the address can't be had.
    pub fn start(address: Option<SocketAddr>) -> anyhow::Result<Self> {
        let (first, count) = BUCKETS;
        let seen = Arc::new(Seen {
            ticks: Histogram::new(exponential_buckets(first, 2.0, count)),
            pulse: Pulse::new(STANDS_STILL),
            latest: Mutex::new(None),
            spans: Mutex::new(None),
        });
        let start =
            |address| HttpServer::start(address, seen.clone()).with_context(|| format!("can't serve at {address}"));
        let server = address.map(start).transpose()?;
        if let Some(server) = &server {
            println!("probes and figures at http://{}: /live, /ready, /metrics", server.address());
        }
        Ok(Self { seen, server, traces: None })
    }

    /// Gives one in so many ticks to a collector.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn trace_to(&mut self, collector: Collector, every: u64) -> anyhow::Result<()> {
        let process = vec![
            ("service.name", "engine-coordinator".into()),
            ("service.version", env!("CARGO_PKG_VERSION").into()),
            ("process.pid", u64::from(std::process::id()).into()),
        ];
        let exporter = Exporter::start(collector, process).context("can't begin to send spans")?;
        let exporter = Arc::new(exporter);
        *self.seen.spans.lock().unwrap_or_else(PoisonError::into_inner) = Some(exporter.clone());
        self.traces = Some(Traces { exporter, every });
        Ok(())
    }

    /// Where it serves, if it does.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(HttpServer::address)
    }

    /// This coordinator leads from now on.
    pub fn watch(&self, coordinator: &mut Coordinator) {
        if let Some(traces) = &self.traces {
            traces.watch(coordinator);
        }
        if self.server.is_none() {
            return;
        }
        let (seen, mut copied_at) = (self.seen.clone(), None::<u64>);
        coordinator.on_look(Box::new(move |now, coordinator| {
            seen.pulse.beat();
            if copied_at.is_none_or(|at| now >= at + COPY_EVERY) {
                copied_at = Some(now);
                let latest = Latest { status: coordinator.status(now), measures: coordinator.measures() };
                let before = seen.lock().replace(Arc::new(latest));
                drop(before);
            }
        }));
    }

    /// No coordinator of this process leads.
    pub fn stands_by(&self) {
        *self.seen.lock() = None;
    }

    /// A tick is committed.
    pub fn committed(&self, commit: &Commit) {
        self.observe(commit.took_ns);
    }

    fn observe(&self, tick_ns: u64) {
        if self.server.is_some() {
            self.seen.ticks.observe(tick_ns as f64 / 1e9);
        }
    }
}

impl Traces {
    fn watch(&self, coordinator: &mut Coordinator) {
        let (exporter, world) = (self.exporter.clone(), coordinator.subjects().world().to_owned());
        let sink = move |epoch: u64, tick: &TickTrace| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let began = (since.as_nanos() as u64).saturating_sub(tick.took_ns);
            let (origin, tick) = (Origin { world: world.clone(), epoch, began }, tick.clone());
            exporter.export(move || spans_of(&origin, &tick));
        };
        coordinator.sample_ticks(self.every, Box::new(sink));
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Latest>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn latest(&self) -> Option<Arc<Latest>> {
        self.lock().clone()
    }
}

impl Watched for Seen {
    fn live(&self) -> Result<(), String> {
        // Who stands by waits for a lease, and has no tick.
        if self.latest().is_none() { Ok(()) } else { self.pulse.check() }
    }

    fn ready(&self) -> Result<(), String> {
        match self.latest().as_ref().map(|latest| &latest.status.state) {
            None => Err("another coordinator leads, or the world is not there yet".into()),
            Some(SimState::Waiting { what }) => Err(format!("the world waits for {what}")),
            Some(SimState::Stopping) => Err("the world has ended".into()),
            Some(SimState::Running | SimState::Paused) => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("engine");
        let tick = "Time of a tick, from its beginning to its commit";
        registry.register_with_unit("tick_duration", tick, Unit::Seconds, self.ticks.clone());
        let latest = self.latest();
        gauge(
            &mut registry,
            "leads",
            "1 while this process owns the world, 0 while it stands by",
            f64::from(u8::from(latest.is_some())),
        );
        if let Some(Latest { status, measures }) = latest.as_deref() {
            world(&mut registry, status);
            systems(&mut registry, status, &measures.systems);
            figures::measured(&mut registry, measures);
            counters(&mut registry, status);
        }
        if let Some(exporter) = &*self.spans.lock().unwrap_or_else(PoisonError::into_inner) {
            figures::spans(&mut registry, exporter.counts());
        }
        let mut text = String::new();
        // A string takes everything.
        let _ = encode(&mut text, &registry);
        text
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn world(registry: &mut Registry, status: &Status) {
    let running = f64::from(u8::from(matches!(status.state, SimState::Running)));
    gauge(registry, "running", "1 while ticks follow one another, 0 while the world waits or is paused", running);
    gauge(registry, "tick_number", "The last tick that was committed", status.tick as f64);
    gauge(registry, "epoch", "The epoch of the coordinator", status.epoch as f64);
    gauge(registry, "tick_budget_seconds", "Time that a tick may take at the rate that is set", status.budget_ms / 1e3);
    gauge(registry, "tick_rate_hertz", "Ticks in the last second", status.actual_rate);
    gauge(registry, "entities", "Entities of the world", status.entities as f64);
    gauge(registry, "tables", "Tables of the world", status.tables as f64);
    gauge(registry, "world_bytes", "Memory of the world", status.world_bytes as f64);
    gauge(
        registry,
        "wire_bytes_per_tick",
        "Bytes of jobs and results, the mean of the last ticks",
        status.bytes_per_tick as f64,
    );
    if let Some(log) = &status.log {
        let lag = status.tick.saturating_sub(log.tick);
        gauge(registry, "log_lag_ticks", "Ticks that are computed and not durable yet", lag as f64);
        let trouble = f64::from(u8::from(log.trouble.is_some()));
        gauge(registry, "log_trouble", "1 while the log can't be written", trouble);
    }
    if let Some(kept) = &status.kept {
        gauge(registry, "kept_events_waiting", "Events that are to be kept, and are not yet", kept.events as f64);
        gauge(registry, "kept_ticks_waiting", "Ticks whose events are not kept yet", kept.ticks as f64);
        let trouble = f64::from(u8::from(kept.trouble.is_some()));
        gauge(registry, "kept_events_trouble", "1 while events can't be kept", trouble);
    }
}

pub(crate) type Labels = Vec<(&'static str, String)>;
pub(crate) type Gauges = Family<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>;
pub(crate) type Counters = Family<Labels, Counter<f64, std::sync::atomic::AtomicU64>>;

fn systems(registry: &mut Registry, status: &Status, totals: &[(String, Totals)]) {
    let (instances, loads) = (Gauges::default(), Gauges::default());
    for system in &status.systems {
        instances.get_or_create(&vec![("system", system.name.clone())]).set(system.instances.len() as f64);
        for instance in &system.instances {
            // One of several systems has the same load for each of them.
            let labels = vec![("instance", instance.instance.clone())];
            loads.get_or_create(&labels).set(f64::from(instance.load));
        }
    }
    registry.register("instances", "Instances of a system", instances);
    registry.register("instance_load_ratio", "Share of the last second that an instance computed", loads);
    let counter = |of: fn(&Totals) -> f64| {
        let family = Counters::default();
        for (system, totals) in totals {
            family.get_or_create(&vec![("system", system.clone())]).inc_by(of(totals));
        }
        family
    };
    let runs = counter(|totals| totals.runs as f64);
    registry.register("system_runs", "Ticks in which a system ran", runs);
    registry.register("system_jobs", "Jobs of a system", counter(|totals| totals.jobs as f64));
    let compute = counter(|totals| totals.compute_ns as f64 / 1e9);
    registry.register_with_unit(
        "system_compute",
        "Time in a system's function, all jobs together",
        Unit::Seconds,
        compute,
    );
    let took = counter(|totals| totals.took_ns as f64 / 1e9);
    registry.register_with_unit("system_node", "Time from a system's start to its merge", Unit::Seconds, took);
    let bytes = Counters::default();
    for (system, totals) in totals {
        for (direction, count) in [("out", totals.bytes_out), ("in", totals.bytes_in)] {
            bytes
                .get_or_create(&vec![("system", system.clone()), ("direction", direction.to_owned())])
                .inc_by(count as f64);
        }
    }
    registry.register_with_unit("system_wire", "Bytes to instances of a system, and from them", Unit::Bytes, bytes);
}

/// What was refused has a reason; everything else that was counted has a name.
fn counters(registry: &mut Registry, status: &Status) {
    let (rejected, refused, other) = (Counters::default(), Counters::default(), Counters::default());
    for (name, count) in &status.counters {
        let (family, label, value) = match name.split_once('.') {
            Some(("rejected", reason)) => (&rejected, "reason", reason),
            Some(("refused", reason)) => (&refused, "reason", reason),
            _ => (&other, "what", name.as_str()),
        };
        family.get_or_create(&vec![(label, value.to_owned())]).inc_by(*count as f64);
    }
    registry.register("results_rejected", "Messages of instances that were refused", rejected);
    registry.register("requests_refused", "Requests from outside that were refused", refused);
    registry.register("counted", "What happened besides; docs/protocol.md has the names", other);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine_component::{Component, query::Query};

    use super::*;
    use crate::{App, Settings};

    #[derive(Component, Clone, Copy)]
    #[repr(C)]
    #[component(name = "test.Height")]
    struct Height(f32);

    fn climb(mut all: Query<&mut Height>) {
        for height in &mut all {
            height.0 += 1.0;
        }
    }

    #[test]
    fn a_world_shows_what_it_does() {
        let telemetry = Telemetry::start(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        let seen = telemetry.seen.clone();
        assert_eq!((seen.live(), seen.ready().is_err()), (Ok(()), true), "it stands by");
        assert!(seen.metrics().contains("engine_leads 0"));
        let app = App::new("test").add_system("climb", climb).on_start(|start| {
            start.world.spawn(Height(1.0));
            Ok(())
        });
        let settings = Settings { expect: vec!["steer".into()], ..Settings::default() };
        let (mut coordinator, _) = app.into_coordinator(settings, &BTreeMap::new(), |_| true, 7).unwrap();
        telemetry.watch(&mut coordinator);
        coordinator.clock(1);
        assert_eq!(seen.ready().unwrap_err(), "the world waits for an instance of steer");
        assert_eq!(seen.live(), Ok(()));
        telemetry.observe(1_500_000);
        let text = seen.metrics();
        for line in [
            "# TYPE engine_tick_duration_seconds histogram",
            "engine_tick_duration_seconds_bucket{le=\"0.001\"} 0",
            "engine_tick_duration_seconds_bucket{le=\"0.002\"} 1",
            "engine_tick_duration_seconds_count 1",
            "engine_entities 1",
            "engine_leads 1",
            "engine_epoch 7",
            "engine_instances{system=\"climb\"} 0",
            "engine_system_compute_seconds_total{system=\"climb\"} 0",
            "engine_system_wire_bytes_total{system=\"climb\",direction=\"out\"} 0",
            "engine_system_phase_seconds_total{system=\"climb\",phase=\"ship\"} 0",
            "engine_system_jobs_reassigned_total{system=\"climb\"} 0",
            "engine_query_duration_seconds_count 0",
            "engine_reconnects_total 0",
            "engine_queue_depth{queue=\"send\"} 0",
        ] {
            assert!(text.lines().any(|known| known.starts_with(line)), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        telemetry.stands_by();
        assert!(seen.ready().is_err());
    }
}
