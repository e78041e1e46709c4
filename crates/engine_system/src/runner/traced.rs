//! A batch of a tick that is sampled, as a span below the coordinator's own: by the `traceparent` that came with it.

use std::time::{SystemTime, UNIX_EPOCH};

use engine_net::otlp::{Collector, Exporter, Span, SpanId, TraceId, read_traceparent};

use super::compute::Work;
use super::{InstanceError, host};

/// Begins to send spans of an instance.
pub(super) fn start(collector: Collector, instance: &str) -> Result<Exporter, InstanceError> {
    let process = vec![
        ("service.name", "engine-instance".into()),
        ("service.instance.id", instance.into()),
        ("service.version", env!("CARGO_PKG_VERSION").into()),
        ("process.pid", u64::from(std::process::id()).into()),
        ("host.name", host().name.as_str().into()),
    ];
    Exporter::start(collector, process)
        .map_err(|error| InstanceError::Io { what: "sending spans", reason: error.to_string() })
}

/// When a batch was computed, in nanoseconds of the instance's clock.
pub(super) struct Traced {
    trace: TraceId,
    parent: SpanId,
    system: String,
    tick: u64,
    job: u32,
    attempt: u16,
    arrived: u64,
    from: u64,
    to: u64,
}

impl Traced {
    /// Of a batch that was begun then, and is done now. None of one that isn't sampled: whatever stands there instead of a
    /// parent is nobody's.
    pub(super) fn of(work: &Work, from: u64, clock: &dyn Fn() -> u64) -> Option<Self> {
        let (trace, parent) = read_traceparent(work.manifest.traceparent.as_deref()?)?;
        let (tick, job, attempt) = (work.prefix.tick, work.prefix.job, work.prefix.attempt);
        let system = work.manifest.system.clone();
        Some(Self { trace, parent, system, tick, job, attempt, arrived: work.arrived, from, to: clock() })
    }

    /// Tells a collector of it. The instance's clock shows this time now.
    pub(super) fn send(&self, exporter: &Exporter, instance: &str, now: u64) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let span = self.span(instance, unix.saturating_sub(now));
        exporter.export(move || vec![span]);
    }

    /// The span; the clock began so many nanoseconds after 1970.
    fn span(&self, instance: &str, clock_began: u64) -> Span {
        let lay = self.from.saturating_sub(self.arrived);
        Span {
            name: format!("run {}", self.system),
            trace: self.trace,
            id: self.trace.span("run", &[self.job.into(), self.attempt.into()]),
            parent: Some(self.parent),
            from: clock_began.saturating_add(self.from),
            to: clock_began.saturating_add(self.to.max(self.from)),
            attributes: vec![
                ("engine.system", self.system.as_str().into()),
                ("engine.instance", instance.into()),
                ("engine.tick", self.tick.into()),
                ("engine.job", u64::from(self.job).into()),
                ("engine.attempt", u64::from(self.attempt).into()),
                ("engine.queue_ns", lay.into()),
            ],
        }
    }
}
