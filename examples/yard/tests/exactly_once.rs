//! Whatever is killed, the server too: each order counts once, and whoever gave it is told so.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::math::vec2;
use engine::net::server::{PrivateServer, ServerOptions};
use engine::service::command::{Client, Patience};
use engine::service::{Link, ServiceError};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use yard::{Go, Going};

/// Robots that are sent about at once, each by a program of its own.
const ROBOTS: u32 = 4;
/// Answers between two kills.
const BETWEEN: u64 = 24;
/// Shards of few robots, so that orders go to several jobs.
const YARD: [&str; 4] = ["--robots", "200", "--rows-per-shard", "64"];
const KEEPS: [&str; 6] = ["--durability", "server", "--lease", "1", "--rate", "200"];
/// Whoever does not lead waits until it may.
const STANDS_BY: [&str; 1] = ["--standby"];

/// The processes of a yard: killed when the test ends, however it ends.
struct Yard {
    server: PrivateServer,
    processes: BTreeMap<String, Child>,
}

impl Yard {
    fn start() -> Self {
        let options = ServerOptions { jetstream: true, ..ServerOptions::default() };
        let server = PrivateServer::start(&options).expect("a server");
        let mut yard = Self { server, processes: BTreeMap::new() };
        for name in ["leader-a", "leader-b", "worker-a", "worker-b"] {
            yard.start_process(name);
        }
        yard
    }

    fn start_process(&mut self, name: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yard"));
        if name.starts_with("leader") {
            command.arg("coordinator").args(YARD).args(KEEPS).args(STANDS_BY);
        } else {
            command.args(["system", "obey", "drive", "--instance", name]);
        }
        command.envs(self.server.config().to_environment()).stdin(Stdio::null()).stdout(Stdio::null());
        let before = self.processes.insert(name.to_owned(), command.spawn().expect("the program is there"));
        assert!(before.is_none(), "{name}");
    }

    fn kill(&mut self, name: &str) {
        if name == "server" {
            self.server.kill();
            return self.server.restart().expect("a server");
        }
        let mut child = self.processes.remove(name).expect("it was started");
        child.kill().expect("it can be killed");
        child.wait().expect("it has ended");
        self.start_process(name);
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        for child in self.processes.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How far the programs are.
#[derive(Default)]
struct Progress {
    answers: AtomicU64,
    news: Notify,
    wrong: Mutex<Vec<String>>,
}

/// Sends a robot about for ever. The answers count: each is one more than the one before.
async fn send_about(link: Link, robot: u32, progress: Arc<Progress>) {
    let patience = Patience { one: Duration::from_secs(1), all: Duration::from_secs(120), ..Patience::default() };
    let client = Client::new(&link).with_patience(patience);
    for expected in 1.. {
        let to = vec2(f32::from(u8::try_from(expected % 50).expect("below 50")), 0.0);
        let answer = client.command(&Go { robot, to }).await;
        if !matches!(&answer, Ok(Going { orders, .. }) if *orders == expected) {
            let wrong = format!("robot {robot}, order {expected}: {answer:?}");
            progress.wrong.lock().expect("nobody panics here").push(wrong);
            progress.news.notify_one();
            return;
        }
        progress.answers.fetch_add(1, Ordering::Relaxed);
        progress.news.notify_one();
    }
}

impl Progress {
    async fn wait_for(&self, answers: u64) {
        while self.answers.load(Ordering::Relaxed) < answers {
            let news = self.news.notified();
            if self.answers.load(Ordering::Relaxed) < answers {
                news.await;
            }
            let wrong = self.wrong.lock().expect("nobody panics here");
            assert!(wrong.is_empty(), "{wrong:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_order_counts_once_whatever_is_killed() -> Result<(), ServiceError> {
    let mut yard = Yard::start();
    let link = Link::open(&yard.server.config(), "test").await?;
    let progress = Arc::new(Progress::default());
    let mut programs = JoinSet::new();
    for robot in 0..ROBOTS {
        programs.spawn(send_about(link.clone(), robot * 60, progress.clone()));
    }
    let mut answers = BETWEEN;
    progress.wait_for(answers).await;
    for name in ["leader-a", "worker-a", "leader-b", "worker-b", "server", "leader-a", "leader-b"] {
        yard.kill(name);
        answers = progress.answers.load(Ordering::Relaxed) + BETWEEN;
        progress.wait_for(answers).await;
    }
    // What can't be done is said at once, with the world untouched.
    let client = Client::new(&link);
    let refused = |error: ServiceError| match error {
        ServiceError::Refused { problem, .. } => problem.code,
        other => panic!("{other}"),
    };
    let nobody = client.command(&Go { robot: 7777, to: vec2(0.0, 0.0) }).await.map_err(refused);
    assert_eq!(nobody, Err("unanswered".to_owned()));
    Ok(())
}
