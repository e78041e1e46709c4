//! A network that breaks: each party connects through a proxy of its own, which can be cut, stalled and slowed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

/// What a network does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// It forwards.
    Fair,
    /// Connections are closed, new ones refused.
    Cut,
    /// Connections stay open, and nothing moves.
    Stalled,
    /// All that moves is late by so much.
    Late(Duration),
}

/// Bytes that are forwarded at a time.
const PIECE: usize = 256 << 10;

/// The thread that forwards; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Network {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Network {
    pub(crate) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel());
        let work = move || {
            let _ = runtime.block_on(ended);
        };
        std::thread::Builder::new().name("faults-network".into()).spawn(work)?;
        Ok(Self { handle, _end: end })
    }
}

/// The way of one party to the servers.
#[derive(Debug)]
pub(crate) struct Proxy {
    weather: watch::Sender<Weather>,
    port: u16,
}

impl Proxy {
    /// Listens on a free port of the loopback interface. A connection goes to the first of the servers that takes
    /// it, beginning with number `first`.
    pub(crate) fn start(network: &Network, servers: Arc<Vec<u16>>, first: usize) -> Result<Self> {
        let (weather, watcher) = watch::channel(Weather::Fair);
        let listener = network
            .handle
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("a proxy can't listen on the loopback interface")?;
        let port = listener.local_addr().context("a proxy's port")?.port();
        network.handle.spawn(accept(listener, servers, first, watcher));
        Ok(Self { weather, port })
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

/// Ends with its proxy, whose end of the channel is gone then.
async fn accept(listener: TcpListener, servers: Arc<Vec<u16>>, first: usize, mut weather: watch::Receiver<Weather>) {
    loop {
        tokio::select! {
            gone = weather.changed() => if gone.is_err() { return },
            accepted = listener.accept() => {
                let Ok((party, _)) = accepted else { continue };
                if *weather.borrow() == Weather::Cut {
                    continue;
                }
                tokio::spawn(forward(party, servers.clone(), first, weather.clone()));
            }
        }
    }
}

async fn forward(party: TcpStream, servers: Arc<Vec<u16>>, first: usize, weather: watch::Receiver<Weather>) {
    let order = servers.iter().cycle().skip(first).take(servers.len());
    for port in order {
        let Ok(server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, *port))).await else { continue };
        let _ = (party.set_nodelay(true), server.set_nodelay(true));
        let ((from_party, to_party), (from_server, to_server)) = (party.into_split(), server.into_split());
        // Whichever ends first takes the other with it.
        tokio::select! {
            () = copy(from_party, to_server, weather.clone()) => {}
            () = copy(from_server, to_party, weather) => {}
        }
        return;
    }
}

/// Forwards one direction until an end is closed or the network is cut.
async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) {
    let mut bytes = vec![0; PIECE];
    loop {
        let now = *weather.borrow_and_update();
        match now {
            Weather::Cut => return,
            Weather::Stalled => {
                if weather.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Weather::Fair | Weather::Late(_) => {}
        }
        let read = tokio::select! {
            changed = weather.changed() => if changed.is_err() { return } else { continue },
            read = from.read(&mut bytes) => read,
        };
        let Ok(read @ 1..) = read else { return };
        if let Weather::Late(by) = now {
            tokio::time::sleep(by).await;
        }
        // What was read may not get through any more.
        let mut may_pass = *weather.borrow();
        while may_pass == Weather::Stalled {
            if weather.changed().await.is_err() {
                return;
            }
            may_pass = *weather.borrow_and_update();
        }
        if may_pass == Weather::Cut || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
