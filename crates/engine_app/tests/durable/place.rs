//! A server, coordinators of one world as processes, and somebody outside who asks and looks at the streams.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use engine_app::log::jet::{JetSettings, Mode, Streams};
use engine_app::log::record::{Body, Message as Stored, Record};
use engine_net::config::{ConnectionConfig, LogConnection};
use engine_net::io::{Io, Lane, Outgoing};
use engine_net::messages::command::{Action, Command as Asked, CommandReply, Done};
use engine_net::messages::query::{QueryReply, QueryRequest};
use engine_net::messages::status::{Status, StatusReply};
use engine_net::messages::value::Components;
use engine_net::messages::{Message, Reply};
use engine_net::server::{PrivateServer, ServerOptions};
use engine_net::strict;
use engine_net::subject::Subjects;

/// Nothing here takes so long unless it is broken.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A world without systems that keeps a log, with a lease that is short enough to be waited for.
const KEEPS: [[&str; 2]; 4] =
    [["--durability", "server"], ["--lease", "1"], ["--time", "fast"], ["--report-every", "10"]];

/// A server, and how to reach the world on it.
pub(crate) struct Place {
    pub(crate) server: PrivateServer,
    pub(crate) config: ConnectionConfig,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(&ServerOptions { jetstream: true, ..ServerOptions::default() })
    }

    /// The log in an account of its own, if the options say so.
    pub(crate) fn with(options: &ServerOptions) -> Self {
        let server = PrivateServer::start(options).unwrap();
        let mut config = server.config();
        if let Some(log) = server.log_config() {
            config.log = LogConnection { credentials: Some(log.credentials), ..LogConnection::default() };
        }
        Self { server, config }
    }

    /// The program, with the world's connection.
    pub(crate) fn engine(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
        command.args(arguments).stdin(Stdio::null()).envs(self.config.to_environment());
        command.envs(self.config.log.to_environment());
        command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        command
    }

    /// A coordinator that reports every tenth tick.
    pub(crate) fn lead(&self, more: &[&str]) -> Leader {
        let kept = KEEPS.iter().filter(|[flag, _]| !more.contains(flag)).flatten().copied();
        let arguments: Vec<&str> = ["coordinator"].into_iter().chain(kept).chain(more.iter().copied()).collect();
        Leader::start(self.engine(&arguments))
    }

    /// A coordinator that has to refuse, and what it says.
    pub(crate) fn refuses(&self, more: &[&str]) -> String {
        let (code, error) = self.lead(more).end();
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("error: "), "{error}");
        error
    }

    pub(crate) fn outside(&self) -> Outside {
        let subjects = Subjects::new(&self.config.prefix, &self.config.world).unwrap();
        Outside { io: Io::start(&self.config, "outside", 1).unwrap().0, subjects }
    }

    /// The streams, as a coordinator with these limits has them.
    pub(crate) fn streams(&self, log_mib: u64) -> Streams {
        let settings = JetSettings { log_bytes: log_mib << 20, key_bytes: 1 << 30, ..JetSettings::default() };
        Streams::open(&self.config, &self.config.world, Mode::Server, settings).unwrap()
    }

    /// All records that are in the log, with their sequences.
    pub(crate) fn records(&self, streams: &Streams) -> Vec<(u64, Record)> {
        let tail = streams.tail().unwrap();
        let messages = streams.read_present(tail.first, tail.last, 4).map(Result::unwrap);
        let records = messages.map(|message| (message.sequence, Stored::decode(&message.payload).unwrap()));
        let whole = records.filter_map(|(seq, message)| match message {
            Stored::Whole(record) => Some((seq, record)),
            _ => None,
        });
        whole.collect()
    }

    /// Reigns that are in the log.
    pub(crate) fn epochs(&self, streams: &Streams) -> Vec<u64> {
        let records = self.records(streams).into_iter();
        records.filter(|(_, record)| matches!(record.body, Body::Epoch(_))).map(|(_, record)| record.epoch).collect()
    }

    /// Somebody who may talk to the server, with no code of the engine between.
    pub(crate) fn raw<T>(&self, work: impl AsyncFnOnce(async_nats::Client) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let log = self.config.log_connection();
            let client = engine_net::client::connect(&log, "rogue").await.unwrap().client;
            let answer = work(client.clone()).await;
            client.flush().await.unwrap();
            answer
        })
    }
}

/// A coordinator's process; it is killed when the test ends, however it ends.
pub(crate) struct Leader {
    process: Child,
    lines: Receiver<String>,
}

impl Drop for Leader {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Leader {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (told, lines) = unbounded();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        Self { process, lines }
    }

