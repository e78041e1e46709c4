//! Those who give commands: each with an id of its own, repeated under that id until somebody answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use engine::component::Entity;
use engine::net::config::ConnectionConfig;
use engine::net::io::{Io, Lane, Outgoing};
use engine::net::messages::command::{Action, Command, CommandReply, Done};
use engine::net::messages::status::{Status, StatusReply};
use engine::net::messages::value::Components;
use engine::net::messages::{Message as _, Reply};
use engine::net::strict;
use engine::net::subject::Subjects;

use crate::proxy::Proxy;
use crate::random::Random;

/// The beginning of the names of all entities that commands spawn.
pub(crate) const MARK: &str = "by command ";
/// So long an answer is waited for before the question is put again.
const ANSWER: Duration = Duration::from_millis(1500);
/// Between two commands of a client, and before a question is put again that nobody could be asked.
const PAUSE: Duration = Duration::from_millis(25);

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Spawned { name: String },
    Renamed { entity: Entity, name: String },
    Removed { entity: Entity },
}

/// A command that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) id: String,
    pub(crate) action: Action,
    pub(crate) deed: Deed,
    pub(crate) done: Done,
}

/// What all clients were told, by client in the order of their commands.
pub(crate) type Answers = Vec<Vec<Answered>>;

/// Somebody with a connection.
pub(crate) struct Outside {
    io: Io,
    subjects: Subjects,
}

impl Outside {
    pub(crate) fn new(config: &ConnectionConfig, name: &str) -> Result<Self> {
        let subjects = config.subjects()?;
        let (io, events) = Io::start(config, name, 1).with_context(|| format!("the connection of {name}"))?;
        // Nobody reads what happens to the connection: the next question shows it.
        drop(events);
        Ok(Self { io, subjects })
    }

    fn ask(&self, subject: &str, request: &[u8], limit: Duration) -> Option<Vec<u8>> {
        let message = Outgoing::new(subject.to_owned(), request.to_vec());
        match self.io.handle().request_blocking(Lane(0), message, limit) {
            Ok(answer) => Some(answer.payload.to_vec()),
            Err(_) => {
                std::thread::sleep(PAUSE);
                None
            }
        }
    }

    /// Gives a command until it is answered; None when `enough` says so before.
    pub(crate) fn act(&self, id: &str, action: &Action, enough: impl Fn() -> bool) -> Result<Option<Done>> {
        let (aggregate, verb) = action.subject();
        let subject = self.subjects.command("world", aggregate, verb);
        let command = strict::encode(&Command::new(id, action.clone()));
        while !enough() {
            let Some(answer) = self.ask(&subject, &command, ANSWER) else { continue };
            match strict::decode::<CommandReply>(&answer, CommandReply::LIMIT)? {
                Reply::Ok(done) => return Ok(Some(done)),
                Reply::Error(problem) if matches!(&*problem.code, "unavailable" | "overloaded") => {
                    std::thread::sleep(PAUSE);
                }
                Reply::Error(problem) => bail!("command {id} was refused: {problem:?}"),
            }
        }
        Ok(None)
    }

    pub(crate) fn status(&self) -> Option<Status> {
        let answer = self.ask(&self.subjects.status(), b"", ANSWER)?;
        match strict::decode::<StatusReply>(&answer, StatusReply::LIMIT) {
            Ok(Reply::Ok(status)) => Some(status),
            _ => None,
        }
    }
}

/// Clients that are at work.
pub(crate) struct Clients {
    threads: Vec<JoinHandle<Result<()>>>,
    answers: Arc<Mutex<Answers>>,
    stop: Arc<AtomicBool>,
    abandon: Arc<AtomicBool>,
    pub(crate) proxies: Vec<Proxy>,
}

impl Clients {
    pub(crate) fn start(connections: Vec<(Proxy, ConnectionConfig)>, seed: u64) -> Result<Self> {
        let answers = Arc::new(Mutex::new(vec![Vec::new(); connections.len()]));
        let (stop, abandon) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (mut threads, mut proxies) = (Vec::new(), Vec::new());
        for (number, (proxy, config)) in connections.into_iter().enumerate() {
            let outside = Outside::new(&config, &format!("client-{number}"))?;
            let (answers, stop, abandon) = (answers.clone(), stop.clone(), abandon.clone());
            let random = Random::new(seed ^ (number as u64) << 32);
            proxies.push(proxy);
            let work = move || give_commands(&outside, number, random, &answers, &stop, &abandon);
            threads.push(std::thread::Builder::new().name(format!("faults-client-{number}")).spawn(work)?);
        }
        Ok(Self { threads, answers, stop, abandon, proxies })
    }

    /// What was answered so far.
    pub(crate) fn answers(&self) -> Answers {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn answered(&self) -> usize {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Vec::len).sum()
    }

    /// No command is begun from now on; what is open is seen through.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn have_stopped(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits until all have stopped. What one of them could not make sense of is an error.
    pub(crate) fn finish(mut self) -> Result<Answers> {
        self.ask_to_stop();
        for thread in self.threads.drain(..) {
            if let Ok(ended) = thread.join() {
                ended?;
            }
        }
        Ok(self.answers())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.ask_to_stop();
        self.abandon.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn chronicle(name: &str) -> Components {
    Components::from([("arena.Chronicle".to_owned(), serde_json::json!({"name": name, "hits": []}))])
}

fn give_commands(
    outside: &Outside,
    client: usize,
    mut random: Random,
    answers: &Mutex<Answers>,
    stop: &AtomicBool,
    abandon: &AtomicBool,
) -> Result<()> {
    let mut own: Vec<Entity> = Vec::new();
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{client}-{number}");
        let name = format!("{MARK}{id}");
        let (action, deed) = match (random.below(8), own.len() as u64) {
            (5 | 6, count @ 1..) => {
                let entity = own[random.below(count) as usize];
                (Action::Set { entity, components: chronicle(&name) }, Deed::Renamed { entity, name })
            }
            (7, count @ 1..) => {
                let entity = own.swap_remove(random.below(count) as usize);
                (Action::Despawn { entities: vec![entity] }, Deed::Removed { entity })
            }
            _ => (Action::Spawn { entities: vec![chronicle(&name)] }, Deed::Spawned { name }),
        };
        let Some(done) = outside.act(&id, &action, || abandon.load(Ordering::Relaxed))? else { break };
        own.extend(&done.entities);
        let answered = Answered { id, action, deed, done };
        answers.lock().unwrap_or_else(PoisonError::into_inner)[client].push(answered);
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
