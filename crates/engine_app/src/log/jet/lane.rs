//! The thread that appends: a connection of its own, which nothing else may hold up.
//!
//! The client library keeps what was published while it is disconnected and delivers it late. An append that
//! was already told as lost must not be stored minutes later by a client that came back. So each connection
//! lives in a runtime of its own, and when it is lost the runtime goes, with everything that was not yet written.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use async_nats::{Event, HeaderMap};
use bytes::Bytes;
use crossbeam_channel::{Sender, bounded};
use engine_net::{
    client::{self, Connection, ServerFacts},
    config::ConnectionConfig,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    JetError, JetEvent, JetSettings, Lost, Mark, Names, Refusal, Token,
    api::{Api, Complaints},
    connected::{Open, reading},
    lease::{LeaseOrder, Watched},
    mark::MarkKeeper,
};

/// How long to wait between attempts to connect when waiting alone won't help (wrong credentials).
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What the thread is told to do.
pub(super) enum Order {
    Append {
        token: Token,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    },
    /// The record at a place; none: the last epoch record.
    Read {
        token: Token,
        sequence: Option<u64>,
    },
    Lease {
        token: Token,
        order: LeaseOrder,
    },
    Watch {
        every: Option<Duration>,
    },
    Mark(Mark),
    Close,
}

/// Appends that are under way, as the caller counts them.
#[derive(Debug, Default)]
pub(super) struct Load {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Load {
    pub(super) fn reserve(&self, bytes: usize, settings: &JetSettings) -> Result<(), JetError> {
        let (messages, held) = (self.messages.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire));
        // A single one goes always.
        if messages > 0 && (messages >= settings.appends_in_flight || held + bytes > settings.append_bytes_in_flight) {
            return Err(JetError::Full { messages, bytes: held });
        }
        self.messages.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(())
    }

    pub(super) fn release(&self, bytes: usize) {
        self.messages.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(super) fn busy(&self) -> bool {
        self.messages.load(Ordering::Acquire) > 0
    }
}

/// What every connection of the lane needs to know.
pub(super) struct Setup {
    pub(super) config: ConnectionConfig,
    pub(super) names: Names,
    pub(super) settings: JetSettings,
    pub(super) events: Sender<JetEvent>,
    pub(super) load: Arc<Load>,
}

/// The lane, from other threads.
#[derive(Debug)]
pub(super) struct Lane {
    orders: UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    /// Connects, and returns when the first connection is up.
    pub(super) fn start(setup: Setup) -> Result<Self, JetError> {
        let (orders, inbox) = unbounded_channel();
        let (report, started) = bounded(1);
        let run = move || run(&setup, inbox, &report);
        let thread = thread::Builder::new().name("engine-log".into()).spawn(run);
        let failed = |reason: String| JetError::Connect(client::ConnectError::Thread { reason });
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self { orders, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(failed("it ended before it was connected".into())),
        }
    }

    pub(super) fn order(&self, order: Order) -> Result<(), JetError> {
        self.orders.send(order).map_err(|_| JetError::Closed)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Close);
        if let Some(thread) = self.thread.take() {
            // It fails only if the thread panicked, which the hook has reported.
            let _ = thread.join();
        }
    }
}

/// Why a connection's life has ended.
pub(super) enum End {
    Closed,
    Lost(String),
}

type Report = Sender<Result<(), JetError>>;

fn run(setup: &Setup, mut orders: UnboundedReceiver<Order>, report: &Report) {
    let mut life = Life { setup, first: Some(report), marks: MarkKeeper::new(&setup.settings), watched: None };
    loop {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return life.fail(&error.to_string()),
        };
        let end = runtime.block_on(life.live(&mut orders));
        // Tasks of the client end here, and what waits in them is never sent.
        runtime.shutdown_background();
        match end {
            End::Closed => return,
            End::Lost(reason) => drop(setup.events.send(JetEvent::Down { reason })),
        }
    }
}

