//! `engine coordinator`: a world for systems that are built elsewhere.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use engine_app::{App, Stop};
use engine_component::query::Query;
use engine_net::config::ConnectionConfig;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::runner::{InstanceOptions, run_instance};

use crate::world::{Health, Position, Process, command, engine, text, until};

/// An instance in a thread.
struct Instance {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Instance {
    fn start(config: &ConnectionConfig, app: App, name: &str) -> Self {
        let (stop, config) = (Stop::default(), config.clone());
        let options = InstanceOptions { name: Some(name.into()), stop: stop.flag(), ..InstanceOptions::default() };
        let systems = app.into_systems().unwrap();
        let thread = std::thread::spawn(move || run_instance(&config, systems, options).unwrap());
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop.flag().store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn age(mut all: Query<&mut Health>) {
    for health in &mut all {
        health.0 += 1;
    }
}

fn grow(mut all: Query<(&mut Position, &Health)>) {
    for (position, health) in &mut all {
        position.size = health.0 as f32;
    }
}

#[test]
fn foreign_systems_run_on_a_scene() {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let config = server.config();
    let directory = tempfile::tempdir().unwrap();
    let scene = directory.path().join("scene.toml");
    std::fs::write(&scene, "[[entity]]\nt.Health = 5\nt.Position.at = { x = 1, y = 2 }\n").unwrap();
    let arguments = ["coordinator", "--expect", "age", "--expect", "grow", "--ticks", "10", "--time", "fast"];
    let scene = ["--scene", scene.to_str().unwrap()];
    let mut coordinator = command(&config, &[&arguments[..], &scene].concat());
    let mut coordinator = Process(coordinator.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(coordinator.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "coordinator of world `main`: 0 entities; waiting for systems: age, grow");
    let _age = Instance::start(&config, App::new("one").add_system("age", age), "age-1");
    let _grow = Instance::start(&config, App::new("other").add_system("grow", grow), "grow-1");
    let line = lines.next().unwrap();
    assert!(line.ends_with("scene.toml: 1 entities"), "{line}");
    let status = || text(&engine(&config, &["status", "--json"]).stdout);
    until("tick 10", || status().contains("\"tick\":10,"));
    let rows = text(&engine(&config, &["query", "--json", "t.Health, t.Position.size"]).stdout);
    assert_eq!(rows, "{\"entity\":1,\"t.Health\":15,\"t.Position\":{\"size\":15.0}}\n");

    // Nothing but the names says that `age` is first: two programs registered them.
    let doctor = text(&engine(&config, &["doctor"]).stdout);
    assert!(doctor.contains("warn  order          `age` runs before `grow` only because of their names"), "{doctor}");
    assert!(text(&engine(&config, &["status"]).stdout).contains("age-1"));
}

#[test]
fn a_scene_that_does_not_fit_ends_the_coordinator() {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let config = server.config();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scene.toml");
    let scene = path.to_str().unwrap();
    let run = |text: &str| {
        std::fs::write(&path, text).unwrap();
        crate::world::refusal(&engine(&config, &["coordinator", "--time", "fast", "--scene", scene]))
    };
    assert!(run("[[entity]\n").contains("scene.toml:1: "));
    let error = run("[[entity]]\nt.Health = 5\n");
    assert!(error.contains("--expect"), "{error}");
    let error = crate::world::refusal(&engine(&config, &["coordinator", "--rate", "0"]));
    assert!(error.contains("it has to be above 0"), "{error}");
}

#[test]
fn help_teaches_by_examples() {
    let config = ConnectionConfig::default();
    let commands =
        ["coordinator", "status", "components", "query", "spawn", "set", "despawn", "doctor", "step", "speed"];
    for command in commands {
        let output = engine(&config, &[command, "--help"]);
        let help = text(&output.stdout);
        assert!(output.status.success() && help.contains("Examples:"), "{command}: {help}");
        assert!(help.contains("--nats-url") && help.contains("--world"), "{command}: {help}");
    }
    for command in commands.iter().take(9) {
        assert!(text(&engine(&config, &["--help"]).stdout).contains(command));
    }
}
