//! The same world, bit for bit, in every topology: real processes and a real nats-server.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]
#![expect(unsafe_code, reason = "SIGSTOP and SIGCONT are sent by libc::kill")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use engine::app::{Settings, TimeMode};
use engine::net::server::{PrivateServer, ServerOptions};

const SYSTEMS: [&str; 7] = ["steer", "integrate", "collide", "strike", "suffer", "respawn", "score"];
const TICKS: u64 = 300;
/// Small shards, so that a few thousand fighters make jobs for five instances.
const ROWS: usize = 512;

/// A process that is killed when the test ends, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn signal(&self, signal: i32) {
        // SAFETY: sends a signal to a child that was not waited for, so the number is still its own.
        let sent = unsafe { libc::kill(self.0.id() as i32, signal) };
        assert_eq!(sent, 0);
    }
}

/// A cluster of real processes.
struct Cluster {
    server: PrivateServer,
    entities: u32,
}

impl Cluster {
    fn new(entities: u32) -> Self {
        Self { server: PrivateServer::start(&ServerOptions::default()).unwrap(), entities }
    }

    fn start(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arena"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        for (name, value) in self.server.config().to_environment() {
            command.env(name, value);
        }
        Process(command.spawn().unwrap())
    }

    fn instance(&self, system: &str, number: usize) -> Process {
        self.start(&["system", system, "--instance", &format!("{system}-{number}")])
    }

    fn coordinator(&self) -> Coordinator {
        let (ticks, rows, entities) = (TICKS.to_string(), ROWS.to_string(), self.entities.to_string());
        let process = self.start(&[
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
        ]);
        let mut process = process;
        let lines = BufReader::new(process.0.stdout.take().unwrap());
        Coordinator { process, lines }
    }
}

struct Coordinator {
    process: Process,
    lines: BufReader<std::process::ChildStdout>,
}

impl Coordinator {
    /// Reads what the coordinator prints until it has committed a tick.
    fn wait_for_tick(&mut self, tick: u64) {
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

    /// The hash after the last tick.
    fn hash(mut self) -> String {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert!(self.process.0.wait().unwrap().success());
        let last = rest.lines().rev().find(|line| line.starts_with("tick ")).unwrap_or_else(|| panic!("{rest}"));
        let (tick, hash) = last.split_once(", hash ").unwrap();
        assert_eq!(tick, format!("tick {TICKS}"));
        hash.to_owned()
    }
}

fn in_process(entities: u32, threads: usize) -> String {
    let settings =
        Settings { ticks: Some(TICKS), time: TimeMode::Fast, threads, rows_per_shard: ROWS, ..Settings::default() };
    let options = BTreeMap::from([("entities".to_owned(), entities.to_string())]);
    let outcome = arena::app().run_in_process(settings, &options, &engine::app::Stop::default(), |_, _| {}).unwrap();
    assert_eq!(outcome.tick, TICKS);
    outcome.hash.to_string()
}

/// Each line: entities, and the hash after 300 ticks. A change of it is a change of behaviour, to be made
/// on purpose: ENGINE_BLESS=1 writes the file anew.
fn golden(entities: u32) -> String {
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

const MANY: u32 = 20_000;
const FEW: u32 = 4_000;

#[test]
fn threads_do_not_change_the_world() {
    assert_eq!(in_process(MANY, 1), golden(MANY));
    assert_eq!(in_process(MANY, 2), golden(MANY));
}

fn instances_of_each(count: usize) {
    let cluster = Cluster::new(FEW);
    let coordinator = cluster.coordinator();
    let _instances: Vec<Process> = SYSTEMS
        .iter()
        .flat_map(|system| (0..count).map(|number| cluster.instance(system, number)).collect::<Vec<_>>())
        .collect();
    assert_eq!(coordinator.hash(), golden(FEW));
}

#[test]
fn one_instance_of_each_system() {
    instances_of_each(1);
}

#[test]
fn two_instances_of_each_system() {
    instances_of_each(2);
}

#[test]
fn three_instances_of_each_system() {
    instances_of_each(3);
}

#[test]
fn five_instances_of_each_system() {
    instances_of_each(5);
}

#[test]
fn systems_that_start_before_the_coordinator() {
    let cluster = Cluster::new(FEW);
    let _instances: Vec<Process> = SYSTEMS.iter().map(|system| cluster.instance(system, 0)).collect();
    let coordinator = cluster.coordinator();
    assert_eq!(coordinator.hash(), golden(FEW));
}

/// Nobody else can do the work of the only instance: the tick waits for another one, and goes on with it.
#[test]
fn the_only_instance_of_a_system_is_killed_and_replaced() {
    let cluster = Cluster::new(FEW);
    let mut coordinator = cluster.coordinator();
    let mut instances: Vec<Process> = SYSTEMS.iter().map(|system| cluster.instance(system, 0)).collect();
    for round in 1..4 {
        coordinator.wait_for_tick(60 * round);
        drop(instances.remove(0));
        instances.insert(0, cluster.instance("steer", round as usize));
    }
    assert_eq!(coordinator.hash(), golden(FEW));
}

#[test]
fn a_server_that_goes_away_and_comes_back() {
    let mut cluster = Cluster::new(FEW);
    let mut coordinator = cluster.coordinator();
    let _instances: Vec<Process> = SYSTEMS
        .iter()
        .flat_map(|system| (0..2).map(|number| cluster.instance(system, number)).collect::<Vec<_>>())
        .collect();
    for tick in [60, 160] {
        coordinator.wait_for_tick(tick);
        cluster.server.restart().unwrap();
    }
    assert_eq!(coordinator.hash(), golden(FEW));
}

#[test]
fn instances_that_are_killed_paused_join_and_leave() {
    let cluster = Cluster::new(FEW);
    let mut coordinator = cluster.coordinator();
    let mut instances: Vec<Process> = SYSTEMS
        .iter()
        .flat_map(|system| (0..2).map(|number| cluster.instance(system, number)).collect::<Vec<_>>())
        .collect();
    // One dies in the middle of everything.
    coordinator.wait_for_tick(40);
    drop(instances.remove(0));
    // One stands still for two seconds; the clock is what is tested here.
    coordinator.wait_for_tick(80);
    instances[2].signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_secs(2));
    instances[2].signal(libc::SIGCONT);
    // One comes, and one leaves politely.
    coordinator.wait_for_tick(120);
    instances.push(cluster.instance("steer", 7));
    coordinator.wait_for_tick(160);
    instances[4].signal(libc::SIGTERM);
    assert!(instances[4].0.wait().unwrap().success());
    assert_eq!(coordinator.hash(), golden(FEW));
}
