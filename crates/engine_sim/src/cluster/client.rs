//! Clients: each gives commands, several at once, and gives a command again, with the same id, until it is
//! answered; sometimes once more after that.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use engine_component::{Command as _, Data, Entity};
use engine_net::envelope::{Envelope, SchemaRef};
use engine_net::messages::Message as _;
use engine_net::messages::Reply;
use engine_net::messages::command::{Action, Command, CommandReply, DOMAIN};
use engine_net::messages::commit::Commit;
use engine_net::messages::value::Components;
use engine_net::strict;
use engine_system::EntityRng;
use serde_json::json;

use super::{Cluster, Event, MS};
use crate::ledger::{self, Told, Wanted};
use crate::network::{Message, Party};
use crate::scenario::Order;

/// What a process of a client wants.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Spawn,
    Stamp,
    /// The same by way of a system.
    Order,
    Steer,
    Despawn,
    /// Gives it a story: what was refused before since it had none would be accepted now.
    Tell,
    /// What has to be refused.
    Wrong(u32),
}

/// See the module's text.
pub(super) struct Client {
    party: Party,
    processes: Vec<Process>,
}

/// Gives one command after another, about one entity.
struct Process {
    wishes: VecDeque<Wish>,
    entity: Option<Entity>,
    /// How many commands it gave.
    serial: u32,
    open: Option<Open>,
}

/// A command that is not answered, or is to be given once more.
struct Open {
    id: String,
    subject: String,
    payload: Bytes,
    envelope: Option<Envelope>,
    wish: Wish,
    tries: u32,
    /// So many answers are thrown away as if they were lost.
    repeats: u32,
}

impl Client {
    pub(super) fn new(party: Party, rng: &mut EntityRng) -> Self {
        let count = 1 + rng.below(3);
        let processes = (0..count).map(|_| {
            let wishes = std::iter::once(Wish::Spawn).chain((0..3 + rng.below(6)).map(|_| wish(rng))).collect();
            Process { wishes, entity: None, serial: 0, open: None }
        });
        Self { party, processes: processes.collect() }
    }

    /// Whether all commands are given and answered.
    pub(super) fn is_done(&self) -> bool {
        self.processes.iter().all(|process| process.open.is_none() && process.wishes.is_empty())
    }

    /// The ids of commands that wait for an answer.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &str> {
        self.processes.iter().filter_map(|process| process.open.as_ref()).map(|open| open.id.as_str())
    }

    /// How many commands it gives at once.
    pub(super) fn processes(&self) -> usize {
        self.processes.len()
    }
}

fn wish(rng: &mut EntityRng) -> Wish {
    match rng.below(10) {
        0..3 => Wish::Stamp,
        3..5 => Wish::Order,
        5..7 => Wish::Steer,
        7 => Wish::Despawn,
        8 => [Wish::Spawn, Wish::Tell][rng.below(2) as usize],
        _ => Wish::Wrong(rng.below(4)),
    }
}

impl Cluster {
    pub(super) fn start_clients(&mut self) {
        for index in 0..self.clients.len() {
            let party = self.clients[index].party;
            self.subscribe_client(party);
            for process in 0..self.clients[index].processes.len() {
                let at = self.some_ms(60);
                self.at(at, Event::Act { party, process, serial: 0, tries: 0 });
            }
        }
    }

    fn subscribe_client(&mut self, party: Party) {
        self.network.forget(party);
        self.network.subscribe(party, inbox(party));
        self.network.subscribe(party, self.subjects.commit());
    }

    pub(super) fn happen_to_client(&mut self, event: Event) {
        let heard = match event {
            Event::Act { party, process, serial, tries } => {
                self.act(party, process, serial, tries);
                Ok(())
            }
            Event::Heal { party } => {
                self.network.heal(party);
                self.subscribe_client(party);
                self.tell(party, || "is connected again".into());
                self.send_late(party);
                Ok(())
            }
            Event::Arrive { to, message, .. } if !self.network.is_cut(to) => self.hear_at_client(to, &message),
            _ => Ok(()),
        };
        if let Err(problem) = heard {
            self.problem.get_or_insert(problem);
        }
    }

    fn client(&mut self, party: Party) -> &mut Client {
        let first = 1 + self.instances.len();
        &mut self.clients[party - first]
    }

