//! Connects a coordinator to the clock, to a pool of threads and, if there is one, to NATS.
//!
//! One thread runs the tick: it alone touches the coordinator. Bytes are moved by the I/O thread, jobs in
//! this process by the pool, of which this thread is one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, never, select};
use engine_net::client::ConnectError;
use engine_net::config::ConnectionConfig;
use engine_net::headers::Headers;
use engine_net::io::{Helper, Io, IoEvent, IoMessage, Lane, Outgoing, PublishError};

use crate::coordinator::{Commit, Coordinator, CoordinatorError, Output};
use crate::host_memory;
use crate::log::link::LogLink;
use crate::pool::Pool;
use crate::services::Services;

/// Why a coordinator's run ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The coordinator can't go on.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Another coordinator leads the world.
    #[error("this coordinator leads no longer: {0}")]
    Deposed(String),
    /// The log is not what it was, or can't be kept.
    #[error("the world log: {0}")]
    Log(String),
    /// The run was to end, and its open tick did not.
    #[error(
        "asked to end, and tick {tick} was not computed within {PATIENCE:?}: it is given up, nobody was told of it"
    )]
    OpenTick {
        /// The tick.
        tick: u64,
    },
    /// The server did not accept something.
    #[error("{what}: {reason}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        reason: String,
    },
}

/// Asks a run to end after its open tick.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The flag that is set when somebody asks.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long a coordinator waits for what it asks of the server at its start and end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Nanoseconds between two looks at what is late, at the most.
const LOOK_EVERY: u64 = 20_000_000;

/// The queue group of all who answer commands that are not the engine's own.
const HANDLERS: &str = "handler";

/// Messages that wait to be sent while further ones are taken, at the most: an answer may be much larger than
/// its request.
const MAX_OUTPUTS: usize = 128;

/// The connection side of a run.
struct Link {
    io: Io,
    events: Helper,
    lanes: usize,
    services: Services,
    /// Where commands are listened for that systems answer.
    listens: BTreeSet<String>,
}

impl Link {
    fn open(coordinator: &mut Coordinator, config: &ConnectionConfig) -> Result<Self, RunError> {
        let lanes = coordinator.settings().lanes.clamp(1, 16);
        let (io, events) = Io::start(config, "coordinator", lanes as u8 + 1)?;
        let handle = io.handle();
        coordinator.set_payload_limit(handle.max_payload(Lane(0)));
        let subjects = coordinator.subjects().clone();
        let in_epoch = subjects.changed_in(coordinator.epoch());
        let plain = subjects.membership().into_iter().chain([in_epoch, subjects.status()]);
        let queued = [
            subjects.query(),
            subjects.schemas(),
            subjects.snapshot(),
            subjects.trace(),
            subjects.commands_of(engine_net::messages::command::DOMAIN),
            subjects.discovery("coordinator"),
        ]
        .into_iter()
        .chain(subjects.watches());
        for (subject, queue) in
            plain.map(|subject| (subject, None)).chain(queued.map(|subject| (subject, Some("coordinator"))))
        {
            handle
                .subscribe_blocking(Lane(0), subject, queue, PATIENCE)
                .map_err(|error| RunError::Io { what: "subscribing", reason: error.to_string() })?;
        }
        let services = Services::start(&handle, coordinator);
        let events = Helper::new(io.handle(), events);
        let mut link = Self { io, events, lanes, services, listens: BTreeSet::new() };
        link.listen(coordinator);
        Ok(link)
    }

    /// Listens for the commands that systems answer, also those that arrived since. Nobody else may get them: programs
    /// that answer commands are in the same group.
    fn listen(&mut self, coordinator: &Coordinator) {
        if coordinator.handled_subjects().len() == self.listens.len() {
            return;
        }
        for subjects in coordinator.handled_subjects() {
            if !self.listens.insert(subjects[0].clone()) {
                continue;
            }
            for subject in subjects {
                if let Err(error) = self.io.handle().subscribe(Lane(0), subject.clone(), Some(HANDLERS)) {
                    tracing::error!(subject, %error, "commands are not listened for");
                }
            }
        }
    }