/// What outlives a connection.
pub(super) struct Life<'a> {
    setup: &'a Setup,
    first: Option<&'a Report>,
    pub(super) marks: MarkKeeper,
    pub(super) watched: Option<(Duration, Watched)>,
}

impl Life<'_> {
    fn fail(&mut self, reason: &str) {
        let error = client::ConnectError::Thread { reason: reason.to_owned() };
        match self.first.take() {
            Some(report) => drop(report.send(Err(error.into()))),
            None => drop(self.setup.events.send(JetEvent::Trouble { text: error.to_string() })),
        }
    }

    /// One connection, from the first attempt to its loss.
    async fn live(&mut self, orders: &mut UnboundedReceiver<Order>) -> End {
        let (heard, mut events) = unbounded_channel();
        let Some(connection) = self.connect(orders, heard).await else { return End::Closed };
        let complaints = Complaints::default();
        let api =
            Api::new(connection.client.clone(), complaints, self.setup.settings.answer_timeout, &self.setup.config);
        let root = connection.client.new_inbox();
        let acks = match connection.client.subscribe(format!("{root}.*")).await {
            Ok(acks) => acks,
            Err(error) => return End::Lost(error.to_string()),
        };
        match self.first.take() {
            Some(report) => drop(report.send(Ok(()))),
            None => drop(self.setup.events.send(JetEvent::Up { server: ServerFacts::clone(&connection.server) })),
        }
        let mut open = Open::new(self.setup, api, root);
        if let Some((every, watched)) = &self.watched {
            open.watch(*every, watched.clone());
        }
        let end = open.serve(self, orders, &mut events, acks).await;
        open.lose_all(Lost::Disconnected);
        end
    }

    /// `None` when the lane was closed meanwhile, or the first attempt has failed.
    async fn connect(
        &mut self,
        orders: &mut UnboundedReceiver<Order>,
        heard: UnboundedSender<Event>,
    ) -> Option<Connection> {
        let first = self.first.is_some();
        let mut config = self.setup.config.clone();
        config.wait_for_server |= !first;
        // An attempt of the library's own would end in a runtime that is being dropped.
        config.max_reconnects = Some(1);
        loop {
            let heard = heard.clone();
            let connecting = client::connect_with(&config, "log", move |event| drop(heard.send(event)));
            let mut connecting = std::pin::pin!(connecting);
            let result = loop {
                tokio::select! {
                    result = &mut connecting => break result,
                    order = orders.recv() => match order {
                        None | Some(Order::Close) => return None,
                        Some(order) => self.refuse(order),
                    },
                }
            };
            match result {
                Ok(connection) => return Some(connection),
                Err(error) => match self.first.take() {
                    Some(report) => {
                        let _ = report.send(Err(error.into()));
                        return None;
                    }
                    None => drop(self.setup.events.send(JetEvent::Trouble { text: error.to_string() })),
                },
            }
            let again = tokio::time::sleep(TRY_AGAIN);
            let mut again = std::pin::pin!(again);
            loop {
                tokio::select! {
                    () = &mut again => break,
                    order = orders.recv() => match order {
                        None | Some(Order::Close) => return None,
                        Some(order) => self.refuse(order),
                    },
                }
            }
        }
    }

    /// While there is no connection.
    fn refuse(&mut self, order: Order) {
        let away = |what: &str| JetError::Disconnected { what: what.into() };
        let event = match order {
            Order::Append { token, payload, .. } => {
                self.setup.load.release(payload.len());
                JetEvent::Refused { token, reason: Refusal::NotConnected }
            }
            Order::Read { token, sequence } => JetEvent::Read { token, record: Err(away(&reading(sequence))) },
            Order::Lease { token, order } => order.lost(token, away("use the lease")),
            Order::Watch { every } => return self.remember_watch(every),
            Order::Mark(mark) => return self.marks.set(mark),
            Order::Close => return,
        };
        let _ = self.setup.events.send(event);
    }

    pub(super) fn remember_watch(&mut self, every: Option<Duration>) {
        self.watched = every.map(|every| (every, Watched::default()));
    }
}
