//! The server that a distributed case talks through, the processes at its other end, and bare clients of it.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use engine_net::config::{ConnectionConfig, Credentials, Secret};
use engine_net::server::{PrivateServer, ServerOptions};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::worker::{COUNT, PASSWORD, REPORT, Role, URL, USER};
use crate::allocator::Allocations;
use crate::meter::Reading;
use crate::process::{bytes_read, cpu_seconds};

/// How a server and its bare clients are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tuning {
    /// As well as we know: what Engine's own server is started with.
    Tuned,
    /// As they come.
    Defaults,
}

/// Bytes that the server holds for a client, at the most. Bare clients send a tick of any size without waiting, and
/// would be cut off at the server's own 64 MB.
const MAX_PENDING: u32 = 1 << 30;

/// Whoever ticks for so long has lost something, and would wait for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A server of our own and the processes that work through it; all end when this is dropped.
pub(crate) struct Broker {
    server: PrivateServer,
    /// Where the server tells how it is.
    monitor: String,
    workers: Vec<Worker>,
}

struct Worker {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What a client needs to enter.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: Secret,
}

impl Broker {
    pub(crate) fn start(tuning: Tuning) -> Result<Rc<RefCell<Self>>> {
        let extra = format!("http: \"127.0.0.1:-1\"\nmax_pending: {MAX_PENDING}\n");
        let monitored = ServerOptions { extra, ..ServerOptions::default() };
        let options = match tuning {
            Tuning::Tuned => ServerOptions { cores: cores_of_a_tuned_server(), ..monitored },
            Tuning::Defaults => ServerOptions { gogc: 100, ..monitored },
        };
        let server = PrivateServer::start(&options)?;
        let monitor = monitor_of(&server).context("the server does not say where it can be asked")?;
        Ok(Rc::new(RefCell::new(Self { server, monitor, workers: Vec::new() })))
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
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("can't start a worker")?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let (orders, answers) = orders.zip(answers).context("a worker without pipes")?;
        self.workers.push(Worker { child, orders, answers: BufReader::new(answers) });
        Ok(())
    }

    /// What workers and server have taken so far.
    pub(crate) fn read(&self) -> Result<Reading> {
        let server = self.server.pid();
        let varz = self.varz()?;
        let counted = |name: &str| varz[name].as_f64();
        Ok(Reading {
            coordinator: None,
            instances: self.workers.iter().map(|worker| cpu_seconds(worker.child.id())).sum(),
            server: server.and_then(cpu_seconds),
            messages: counted("in_msgs"),
            payload: counted("in_bytes"),
            sockets: server.and_then(bytes_read).map(|bytes| bytes as f64),
        })
    }

    /// The server's own figures.
    fn varz(&self) -> Result<Value> {
        let mut stream = TcpStream::connect(&self.monitor).context("the server does not tell how it is")?;
        stream.write_all(b"GET /varz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("the server's figures have no body")?;
        serde_json::from_str(body).context("the server's figures can't be read")
    }

    /// All workers count what they allocate from now on.
    pub(crate) fn count_allocations(&mut self) -> Result<()> {
        self.workers.iter_mut().try_for_each(|worker| worker.order(COUNT).map(drop))
    }

    /// What they have counted.
    pub(crate) fn allocations(&mut self) -> Result<Allocations> {
        let mut all = Allocations::default();
        for worker in &mut self.workers {
            let answer = worker.order(REPORT)?;
            let (calls, bytes) = answer.trim().split_once(' ').context("a worker does not say what it counted")?;
            all = Allocations { calls: all.calls + calls.parse::<u64>()?, bytes: all.bytes + bytes.parse::<u64>()? };
        }
        Ok(all)
    }
}

impl Worker {
    /// Tells it something, and waits until it has heard.
    fn order(&mut self, order: &str) -> Result<String> {
        writeln!(self.orders, "{order}").context("a worker has ended")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("a worker has ended")?;
        Ok(answer)
    }
}

/// Where few cores are shared by everybody, a server that uses one of them is faster: it wakes fewer threads.
fn cores_of_a_tuned_server() -> Option<u32> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores <= 2).then_some(1)
}

/// The address in the file that the server writes once it listens.
fn monitor_of(server: &PrivateServer) -> Option<String> {
    let mut files = std::fs::read_dir(server.directory()).ok()?.flatten().map(|entry| entry.path());
    let ports = files.find(|path| path.extension().is_some_and(|extension| extension == "ports"))?;
    let ports: Value = serde_json::from_slice(&std::fs::read(ports).ok()?).ok()?;
    Some(ports["monitoring"][0].as_str()?.strip_prefix("http://")?.to_owned())
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
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

/// The runtime of a bare client: tuned it is one thread, that of the caller.
pub(crate) fn runtime(tuning: Tuning) -> Result<Runtime> {
    let mut builder = match tuning {
        Tuning::Tuned => tokio::runtime::Builder::new_current_thread(),
        Tuning::Defaults => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build().context("can't make a runtime")
}

/// Connects without any of Engine's own client.
pub(crate) async fn connect(entrance: &Entrance) -> Result<async_nats::Client> {
    let password = entrance.password.expose().to_owned();
    let options = async_nats::ConnectOptions::with_user_and_password(entrance.user.clone(), password);
    options.connect(&entrance.url).await.context("a bare client can't connect")
}
