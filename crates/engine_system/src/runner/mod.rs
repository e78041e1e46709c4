//! An instance: one process that runs systems for a coordinator.
//!
//! ```text
//!            accepted                 hello of another epoch, connection lost
//! Joining ──────────────▶ Ready ─────────────────────────────────────────────▶ Joining
//!    ▲ asks, with back-off  │ asked to stop
//!    │                      ▼
//!    └──────────────────  Leaving ──▶ ends, with a request as fence
//! ```
//!
//! Bytes are moved by the I/O thread. The loop that assembles and answers also computes, since to wake
//! another thread for it costs more than a small job; while a job takes long, a second thread assembles and
//! answers in its place: an instance that computes still says that it is alive.
//!
//! | file | what it does |
//! | --- | --- |
//! | `core/` | the state machine, without I/O: chunks in, jobs and answers out |
//! | `compute.rs` | running a job |
//! | `copies.rs` | what is kept from tick to tick |
//! | `input.rs` | from verified parcels to columns |
//! | `owned.rs`, `owned_column.rs` | the rows of a part, and their columns, in memory of this process |
//! | `mapped.rs` | columns that are mapped instead of sent |
//! | `output.rs` | from what jobs changed to the chunks of their result |
//! | `traced.rs` | a batch of a tick that is sampled, as a span |
//! | `adapt.rs` | components that the world lays out otherwise than this build |

mod adapt;
mod compute;
mod copies;
mod core;
mod input;
mod mapped;
mod output;
mod owned;
mod owned_column;
mod traced;
mod vitals;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use engine_net::client::ConnectError;
use engine_net::config::ConnectionConfig;
use engine_net::headers::Headers;
use engine_net::http::HttpServer;
use engine_net::io::{Helper, Io, IoEvent, IoHandle, IoMessage, Lane, Outgoing, RequestId, Responder};
use engine_net::messages::Message;
use engine_net::messages::heartbeat::Heartbeat;
use engine_net::messages::hello::Hello;
use engine_net::messages::register::{Leave, Register};
use engine_net::messages::rejected::Rejected;
use engine_net::otlp::{Collector, Exporter};
use engine_net::service::{Endpoint, Identity, Service, now};
use engine_net::subject::{Subject, Subjects};

use crate::System;
pub use compute::{Computed, Work};
pub use core::{Answer, Host, InstanceCore, Load};
pub use mapped::Mapping;

use compute::Jobs;
use vitals::Vitals;

/// Control messages and jobs come in on one connection, results leave on another.
const IN: Lane = Lane(0);
const OUT: Lane = Lane(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// Nanoseconds between two looks at the process' memory.
const MEMORY_EVERY: u64 = 1_000_000_000;
const LOOK: Duration = Duration::from_millis(10);

/// How an instance is run.
#[derive(Clone, Debug, Default)]
pub struct InstanceOptions {
    /// Its name; made up when not given.
    pub name: Option<String>,
    /// Bytes of columns that it keeps from tick to tick, at the most; a GiB when not given.
    pub keep_bytes: Option<usize>,
    /// Have all columns sent, also where they could be mapped.
    pub wire_only: bool,
    /// Where its probes and figures are served.
    pub http: Option<SocketAddr>,
    /// Which collector of OpenTelemetry is sent the spans of batches that are sampled.
    pub otlp: Option<Collector>,
    /// Set to have it leave politely.
    pub stop: Arc<AtomicBool>,
}

/// Why an instance ended.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A name that can't stand in subjects.
    #[error(transparent)]
    Name(#[from] engine_net::name::NameError),
    /// The coordinator does not want it.
    #[error("the coordinator refuses this instance: {0}")]
    Refused(String),
    /// The server did not accept something.
    #[error("{what}: {reason}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        reason: String,
    },
}

