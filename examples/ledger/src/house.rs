//! All parts as processes, on a server of their own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use engine::net::child;
use engine::net::config::ConnectionConfig;
use engine::net::server::{PrivateServer, ServerOptions};
use tempfile::TempDir;

pub(crate) struct House {
    pub(crate) server: PrivateServer,
    parts: Vec<Part>,
    directory: TempDir,
}

/// A process.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl House {
    /// A server, two shops, balances, the webhook and its receiver, and a buyer.
    pub(crate) fn open() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let server = PrivateServer::start(&ServerOptions { jetstream: true, ..ServerOptions::default() })?;
        let mut house = Self { server, parts: Vec::new(), directory };
        let port = free_port()?;
        let path = |path: PathBuf| path.display().to_string();
        let (taken, journal) = (path(house.taken()), path(house.journal()));
        for (name, arguments) in [
            ("receiver", vec!["receiver".to_owned(), port.to_string(), taken]),
            ("shop-1", vec!["shop".to_owned()]),
            ("shop-2", vec!["shop".to_owned()]),
            ("balance", vec!["balance".to_owned()]),
            ("hook", vec!["hook".to_owned(), format!("http://127.0.0.1:{port}/events")]),
            ("buyer", vec!["buy".to_owned(), journal]),
        ] {
            house.parts.push(Part { name, arguments, child: None });
            house.start(name)?;
        }
        Ok(house)
    }

    /// What the receiver has taken, an id a line.
    pub(crate) fn taken(&self) -> PathBuf {
        self.directory.path().join("taken")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    pub(crate) fn config(&self) -> ConnectionConfig {
        ConnectionConfig { wait_for_server: true, ..self.server.config() }
    }

    fn part(&mut self, name: &str) -> Result<&mut Part> {
        self.parts.iter_mut().find(|part| part.name == name).with_context(|| format!("there is no part {name}"))
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.parts.iter().map(|part| part.name).collect()
    }

    pub(crate) fn start(&mut self, name: &str) -> Result<()> {
        let environment = self.config().to_environment();
        let part = self.part(name)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(&part.arguments).envs(environment).env("NATS_WAIT", "true").stdin(Stdio::null());
        child::end_with_parent(&mut command);
        part.child = Some(command.spawn()?);
        Ok(())
    }

    /// Ends it as a crash does. One that ended by itself before is an error.
    pub(crate) fn kill(&mut self, name: &str) -> Result<()> {
        let mut child = self.part(name)?.child.take().context("it was not started")?;
        if let Some(status) = child.try_wait()? {
            bail!("{name} ended by itself: {status}");
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks the buyer to end, and waits until all that it wants is answered.
    pub(crate) fn end_buying(&mut self, within: Duration) -> Result<()> {
        let mut buyer = self.part("buyer")?.child.take().context("it was not started")?;
        child::signal(&buyer, libc::SIGTERM)?;
        let started = Instant::now();
        loop {
            match buyer.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the buyer ended with {status}"),
                None if started.elapsed() > within => bail!("the buyer got no answers within {within:?}"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for child in self.parts.iter_mut().filter_map(|part| part.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The receiver keeps its port when it is started again, so somebody has to choose one.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
