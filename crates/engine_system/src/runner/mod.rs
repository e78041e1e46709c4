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
//! Bytes are moved by the I/O thread, jobs computed on a thread of their own, and this module's loop only
//! assembles and answers: an instance that computes still says that it is alive.
//!
//! | file | what it does |
//! | --- | --- |
//! | `core.rs` | the state machine, without I/O: chunks in, jobs and answers out |
//! | `input.rs` | from verified parcels to columns |
//! | `compute.rs` | running a job and making its result |

mod compute;
mod core;
mod input;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select, tick, unbounded};
use engine_net::client::ConnectError;
use engine_net::config::ConnectionConfig;
use engine_net::io::{Io, IoEvent, IoHandle, IoMessage, Lane, Outgoing, RequestId};
use engine_net::subject::{Subject, Subjects};

use crate::System;
use compute::Computed;
use core::{Answer, InstanceCore};

/// Control messages and jobs come in on one connection, results leave on another.
const IN: Lane = Lane(0);
const OUT: Lane = Lane(1);
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// How an instance is run.
#[derive(Clone, Debug, Default)]
pub struct InstanceOptions {
    /// Its name; made up from the process and the clock when not given.
    pub name: Option<String>,
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
    let (io, events) = Io::start(config, &name, 2)?;
    let handle = io.handle();
    for subject in [subjects.schedule_of(&name), subjects.hello(), subjects.rejected(&name)] {
        handle
            .subscribe_blocking(IN, subject, None, PATIENCE)
            .map_err(|error| InstanceError::Io { what: "subscribing", reason: error.to_string() })?;
    }
    let core = InstanceCore::new(name, systems, handle.max_payload(OUT));
    let mut runner = Runner { core, subjects, handle, asked: None, started: Instant::now() };
    let result = runner.run(&events, &options.stop);
    let _ = runner.handle.fence_blocking(OUT, PATIENCE);
    let _ = io.close(PATIENCE);
    result
}

fn made_up_name() -> String {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("i{}-{:x}", std::process::id(), clock.as_millis() & 0xff_ffff)
}

struct Runner {
    core: InstanceCore,
    subjects: Subjects,
    handle: IoHandle,
    /// The registration or farewell that waits for its answer.
    asked: Option<RequestId>,
    started: Instant,
}

impl Runner {
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn run(&mut self, events: &Receiver<IoEvent>, stop: &AtomicBool) -> Result<(), InstanceError> {
        let (jobs, take) = unbounded();
        let (give, done): (Sender<Computed>, Receiver<Computed>) = unbounded();
        let computing = std::thread::Builder::new()
            .name("engine-compute".into())
            .spawn(move || compute::work(&take, &give))
            .map_err(|error| InstanceError::Io { what: "starting a thread", reason: error.to_string() })?;
        let clock = tick(LOOK);
        let result = loop {
            select! {
                recv(events) -> event => match event {
                    Ok(event) => self.event(event)?,
                    Err(_) => break Err(InstanceError::Io { what: "the connection", reason: "the I/O thread has ended".into() }),
                },
                recv(done) -> computed => if let Ok(computed) = computed {
                    self.core.computed(computed);
                },
                recv(clock) -> _ => {
                    if stop.load(Ordering::Relaxed) {
                        self.core.leave();
                    }
                    let now = self.now();
                    self.core.look_around(now);
                }
            }
            self.carry_out(&jobs);
            if self.core.is_gone() {
                break Ok(());
            }
        };
        drop(jobs);
        if result.is_ok() {
            let _ = computing.join();
        }
        result
    }

    fn carry_out(&mut self, jobs: &Sender<compute::Work>) {
        while let Some(answer) = self.core.next_answer() {
            match answer {
                Answer::Compute(work) => {
                    let _ = jobs.send(*work);
                }
                Answer::Result { epoch, payload } => {
                    let subject = self.subjects.changed(epoch, self.core.name());
                    self.publish(OUT, Outgoing::new(subject, payload));
                }
                Answer::Heartbeat(payload) => self.publish(IN, Outgoing::new(self.subjects.heartbeat(), payload)),
                Answer::Register(payload) => self.ask(self.subjects.register(), payload),
                Answer::Leave(payload) => self.ask(self.subjects.leave(), payload),
            }
        }
    }

    fn ask(&mut self, subject: String, payload: Vec<u8>) {
        match self.handle.request(IN, Outgoing::new(subject, payload), Duration::from_secs(3)) {
            Ok(id) => self.asked = Some(id),
            Err(error) => {
                tracing::debug!(%error, "the coordinator can't be asked now");
                self.core.unanswered();
            }
        }
    }

    fn publish(&self, lane: Lane, message: Outgoing) {
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
            IoEvent::Reconnected { .. } => self.core.forget_everything(),
            IoEvent::GaveUp { .. } | IoEvent::Closed => {
                return Err(InstanceError::Io { what: "the connection", reason: "it is closed for good".into() });
            }
            IoEvent::Trouble { text, .. } => tracing::warn!(text, "the server complains"),
            _ => {}
        }
        Ok(())
    }

    fn message(&mut self, now: u64, message: &IoMessage) {
        match self.subjects.clone().parse(message.subject.as_str()) {
            Some(Subject::Schedule { .. }) => self.core.chunk(now, message.payload.clone()),
            Some(Subject::Hello) => self.core.hello(&message.payload),
            Some(Subject::Rejected { .. }) => self.core.rejected(&message.payload),
            _ => {}
        }
    }
}