/// Runs systems for the coordinator of the configured world, until it is asked to stop.
///
/// Starts before the coordinator just as well: it asks until it is answered.
///
/// # Errors
/// When there is no server, or the coordinator refuses the instance.
pub fn run_instance(
    config: &ConnectionConfig,
    systems: Vec<Arc<dyn System>>,
    options: InstanceOptions,
) -> Result<(), InstanceError> {
    let name = options.name.clone().unwrap_or_else(made_up_name);
    engine_net::name::token("instance", &name)?;
    let subjects = Subjects::new(&config.prefix, &config.world)?;
    let _inside = tracing::error_span!("instance", world = config.world, instance = name).entered();
    let (io, events) = Io::start(config, &name, 2)?;
    let handle = io.handle();
    let exporter = options.otlp.map(|collector| traced::start(collector, &name)).transpose()?;
    let responder = respond(&handle, &subjects, &name, &systems);
    let mut core = InstanceCore::new(name, nonce(), systems, handle.max_payload(OUT))?;
    let schedules = core.systems().map(|system| subjects.schedule(system, core.name()));
    for subject in schedules.chain([subjects.hello(), subjects.rejected(core.sender())]) {
        handle
            .subscribe_blocking(IN, subject, None, PATIENCE)
            .map_err(|error| InstanceError::Io { what: "subscribing", reason: error.to_string() })?;
    }
    let vitals = Arc::new(Vitals::default());
    // Until the instance has left.
    let _server = options.http.map(|address| serve(address, &vitals)).transpose()?;
    core.set_host(host());
    if let Some(bytes) = options.keep_bytes {
        core.set_keep_bytes(bytes);
    }
    let runner = Runner {
        core,
        wire_only: options.wire_only,
        subjects,
        responder,
        exporter,
        vitals,
        events: Helper::new(handle.clone(), events),
        handle: handle.clone(),
        asked: None,
        work: VecDeque::new(),
        failed: None,
        memory_at: 0,
        started: Instant::now(),
    };
    let result = Shared { runner: Mutex::new(runner), stop: options.stop, computing: AtomicBool::new(false) }.run();
    let _ = handle.fence_blocking(OUT, PATIENCE);
    let _ = io.close(PATIENCE);
    result
}

fn serve(address: SocketAddr, vitals: &Arc<Vitals>) -> Result<HttpServer, InstanceError> {
    let server = HttpServer::start(address, vitals.clone()).map_err(|error| InstanceError::Io {
        what: "serving probes and figures",
        reason: format!("{address}: {error}"),
    })?;
    println!("probes and figures at http://{}: /live, /ready, /metrics", server.address());
    Ok(server)
}

/// The instance as a service; each of its systems has `health.<system>` and `discovery.<system>`.
fn respond(handle: &IoHandle, subjects: &Subjects, name: &str, systems: &[Arc<dyn System>]) -> Responder {
    let names: Vec<String> = systems.iter().map(|system| system.descriptor().name.clone()).collect();
    let host = host();
    let service = Service::new(Identity {
        name: "engine-instance".to_owned(),
        id: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: format!("runs {}", names.join(", ")),
        metadata: vec![
            ("world".to_owned(), subjects.world().to_owned()),
            ("subjects".to_owned(), subjects.root().to_owned()),
            ("systems".to_owned(), names.join(",")),
            ("protocol".to_owned(), engine_net::PROTOCOL.to_string()),
            ("host".to_owned(), host.name),
            ("pid".to_owned(), host.pid.to_string()),
        ],
        started: now(),
    });
    Responder::start(handle, IN, service, subjects, names, &[jobs_of(subjects, name)])
}

fn jobs_of(subjects: &Subjects, name: &str) -> Endpoint {
    Endpoint { name: "jobs".to_owned(), subject: subjects.schedule_of(name), ..Endpoint::default() }
}

/// Another one for each process.
fn nonce() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // The standard library seeds these from the system's generator: nobody may guess it.
    RandomState::new().hash_one(std::process::id())
}

fn host() -> Host {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    Host { name: name.trim().to_owned(), pid: std::process::id() }
}

/// Bytes that the process holds in memory; 0 where the system does not say.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    resident.map_or(0, |kilobytes: u64| kilobytes * 1024)
}

/// Chance decides: in containers that are started together every process has the same number.
fn made_up_name() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    format!("i{}-{:08x}", std::process::id(), RandomState::new().hash_one(0) as u32)
}

/// What the loop and its stand-in share.
struct Shared {
    runner: Mutex<Runner>,
    stop: Arc<AtomicBool>,
    /// The loop is busy with a job.
    computing: AtomicBool,
}

impl Shared {
    fn run(&self) -> Result<(), InstanceError> {
        let (over, span) = (AtomicBool::new(false), tracing::Span::current());
        std::thread::scope(|scope| {
            let stand_in = std::thread::Builder::new().name("engine-answers".into());
            let stand_in = stand_in
                .spawn_scoped(scope, || span.in_scope(|| self.stand_in(&over)))
                .map_err(|error| InstanceError::Io { what: "starting a thread", reason: error.to_string() })?;
            let mut jobs = Loop { shared: self, started: self.lock().started, result: Ok(()) };
            compute::work(&mut jobs);
            over.store(true, Ordering::Release);
            stand_in.thread().unpark();
            jobs.result
        })
    }

