//! An instance's probes and figures over HTTP: numbers that its thread leaves here, and what is made of them when
//! somebody asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine_net::http::{Pulse, Watched};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Bytes go to and fro while systems compute: a process that did not look after them for so long stands still.
const STANDS_STILL: Duration = Duration::from_secs(10);

/// How an instance is. Written by its thread, read by the server's.
#[derive(Debug)]
pub(super) struct Vitals {
    pub(super) pulse: Pulse,
    pub(super) is_registered: AtomicBool,
    pub(super) jobs: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) compute_ns: AtomicU64,
    pub(super) memory_bytes: AtomicU64,
    pub(super) reconnects: AtomicU64,
}

impl Default for Vitals {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            pulse: Pulse::new(STANDS_STILL),
            is_registered: AtomicBool::new(false),
            jobs: zero(),
            refused: zero(),
            compute_ns: zero(),
            memory_bytes: zero(),
            reconnects: zero(),
        }
    }
}

impl Watched for Vitals {
    fn live(&self) -> Result<(), String> {
        self.pulse.check()
    }

    fn ready(&self) -> Result<(), String> {
        let is_registered = self.is_registered.load(Ordering::Relaxed);
        if is_registered { Ok(()) } else { Err("waits for a coordinator that takes it in".into()) }
    }

    fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("engine_instance");
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        let counter = |value: f64| {
            let counter = Counter::<f64, AtomicU64>::default();
            counter.inc_by(value);
            counter
        };
        let gauge = |value: f64| {
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(value);
            gauge
        };
        registry.register("jobs", "Batches of jobs that were computed", counter(of(&self.jobs)));
        registry.register("refused", "Parcels and jobs that could not be used", counter(of(&self.refused)));
        let compute = counter(of(&self.compute_ns) / 1e9);
        registry.register_with_unit("compute", "Time in systems", Unit::Seconds, compute);
        let reconnects = counter(of(&self.reconnects));
        registry.register("reconnects", "Connections that were lost and are back", reconnects);
        let registered = f64::from(u8::from(self.is_registered.load(Ordering::Relaxed)));
        registry.register("registered", "1 while a coordinator gives it jobs", gauge(registered));
        registry.register("memory_bytes", "Memory of the process", gauge(of(&self.memory_bytes)));
        let mut text = String::new();
        // A string takes everything.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_shows_what_it_does() {
        let vitals = Vitals::default();
        assert!(vitals.live().is_ok() && vitals.ready().unwrap_err().contains("coordinator"));
        vitals.is_registered.store(true, Ordering::Relaxed);
        vitals.compute_ns.store(2_500_000_000, Ordering::Relaxed);
        vitals.jobs.store(3, Ordering::Relaxed);
        let text = vitals.metrics();
        for line in [
            "engine_instance_jobs_total 3.0",
            "engine_instance_compute_seconds_total 2.5",
            "engine_instance_registered 1.0",
            "# EOF",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert_eq!(vitals.ready(), Ok(()));
    }
}
