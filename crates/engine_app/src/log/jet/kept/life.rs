//! The thread's life: connections that come and go, ticks one after another, reigns one after another.
//!
//! As for the log each connection lives in a runtime of its own, and when it is lost the runtime goes with it, and all
//! that the client library would deliver later.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use async_nats::Event;
use async_nats::jetstream::context::ContextBuilder;
use crossbeam_channel::Sender;
use engine_net::client::{self, Connection, require_jetstream};
use engine_net::streams;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::desk::{Desk, KnownTypes};
use super::notices::Notices;
use super::{KeptError, Order, Setup};
use crate::kept::KeptTick;
use crate::log::jet::api::{Api, Complaints};

/// How long to wait between attempts to connect when waiting alone won't help (wrong credentials).
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// What waits when nothing can be sent at all.
const CONNECTION: &str = "";

/// Why a connection's life has ended.
enum End {
    Closed,
    Lost(String),
}

type Report = Sender<Result<(), KeptError>>;
/// Its end is the end of the tick that is being stored.
type Work = Pin<Box<dyn Future<Output = KnownTypes>>>;

pub(super) fn run(setup: &Setup, notices: Notices, mut orders: UnboundedReceiver<Order>, report: &Report) {
    let mut life =
        Life { setup, first: Some(report), reign: None, waiting: VecDeque::new(), notices: Rc::new(notices) };
    loop {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let reason = format!("no runtime for the thread: {error}");
                return life.started(Err(KeptError::Unknown { reason }));
            }
        };
        let end = runtime.block_on(life.live(&mut orders));
        runtime.shutdown_background();
        match end {
            End::Closed => return,
            End::Lost(reason) => {
                life.notices.trouble(CONNECTION, format!("the connection to the server was lost ({reason})"));
            }
        }
    }
}

/// A reign of this process.
struct Reign {
    number: u64,
    leads: Rc<dyn Fn() -> bool>,
}

/// What outlives a connection.
struct Life<'a> {
    setup: &'a Setup,
    first: Option<&'a Report>,
    reign: Option<Reign>,
    /// Ticks that are not stored, the one that is being stored included.
    waiting: VecDeque<KeptTick>,
    notices: Rc<Notices>,
}

