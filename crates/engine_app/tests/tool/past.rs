//! `snapshot`, `replay`, `diff` and `branch`.

use std::collections::BTreeMap;
use std::process::Stdio;

use clap::Parser;
use engine_app::past::Past;
use engine_app::past::repeat::Program;
use engine_app::past::replay::replay;
use engine_app::{App, CoordinatorArgs, run_coordinator};
use engine_component::query::Query;
use engine_math::Vec2;
use engine_net::config::ConnectionConfig;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::Time;
use serde_json::Value;

use crate::world::{self, Health, Position, Process, command, engine, refusal, text, until};

const TICKS: u64 = 40;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: CoordinatorArgs,
}

/// A server on which the world `main` had forty ticks, with a system, and a log.
struct Site {
    config: ConnectionConfig,
    files: tempfile::TempDir,
    _server: PrivateServer,
}

fn app() -> App {
    world::app().on_start(|start| {
        start.world.spawn_batch((0..100_u8).map(|x| Position { at: Vec2::new(x.into(), 0.0), size: 1.0, layer: 7 }));
        Ok(())
    })
}

impl Site {
    fn empty() -> Self {
        let server = PrivateServer::start(&ServerOptions { jetstream: true, ..ServerOptions::default() }).unwrap();
        Self { config: server.config(), files: tempfile::tempdir().unwrap(), _server: server }
    }

    fn new() -> Self {
        let site = Self::empty();
        site.run(app(), "main", TICKS);
        site
    }

    /// Runs a world up to a tick.
    fn run(&self, app: App, world: &str, ticks: u64) {
        let ticks = ticks.to_string();
        let arguments = ["t", "--durability", "server", "--exit", "--time", "fast", "--ticks", &ticks];
        // As flags: the environment is that of all tests.
        let place = self.config.to_environment().into_iter().filter(|(name, _)| name.starts_with("NATS_"));
        let place = place.map(|(name, value)| {
            let name = name.replace("NATS_LOG_", "LOG_").to_lowercase().replace('_', "-");
            format!("--{name}={value}")
        });
        let arguments = arguments.into_iter().chain(["--world", world]).map(str::to_owned);
        let args = Cli::parse_from(arguments.chain(place)).args;
        run_coordinator(app, &args, &["drift".into()], &BTreeMap::new(), None).unwrap();
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = engine(&self.config, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn refuses(&self, arguments: &[&str]) -> String {
        refusal(&engine(&self.config, arguments))
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    fn ticks(&self, world: &str) -> Vec<u64> {
        let listed = self.json(&["snapshot", "list", "--world", world]);
        listed["keyframes"].as_array().unwrap().iter().map(|keyframe| keyframe["tick"].as_u64().unwrap()).collect()
    }
}

#[test]
fn a_keyframe_goes_to_a_file_and_begins_another_world() {
    let site = Site::new();
    let listed = site.json(&["snapshot", "list"]);
    let first = listed["keyframes"].as_array().unwrap().last().unwrap();
    assert_eq!((&first["tick"], &first["entities"]), (&0.into(), &100.into()), "{listed}");
    assert_eq!((&listed["log"]["last"], &listed["oldest"]), (&TICKS.into(), &0.into()), "{listed}");
    assert!(site.says(&["snapshot", "list"]).contains("ends with tick 40; every tick from 0 on"));

    let file = site.file("zero");
    let said = site.json(&["snapshot", "export", &file, "--at", "0"]);
    assert_eq!(
        (&said["hash"], said["bytes"].as_u64()),
        (&first["hash"], Some(std::fs::metadata(&file).unwrap().len()))
    );
    let said = site.json(&["snapshot", "import", &file, "--as", "copy"]);
    assert_eq!((&said["world"], &said["hash"]), (&"copy".into(), &first["hash"]));
    assert_eq!(site.ticks("copy"), [0]);
    let error = site.refuses(&["snapshot", "import", &file, "--as", "copy"]);
    assert!(error.contains("world `copy` exists already"), "{error}");
    let error = site.refuses(&["snapshot", "import", &file, "--as", "main"]);
    assert!(error.contains("world `main` exists already"), "{error}");
    assert!(site.says(&["diff", "0", &file]).contains("the same: 100 entities"));

    // The copy comes to the same world as the first one.
    site.run(app(), "copy", TICKS);
    let blueprint = app().into_blueprint(&BTreeMap::new(), &|_| true).unwrap();
    let program = Program { name: "t", blueprint: &blueprint, threads: 1 };
    let ends = ["main", "copy"].map(|world| {
        let past = Past::open(&ConnectionConfig { world: world.into(), ..site.config.clone() }).unwrap();
        let mut repeat = engine_app::past::repeat::Repeat::begin(&past, &program, past.before(0).unwrap()).unwrap();
        repeat.run_to(TICKS, |_| {}).unwrap();
        repeat.committed()
    });
    assert_eq!(ends[0], ends[1]);
}

#[test]
fn a_file_that_was_changed_anywhere_is_refused() {
    let site = Site::new();
    let (file, bad) = (site.file("good"), site.file("bad"));
    site.says(&["snapshot", "export", &file, "--at", "0"]);
    let good = std::fs::read(&file).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&bad, bytes).unwrap();
        engine_app::past::file::read(bad.as_ref()).map(|stored| stored.open()).map(|_| ()).unwrap_err().to_string()
    };
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone();
        bytes[at] ^= 16;
        refused(&bytes);
    }
    for length in [0, 1, 8, 15, 16, 43, 44, good.len() / 2, good.len() - 1] {
        refused(&good[..length]);
    }
    assert!(refused(&[good.as_slice(), b"more"].concat()).contains("cut short, or changed"));

