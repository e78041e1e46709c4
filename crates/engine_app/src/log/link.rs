//! A log and the coordinator of its world, brought together on the coordinator's thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_component::WorldHash;
use engine_component::image::Snapshot;
use engine_net::io::IoHandle;
use engine_net::messages::snapshot::Snapshot as Stored;

use super::args::WhenStuck;
use super::jet::{EventKeeper, KeptError, KeptNews, SettingsWatch};
use super::keeper::{Keeper, LogEvent};
use super::keyframe::Keyframe;
use super::pace::Pace;
use crate::coordinator::{Commit, Coordinator};
use crate::driver::RunError;
use crate::kept::KeptTick;
use crate::record::TickRecord;

/// When keyframes are made. Nothing in the world depends on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyframePolicy {
    /// When the ticks since the last one took so long altogether: so long takes a recovery, besides reading.
    pub replay: Duration,
    /// When the log since the last one has so many bytes more than it had.
    pub log_bytes: u64,
    /// But so many bytes of keyframes in a second at the most.
    pub rate: u64,
    /// And so long after the last one at the soonest.
    pub pause: Duration,
    /// So many bytes of it are written in a second, unless somebody waits for it.
    pub pace: u64,
    /// Whatever it costs when the log has so many bytes since the last one; and when it has twice as many while one
    /// is being stored, the world waits for it. Else a log that is full could not be shortened: a keyframe is of
    /// ticks that are durable.
    pub must_bytes: u64,
}

/// What a record takes in a stream besides its own bytes, at the most.
const RECORD_OVERHEAD: u64 = 768;

impl Default for KeyframePolicy {
    /// After 200 ms of ticks or 4 MiB of log; 16 MiB a second, five a second, each at 64 MiB a second.
    fn default() -> Self {
        let (replay, pause) = (Duration::from_millis(200), Duration::from_millis(200));
        Self { replay, log_bytes: 4 << 20, rate: 16 << 20, pause, pace: 64 << 20, must_bytes: u64::MAX }
    }
}

impl KeyframePolicy {
    /// For a log that has room for so many bytes, and goes back over so many keyframes: half of it is in use.
    #[must_use]
    pub fn for_log(bytes: u64, keyframes: u32) -> Self {
        Self { must_bytes: bytes / (2 * (u64::from(keyframes) + 1)), ..Self::default() }
    }
}

/// Wakes the coordinator's thread, wherever it waits.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<Mutex<Option<IoHandle>>>);

impl Waker {
    /// Wakes it, when it waits for events of its connection.
    pub fn wake(&self) {
        if let Some(handle) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.wake();
        }
    }

    fn set(&self, handle: Option<IoHandle>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }
}

/// What a reign does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Records are replayed.
    Replays,
    /// The keyframe without which no tick may begin is being stored.
    Begins,
    Runs,
}

/// What happened since the last keyframe.
#[derive(Debug)]
struct Since {
    begun: Instant,
    ticks: Duration,
    records: u64,
    bytes: u64,
}

impl Default for Since {
    fn default() -> Self {
        Self { begun: Instant::now(), ticks: Duration::ZERO, records: 0, bytes: 0 }
    }
}

/// A keyframe that is being stored.
#[derive(Debug)]
struct Storing {
    begun: Instant,
    tick: u64,
    hash: WorldHash,
    entities: u64,
    pace: Pace,
}

impl Storing {
    fn done(self, bytes: u64) -> Stored {
        let Self { begun, tick, hash, entities, .. } = self;
        Stored { tick, hash, entities, bytes, took_ms: begun.elapsed().as_millis() as u64 }
    }
}

/// The log, for the coordinator's driver.
#[derive(Debug)]
pub struct LogLink<'a> {
    keeper: &'a Keeper,
    waker: Waker,
    policy: KeyframePolicy,
    phase: Phase,
    replay: VecDeque<TickRecord>,
    /// A keyframe is needed before the world goes on.
    needs_keyframe: bool,
    since: Since,
    /// The bytes of the last keyframe.
    key_bytes: u64,
    storing: Option<Storing>,
    snapshot: Option<Box<Snapshot>>,
    told_at: Instant,
    when_stuck: WhenStuck,
    /// Bytes of the log between the last complete keyframe and the one that was begun last.
    before: u64,
    /// Why the last keyframe was not stored, and when that was.
    keyless: Option<String>,
    failed_at: Option<Instant>,
    /// The world waits for a keyframe.
    holds: bool,
    /// Why no record becomes durable.
    trouble: Option<String>,
    /// Since when the log stands still, and why.
    stuck: Option<(Instant, String)>,
    settings: Option<SettingsWatch>,
    /// Who keeps events, if some are kept.
    events: Option<&'a EventKeeper>,
    /// The tick of a keyframe that waits for them.
    waits_for_events: Option<u64>,
    /// Why events are not kept.
    unkept: Option<String>,
    /// The world waits for that, and the status says so.
    told_of_events: bool,
    /// What the process was told to log.
    log_level: Option<String>,
}