impl Life<'_> {
    fn started(&mut self, result: Result<(), KeptError>) {
        match (self.first.take(), result) {
            (Some(report), result) => drop(report.send(result)),
            (None, Err(error)) => self.notices.trouble(CONNECTION, error.to_string()),
            (None, Ok(())) => {}
        }
    }

    /// One connection, from the first attempt to its loss.
    async fn live(&mut self, orders: &mut UnboundedReceiver<Order>) -> End {
        let (heard, mut events) = unbounded_channel();
        let Some(connection) = self.connect(orders, heard).await else { return End::Closed };
        let timeout = self.setup.settings.answer_timeout;
        let complaints = Complaints::default();
        let api = Api::new(connection.client.clone(), complaints.clone(), timeout, &self.setup.config);
        if self.first.is_some() {
            let made = self.make_streams(&connection).await;
            let failed = made.is_err();
            self.started(made);
            if failed {
                return End::Closed;
            }
        }
        self.notices.no_trouble(CONNECTION);
        let (mut known, mut work) = (KnownTypes::new(), None::<Work>);
        loop {
            if let (None, Some(reign), Some(tick)) = (&work, &self.reign, self.waiting.front()) {
                let desk = Rc::new(self.desk(&api, reign));
                work = Some(Box::pin(desk.store(tick.clone(), std::mem::take(&mut known))));
            }
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    None | Some(Event::Disconnected | Event::Closed) => {
                        return End::Lost("it was closed, or stood still".into());
                    }
                    Some(event) => drop(complaints.hear(&event)),
                },
                now_known = ended(&mut work) => {
                    (known, work) = (now_known, None);
                    self.stored();
                }
                order = orders.recv() => match order {
                    None => return End::Closed,
                    Some(Order::IsNew(answer)) => {
                        let nobody = Reign { number: 0, leads: Rc::new(|| true) };
                        let found = self.desk(&api, &nobody).check_new(&self.setup.settings.domains).await;
                        let _ = answer.send(found);
                    }
                    Some(order) => {
                        // What of the open tick is on its way is read when it is tried again, if it is.
                        if !matches!(order, Order::Keep(_)) {
                            (known, work) = (KnownTypes::new(), None);
                        }
                        self.obey(order);
                    }
                },
            }
        }
    }

    fn stored(&mut self) {
        if let Some(tick) = self.waiting.pop_front() {
            self.notices.stored(tick.tick);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Begin { reign, leads } => {
                self.forget();
                self.notices.begin(Some(reign));
                self.reign = Some(Reign { number: reign, leads: Rc::from(leads as Box<dyn Fn() -> bool>) });
            }
            // Behind the end of a reign nothing is kept.
            Order::Keep(tick) if self.reign.is_some() => self.waiting.push_back(tick),
            Order::Keep(_) => {}
            Order::End => self.forget(),
            Order::IsNew(answer) => {
                let reason = "there is no connection to the server".into();
                let _ = answer.send(Err(KeptError::Unknown { reason }));
            }
        }
    }

    fn forget(&mut self) {
        self.waiting.clear();
        self.reign = None;
        self.notices.begin(None);
    }

    fn desk(&self, api: &Api, reign: &Reign) -> Desk {
        let (subjects, notices) = (self.setup.subjects.clone(), self.notices.clone());
        Desk { api: api.clone(), subjects, reign: reign.number, leads: reign.leads.clone(), notices }
    }

    async fn make_streams(&self, connection: &Connection) -> Result<(), KeptError> {
        let Setup { config, settings, subjects } = self.setup;
        require_jetstream(connection, config).await.map_err(KeptError::Connect)?;
        let jet = ContextBuilder::new()
            .api_prefix(config.jetstream())
            .timeout(settings.answer_timeout)
            .build(connection.client.clone());
        for domain in &settings.domains {
            streams::ensure(&jet, &streams::events(subjects, domain, settings.max_bytes, settings.replicas)).await?;
        }
        Ok(())
    }

    /// `None` when the keeper was dropped meanwhile, or the first attempt has failed.
    async fn connect(
        &mut self,
        orders: &mut UnboundedReceiver<Order>,
        heard: UnboundedSender<Event>,
    ) -> Option<Connection> {
        let mut config = self.setup.config.clone();
        config.wait_for_server |= self.first.is_none();
        // An attempt of the library's own would end in a runtime that is being dropped.
        config.max_reconnects = Some(1);
        loop {
            let heard = heard.clone();
            let connecting = client::connect_with(&config, "events", move |event| drop(heard.send(event)));
            let connected = self.meanwhile(orders, connecting).await?;
            match connected {
                Ok(connection) => return Some(connection),
                Err(error) if self.first.is_some() => {
                    self.started(Err(KeptError::Connect(error)));
                    return None;
                }
                Err(error) => self.notices.trouble(CONNECTION, error.to_string()),
            }
            self.meanwhile(orders, tokio::time::sleep(TRY_AGAIN)).await?;
        }
    }

    /// Waits for something, and takes orders; `None` when there are no more.
    async fn meanwhile<T>(
        &mut self,
        orders: &mut UnboundedReceiver<Order>,
        waited_for: impl Future<Output = T>,
    ) -> Option<T> {
        let mut waited_for = std::pin::pin!(waited_for);
        loop {
            tokio::select! {
                result = &mut waited_for => return Some(result),
                order = orders.recv() => self.obey(order?),
            }
        }
    }
}

/// The end of what is being stored; of nothing there is none.
async fn ended(work: &mut Option<Work>) -> KnownTypes {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
