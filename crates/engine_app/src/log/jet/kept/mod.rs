//! The thread that keeps events: it brings them into the stream of their domain, each exactly once, whoever is killed.
//!
//! The world's account has the streams, and not the log's: whoever may hear events of a domain may read what is kept of
//! them. So the thread has a connection of its own, which nothing of the log waits for.
//!
//! ```text
//! coordinator's thread ── ticks ──> engine-events ──> server
//!         ^                              │
//!         └──── stored, trouble ─────────┘
//! ```
//!
//! A tick is begun when all of the tick before is acknowledged. The messages of one type follow one another, each naming
//! the sequence of the one before it on its subject; so what is stored of a type is always all up to some place, and a
//! message that comes late, or twice, from here or from a coordinator that was deposed, is refused by the server. Who
//! does not know what is stored (a reign has begun, an answer was lost, somebody else has written) reads the newest
//! message from the stream's leader, and leaves out what is not behind it. The ids of messages are not needed for
//! that, and given all the same: they keep a copy away also where somebody publishes on the subject besides.

mod desk;
mod life;
mod notices;

use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use engine_net::Subjects;
use engine_net::client::ConnectError;
use engine_net::config::ConnectionConfig;
use engine_net::streams::StreamError;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::kept::KeptTick;

use notices::Notices;

/// Which events are kept, and how.
#[derive(Clone, Debug)]
pub struct KeptSettings {
    /// Their domains.
    pub domains: Vec<String>,
    /// The size of a stream that is made here.
    pub max_bytes: i64,
    /// Copies of a stream that is made here.
    pub replicas: usize,
    /// How long an answer of a server may take until it counts as lost.
    pub answer_timeout: Duration,
}

/// Why events can't be kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeptError {
    /// No connection, or no JetStream for it.
    #[error("events can't be kept: {0}")]
    Connect(ConnectError),
    /// A stream that can't be had.
    #[error("events can't be kept: {0}")]
    Stream(#[from] StreamError),
    /// Nobody can say what is stored.
    #[error("events can't be kept: {reason}")]
    Unknown {
        /// Why not.
        reason: String,
    },
    /// What is stored is of another world.
    #[error(
        "the world is new, and the stream {stream} has events of a world of this name up to tick {tick} (`{event}`): nobody could tell them from its own; delete the stream, or start the world under another name"
    )]
    OfAnother {
        /// The stream.
        stream: String,
        /// An event.
        event: String,
        /// Its tick.
        tick: u64,
    },
    /// The thread has ended.
    #[error("the thread that keeps events has ended")]
    Closed,
}

/// What becomes of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptNews {
    /// Those of ticks up to this one are in their streams.
    Stored {
        /// The tick.
        tick: u64,
    },
    /// They are not, for this reason; or are again.
    Trouble(Option<String>),
}

/// Says whether this process still leads.
type Leads = Box<dyn Fn() -> bool + Send>;

enum Order {
    Begin { reign: u64, leads: Leads },
    Keep(KeptTick),
    End,
    IsNew(Sender<Result<(), KeptError>>),
}

/// What the thread is made with.
struct Setup {
    config: ConnectionConfig,
    subjects: Subjects,
    settings: KeptSettings,
}

/// The thread, from that of the coordinator.
#[derive(Debug)]
pub struct EventKeeper {
    domains: Vec<String>,
    orders: Option<UnboundedSender<Order>>,
    news: Receiver<(u64, KeptNews)>,
    thread: Option<JoinHandle<()>>,
}

impl EventKeeper {
    /// Connects, makes the streams or checks those that are there, and returns when that is done. `wake` is called after
    /// all news, on the thread.
    ///
    /// # Errors
    /// When there is no server, no JetStream for the world's account, or a stream is not as it must be.
    pub fn start(
        config: &ConnectionConfig,
        settings: KeptSettings,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, KeptError> {
        let (orders, inbox) = unbounded_channel();
        let (sender, news) = unbounded();
        let (report, started) = bounded(1);
        let domains = settings.domains.clone();
        let subjects = config.subjects().map_err(|error| KeptError::Unknown { reason: error.to_string() })?;
        let setup = Setup { config: config.clone(), subjects, settings };
        let run = move || life::run(&setup, Notices::new(sender, Box::new(wake)), inbox, &report);
        let thread = thread::Builder::new().name("engine-events".into()).spawn(run);
        let thread = thread.map_err(|error| KeptError::Connect(ConnectError::Thread { reason: error.to_string() }))?;
        let keeper = Self { domains, orders: Some(orders), news, thread: Some(thread) };
        started.recv().unwrap_or(Err(KeptError::Closed))?;
        Ok(keeper)
    }

    /// The domains whose events are kept.
    #[must_use]
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// Makes sure that a world that is new finds no events of another one of its name.
    ///
    /// # Errors
    /// When it does, or that can't be found out.
    pub fn check_new(&self) -> Result<(), KeptError> {
        let (answer, answered) = bounded(1);
        self.order(Order::IsNew(answer));
        answered.recv().unwrap_or(Err(KeptError::Closed))
    }

    /// A reign begins: what is stored is read anew. `leads` is asked before anything is sent.
    pub fn begin(&self, reign: u64, leads: impl Fn() -> bool + Send + 'static) {
        while self.news.try_recv().is_ok() {}
        self.order(Order::Begin { reign, leads: Box::new(leads) });
    }

    /// Keeps the events of a tick, behind those before it.
    pub fn keep(&self, tick: KeptTick) {
        self.order(Order::Keep(tick));
    }

    /// The reign is over: nothing more is sent.
    pub fn end(&self) {
        self.order(Order::End);
    }

    /// What happened in a reign since the last call.
    #[must_use]
    pub fn next(&self, reign: u64) -> Option<KeptNews> {
        self.news.try_iter().find(|(of, _)| *of == reign).map(|(_, news)| news)
    }

    /// Whether the thread is gone, for which there is no reason but a defect.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn order(&self, order: Order) {
        // A thread that has ended has said why.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
    }
}

impl Drop for EventKeeper {
    fn drop(&mut self) {
        // The channel's end is the sign to go.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