    let error = site.refuses(&["snapshot", "import", &bad, "--as", "never"]);
    assert!(error.contains("its checksum is not that of its bytes"), "{error}");
    let error = site.refuses(&["snapshot", "list", "--world", "never"]);
    assert!(error.contains("world `never` has no log"), "nothing was begun: {error}");
    std::fs::write(&bad, "[[entity]]").unwrap();
    let error = site.refuses(&["diff", &file, &bad]);
    assert!(error.contains("it is no keyframe that `engine snapshot export` has written"), "{error}");
}

#[test]
fn without_functions_keyframes_are_all_that_can_be_had() {
    let site = Site::new();
    let error = site.refuses(&["replay"]);
    assert!(
        error.contains("`engine` has no function of the systems drift") && error.contains("arena replay"),
        "{error}"
    );
    assert!(site.refuses(&["diff", "0", "1"]).contains("no function of the systems drift"));
    assert!(site.refuses(&["branch", "--at", "1", "--as", "x"]).contains("no function of the systems drift"));
    assert!(site.refuses(&["snapshot", "list", "--world", "x"]).contains("no log"), "nothing was begun");
    assert!(site.refuses(&["snapshot", "export", &site.file("x"), "--at", "1"]).contains("no keyframe of tick 1"));
    site.says(&["branch", "--at", "0", "--as", "again"]);
    assert_eq!(site.ticks("again"), [0]);
}

#[test]
fn a_program_that_computes_otherwise_diverges_at_the_first_tick_that_differs() {
    fn drift(time: Time, mut positions: Query<&mut Position>) {
        for position in &mut positions {
            position.at.x += if time.tick < 9 { time.dt } else { 0.0 };
        }
    }
    fn wounds(mut healths: Query<&mut Health>) {
        for health in &mut healths {
            health.0 += 1;
        }
    }
    let site = Site::new();
    let past = Past::open(&site.config).unwrap();
    let with = |app: App| {
        let blueprint = app.into_blueprint(&BTreeMap::new(), &|_| true).unwrap();
        replay(&past, &Program { name: "t", blueprint: &blueprint, threads: 1 }, None, None, |_, _| {})
    };
    let same = with(app()).unwrap();
    assert_eq!((same.ticks, same.to, same.diverged), (TICKS, TICKS, None));
    let found = with(App::new("t").add_system("drift", drift)).unwrap();
    let diverged = found.diverged.unwrap();
    assert_eq!((diverged.tick, found.to), (9, 8));
    assert_ne!(diverged.recorded, diverged.replayed);
    let error = format!("{:#}", with(App::new("t").add_system("drift", wounds)).unwrap_err());
    assert!(error.contains("`t` is not the program that ran world `main`") && error.contains("drift"), "{error}");
}

#[test]
fn the_coordinator_stores_a_keyframe_when_it_is_asked() {
    let site = Site::empty();
    let coordinate = |more: &[&str]| {
        let mut coordinator = command(&site.config, &[&["coordinator", "--rate", "200"], more].concat());
        let process = Process(coordinator.stdout(Stdio::null()).spawn().unwrap());
        until("it answers", || engine(&site.config, &["status"]).status.success());
        process
    };
    let without = coordinate(&[]);
    let error = site.refuses(&["snapshot", "create"]);
    assert!(error.contains("(no_log)") && error.contains("--durability server"), "{error}");
    drop(without);
    let _coordinator = coordinate(&["--durability", "server", "--lease", "1"]);
    until("it leads", || engine(&site.config, &["pause"]).status.success());
    let at = site.json(&["step", "5"])["tick"].as_u64().unwrap();
    let stored = site.json(&["snapshot", "create"]);
    assert_eq!(stored["tick"], at);
    assert_eq!(site.ticks("main")[0], at);
    site.says(&["resume"]);
    until("it runs", || site.json(&["status"])["tick"].as_u64().unwrap() > at + 20);
    let said = site.says(&["snapshot", "create"]);
    assert!(said.starts_with("keyframe of tick ") && said.contains("; stored in "), "{said}");

    // A world without systems needs no functions.
    let replayed = site.json(&["replay", "--from", "1", "--to", &(at + 10).to_string()]);
    assert_eq!((&replayed["diverged"], &replayed["to"]), (&Value::Null, &(at + 10).into()), "{replayed}");
    site.says(&["branch", "--at", &(at + 3).to_string(), "--as", "other"]);
    assert_eq!(site.ticks("other"), [at + 3]);
}
