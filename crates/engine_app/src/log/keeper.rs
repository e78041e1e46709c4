//! The thread that keeps the log of a world: it holds the lease, appends records, and stores keyframes.
//!
//! It drives the state machines of [`lease`](super::lease) and [`writer`](super::writer) over the
//! [streams](super::jet), so that a lease is renewed also while a system computes for seconds. What happens is told
//! to the thread that has the coordinator, which goes on computing meanwhile.

mod append;
mod contend;
mod store;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use engine_component::image::Snapshot;

use super::chain::Position;
use super::jet::{JetEvent, Streams};
use super::keyframe::Keyframe;
use super::lease::{Lease, LeaseSettings};
use super::pace::Pace;
use super::writer::{Begin, Limits};

use append::Appender;
use contend::Contender;
use store::Store;

/// How the log of a world is kept.
#[derive(Clone, Debug)]
pub struct KeeperSettings {
    /// What this process calls itself to other coordinators; no other process may ever have the name.
    pub name: String,
    /// The lease.
    pub lease: LeaseSettings,
    /// Keyframes that are kept.
    pub keep: usize,
}

/// What happens to the log.
#[derive(Debug)]
pub enum LogEvent {
    /// Another coordinator leads, or nobody yet.
    Standby {
        /// The name of the other.
        holder: Option<String>,
    },
    /// This process has the lease: it may recover the world and begin its reign.
    Leading,
    /// The reign has begun; its epoch record is durable.
    Began {
        /// Behind the epoch record.
        position: Position,
    },
    /// So many records of this reign are durable.
    Durable {
        /// How many, the epoch record not counted.
        records: u64,
    },
    /// Nothing becomes durable any more, for this reason; or it does again.
    Trouble(Option<String>),
    /// A keyframe is stored, or was not.
    Stored {
        /// Its tick.
        tick: u64,
        /// Its bytes, or why it is not.
        result: Result<u64, String>,
        /// The copy of the world, to be brought up to date for the next one.
        snapshot: Option<Box<Snapshot>>,
    },
    /// The reign is over, or could not begin: another coordinator leads, or the lease was lost.
    Deposed(String),
    /// The log is not what it was; somebody has to look at it.
    Damaged(String),
    /// The lease was given back.
    Released,
}

/// What the thread is told to do.
pub(super) enum Order {
    Begin(Box<(Begin, Limits, Option<Position>)>),
    Append { tick: u64, record: Bytes },
    Store(Box<ToStore>),
    Allow { tick: u64 },
    Release,
}

/// A keyframe that is to be stored.
pub(super) struct ToStore {
    keyframe: Keyframe,
    pace: Pace,
    /// Until it is [allowed](Keeper::allow).
    waits: bool,
}

/// Until when this process may act as the leader, for any thread. Nanoseconds since the keeper was started.
#[derive(Debug)]
struct Reign {
    since: Instant,
    until: AtomicU64,
}

impl Reign {
    fn is_ours(&self) -> bool {
        (self.since.elapsed().as_nanos() as u64) < self.until.load(Ordering::Acquire)
    }
}

