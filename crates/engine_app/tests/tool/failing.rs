//! What `scene load` does and says when a later batch fails: at a coordinator that fails as it is told.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use engine_component::{Data, Entity, WorldHash};
use engine_net::Subjects;
use engine_net::client;
use engine_net::config::ConnectionConfig;
use engine_net::messages::command::{Action, Command, CommandReply, Done};
use engine_net::messages::schemas::{SchemaPage, SchemasReply};
use engine_net::messages::status::{SimState, Status, StatusReply};
use engine_net::messages::{Message, Problem};
use engine_net::server::{PrivateServer, ServerOptions};
use futures_util::StreamExt;
use tokio::sync::Notify;

use crate::world::{Health, engine, refusal};

/// How the second batch is answered, and whether despawning works.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Refused,
    RefusedAndStuck,
    Silent,
}

/// A coordinator that only pretends: it notes what it is asked to do.
struct Pretender {
    config: ConnectionConfig,
    asked: Receiver<Action>,
    stop: std::sync::Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    _server: PrivateServer,
}

impl Pretender {
    fn start(fault: Fault) -> Self {
        let server = PrivateServer::start(&ServerOptions::default()).unwrap();
        let (config, stop) = (server.config(), std::sync::Arc::new(Notify::new()));
        let (note, asked) = channel();
        let (ready, is_ready) = channel();
        let (connection, stopped) = (config.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = pretend(&connection, fault, &note, &ready) => {}
                    () = stopped.notified() => {}
                }
            });
        });
        is_ready.recv().unwrap();
        Self { config, asked, stop, thread: Some(thread), _server: server }
    }

    fn load(&self) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scene.jsonl");
        std::fs::write(&path, "{\"t.Health\":1}\n".repeat(20_000)).unwrap();
        refusal(&engine(&self.config, &["scene", "load", path.to_str().unwrap(), "--timeout", "1"]))
    }

    /// What was asked, in a word each; of batches and despawns how many entities.
    fn asked(&self) -> Vec<(&'static str, usize)> {
        let word = |action: Action| {
            let count = match &action {
                Action::SceneLoad { entities } => entities.len(),
                Action::Despawn { entities } => entities.len(),
                _ => 0,
            };
            (action.subject().1, count)
        };
        self.asked.try_iter().map(word).collect()
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        self.stop.notify_one();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn pretend(config: &ConnectionConfig, fault: Fault, note: &Sender<Action>, ready: &Sender<()>) {
    let client = client::connect(config, "pretender").await.unwrap().client;
    let subjects = Subjects::new(&config.prefix, &config.world).unwrap();
    let mut heard = client.subscribe(subjects.everything()).await.unwrap();
    // A message of its own comes back when the server knows the subscription.
    client.publish(subjects.hello(), bytes::Bytes::new()).await.unwrap();
    let mut batches = 0;
    while let Some(message) = heard.next().await {
        if message.subject.as_str() == subjects.hello() {
            ready.send(()).unwrap();
        }
        let Some(reply) = message.reply else { continue };
        let answer = if message.subject.as_str() == subjects.schemas() {
            SchemasReply::Ok(SchemaPage { schemas: vec![Health::schema()], next: None }).encode()
        } else if message.subject.as_str() == subjects.status() {
            StatusReply::Ok(running()).encode()
        } else {
            let action = Command::decode(&message.payload).unwrap().action;
            note.send(action.clone()).unwrap();
            let refused = || CommandReply::Error(Problem::new("overloaded", "too much of it"));
            match action {
                Action::SceneLoad { entities } => {
                    batches += 1;
                    match (batches, fault) {
                        (1, _) => {
                            let entities = (1..=entities.len() as u64).map(Entity::from_bits).collect();
                            CommandReply::Ok(Done { tick: 7, entities }).encode()
                        }
                        (_, Fault::Silent) => continue,
                        _ => refused().encode(),
                    }
                }
                Action::Despawn { .. } if fault == Fault::RefusedAndStuck => refused().encode(),
                _ => CommandReply::Ok(Done { tick: 7, entities: Vec::new() }).encode(),
            }
        };
        client.publish(reply, answer.into()).await.unwrap();
    }
}

fn running() -> Status {
    Status {
        world: "main".into(),
        epoch: 1,
        tick: 7,
        hash: WorldHash(0),
        entities: 0,
        clock_ms: None,
        tables: 0,
        world_bytes: 0,
        state: SimState::Running,
        rate: 60.0,
        actual_rate: 60.0,
        speed: 1.0,
        budget_ms: 16.0,
        tick_ms_p50: 1.0,
        tick_ms_p99: 1.0,
        bytes_per_tick: 0,
        events: 0,
        systems: Vec::new(),
        counters: std::collections::BTreeMap::new(),
        ambiguities: Vec::new(),
        log: None,
        settings: Vec::new(),
        refused_settings: Vec::new(),
        kept: None,
    }
}

#[test]
fn a_refused_batch_takes_the_ones_before_it_away() {
    let coordinator = Pretender::start(Fault::Refused);
    let error = coordinator.load();
    assert!(error.contains("too much of it (overloaded)") && error.contains("nothing stays"), "{error}");
    let asked = coordinator.asked();
    let [("pause", _), ("load", first), ("load", _), ("despawn", gone), ("resume", _)] = asked[..] else {
        panic!("{asked:?}");
    };
    assert!(first > 1000 && first == gone, "{asked:?}");
}

#[test]
fn what_can_not_be_taken_away_is_named() {
    let coordinator = Pretender::start(Fault::RefusedAndStuck);
    let error = coordinator.load();
    assert!(error.contains("stay in the world, entities 1 to "), "{error}");
    assert_eq!(coordinator.asked().last().unwrap().0, "resume");
}

#[test]
fn a_batch_without_an_answer_is_named_by_its_lines() {
    let coordinator = Pretender::start(Fault::Silent);
    let error = coordinator.load();
    assert!(error.contains("may still be applied"), "{error}");
    assert!(error.contains("whether the entities of lines") && error.contains("is not known"), "{error}");
}
