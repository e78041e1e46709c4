//! The server that a distributed case talks through, and bare clients of it.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use engine_net::config::{ConnectionConfig, Credentials, Secret};
use engine_net::server::{PrivateServer, ServerOptions};
use tokio::runtime::Runtime;

use super::worker::{PASSWORD, Role, URL, USER};

/// A server of our own and the processes that work through it; all end when this is dropped.
pub(crate) struct Broker {
    server: PrivateServer,
    workers: Vec<Child>,
}

/// What a client needs to enter.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: Secret,
}

impl Broker {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { server: PrivateServer::start(&ServerOptions::default())?, workers: Vec::new() })
    }

    pub(crate) fn entrance(&self) -> Result<Entrance> {
        match self.server.config().credentials {
            Credentials::UserPassword { user, password } => Ok(Entrance { url: self.server.url(), user, password }),
            _ => bail!("the private server has no user"),
        }
    }

    /// Starts this program once more as a worker. It ends when its standard input does: with us.
    pub(crate) fn start_worker(&mut self, role: &Role) -> Result<()> {
        let entrance = self.entrance()?;
        let mut command = Command::new(std::env::current_exe().context("can't tell where this program is")?);
        command.envs(role.to_environment());
        command.envs([(URL, &entrance.url), (USER, &entrance.user)]).env(PASSWORD, entrance.password.expose());
        self.workers.push(command.stdin(Stdio::piped()).spawn().context("can't start a worker")?);
        Ok(())
    }
}

/// The same entrance for Engine's own client.
pub(crate) fn config(entrance: &Entrance) -> ConnectionConfig {
    let Entrance { url, user, password } = entrance.clone();
    ConnectionConfig::new(url, Credentials::UserPassword { user, password })
}

impl Drop for Broker {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // It may have ended by itself; it has to be waited for in any case.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

/// The runtime that does best for a stream of messages: one thread, that of the caller.
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't make a runtime")
}

/// Connects without any of Engine's own client.
pub(crate) async fn connect(entrance: &Entrance) -> Result<async_nats::Client> {
    let password = entrance.password.expose().to_owned();
    let options = async_nats::ConnectOptions::with_user_and_password(entrance.user.clone(), password);
    options.connect(&entrance.url).await.context("a bare client can't connect")
}