    /// Gives the next command, or the open one again. Times that were set for an earlier state don't count.
    fn act(&mut self, party: Party, process: usize, serial: u32, tries: u32) {
        let state = &self.client(party).processes[process];
        if (state.serial, state.open.as_ref().map_or(0, |open| open.tries)) != (serial, tries) {
            return;
        }
        if state.open.is_none() && !self.open(party, process) {
            return;
        }
        self.give(party, process);
    }

    /// Chooses the next command. False when there is none.
    fn open(&mut self, party: Party, process: usize) -> bool {
        let repeats = u32::from(self.rng.chance(0.25));
        let at = (self.rng.range(-9.0..9.0), self.rng.range(-9.0..9.0));
        let state = &mut self.client(party).processes[process];
        let Some(wish) = state.wishes.pop_front() else { return false };
        state.serial += 1;
        let number = (party as u32 * 10 + process as u32) * 1000 + state.serial;
        let id = format!("{party}-{process}-{}", state.serial);
        let (wish, wanted) = match (wish, state.entity) {
            (Wish::Order, Some(entity)) => (wish, Wanted::Order { entity }),
            _ => action(wish, number, at, state.entity),
        };
        let (subject, envelope, payload) = match &wanted {
            Wanted::Order { entity } => {
                let order = Order { mark: entity.to_bits(), number };
                let subject = self.subjects.command(Order::DOMAIN, Order::AGGREGATE, Order::ACTION);
                (subject, Some(envelope(number)), strict::encode(&order))
            }
            Wanted::Action(action) => {
                let (aggregate, verb) = action.subject();
                let command = Command::new(id.clone(), action.clone());
                (self.subjects.command(DOMAIN, aggregate, verb), None, strict::encode(&command))
            }
        };
        let open = Open { id: id.clone(), subject, payload: payload.into(), envelope, wish, tries: 0, repeats };
        self.client(party).processes[process].open = Some(open);
        self.ledger.ask(&id, number, wanted);
        true
    }

    fn give(&mut self, party: Party, process: usize) {
        let state = &mut self.client(party).processes[process];
        let serial = state.serial;
        let Some(open) = &mut state.open else { return };
        open.tries += 1;
        let tries = open.tries;
        let reply = Some(format!("{}{process}.{serial}.{tries}", inbox(party)));
        let (subject, payload, envelope) = (open.subject.clone(), open.payload.clone(), open.envelope.clone());
        self.send(Message { from: party, lane: 0, subject, reply, token: None, payload, envelope, jet: None });
        let at = self.now + (30 + u64::from(self.rng.below(200))) * MS;
        self.at(at, Event::Act { party, process, serial, tries });
    }

    fn hear_at_client(&mut self, party: Party, message: &Message) -> Result<(), String> {
        if message.subject == self.subjects.commit() {
            return self.check_announced(message);
        }
        let prefix = inbox(party);
        let numbers = message.subject.strip_prefix(&prefix).unwrap_or_default().split('.');
        let numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
        let [process, serial, _] = numbers[..] else { return Ok(()) };
        let answer = told(&message.payload).map_err(|error| format!("an answer can't be read: {error}"))?;
        if matches!(&answer, Reply::Error(problem) if is_temporary(&problem.code)) {
            // It is given again after a while.
            return Ok(());
        }
        let id = format!("{party}-{process}-{serial}");
        self.ledger.answered(&id, answer.clone())?;
        let state = &mut self.client(party).processes[process as usize];
        let Some(open) = state.open.as_mut().filter(|_| state.serial == serial) else { return Ok(()) };
        if open.repeats > 0 {
            open.repeats -= 1;
        } else {
            if let (Wish::Spawn, Reply::Ok(Told::Done(done))) = (open.wish, &answer) {
                state.entity = done.entities.first().copied();
            }
            if let Wish::Despawn = open.wish {
                state.entity = None;
            }
            state.open = None;
        }
        let tries = state.open.as_ref().map_or(0, |open| open.tries);
        let at = self.now + u64::from(self.rng.below(5_000)) * 1_000;
        self.at(at, Event::Act { party, process: process as usize, serial, tries });
        Ok(())
    }