    fn lock(&self) -> MutexGuard<'_, Runner> {
        self.runner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stand_in(&self, over: &AtomicBool) {
        while !over.load(Ordering::Acquire) {
            std::thread::park_timeout(LOOK);
            if self.computing.load(Ordering::Acquire) {
                let mut runner = self.lock();
                runner.events.release();
                runner.failed = runner.turn(&self.stop).err();
            }
        }
    }
}

/// The loop, as the source of jobs.
struct Loop<'a> {
    shared: &'a Shared,
    started: Instant,
    result: Result<(), InstanceError>,
}

impl Loop<'_> {
    /// Waits for a job; none when the instance has left.
    fn wait(&self) -> Result<Option<Work>, InstanceError> {
        let mut runner = self.shared.lock();
        loop {
            runner.turn(&self.shared.stop)?;
            if let Some(work) = runner.work.pop_front() {
                if runner.core.wants(&work) {
                    if !runner.work.is_empty() {
                        // What is done is to leave while the next job is computed.
                        runner.events.release();
                    }
                    let now = runner.now();
                    runner.core.begin(now);
                    return Ok(Some(work));
                }
                continue;
            }
            if runner.core.is_gone() {
                return Ok(None);
            }
            match runner.events.wait(LOOK) {
                Ok(event) => runner.event(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(InstanceError::Io {
                        what: "the connection",
                        reason: "the I/O thread has ended".into(),
                    });
                }
            }
        }
    }
}