    /// Hands a message to the I/O thread; waits while too much is on its way.
    fn send(
        &mut self,
        lane: usize,
        subject: String,
        token: Option<String>,
        headers: Option<&Headers>,
        payload: bytes::Bytes,
    ) {
        self.events.sent(payload.len());
        let lane = Lane(lane.min(self.lanes) as u8);
        let handle = self.io.handle();
        let mut message = Outgoing::new(subject, payload);
        if let Some(token) = token {
            message = message.reply(handle.reply_subject(lane, &token));
        }
        if let Some(headers) = headers {
            message = message.headers(headers.into());
        }
        loop {
            match handle.publish(lane, message.clone()) {
                Ok(()) => return,
                Err(PublishError::Full { .. }) => std::thread::yield_now(),
                Err(error) => {
                    tracing::warn!(%error, "a message is not sent");
                    return;
                }
            }
        }
    }
}

/// Runs a coordinator until its last tick, or until it is asked to stop; `on_commit` sees every tick.
///
/// With a connection it stays after the last tick and answers until it is asked to stop, when `linger`.
///
/// # Errors
/// When a system in this process fails, or there is no connection.
pub fn run(
    coordinator: &mut Coordinator,
    connection: Option<&ConnectionConfig>,
    linger: bool,
    stop: &Stop,
    on_commit: impl FnMut(&Commit, &mut Coordinator),
) -> Result<(), RunError> {
    run_with(coordinator, connection, None, linger, stop, on_commit)
}

/// As [`run`], with a log: the world is recovered from it first, and is shown as far as it is durable.
///
/// # Errors
/// Also when another coordinator leads, or when the log is damaged.
pub fn run_logged(
    coordinator: &mut Coordinator,
    connection: &ConnectionConfig,
    log: &mut LogLink,
    linger: bool,
    stop: &Stop,
    on_commit: impl FnMut(&Commit, &mut Coordinator),
) -> Result<(), RunError> {
    run_with(coordinator, Some(connection), Some(log), linger, stop, on_commit)
}

