//! A world to talk about: its components, a coordinator in a thread, and the program.

use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine_app::{App, Settings, Stop, TimeMode, driver, epoch_of_now};
use engine_component::query::Query;
use engine_component::{Component, Data, Entity};
use engine_math::Vec2;
use engine_net::config::ConnectionConfig;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Position", finite)]
pub(crate) struct Position {
    pub(crate) at: Vec2,
    #[component(default = 1.0)]
    pub(crate) size: f32,
    #[component(default = 7)]
    pub(crate) layer: u32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Pair")]
pub(crate) struct Pair {
    pub(crate) both: [Entity; 2],
}

#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[component(name = "t.Story", document)]
pub(crate) struct Story {
    pub(crate) text: String,
    pub(crate) rival: Option<Entity>,
    pub(crate) friends: Vec<Entity>,
    pub(crate) met: Vec<Meeting>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meeting {
    pub(crate) with: Entity,
    pub(crate) tick: u64,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "t.Health")]
pub(crate) struct Health(pub(crate) u32);

#[derive(Component, Clone, Copy, Debug, Default)]
#[component(name = "t.Alive")]
pub(crate) struct Alive;

fn drift(time: Time, mut positions: Query<&mut Position>) {
    for position in &mut positions {
        position.at.x += time.dt;
    }
}

/// An app that knows every component, and moves what has a position.
pub(crate) fn app() -> App {
    App::new("t").add_system("drift", drift).on_start(|start| {
        for schema in [Pair::schema(), Story::schema(), Health::schema(), Alive::schema()] {
            start.world.register_schema(schema)?;
        }
        Ok(())
    })
}

/// A coordinator in a thread, with its systems; stopped when it is dropped.
pub(crate) struct World {
    pub(crate) config: ConnectionConfig,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
    /// Declared last: the coordinator is gone before its server goes.
    server: Option<Arc<PrivateServer>>,
}

impl World {
    /// A world of its own server that stands still at tick 0.
    pub(crate) fn paused(app: App) -> Self {
        Self::start(app, Settings { paused: true, ..Settings::default() })
    }

    pub(crate) fn start(app: App, settings: Settings) -> Self {
        let server = Arc::new(PrivateServer::start(&ServerOptions::default()).unwrap());
        Self::start_at(server, app, settings)
    }

    pub(crate) fn start_at(server: Arc<PrivateServer>, app: App, settings: Settings) -> Self {
        let config = ConnectionConfig { world: settings.world.clone(), ..server.config() };
        let mut world = Self::start_with(&config, app, settings);
        world.server = Some(server);
        world
    }

    pub(crate) fn start_with(config: &ConnectionConfig, app: App, settings: Settings) -> Self {
        let settings = Settings { time: TimeMode::Dilate, threads: 1, ..settings };
        let options = app.option_values(&[]);
        let (mut coordinator, _) = app.into_coordinator(settings, &options, |_| true, epoch_of_now()).unwrap();
        let (stop, config) = (Stop::default(), config.clone());
        let (asked, connection) = (stop.clone(), config.clone());
        let thread = std::thread::spawn(move || {
            driver::run(&mut coordinator, Some(&connection), true, &asked, |_, _| {}).unwrap();
        });
        let world = Self { config, stop, thread: Some(thread), server: None };
        until("the coordinator answers", || world.engine(&["status"]).status.success());
        world
    }

    pub(crate) fn engine(&self, arguments: &[&str]) -> Output {
        engine(&self.config, arguments)
    }

    /// Runs the program, and what it printed.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.engine(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs the program, which has to fail, and its error.
    pub(crate) fn refuses(&self, arguments: &[&str]) -> String {
        refusal(&self.engine(arguments))
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let said = self.says(&[arguments, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// The rows of a query, by entity.
    pub(crate) fn query(&self, arguments: &[&str]) -> Vec<Value> {
        let said = self.says(&[&["query", "--json"], arguments].concat());
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn hash(&self) -> String {
        self.json(&["status"])["hash"].as_str().unwrap().to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.ask();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_none_or(|ended| ended.is_ok()), "the coordinator's thread failed");
        }
    }
}

/// Runs the program against a server.
pub(crate) fn engine(config: &ConnectionConfig, arguments: &[&str]) -> Output {
    command(config, arguments).output().unwrap()
}

pub(crate) fn command(config: &ConnectionConfig, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.args(arguments).stdin(Stdio::null()).env("RUST_BACKTRACE", "1");
    command.envs(config.to_environment());
    command
}

pub(crate) fn refusal(output: &Output) -> String {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: ") && !error.contains("backtrace"), "{error}");
    error
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Asks again and again; a test that would hang fails.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::yield_now();
    }
}

/// A process that is killed when the test ends, however it ends.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
