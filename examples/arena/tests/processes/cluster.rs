//! Processes of the arena on a server of their own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use engine::app::{Settings, TimeMode};
use engine::net::server::{PrivateServer, ServerOptions};

pub(crate) const SYSTEMS: [&str; 7] = ["steer", "integrate", "collide", "strike", "suffer", "respawn", "score"];
pub(crate) const TICKS: u64 = 300;
/// Small shards, so that a few thousand fighters make jobs for five instances.
const ROWS: usize = 512;

/// A process that is killed when the test ends, however it ends.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub(crate) fn signal(&self, signal: i32) {
        engine::net::child::signal(&self.0, signal).unwrap();
    }
}

/// A cluster of real processes.
pub(crate) struct Cluster {
    pub(crate) server: PrivateServer,
    entities: u32,
}

impl Cluster {
    pub(crate) fn new(entities: u32) -> Self {
        Self::with(&ServerOptions::default(), entities)
    }

    /// A server of which the world log makes use.
    pub(crate) fn with_log(entities: u32) -> Self {
        Self::with(&ServerOptions { jetstream: true, ..ServerOptions::default() }, entities)
    }

    fn with(options: &ServerOptions, entities: u32) -> Self {
        Self { server: PrivateServer::start(options).unwrap(), entities }
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arena"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        for (name, value) in self.server.config().to_environment() {
            command.env(name, value);
        }
        Process(command.spawn().unwrap())
    }

    pub(crate) fn instance(&self, system: &str, number: usize) -> Process {
        self.start(&["system", system, "--instance", &format!("{system}-{number}")])
    }

    pub(crate) fn coordinator(&self) -> Coordinator {
        self.coordinator_with(&[])
    }

    /// A coordinator with further arguments.
    pub(crate) fn coordinator_with(&self, more: &[&str]) -> Coordinator {
        let (ticks, rows, entities) = (TICKS.to_string(), ROWS.to_string(), self.entities.to_string());
        let arguments = [
            "coordinator",
            "--exit",
            "--time",
            "fast",
            "--ticks",
            &ticks,
            "--rows-per-shard",
            &rows,
            "--entities",
            &entities,
            "--report-every",
            "20",
        ];
        let mut process = self.start(&[&arguments, more].concat());
        let lines = BufReader::new(process.0.stdout.take().unwrap());
        Coordinator { process, lines }
    }
}

pub(crate) struct Coordinator {
    pub(crate) process: Process,
    lines: BufReader<std::process::ChildStdout>,
}

impl Coordinator {
    /// Reads what the coordinator prints until it has committed a tick.
    pub(crate) fn wait_for_tick(&mut self, tick: u64) {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            let reached =
                line.strip_prefix("tick ").and_then(|rest| rest.split(',').next()?.trim().parse::<u64>().ok());
            if reached.is_some_and(|reached| reached >= tick) {
                return;
            }
            line.clear();
        }
        panic!("the coordinator ended before tick {tick}");
    }

    /// Reads what the coordinator prints until a line begins like this.
    pub(crate) fn wait_for(&mut self, beginning: &str) {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            if line.starts_with(beginning) {
                return;
            }
            line.clear();
        }
        panic!("the coordinator ended before it said: {beginning}");
    }

    /// The hash after the last tick.
    pub(crate) fn hash(mut self) -> String {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert!(self.process.0.wait().unwrap().success());
        let last = rest.lines().rev().find(|line| line.starts_with("tick ")).unwrap_or_else(|| panic!("{rest}"));
        let (tick, hash) = last.split_once(", hash ").unwrap();
        assert_eq!(tick, format!("tick {TICKS}"));
        hash.to_owned()
    }
}

pub(crate) fn in_process(entities: u32, threads: usize) -> String {
    let settings =
        Settings { ticks: Some(TICKS), time: TimeMode::Fast, threads, rows_per_shard: ROWS, ..Settings::default() };
    let options = BTreeMap::from([("entities".to_owned(), entities.to_string())]);
    let outcome = arena::app().run_in_process(settings, &options, &engine::app::Stop::default(), |_, _| {}).unwrap();
    assert_eq!(outcome.tick, TICKS);
    outcome.hash.to_string()
}

/// Each line: entities, and the hash after 300 ticks. A change of it is a change of behaviour, to be made
/// on purpose: ENGINE_BLESS=1 writes the file anew.
pub(crate) fn golden(entities: u32) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/hashes.txt");
    let known = std::fs::read_to_string(path).unwrap_or_default();
    let line = known.lines().find_map(|line| line.strip_prefix(&format!("{entities} ")));
    if let Some(hash) = line.filter(|_| std::env::var_os("ENGINE_BLESS").is_none()) {
        return hash.to_owned();
    }
    assert!(
        std::env::var_os("ENGINE_BLESS").is_some(),
        "{path} has no hash for {entities} entities; ENGINE_BLESS=1 adds it"
    );
    let hash = in_process(entities, 1);
    let mut lines: Vec<String> =
        known.lines().filter(|line| !line.starts_with(&format!("{entities} "))).map(str::to_owned).collect();
    lines.push(format!("{entities} {hash}"));
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
    hash
}