/// The keeper, from the thread of the coordinator.
#[derive(Debug)]
pub struct Keeper {
    orders: Sender<Order>,
    events: Receiver<LogEvent>,
    reign: Arc<Reign>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts to contend for the lease. `wake` is called after each event, on the keeper's thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        streams: Arc<Streams>,
        settings: KeeperSettings,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, inbox) = unbounded();
        let (sender, events) = unbounded();
        let reign = Arc::new(Reign { since: Instant::now(), until: AtomicU64::new(0) });
        let told = Teller { events: sender, wake: Box::new(wake) };
        let mut life = Life {
            lease: Contender::new(Lease::new(settings.name.clone(), settings.lease, 1), &settings),
            appender: None,
            store: Store::new(settings.keep),
            streams,
            told,
            reign: reign.clone(),
            leads: false,
            waiting: VecDeque::new(),
        };
        let thread = std::thread::Builder::new().name("engine-keeper".into()).spawn(move || life.live(&inbox))?;
        Ok(Self { orders, events, reign, thread: Some(thread) })
    }

    /// What happened, oldest first.
    #[must_use]
    pub fn events(&self) -> &Receiver<LogEvent> {
        &self.events
    }

    /// Whether this process may act as the leader right now. To be asked before anything is sent: after this
    /// process stood still, somebody else may lead.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.reign.is_ours()
    }

    /// Begins a reign behind what was recovered: [`LogEvent::Began`] or [`LogEvent::Deposed`]. `base` is where the
    /// keyframe belongs that the world was recovered from: what is before it may be removed when room is needed.
    pub fn begin(&self, begin: Begin, limits: Limits, base: Option<Position>) {
        self.order(Order::Begin(Box::new((begin, limits, base))));
    }

    /// Appends a record of this reign.
    pub fn append(&self, tick: u64, record: Bytes) {
        self.order(Order::Append { tick, record });
    }

    /// Stores a keyframe of the world behind the record that was appended last, when that is durable.
    pub fn store(&self, keyframe: Keyframe, pace: Pace) {
        self.order(Order::Store(Box::new(ToStore { keyframe, pace, waits: false })));
    }

    /// As [`Self::store`], but it is not written before it is [allowed](Self::allow).
    pub fn store_later(&self, keyframe: Keyframe, pace: Pace) {
        self.order(Order::Store(Box::new(ToStore { keyframe, pace, waits: true })));
    }

    /// A keyframe of a tick up to this one may be written.
    pub fn allow(&self, tick: u64) {
        self.order(Order::Allow { tick });
    }

    /// Says whether this process may act as the leader right now, for another thread.
    pub fn leads_for_others(&self) -> impl Fn() -> bool + Send + 'static {
        let reign = self.reign.clone();
        move || reign.is_ours()
    }

    /// Gives the lease back, so that another coordinator leads at once: [`LogEvent::Released`].
    pub fn release(&self) {
        self.order(Order::Release);
    }

    fn order(&self, order: Order) {
        // A thread that has ended has said why.
        let _ = self.orders.send(order);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The channel's end is the sign to go.
        self.orders = unbounded().0;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tells what happens.
struct Teller {
    events: Sender<LogEvent>,
    wake: Box<dyn Fn() + Send>,
}

impl Teller {
    fn tell(&self, event: LogEvent) {
        let _ = self.events.send(event);
        (self.wake)();
    }
}

/// The thread's own.
struct Life {
    streams: Arc<Streams>,
    told: Teller,
    reign: Arc<Reign>,
    lease: Contender,
    /// Of the reign that began, or is to.
    appender: Option<Appender>,
    store: Store,
    leads: bool,
    /// What the writer has no room for.
    waiting: VecDeque<Waiting>,
}

/// What is done in the order in which it was ordered: a keyframe is of the world behind the records before it.
enum Waiting {
    Record { tick: u64, record: Bytes },
    Keyframe(Box<ToStore>),
}

/// The longest time without a look at the clock.
const LOOK: u64 = 1_000_000_000;

impl Life {
    fn now(&self) -> u64 {
        self.reign.since.elapsed().as_nanos() as u64 + 1
    }

    fn live(&mut self, orders: &Receiver<Order>) {
        let jet = self.streams.events().clone();
        loop {
            self.pump();
            let now = self.now();
            let writer = self.appender.as_ref().and_then(Appender::wakes_at).unwrap_or(u64::MAX);
            let wake = writer.min(self.lease.wakes_at()).min(now + LOOK);
            let wait = Duration::from_nanos(wake.saturating_sub(now));
            crossbeam_channel::select! {
                recv(jet) -> event => match event {
                    Ok(event) => self.happened(event),
                    Err(_) => return self.told.tell(LogEvent::Damaged("the connection of the log has ended".into())),
                },
                recv(orders) -> order => match order {
                    Ok(order) => self.obey(order),
                    Err(_) => return,
                },
                default(wait) => {}
            }
            while let Ok(event) = jet.try_recv() {
                self.happened(event);
            }
            while let Ok(order) = orders.try_recv() {
                self.obey(order);
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let now = self.now();
        match order {
            Order::Begin(how) => {
                let (begin, limits, base) = *how;
                self.waiting.clear();
                self.appender = None;
                // What was recovered may be old by now, when the lease was lost meanwhile.
                self.lease.clock(now);
                if self.lease.leads_until(now).is_none() {
                    let why = "the lease was lost while the world was being recovered".into();
                    return self.told.tell(LogEvent::Deposed(why));
                }
                self.store.begin(base);
                match Appender::begin(begin, limits, now) {
                    Ok(appender) => self.appender = Some(appender),
                    Err(error) => self.told.tell(LogEvent::Damaged(error.to_string())),
                }
            }
            // Behind the end of a reign nothing is waited for.
            Order::Append { .. } | Order::Store(_) if self.appender.is_none() => {}
            Order::Append { tick, record } => self.waiting.push_back(Waiting::Record { tick, record }),
            Order::Store(waiting) => self.waiting.push_back(Waiting::Keyframe(waiting)),
            Order::Allow { tick } => self.store.allow(tick),
            Order::Release => {
                self.appender = None;
                self.waiting.clear();
                self.lease.release(now, &self.streams);
                self.leads = false;
                self.reign.until.store(0, Ordering::Release);
                if !self.lease.is_released() {
                    return;
                }
                self.told.tell(LogEvent::Released);
            }
        }
    }

    fn happened(&mut self, event: JetEvent) {
        let now = self.now();
        match event {
            JetEvent::Acked { .. } | JetEvent::Refused { .. } | JetEvent::Lost { .. } | JetEvent::Read { .. } => {
                if let Some(appender) = &mut self.appender {
                    appender.answered(event, now);
                }
            }
            JetEvent::Lease { .. } | JetEvent::LeaseRead { .. } | JetEvent::LeaseSeen(_) => {
                if self.lease.answered(event, now) {
                    self.told.tell(LogEvent::Released);
                }
            }
            JetEvent::Keyframe { token, id, result } => {
                let told = self.store.stored(token, id, result, &self.streams);
                if let Some(told) = told {
                    self.told.tell(told);
                }
            }
            JetEvent::Removed { result, .. } => {
                if let Err(error) = result {
                    tracing::warn!(%error, "old records or keyframes are not removed");
                }
            }
            JetEvent::Up { .. } => {
                if let Some(appender) = &mut self.appender {
                    appender.reconnected(now);
                }
            }
            JetEvent::Down { reason } => tracing::warn!(reason, "the connection of the log is lost"),
            JetEvent::Trouble { text } => tracing::warn!(text, "the server complains about the log"),
        }
    }

    fn feed_writer(&mut self, now: u64) {
        let Some(appender) = &mut self.appender else { return };
        while let Some(waiting) = self.waiting.front() {
            if matches!(waiting, Waiting::Record { .. }) && !appender.can_append() {
                return;
            }
            match self.waiting.pop_front() {
                Some(Waiting::Keyframe(waiting)) => {
                    self.store.wait(*waiting, appender.end());
                }
                Some(Waiting::Record { tick, record }) => {
                    if let Err(what) = appender.append(tick, record, now) {
                        self.appender = None;
                        return self.told.tell(LogEvent::Damaged(what));
                    }
                }
                None => return,
            }
        }
    }

    /// Does all that follows from what happened.
    fn pump(&mut self) {
        let now = self.now();
        self.lease.clock(now);
        self.lease.pump(&self.streams, now);
        let until = self.lease.leads_until(now);
        self.reign.until.store(until.unwrap_or(0), Ordering::Release);
        let leads = until.is_some();
        if leads != self.leads || !leads {
            self.leadership(leads, now);
        }
        self.feed_writer(now);
        let Some(appender) = &mut self.appender else { return };
        appender.clock(now);
        self.feed_writer(now);
        let Some(appender) = &mut self.appender else { return };
        appender.pump(&self.streams, now);
        for event in appender.news(&self.streams) {
            let over = matches!(event, LogEvent::Deposed(_) | LogEvent::Damaged(_));
            let fenced = matches!(event, LogEvent::Deposed(_));
            self.told.tell(event);
            if over {
                let behind = self.appender.take().is_some_and(|appender| appender.was_behind());
                self.waiting.clear();
                if fenced && !behind {
                    self.lease.fenced(now, &self.streams);
                    self.leads = false;
                    self.reign.until.store(0, Ordering::Release);
                }
                return;
            }
        }
        let Some(appender) = &self.appender else { return };
        if appender.is_full() {
            self.store.make_room(&self.streams);
        }
        let stored = self.store.pump(appender.position(), appender.epoch(), &self.streams);
        if let Some(told) = stored {
            self.told.tell(told);
        }
    }

    /// Tells when the lease is won or lost, and who has it.
    fn leadership(&mut self, leads: bool, now: u64) {
        if leads && !self.leads {
            self.leads = true;
            self.told.tell(LogEvent::Leading);
        } else if !leads {
            if self.leads {
                self.leads = false;
                if let Some(mut appender) = self.appender.take() {
                    appender.step_down();
                }
                self.waiting.clear();
                self.told.tell(LogEvent::Deposed("the lease was lost: another coordinator may lead".into()));
            }
            if let Some(holder) = self.lease.new_holder() {
                self.told.tell(LogEvent::Standby { holder });
            }
            self.lease.watch_log(&self.streams, now);
        }
    }
}