/// So long the log stands still before a world ends that is told to.
pub(crate) const STUCK: Duration = Duration::from_secs(30);

/// How often it is told how far a recovery is.
const TELL: Duration = Duration::from_secs(1);

impl<'a> LogLink<'a> {
    /// For a reign that has begun. The records are replayed before the world goes on; with `needs_keyframe` one is
    /// stored first, too: a world that is new or was cut off has nothing else to be recovered from.
    #[must_use]
    pub fn new(
        keeper: &'a Keeper,
        waker: Waker,
        policy: KeyframePolicy,
        replay: VecDeque<TickRecord>,
        needs_keyframe: bool,
    ) -> Self {
        Self {
            keeper,
            waker,
            policy,
            phase: Phase::Replays,
            replay,
            needs_keyframe,
            since: Since::default(),
            key_bytes: 0,
            storing: None,
            snapshot: None,
            told_at: Instant::now(),
            when_stuck: WhenStuck::Wait,
            before: 0,
            keyless: None,
            failed_at: None,
            holds: false,
            trouble: None,
            stuck: None,
            settings: None,
            events: None,
            waits_for_events: None,
            unkept: None,
            told_of_events: false,
            log_level: None,
        }
    }

    /// What becomes of the world when its log stands still.
    #[must_use]
    pub fn when_stuck(mut self, when_stuck: WhenStuck) -> Self {
        self.when_stuck = when_stuck;
        self
    }

    /// Run-time settings come from here.
    #[must_use]
    pub fn with_settings(mut self, settings: SettingsWatch) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Events are kept by this one, which knows of the reign.
    #[must_use]
    pub(crate) fn with_events(mut self, events: Option<&'a EventKeeper>) -> Self {
        self.events = events;
        self
    }

    pub(crate) fn wakes(&self, handle: IoHandle) {
        self.waker.set(Some(handle));
    }

    /// Takes what happened to the log, and goes on with the recovery.
    pub(crate) fn look(&mut self, coordinator: &mut Coordinator, now: u64) -> Result<(), RunError> {
        while let Ok(event) = self.keeper.events().try_recv() {
            self.happened(coordinator, now, event)?;
        }
        if !self.keeper.leads() {
            return Err(RunError::Deposed("this process stood still for longer than its lease lives".into()));
        }
        if let Some((_, why)) = self.stuck.as_ref().filter(|(since, _)| since.elapsed() > STUCK)
            && self.when_stuck == WhenStuck::Stop
        {
            return Err(RunError::Log(format!("it stood still for {} s: {why}", STUCK.as_secs())));
        }
        if self.phase == Phase::Replays {
            self.replay_next(coordinator, now)?;
        }
        self.look_at_events(coordinator, now)?;
        self.look_at_settings(coordinator, now);
        Ok(())
    }

    /// Takes what became of events.
    fn look_at_events(&mut self, coordinator: &mut Coordinator, now: u64) -> Result<(), RunError> {
        let Some(events) = self.events else { return Ok(()) };
        let mut other_reason = false;
        while let Some(news) = events.next(coordinator.epoch()) {
            match news {
                KeptNews::Stored { tick } => coordinator.events_kept(now, tick),
                KeptNews::Trouble(trouble) => {
                    match &trouble {
                        Some(why) => tracing::error!(why, "events are not kept; they wait"),
                        None => tracing::warn!("events are kept again"),
                    }
                    other_reason |= self.told_of_events && self.unkept != trouble;
                    self.unkept.clone_from(&trouble);
                    coordinator.events_trouble(trouble);
                }
            }
        }
        self.allow_keyframe(coordinator);
        if other_reason || self.events_stop_it(coordinator) != self.told_of_events {
            self.tell_trouble(coordinator);
        }
        // Else the world would wait for nobody.
        if events.has_ended() { Err(RunError::Log(KeptError::Closed.to_string())) } else { Ok(()) }
    }