fn run_with(
    coordinator: &mut Coordinator,
    connection: Option<&ConnectionConfig>,
    mut log: Option<&mut LogLink>,
    linger: bool,
    stop: &Stop,
    mut on_commit: impl FnMut(&Commit, &mut Coordinator),
) -> Result<(), RunError> {
    let (world, epoch) = (coordinator.subjects().world().to_owned(), coordinator.epoch());
    let _span = tracing::error_span!("coordinator", world, epoch).entered();
    let started = Instant::now();
    let clock = move || started.elapsed().as_nanos() as u64 + 1;
    coordinator.set_stopwatch(Some(Box::new(clock)));
    let mut link = connection.map(|config| Link::open(coordinator, config)).transpose()?;
    let joined = link.as_ref().and_then(|_| share_memory(coordinator));
    let pool = Pool::new(coordinator.settings().threads);
    let nothing = never();
    if let Some(link) = &link {
        if let Some(log) = &mut log {
            log.wakes(link.io.handle());
        }
        coordinator.hello();
    }
    coordinator.clock(clock());
    let mut look_at = 0;
    let (mut end_until, mut settle_until) = (None, None);
    // Jobs in this process that are not done.
    let mut local = 0_usize;
    loop {
        if let Some(log) = &mut log {
            // Before anything is sent: somebody else may lead by now.
            log.look(coordinator, clock())?;
        }
        if let Some(joined) = &joined {
            joined.try_iter().for_each(|slot| coordinator.memory_mapped(slot));
        }
        while let Some(output) = coordinator.next_output() {
            // Results are taken while jobs are being sent, as long as what follows from them finds its way out.
            while let Some(event) =
                link.as_mut().filter(|_| coordinator.outputs() < MAX_OUTPUTS).and_then(|link| link.events.take())
            {
                if let Some(link) = &mut link {
                    link.handle(coordinator, clock(), event);
                }
            }
            match output {
                Output::Record { tick, record } => {
                    if let Some(log) = &mut log {
                        log.append(tick, record);
                    }
                }
                Output::Keep(tick) => {
                    if let Some(log) = &mut log {
                        log.keep(tick);
                    }
                }
                Output::Run(job) => {
                    local += 1;
                    pool.start(job);
                }
                Output::Send { lane, subject, token, headers, payload } => {
                    if let Some(link) = &mut link {
                        link.send(lane, subject, token, headers.as_ref(), payload);
                    }
                }
            }
        }
        if let Some(link) = &mut link {
            link.listen(coordinator);
        }
        while let Some(commit) = coordinator.next_commit() {
            if let Some(log) = &mut log {
                log.committed(&commit);
            }
            on_commit(&commit, coordinator);
        }
        if let Some(log) = &mut log {
            log.store_when_due(coordinator, clock());
        }
        if let Some(failure) = coordinator.take_failure() {
            return Err(failure.into());
        }
        if stop.is_asked() {
            coordinator.stop();
            // Who would compute the open tick may have been asked to end as well.
            let until = *end_until.get_or_insert_with(|| Instant::now() + PATIENCE);
            if !coordinator.is_finished() && local == 0 && Instant::now() >= until {
                return give_up(coordinator, link);
            }
        }
        if coordinator.is_finished() && (!linger || link.is_none() || stop.is_asked()) {
            // What is not durable yet is waited for: somebody waits for its answer.
            let until = *settle_until.get_or_insert_with(|| Instant::now() + PATIENCE);
            if coordinator.is_settled() || Instant::now() >= until {
                break;
            }
        }
        if let Some(link) = link.as_mut().filter(|_| local > 0) {
            // Systems compute here: bytes are moved by their own thread meanwhile.
            link.events.release();
        }
        let worked = pool.work();
        let now = clock();
        if now >= look_at {
            // Also where messages never cease: who asks for the status again and again must not keep silent
            // jobs from being looked after.
            look_at = now + LOOK_EVERY;
            coordinator.clock(now);
            continue;
        }
        let wait =
            if worked { Duration::ZERO } else { Duration::from_nanos(coordinator.wake_at(now).saturating_sub(now)) };
        if let Some(link) = link.as_mut().filter(|_| local == 0) {
            match link.events.wait(wait) {
                Ok(event) => link.handle(coordinator, clock(), event),
                Err(RecvTimeoutError::Timeout) => coordinator.clock(clock()),
                Err(RecvTimeoutError::Disconnected) => return Err(connection_ended()),
            }
            continue;
        }
        let events = link.as_ref().map_or(&nothing, |link| link.events.events());
        select! {
            recv(pool.done()) -> done => if let Ok((job, result)) = done {
                local = local.saturating_sub(1);
                coordinator.local_done(clock(), job, result);
                while let Ok((job, result)) = pool.done().try_recv() {
                    local = local.saturating_sub(1);
                    coordinator.local_done(clock(), job, result);
                }
            },
            recv(events) -> event => match event {
                Ok(event) => {
                    if let Some(link) = &mut link {
                        link.handle(coordinator, clock(), event);
                    }
                }
                Err(_) => return Err(connection_ended()),
            },
            default(wait) => coordinator.clock(clock()),
        }
    }
    coordinator.share_memory(None);
    let kept = coordinator.durability().map_or(coordinator.committed().0, |(tick, _)| tick);
    let is_durable = coordinator.is_durable();
    let unkept = coordinator.unkept_since();
    let trouble = coordinator.durability().and_then(|(_, trouble)| trouble).unwrap_or("the log is slow").to_owned();
    if let Some(log) = &mut log {
        log.hand_over(PATIENCE);
    }
    if let Some(link) = link {
        // What was committed last is with the server before we go.
        let _ = link.io.handle().fence_blocking(Lane(0), PATIENCE);
        let _ = link.io.close(PATIENCE);
    }
    if let Some(tick) = unkept.filter(|_| is_durable) {
        let text = format!(
            "stopped before the streams had acknowledged the events of tick {tick} and later ones: they are in the \
             log, and are kept when the world is led again"
        );
        return Err(RunError::Log(text));
    }
    if !is_durable {
        let text =
            format!("stopped before it had acknowledged what is behind tick {kept}: that may be lost ({trouble})");
        return Err(RunError::Log(text));
    }
    Ok(())
}