    /// What is announced is durable, and the same whoever announces it.
    fn check_announced(&self, message: &Message) -> Result<(), String> {
        let commit = Commit::decode(&message.payload).map_err(|error| format!("a commit can't be read: {error}"))?;
        self.log.truth.check_commit(commit.epoch, commit.tick, commit.hash)
    }
}

/// The command of a wish; whoever has no entity gets one first.
fn action(wish: Wish, number: u32, at: (f32, f32), entity: Option<Entity>) -> (Wish, Wanted) {
    let (wish, action) = world_action(wish, number, at, entity);
    (wish, Wanted::Action(action))
}

fn world_action(wish: Wish, number: u32, (x, y): (f32, f32), entity: Option<Entity>) -> (Wish, Action) {
    let place = || ("sim.Place".to_owned(), json!({ "at": { "x": x, "y": y } }));
    match (wish, entity) {
        (Wish::Stamp, Some(entity)) => {
            let stamp = ("sim.Stamp".to_owned(), json!({ "number": number }));
            (wish, Action::Insert { entity, components: Components::from([stamp]) })
        }
        (Wish::Steer, Some(entity)) => (wish, Action::Set { entity, components: Components::from([place()]) }),
        (Wish::Tell, Some(entity)) => {
            let story = ("sim.Story".to_owned(), json!({ "hits": [] }));
            (wish, Action::Insert { entity, components: Components::from([story]) })
        }
        (Wish::Despawn, Some(entity)) => (wish, Action::Despawn { entities: vec![entity] }),
        (Wish::Wrong(0), _) => (wish, Action::Despawn { entities: vec![Entity::from_bits(1 << 40)] }),
        (Wish::Wrong(1), Some(entity)) => {
            let nothing = ("sim.Nothing".to_owned(), json!({}));
            (wish, Action::Insert { entity, components: Components::from([nothing]) })
        }
        (Wish::Wrong(_), Some(entity)) => {
            // Most have no story.
            let story = ("sim.Story".to_owned(), json!({ "hits": [1] }));
            (wish, Action::Set { entity, components: Components::from([story]) })
        }
        (_, _) => {
            let motion = ("sim.Motion".to_owned(), json!({ "by": { "x": y / 20.0, "y": x / 20.0 } }));
            let mark = ("sim.Mark".to_owned(), json!({ "number": number, "count": 0, "digest": 0 }));
            let components: Components = BTreeMap::from([place(), motion, mark]);
            (Wish::Spawn, Action::Spawn { entities: vec![components] })
        }
    }
}

/// An answer to a command of the engine's own, or of a system.
pub(super) fn told(payload: &[u8]) -> Result<Reply<Told>, strict::DecodeError> {
    let digest = strict::decode::<Reply<u32>>(payload, 1 << 20);
    match digest {
        Ok(Reply::Ok(digest)) => Ok(Reply::Ok(Told::Digest(digest))),
        Ok(Reply::Error(problem)) => Ok(Reply::Error(problem)),
        Err(_) => Ok(match CommandReply::decode(payload)? {
            Reply::Ok(done) => Reply::Ok(Told::Done(done)),
            Reply::Error(problem) => Reply::Error(problem),
        }),
    }
}

/// The envelope of an order: its id says which command of which client it is.
fn envelope(number: u32) -> Envelope {
    let envelope = Envelope::new("client", Order::NAME).with_id(ledger::order_id(number));
    Envelope { time: None, schema: Some(SchemaRef::of::<Order>()), ..envelope }
}

/// Who is told this is to try again: nothing was decided.
fn is_temporary(code: &str) -> bool {
    matches!(code, "unavailable" | "overloaded")
}

/// Whether no record has to say so: nothing was done, and nothing will be while the coordinator is this one.
pub(super) fn is_undecided(code: &str) -> bool {
    is_temporary(code) || code == "finished"
}

/// The command that an answer on this subject is about, when it goes to a client.
pub(super) fn command_of(subject: &str, clients: std::ops::Range<Party>) -> Option<String> {
    let (party, rest) = subject.strip_prefix("_INBOX.")?.split_once("-0.")?;
    let mut numbers = rest.split('.');
    let (process, serial) = (numbers.next()?, numbers.next()?);
    clients.contains(&party.parse().ok()?).then(|| format!("{party}-{process}-{serial}"))
}

fn inbox(party: Party) -> String {
    format!("_INBOX.{party}-0.")
}