    /// A recovery begins at a keyframe, and what happened before it does not happen again: so none is written before
    /// the events of all its ticks are kept. The copy of the world is there already; only its writing waits.
    fn allow_keyframe(&mut self, coordinator: &Coordinator) {
        let kept = |tick: &mut u64| coordinator.unkept_since().is_none_or(|oldest| oldest > *tick);
        if let Some(tick) = self.waits_for_events.take_if(kept) {
            self.keeper.allow(tick);
        }
    }

    /// Whether the world waits until events are kept: for their sake, or for that of a keyframe.
    fn events_stop_it(&self, coordinator: &Coordinator) -> bool {
        let keyframe = self.waits_for_events.is_some() && (self.holds || self.phase == Phase::Begins);
        self.unkept.is_some() && (coordinator.keeps_too_much() || keyframe)
    }

    /// Hands over events to be kept.
    pub(crate) fn keep(&self, tick: KeptTick) {
        if let Some(events) = self.events {
            events.keep(tick);
        }
    }

    /// Hands over what was set, and has the process log as it was told: by the bucket, or by the records of before.
    fn look_at_settings(&mut self, coordinator: &mut Coordinator, now: u64) {
        if let Some(bucket) = self.settings.as_ref().and_then(SettingsWatch::news) {
            coordinator.set_run_time(now, &bucket);
        }
        if let Some(filter) = coordinator.log_level().filter(|filter| self.log_level.as_deref() != Some(*filter)) {
            crate::logging::change(filter);
            self.log_level = Some(filter.to_owned());
        }
    }

    fn happened(&mut self, coordinator: &mut Coordinator, now: u64, event: LogEvent) -> Result<(), RunError> {
        match event {
            LogEvent::Durable { records } => coordinator.durable(now, records),
            LogEvent::Trouble(trouble) => {
                match &trouble {
                    Some(why) => tracing::error!(why, "the log stands still; the world waits for it"),
                    None => tracing::warn!("the log goes on"),
                }
                self.trouble = trouble;
                self.tell_trouble(coordinator);
            }
            LogEvent::Stored { tick, result, snapshot } => {
                let storing = self.storing.take();
                self.snapshot = snapshot.or_else(|| self.snapshot.take());
                coordinator.snapshot_ends(match (&result, storing) {
                    (Ok(bytes), Some(storing)) => Ok(storing.done(*bytes)),
                    (Err(why), _) => Err(why.clone()),
                    (Ok(_), None) => Err("it is of an earlier reign".into()),
                });
                match result {
                    Ok(bytes) => {
                        tracing::info!(tick, bytes, "a keyframe is stored");
                        self.key_bytes = bytes;
                        (self.before, self.failed_at, self.keyless) = (0, None, None);
                        self.hold(coordinator, now);
                        if self.phase == Phase::Begins {
                            self.phase = Phase::Runs;
                            coordinator.end_recovery(now);
                        }
                    }
                    Err(why) if self.phase == Phase::Begins => {
                        return Err(RunError::Log(format!("the first keyframe can't be stored: {why}")));
                    }
                    Err(why) => {
                        tracing::error!(tick, why, "a keyframe is not stored: the next one will be tried");
                        self.failed_at = Some(Instant::now());
                        self.keyless = Some(why);
                        self.hold(coordinator, now);
                    }
                }
            }
            LogEvent::Deposed(why) => return Err(RunError::Deposed(why)),
            LogEvent::Damaged(what) => return Err(RunError::Log(what)),
            LogEvent::Standby { .. } | LogEvent::Leading | LogEvent::Began { .. } | LogEvent::Released => {}
        }
        Ok(())
    }

    fn replay_next(&mut self, coordinator: &mut Coordinator, now: u64) -> Result<(), RunError> {
        while coordinator.may_replay() && !coordinator.keeps_too_much() {
            let Some(record) = self.replay.pop_front() else {
                self.replayed(coordinator, now);
                return Ok(());
            };
            if self.told_at.elapsed() >= TELL {
                self.told_at = Instant::now();
                println!("recovering: tick {}, {} records to go", record.tick, self.replay.len());
            }
            coordinator.replay(&record).map_err(|error| RunError::Log(error.to_string()))?;
            coordinator.clock(now);
        }
        Ok(())
    }

    fn replayed(&mut self, coordinator: &mut Coordinator, now: u64) {
        self.since = Since::default();
        if self.needs_keyframe {
            self.phase = Phase::Begins;
        } else {
            self.phase = Phase::Runs;
            coordinator.end_recovery(now);
        }
    }

