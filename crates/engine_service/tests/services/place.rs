//! A private server, links to it, and a small domain: accounts that coins are put into.

use std::future::Future;
use std::time::Duration;

use engine_component::{Command, Data, Event, Invalid};
use engine_net::config::ConnectionConfig;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_service::command::{Aggregate, CommandHandler, Decision, Handler};
use engine_service::{Link, ReadError, Recorded};
use serde::{Deserialize, Serialize};

/// Nothing here takes so long unless it is broken.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) fn server() -> PrivateServer {
    PrivateServer::start(&ServerOptions { jetstream: true, ..ServerOptions::default() })
        .expect("these tests need nats-server")
}

/// Runs a test on a server of its own.
pub(crate) fn with_server<F: Future<Output = ()>>(test: impl FnOnce(ConnectionConfig) -> F) {
    let server = server();
    run(test(server.config()));
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(SOON, test).await.expect("it ends in time") });
}

pub(crate) async fn link(config: &ConnectionConfig, name: &str) -> Link {
    Link::open(config, name).await.unwrap()
}

/// Asks until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    while !is_so().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(name = "bank.account.deposit", document, answer = u64, validate = Deposit::check)]
pub(crate) struct Deposit {
    #[command(key)]
    pub(crate) account: String,
    pub(crate) coins: u64,
}

impl Deposit {
    pub(crate) fn of(account: &str, coins: u64) -> Self {
        Self { account: account.into(), coins }
    }

    fn check(&self) -> Result<(), Invalid> {
        if self.coins > 0 { Ok(()) } else { Err(Invalid::new("nothing is deposited")) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "bank.Deposited", document, validate = Deposited::check)]
pub(crate) struct Deposited {
    pub(crate) account: String,
    pub(crate) coins: u64,
}

impl Deposited {
    pub(crate) fn of(account: &str, coins: u64) -> Self {
        Self { account: account.into(), coins }
    }

    fn check(&self) -> Result<(), Invalid> {
        if self.coins > 0 { Ok(()) } else { Err(Invalid::new("nothing is deposited")) }
    }
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "bank.Closed")]
pub(crate) struct Closed;

pub(crate) struct Bank;

impl Aggregate for Bank {
    const DOMAIN: &'static str = "bank";
    const NAME: &'static str = "account";
    type State = u64;

    fn apply(&self, coins: &mut u64, event: &Recorded) -> Result<(), ReadError> {
        if event.name() == Deposited::NAME {
            *coins += event.read::<Deposited>()?.coins;
        }
        Ok(())
    }
}

impl CommandHandler<Deposit> for Bank {
    fn handle(&self, coins: &u64, deposit: &Deposit) -> Decision<u64> {
        Decision::answer(coins + deposit.coins).event(&Deposited::of(&deposit.account, deposit.coins))
    }
}

/// A handler at work in the background until the task is aborted.
pub(crate) fn bank(link: &Link) -> tokio::task::JoinHandle<()> {
    let handler = Handler::new(link, Bank).on::<Deposit>();
    tokio::spawn(async move { panic!("a handler ended: {:?}", handler.run().await) })
}

/// How many messages there are in the domain's stream.
pub(crate) async fn stored(link: &Link) -> u64 {
    let stream = link.jet().get_stream(link.names().events("bank")).await.unwrap();
    stream.cached_info().state.messages
}