    /// Reads what it prints until something of it fits.
    pub(crate) fn wait_until<T>(&mut self, what: &str, mut fits: impl FnMut(&str) -> Option<T>) -> T {
        let until = Instant::now() + SOON;
        let mut said = Vec::new();
        loop {
            match self.lines.recv_deadline(until) {
                Ok(line) => {
                    if let Some(found) = fits(&line) {
                        return found;
                    }
                    said.push(line);
                }
                Err(RecvTimeoutError::Timeout) => panic!("not within a minute: {what}; it said {said:#?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    let mut error = String::new();
                    let _ = self.process.stderr.take().unwrap().read_to_string(&mut error);
                    panic!("it ended before: {what}; it said {said:#?} and {error}");
                }
            }
        }
    }

    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        self.wait_until(part, |line| line.contains(part).then(|| line.to_owned()))
    }

    /// The hash after the first tick that it reports from this one on.
    pub(crate) fn wait_for_tick(&mut self, tick: u64) -> (u64, String) {
        self.wait_until(&format!("tick {tick}"), |line| {
            let (at, hash) = line.strip_prefix("tick ")?.split_once(", hash ")?;
            let at = at.trim().parse().ok().filter(|at| *at >= tick)?;
            Some((at, hash.to_owned()))
        })
    }

    pub(crate) fn signal(&self, signal: i32) {
        engine_net::child::signal(&self.process, signal).unwrap();
    }

    /// Waits for its end; its code, and what it wrote to standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + SOON;
        while self.lines.recv_deadline(until).is_ok() {}
        let mut error = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        (self.process.wait().unwrap().code(), error)
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ends_well(self) {
        let (code, error) = self.end();
        assert_eq!(code, Some(0), "{error}");
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn finish(self) {
        self.signal(libc::SIGTERM);
        let (code, error) = self.end();
        assert_eq!(code, Some(0), "{error}");
    }
}

/// Somebody outside, with a connection.
pub(crate) struct Outside {
    io: Io,
    pub(crate) subjects: Subjects,
}

impl Outside {
    /// Asks until somebody answers: meanwhile there may be no coordinator.
    fn ask(&self, subject: &str, request: &[u8]) -> Vec<u8> {
        let until = Instant::now() + SOON;
        loop {
            let message = Outgoing::new(subject.to_owned(), request.to_vec());
            match self.io.handle().request_blocking(Lane(0), message, Duration::from_secs(2)) {
                Ok(answer) => return answer.payload.to_vec(),
                Err(error) => assert!(Instant::now() < until, "{subject}: {error}"),
            }
        }
    }

    /// Gives a command once, and waits no longer than this for its answer.
    pub(crate) fn try_act(&self, id: &str, action: Action, patience: Duration) -> Option<Reply<Done>> {
        let (aggregate, verb) = action.subject();
        let subject = self.subjects.command("world", aggregate, verb);
        let command = strict::encode(&Asked::new(id, action));
        let answer = self.io.handle().request_blocking(Lane(0), Outgoing::new(subject, command), patience).ok()?;
        Some(strict::decode::<CommandReply>(&answer.payload, CommandReply::LIMIT).unwrap())
    }

    /// Gives a command, again and again under the same id.
    pub(crate) fn act(&self, id: &str, action: Action) -> Done {
        let until = Instant::now() + SOON;
        loop {
            match self.try_act(id, action.clone(), Duration::from_secs(2)) {
                Some(Reply::Ok(done)) => return done,
                Some(Reply::Error(problem)) => {
                    assert!(matches!(&problem.code[..], "unavailable" | "overloaded"), "{problem:?}");
                }
                None => {}
            }
            assert!(Instant::now() < until, "nobody does {id}");
        }
    }

    /// Makes an entity; its number.
    pub(crate) fn spawn(&self, id: &str) -> engine_component::Entity {
        self.act(id, one()).entities[0]
    }

    pub(crate) fn is_there(&self, entity: engine_component::Entity) -> bool {
        let request = strict::encode(&QueryRequest { entities: vec![entity], ..QueryRequest::default() });
        loop {
            let answer = self.ask(&self.subjects.query(), &request);
            match strict::decode::<QueryReply>(&answer, QueryReply::LIMIT).unwrap() {
                Reply::Ok(page) => return !page.rows.is_empty(),
                Reply::Error(problem) => assert_eq!(problem.code, "unavailable", "{problem:?}"),
            }
        }
    }

    pub(crate) fn status(&self) -> Status {
        match strict::decode::<StatusReply>(&self.ask(&self.subjects.status(), b""), StatusReply::LIMIT).unwrap() {
            Reply::Ok(status) => status,
            Reply::Error(problem) => panic!("{problem:?}"),
        }
    }

    /// Looks at the status until it fits.
    pub(crate) fn until<T>(&self, what: &str, mut fits: impl FnMut(&Status) -> Option<T>) -> T {
        let until = Instant::now() + SOON;
        loop {
            let status = self.status();
            if let Some(found) = fits(&status) {
                return found;
            }
            assert!(Instant::now() < until, "not within a minute: {what}; it is {status:?}");
        }
    }
}

/// An entity without components.
pub(crate) fn one() -> Action {
    Action::Spawn { entities: vec![Components::new()] }
}