    pub(crate) fn append(&mut self, tick: u64, record: Bytes) {
        self.since.records += 1;
        self.since.bytes += record.len() as u64 + RECORD_OVERHEAD;
        self.keeper.append(tick, record);
    }

    pub(crate) fn committed(&mut self, commit: &Commit) {
        self.since.ticks += Duration::from_nanos(commit.took_ns);
    }

    /// Between two ticks, when everything before is handed out.
    pub(crate) fn store_when_due(&mut self, coordinator: &mut Coordinator, now: u64) {
        if !self.holds && self.unkeyed() >= self.policy.must_bytes.saturating_mul(2) {
            self.hold(coordinator, now);
        }
        let is_waited_for = self.phase == Phase::Begins || coordinator.wants_snapshot();
        let due = is_waited_for || (self.phase == Phase::Runs && self.is_due());
        if let Some(storing) = self.storing.as_ref().filter(|_| is_waited_for) {
            storing.pace.hurry();
        }
        if self.phase == Phase::Replays || self.storing.is_some() || !due || coordinator.outputs() > 0 {
            return;
        }
        let Some(state) = coordinator.state() else { return };
        let (tick, hash) = coordinator.committed();
        coordinator.snapshot_begins();
        let begun = Instant::now();
        let Some(world) = coordinator.world_mut() else { return };
        let pace = if is_waited_for { Pace::fastest() } else { Pace::new(self.policy.pace) };
        self.storing = Some(Storing { begun, tick, hash, entities: world.len() as u64, pace: pace.clone() });
        let snapshot = match self.snapshot.take() {
            Some(mut snapshot) => {
                snapshot.refresh(world);
                *snapshot
            }
            None => Snapshot::capture(world),
        };
        self.keeper.store_later(Keyframe { state, snapshot, hash }, pace);
        self.waits_for_events = Some(tick);
        self.allow_keyframe(coordinator);
        self.before = self.unkeyed();
        self.since = Since::default();
    }

    /// Bytes of the log behind the last keyframe that is complete.
    fn unkeyed(&self) -> u64 {
        self.before + self.since.bytes
    }

    /// Lets the world wait when a keyframe is needed before anything else, or go on.
    fn hold(&mut self, coordinator: &mut Coordinator, now: u64) {
        self.holds = self.unkeyed() >= self.policy.must_bytes.saturating_mul(2);
        if let Some(storing) = self.storing.as_ref().filter(|_| self.holds) {
            storing.pace.hurry();
        }
        coordinator.hold_ticks(now, self.holds);
        self.tell_trouble(coordinator);
    }

    fn tell_trouble(&mut self, coordinator: &mut Coordinator) {
        let keyless = self.keyless.as_ref().filter(|_| self.holds);
        let keyless =
            keyless.map(|why| format!("no keyframe can be stored ({why}); raise --keyframe-mib if it is full"));
        self.told_of_events = self.events_stop_it(coordinator);
        let unkept = self.unkept.clone().filter(|_| self.told_of_events);
        let unkept = unkept.map(|why| format!("events that are to be kept wait: {why}"));
        let trouble = self.trouble.clone().or(keyless).or(unkept);
        // Another reason is no end of it.
        let since = self.stuck.take().map_or_else(Instant::now, |(since, _)| since);
        self.stuck = trouble.clone().map(|why| (since, why));
        coordinator.log_trouble(trouble);
    }

    fn is_due(&self) -> bool {
        let policy = &self.policy;
        if self.unkeyed() >= policy.must_bytes {
            return self.failed_at.is_none_or(|at| at.elapsed() >= policy.pause);
        }
        let grown = self.since.bytes >= policy.log_bytes.max(self.key_bytes) || self.since.ticks >= policy.replay;
        let affordable = Duration::from_secs_f64(self.key_bytes as f64 / policy.rate.max(1) as f64);
        grown && self.since.records > 0 && self.since.begun.elapsed() >= affordable.max(policy.pause)
    }

    /// Gives the lease back, so that another coordinator may lead at once.
    pub(crate) fn hand_over(&mut self, patience: Duration) {
        self.keeper.release();
        let until = Instant::now() + patience;
        while let Ok(event) = self.keeper.events().recv_deadline(until) {
            if matches!(event, LogEvent::Released | LogEvent::Deposed(_) | LogEvent::Damaged(_)) {
                return;
            }
        }
    }
}

impl Drop for LogLink<'_> {
    fn drop(&mut self) {
        if let Some(storing) = &self.storing {
            storing.pace.hurry();
        }
        if let Some(events) = self.events {
            events.end();
        }
        self.waker.set(None);
    }
}
