//! One nats-server of the harness's own, or three of them as a cluster.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use engine::net::config::{ConnectionConfig, LogConnection, Secret};
use engine::net::server::{PrivateCredentials, PrivateServer, ServerOptions};

/// What servers are to be like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish<'a> {
    /// Three of them.
    pub(crate) cluster: bool,
    /// Streams are written through to the disk before they are acknowledged.
    pub(crate) sync: bool,
    /// Where the streams of a single server are.
    pub(crate) store: Option<&'a Path>,
}

/// The servers.
#[derive(Debug)]
pub(crate) struct Servers {
    nodes: Vec<PrivateServer>,
    running: Vec<bool>,
    ports: Arc<Vec<u16>>,
}

impl Servers {
    pub(crate) fn start(wish: &Wish<'_>) -> Result<Self> {
        let nodes = if wish.cluster { three()? } else { vec![PrivateServer::start(&single(wish))?] };
        let ports = Arc::new(nodes.iter().map(PrivateServer::port).collect());
        Ok(Self { running: vec![true; nodes.len()], nodes, ports })
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn ports(&self) -> Arc<Vec<u16>> {
        self.ports.clone()
    }

    /// How a party connects through its proxy, the log's account included.
    pub(crate) fn config(&self, url: String) -> ConnectionConfig {
        let node = &self.nodes[0];
        let log = LogConnection {
            credentials: node.log_config().map(|config| config.credentials),
            ..LogConnection::default()
        };
        ConnectionConfig { urls: vec![url], log, wait_for_server: true, ..node.config() }
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
        self.running[node] = false;
    }

    pub(crate) fn restart(&mut self, node: usize) -> Result<()> {
        if !self.running[node] {
            self.nodes[node].restart().context("a server that was killed does not start again")?;
            self.running[node] = true;
        }
        Ok(())
    }

    pub(crate) fn pause(&self, node: usize) {
        // One that is dead can't be paused.
        let _ = self.nodes[node].pause();
    }

    pub(crate) fn resume(&self, node: usize) {
        let _ = self.nodes[node].resume();
    }

    /// The end of its log, for people.
    pub(crate) fn complaints(&self) -> String {
        let logs = self.nodes.iter().map(PrivateServer::log);
        let bad = |line: &&str| line.contains("[ERR]") || line.contains("[WRN]") || line.contains("[FTL]");
        let mut lines: Vec<String> =
            logs.flat_map(|log| log.lines().filter(bad).map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.drain(..lines.len().saturating_sub(12));
        lines.join("\n")
    }
}

fn single(wish: &Wish<'_>) -> ServerOptions {
    ServerOptions {
        log_account: true,
        sync_always: wish.sync,
        store: wish.store.map(Path::to_owned),
        ..ServerOptions::default()
    }
}

/// Three servers that know each other. They tell nobody of one another: a party stays behind its proxy.
fn three() -> Result<Vec<PrivateServer>> {
    let routes = free_ports(3)?;
    let password = Secret::new(format!("{:032x}", u128::from(std::process::id()) << 64 | u128::from(routes[0])));
    let all: Vec<String> = routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
    let node = |(number, port): (usize, &u16)| {
        let options = ServerOptions {
            jetstream: true,
            credentials: PrivateCredentials::Password { user: "faults".into(), password: password.clone() },
            extra: format!(
                "server_name: node{number}\ncluster {{ name: faults, listen: \"127.0.0.1:{port}\", no_advertise: true, \
                 routes: [{}] }}\n",
                all.join(", ")
            ),
            ..ServerOptions::default()
        };
        PrivateServer::start(&options).map_err(Into::into)
    };
    routes.iter().enumerate().map(node).collect()
}

/// Ports that were free a moment ago: servers of a cluster have to know each other's before they start.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>().context("free ports")?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