/// Ends with a tick that is half computed: to whoever comes next it has not begun.
fn give_up(coordinator: &mut Coordinator, link: Option<Link>) -> Result<(), RunError> {
    coordinator.share_memory(None);
    if let Some(link) = link {
        let _ = link.io.close(PATIENCE);
    }
    Err(RunError::OpenTick { tick: coordinator.committed().0 + 1 })
}

/// Where instances on this host find the columns, if there is such a thing; the slots of those that have.
fn share_memory(coordinator: &mut Coordinator) -> Option<Receiver<u32>> {
    match host_memory::start(coordinator.settings().shm_bytes) {
        Ok((memory, joined)) => {
            coordinator.share_memory(Some(memory));
            Some(joined)
        }
        Err(error) => {
            tracing::info!(%error, "all columns travel by wire");
            None
        }
    }
}

fn connection_ended() -> RunError {
    RunError::Io { what: "the connection", reason: "the I/O thread has ended".into() }
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

impl Link {
    fn handle(&mut self, coordinator: &mut Coordinator, now: u64, event: IoEvent) {
        match event {
            IoEvent::Message(message) if message.is_out_of_a_stream() => {
                let subject = message.subject.as_str();
                tracing::debug!(subject, "a message out of a stream is nobody's, and is not taken");
                self.services.note(coordinator.subjects().parse(subject), 0, Some("out_of_a_stream"));
            }
            IoEvent::Message(message) => {
                if !self.services.answer(&self.io, &message) {
                    self.message(coordinator, now, &message);
                }
            }
            other => handle_event(coordinator, now, other),
        }
    }

    fn message(&mut self, coordinator: &mut Coordinator, now: u64, message: &IoMessage) {
        coordinator.set_wall_clock(unix_ms());
        let (subject, reply) = (message.subject.as_str(), message.reply.as_ref());
        let headers = Headers::from(message.headers.as_ref());
        // Chunks are many, and nobody asks for anything with them.
        let is_request = reply.is_some();
        let (begun, (before, _)) = (is_request.then(Instant::now), coordinator.refusals());
        let reply = reply.map(engine_net::io::WireSubject::as_str);
        coordinator.message_with(now, subject, reply, &headers, message.payload.clone());
        if let Some(begun) = begun {
            let took = begun.elapsed().as_nanos() as u64;
            let (after, reason) = coordinator.refusals();
            self.services.note(coordinator.subjects().parse(subject), took, (after > before).then_some(reason));
        }
    }
}

fn handle_event(coordinator: &mut Coordinator, now: u64, event: IoEvent) {
    match event {
        IoEvent::NoResponders { reply, .. } => {
            // The token is the last three tokens of the reply subject.
            let mut from = reply.len();
            for _ in 0..3 {
                from = reply[..from].rfind('.').unwrap_or(0);
            }
            coordinator.nobody_there(now, reply[from..].trim_start_matches('.'));
        }
        IoEvent::Reconnected { lane: Lane(0), .. } => coordinator.reconnected(now),
        IoEvent::Reconnected { .. } | IoEvent::Disconnected { .. } | IoEvent::SlowConsumer { .. } => {
            tracing::warn!(?event, "the connection is disturbed");
        }
        IoEvent::Trouble { text, .. } => tracing::warn!(text, "the server complains"),
        IoEvent::Subscribed { result: Err(error), .. } => {
            tracing::error!(%error, "commands that a system answers don't come here: may this user subscribe to them?");
        }
        IoEvent::Woken => {}
        other => tracing::debug!(?other, "event"),
    }
}