impl Jobs for Loop<'_> {
    fn next(&mut self) -> Option<Work> {
        match self.wait() {
            Ok(work) => {
                self.shared.computing.store(work.is_some(), Ordering::Release);
                work
            }
            Err(error) => {
                self.result = Err(error);
                None
            }
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn done(&mut self, computed: Computed) {
        self.shared.computing.store(false, Ordering::Release);
        let mut runner = self.shared.lock();
        if let (Some(exporter), Some(traced)) = (&runner.exporter, &computed.traced) {
            traced.send(exporter, runner.core.name(), runner.now());
        }
        runner.core.computed(computed);
        runner.carry_out();
    }
}

/// Maps the coordinator's columns, in a thread of its own: jobs come and go meanwhile.
fn join(invitation: String, mapping: Arc<Mapping>) {
    let thread = std::thread::Builder::new().name("engine-maps".into());
    if let Err(error) = thread.spawn(move || mapping.join(&invitation)) {
        tracing::warn!(%error, "no thread to map the coordinator's columns: they travel by wire");
    }
}

struct Runner {
    core: InstanceCore,
    wire_only: bool,
    subjects: Subjects,
    responder: Responder,
    exporter: Option<Exporter>,
    vitals: Arc<Vitals>,
    handle: IoHandle,
    events: Helper,
    /// The registration or farewell that waits for its answer.
    asked: Option<RequestId>,
    /// Complete jobs, in order.
    work: VecDeque<Work>,
    /// What went wrong while the loop was busy.
    failed: Option<InstanceError>,
    /// When the process is asked for its memory next.
    memory_at: u64,
    started: Instant,
}

impl Runner {
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Takes all that has arrived, does what is due, and carries out what follows from it.
    fn turn(&mut self, stop: &AtomicBool) -> Result<(), InstanceError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while let Some(event) = self.events.take() {
            self.event(event)?;
            self.carry_out();
        }
        if stop.load(Ordering::Relaxed) {
            self.core.leave();
        }
        let now = self.now();
        if now >= self.memory_at {
            self.memory_at = now + MEMORY_EVERY;
            let bytes = memory();
            self.core.set_memory(bytes);
            self.vitals.memory_bytes.store(bytes, Ordering::Relaxed);
        }
        self.core.look_around(now);
        self.carry_out();
        self.note_vitals();
        Ok(())
    }

    fn carry_out(&mut self) {
        while let Some(answer) = self.core.next_answer() {
            match answer {
                Answer::Compute(work) => self.work.push_back(*work),
                Answer::Result { epoch, payload } => {
                    let subject = self.subjects.changed(epoch, self.core.sender());
                    self.publish(OUT, Outgoing::new(subject, payload));
                }
                Answer::Heartbeat(payload) => {
                    let message = Outgoing::new(self.subjects.heartbeat(self.core.sender()), payload);
                    let headers = self.core.headers::<Heartbeat>();
                    self.publish(IN, message.headers((&headers).into()));
                }
                Answer::Register(payload) => self.ask::<Register>(self.subjects.register(self.core.sender()), payload),
                Answer::Leave(payload) => self.ask::<Leave>(self.subjects.leave(self.core.sender()), payload),
                Answer::Map { .. } if self.wire_only => {}
                Answer::Map { invitation, mapping } => join(invitation, mapping),
            }
        }
    }

    fn ask<M: Message>(&mut self, subject: String, payload: Vec<u8>) {
        let message = Outgoing::new(subject, payload).headers((&self.core.headers::<M>()).into());
        match self.handle.request(IN, message, Duration::from_secs(3)) {
            Ok(id) => self.asked = Some(id),
            Err(error) => {
                tracing::debug!(%error, "the coordinator can't be asked now");
                self.core.unanswered();
            }
        }
    }

    fn publish(&mut self, lane: Lane, message: Outgoing) {
        self.events.sent(message.payload.len());
        while let Err(error) = self.handle.publish(lane, message.clone()) {
            if !matches!(error, engine_net::io::PublishError::Full { .. }) {
                tracing::warn!(%error, "a message is not sent");
                return;
            }
            std::thread::yield_now();
        }
    }

    fn event(&mut self, event: IoEvent) -> Result<(), InstanceError> {
        let now = self.now();
        match event {
            IoEvent::Message(message) => self.message(now, &message),
            IoEvent::Answer { id, answer, .. } if self.asked == Some(id) => {
                self.asked = None;
                match answer {
                    Ok(message) => self.core.answered(now, &message.payload).map_err(InstanceError::Refused)?,
                    Err(error) => {
                        tracing::debug!(%error, "no answer of a coordinator yet");
                        self.core.unanswered();
                    }
                }
            }
            IoEvent::Disconnected { .. } | IoEvent::SlowConsumer { .. } => self.core.forget_everything(),
            IoEvent::Reconnected { .. } => {
                self.vitals.reconnects.fetch_add(1, Ordering::Relaxed);
                self.core.forget_everything();
            }
            IoEvent::GaveUp { .. } | IoEvent::Closed => {
                return Err(InstanceError::Io { what: "the connection", reason: "it is closed for good".into() });
            }
            IoEvent::Trouble { text, .. } => tracing::warn!(text, "the server complains"),
            _ => {}
        }
        Ok(())
    }

    fn note_vitals(&self) {
        let (jobs, refused, compute_ns) = self.core.work_done();
        let vitals = &self.vitals;
        vitals.pulse.beat();
        vitals.is_registered.store(self.core.is_registered(), Ordering::Relaxed);
        for (place, number) in [(&vitals.jobs, jobs), (&vitals.refused, refused), (&vitals.compute_ns, compute_ns)] {
            place.store(number, Ordering::Relaxed);
        }
    }

    /// What it can be asked for: jobs.
    fn endpoints(&self) -> Vec<Endpoint> {
        let (jobs, refused, compute_ns) = self.core.work_done();
        vec![Endpoint {
            num_requests: jobs,
            num_errors: refused,
            processing_time: compute_ns,
            ..jobs_of(&self.subjects, self.core.name())
        }]
    }

    fn message(&mut self, now: u64, message: &IoMessage) {
        if message.is_out_of_a_stream() {
            return tracing::debug!(
                subject = message.subject.as_str(),
                "a message out of a stream is nobody's, and is not taken"
            );
        }
        if self.responder.answer(&self.handle, message, || self.endpoints()) {
            return;
        }
        let headers = Headers::from(message.headers.as_ref());
        match self.subjects.clone().parse(message.subject.as_str()) {
            Some(Subject::Schedule { .. }) => self.core.chunk(now, message.payload.clone()),
            Some(Subject::Hello) if headers.is::<Hello>() => self.core.hello(&message.payload),
            Some(Subject::Rejected { .. }) if headers.is::<Rejected>() => self.core.rejected(&message.payload),
            _ => tracing::warn!(subject = message.subject.as_str(), "a message of another version is not read"),
        }
    }
}
