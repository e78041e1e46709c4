//! The parties and virtual time: what happens next, and what follows from it.
//!
//! Events are ordered by time, and by the order in which they were made; nothing else decides.

mod bounds;
mod client;
mod contender;
mod ghosts;
mod instance;
mod mischief;
mod set;
mod shortcuts;
mod store;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine_app::run_time::Entry;
use engine_net::ChunkPrefix;
use engine_net::messages::Message as _;
use engine_net::messages::command::Command;
use engine_net::subject::Subjects;
use engine_system::runner::Computed;
use engine_system::{EntityRng, System};

use crate::faults::{Climate, Fault, FaultCounts};
use crate::ledger::Ledger;
use crate::log::Log;
use crate::network::{Fate, Message, Network, Party};
use crate::trace::Trace;

use client::Client;
use contender::Contender;
use ghosts::Ghosts;
use instance::Instance;

pub(crate) use contender::Contest;
pub(crate) use set::Put;
pub use shortcuts::Shortcuts;

/// The server of the log.
pub(crate) const LOG: Party = 0;
const MS: u64 = 1_000_000;
/// Once the last fault is over, the last tick and all answers have to come within so much virtual time: an
/// instance that is silent is given up after 10 s, and it may be the second one.
const PATIENCE: u64 = 30_000 * MS;
/// A schedule with more events runs in circles.
const MOST_EVENTS: u64 = 3_000_000;
/// The connection on which an instance sends results.
const RESULTS: usize = 1;
/// Messages that a client or an instance keeps while it is cut off.
const KEPT: usize = 256;

/// Something that happens.
enum Event {
    Arrive {
        to: Party,
        incarnation: u32,
        message: Message,
    },
    /// What was held by its sender is sent.
    Publish {
        message: Message,
    },
    NobodyThere {
        to: Party,
        incarnation: u32,
        token: String,
    },
    Unanswered {
        to: Party,
        incarnation: u32,
        request: u64,
    },
    Computed {
        to: Party,
        incarnation: u32,
        computed: Computed,
    },
    Wake {
        to: Party,
        incarnation: u32,
    },
    /// A client gives its next command, or gives one again.
    Act {
        party: Party,
        process: usize,
        serial: u32,
        tries: u32,
    },
    Mischief,
    Start {
        party: Party,
        name: String,
    },
    /// The log takes records again.
    Room,
    Heal {
        party: Party,
    },
    /// Somebody puts a run-time setting.
    Put {
        put: Put,
    },
    /// A contender looks at the settings.
    Look {
        to: Party,
        incarnation: u32,
    },
}

/// What a cluster is made of.
pub(crate) struct Parts {
    pub(crate) log: Log,
    pub(crate) contest: Contest,
    /// All systems.
    pub(crate) systems: Vec<Arc<dyn System>>,
    /// Which of them each instance runs.
    pub(crate) layout: Vec<Vec<String>>,
    pub(crate) clients: usize,
    pub(crate) climate: Climate,
    pub(crate) puts: Vec<Put>,
}

/// See the module's text.
pub(crate) struct Cluster {
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    made: u64,
    network: Network,
    climate: Climate,
    rng: EntityRng,
    pub(crate) counts: FaultCounts,
    pub(crate) trace: Trace,
    pub(crate) log: Log,
    /// Until when the log's server takes so much longer.
    log_slow: (u64, u64),
    contest: Contest,
    contenders: Vec<Contender>,
    nonces: u64,
    pub(crate) keyframes: u64,
    pub(crate) most_records: usize,
    subjects: Subjects,
    instances: Vec<Instance>,
    clients: Vec<Client>,
    pub(crate) ledger: Ledger,
    systems: Vec<Arc<dyn System>>,
    /// Messages of parties that are cut off, sent when they are back.
    late: Vec<Message>,
    ghosts: Ghosts,
    /// When the last fault is over.
    calm_at: u64,
    /// Jobs of the largest tick.
    most_jobs: usize,
    pub(crate) shortcuts: Shortcuts,
    /// Run-time settings, and how many were ever put.
    bucket: Vec<Entry>,
    revisions: u64,
    problem: Option<String>,
}

impl Cluster {
    /// Coordinators whose systems all run at instances: `layout` says which of them.
    pub(crate) fn new(parts: Parts, subjects: Subjects, mut rng: EntityRng, trace: Trace) -> Self {
        let Parts { log, contest, systems, layout, clients, climate, puts } = parts;
        let first_client = 1 + layout.len();
        let instances: Vec<Instance> = layout
            .into_iter()
            .enumerate()
            .map(|(index, systems)| Instance::new(format!("i{}", index + 1), systems))
            .collect();
        let clients = (0..clients).map(|index| Client::new(first_client + index, &mut rng)).collect();
        let mut cluster = Self {
            now: 1,
            events: BTreeMap::new(),
            made: 0,
            network: Network::default(),
            climate,
            rng,
            counts: FaultCounts::default(),
            trace,
            subjects,
            log,
            log_slow: (0, 0),
            contest,
            contenders: (0..contest.contenders).map(|_| Contender::default()).collect(),
            nonces: 0,
            keyframes: 0,
            most_records: 0,
            instances,
            clients,
            ledger: Ledger::default(),
            systems,
            late: Vec::new(),
            ghosts: Ghosts::default(),
            calm_at: climate.until,
            most_jobs: 0,
            shortcuts: Shortcuts::default(),
            bucket: Vec::new(),
            revisions: 0,
            problem: None,
        };
        for index in 0..cluster.instances.len() {
            // Some are there before the coordinator, some come late.
            let at = u64::from(cluster.rng.below(40)) * MS;
            let name = cluster.instances[index].name.clone();
            cluster.at(at, Event::Start { party: index + 1, name });
        }
        cluster.start_clients();
        cluster.network.subscribe(LOG, "$JS".into());
        for number in 0..contest.contenders {
            let (at, data) = (1 + cluster.some_ms(20), cluster.data(number));
            cluster.at(at, Event::Start { party: data, name: format!("k{}.0", number + 1) });
        }
        cluster.plan_puts(puts);
        cluster.at(MS, Event::Mischief);
        cluster
    }

    /// Lets things happen until the last tick is committed, and all commands are answered.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        for _ in 0..MOST_EVENTS {
            if let Some(problem) = self.problem.take() {
                return Err(problem);
            }
            if self.log.truth.last_tick() >= self.last_tick() && self.clients.iter().all(Client::is_done) {
                return Ok(());
            }
            let Some(((at, _), event)) = self.events.pop_first() else {
                return Err(format!("stuck: nothing is left to happen, {}", self.what_is_missing()));
            };
            self.now = self.now.max(at);
            if self.now > self.calm_at + PATIENCE {
                let seconds = PATIENCE / MS / 1000;
                return Err(format!("stuck: the last fault was over {seconds} s ago, {}", self.what_is_missing()));
            }
            self.happen(event);
        }
        Err(format!("stuck: {MOST_EVENTS} events, and no end, {}", self.what_is_missing()))
    }

    fn what_is_missing(&self) -> String {
        let waiting: Vec<&str> = self.clients.iter().flat_map(Client::unanswered).collect();
        let answers = if waiting.is_empty() { "none".to_owned() } else { waiting.join(", ") };
        format!("the last tick is {}, and commands without an answer are: {answers}", self.log.truth.last_tick())
    }

    fn last_tick(&self) -> u64 {
        self.log.truth.settings.ticks.unwrap_or(0)
    }

    /// Virtual nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Virtual nanoseconds from the end of the last fault to the end.
    pub(crate) fn since_calm(&self) -> u64 {
        self.now.saturating_sub(self.calm_at)
    }

    fn at(&mut self, at: u64, event: Event) {
        self.made += 1;
        self.events.insert((at.max(self.now), self.made), event);
    }

    /// A fault that ends at this time.
    fn ends_at(&mut self, at: u64) {
        self.calm_at = self.calm_at.max(at);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Publish { message } => drop(self.publish(message, true)),
            Event::Mischief => self.mischief(),
            Event::Act { .. } => self.happen_to_client(event),
            Event::Put { put } => self.put(put),
            Event::Room => self.log.stream.behaviour.most = usize::MAX,
            Event::Arrive { to: LOG, message, .. } => self.happen_to_log(message),
            Event::Heal { party: LOG } => self.log_is_back(),
            Event::Arrive { to: party, .. }
            | Event::Heal { party }
            | Event::Wake { to: party, .. }
            | Event::Look { to: party, .. }
            | Event::NobodyThere { to: party, .. }
            | Event::Start { party, .. } => match self.contender(party) {
                Some((number, _)) => self.happen_to_contender(number, event),
                None if self.is_client(party) => self.happen_to_client(event),
                None => self.happen_to_instance(event),
            },
            other => self.happen_to_instance(other),
        }
    }

    fn is_client(&self, party: Party) -> bool {
        (self.instances.len() + 1..self.data(0)).contains(&party)
    }

    /// Something is asked of the log's server.
    fn happen_to_log(&mut self, message: Message) {
        let Message { from, reply: Some(subject), jet: Some(jet), .. } = message else { return };
        if self.network.is_cut(LOG) {
            return;
        }
        let epochs = self.log.truth.epochs.len();
        match self.log.ask(self.now, jet) {
            Err(problem) => self.blame(problem),
            Ok((answer, told)) => {
                if self.log.truth.epochs.len() > epochs {
                    self.release_records(self.log.stream.last_seq());
                }
                if let Some(told) = told {
                    self.tell(LOG, || format!("{told} (by {})", from));
                }
                let Some(jet) = answer else { return };
                let payload = bytes::Bytes::new();
                let jet = Some(jet);
                let answer =
                    Message { from: LOG, lane: 0, subject, reply: None, token: None, payload, envelope: None, jet };
                let (until, longer) = self.log_slow;
                match self.now < until {
                    true => self.at(self.now + longer, Event::Publish { message: answer }),
                    false => drop(self.send(answer)),
                }
            }
        }
    }

    fn log_is_back(&mut self) {
        self.network.heal(LOG);
        for number in 0..self.contenders.len() {
            let party = self.data(number) + 1;
            self.happen_to_contender(number, Event::Heal { party });
            self.network.heal(party);
        }
    }

    /// Sends a message. False when nobody listens.
    fn send(&mut self, message: Message) -> bool {
        if self.network.is_cut(message.from) {
            // A client that is not connected takes messages all the same: they are lost, or come late.
            self.remember_record(&message);
            if self.late.len() < KEPT && self.rng.chance(0.5) {
                self.late.push(message);
            }
            return true;
        }
        self.publish(message, false)
    }

    fn publish(&mut self, message: Message, was_held: bool) -> bool {
        self.remember_result(&message);
        let with = (&self.climate, &mut self.rng, &mut self.counts);
        let fate = self.network.send(self.now, &message, was_held, with);
        match fate {
            Fate::Held(until) => {
                self.note(&message, None, &format!("held until {:.3} ms", until as f64 / 1e6));
                self.ends_at(until);
                self.at(until, Event::Publish { message });
                true
            }
            Fate::NobodyThere => {
                self.note(&message, None, "nobody listens");
                if let Some(token) = message.token {
                    let (to, incarnation) = (message.from, self.incarnation(message.from));
                    self.at(self.now + MS / 5, Event::NobodyThere { to, incarnation, token });
                }
                false
            }
            Fate::Goes(routes) => {
                for route in routes {
                    let how = |at: Option<u64>| match (route.fault, at) {
                        (None, _) => String::new(),
                        (Some(fault), None) => format!("lost: {}", word(fault)),
                        (Some(fault), Some(at)) => format!("{}, arrives at {:.3} ms", word(fault), at as f64 / 1e6),
                    };
                    if self.trace.is_kept() {
                        self.note(&message, Some(route.to), &how(route.at));
                    }
                    if route.fault == Some(Fault::Double) && message.lane == RESULTS && self.rng.chance(0.6) {
                        self.keep_ghost(message.clone());
                        continue;
                    }
                    if message.token.is_some() {
                        self.release_ghosts(route.to, &message);
                    }
                    if route.at.is_none() {
                        self.remember_record(&message);
                    }
                    if let Some(at) = route.at {
                        if route.fault.is_some() {
                            self.ends_at(at);
                        }
                        let incarnation = self.incarnation(route.to);
                        self.at(at, Event::Arrive { to: route.to, incarnation, message: message.clone() });
                    }
                }
                true
            }
        }
    }

    /// What a party said while it was cut off.
    fn send_late(&mut self, party: Party) {
        let (late, others): (Vec<Message>, _) =
            std::mem::take(&mut self.late).into_iter().partition(|message| message.from == party);
        self.late = others;
        for message in late {
            self.send(message);
        }
    }

    fn incarnation(&self, party: Party) -> u32 {
        match party {
            LOG => 0,
            _ => match self.contender(party) {
                Some((number, _)) => self.contenders[number].incarnation,
                None => self.instances.get(party - 1).map_or(0, |instance| instance.incarnation),
            },
        }
    }

    /// A party's name, for people.
    fn name(&self, party: Party) -> String {
        match party {
            LOG => "log".to_owned(),
            _ if self.is_client(party) => format!("c{}", party - self.instances.len()),
            _ if party >= self.data(0) => match self.contender(party) {
                Some((number, true)) => format!("coord{}.log", number + 1),
                Some((number, false)) => format!("coord{}", number + 1),
                None => "nobody".to_owned(),
            },
            _ => self.instances[party - 1].name.clone(),
        }
    }

    /// Notes what becomes of a message.
    fn note(&mut self, message: &Message, to: Option<Party>, how: &str) {
        if !self.trace.is_kept() {
            return;
        }
        let (from, to) = (self.name(message.from), to.map_or_else(|| "-".to_owned(), |to| self.name(to)));
        let how = if how.is_empty() { String::new() } else { format!("  [{how}]") };
        let what = brief(message, self.subjects.root());
        self.trace.note(self.now, || format!("{from:>6} -> {to:<6} {what}{how}"));
    }

    /// Notes what happens to a party.
    fn tell(&mut self, party: Party, what: impl FnOnce() -> String) {
        if self.trace.is_kept() {
            let name = self.name(party);
            self.trace.note(self.now, || format!("{name:>6} ** {}", what()));
        }
    }
}

/// Has everybody make a mistake from now on.
pub(crate) fn plant(bug: Option<engine_system::planted::Bug>) {
    #[cfg(feature = "planted")]
    engine_system::planted::plant(bug);
    let _ = bug;
}

/// A fault in a word, as in the counts.
fn word(fault: Fault) -> String {
    format!("{fault:?}").to_lowercase()
}

/// A message in a few words.
fn brief(message: &Message, root: &str) -> String {
    if let Some(jet) = &message.jet {
        return jet.to_string();
    }
    let subject = message.subject.strip_prefix(root).map_or(message.subject.as_str(), |rest| &rest[1..]);
    if let Ok((prefix, _)) = ChunkPrefix::decode(&message.payload)
        && (subject.starts_with("system.schedule.") || subject.starts_with("component.changed."))
    {
        let ChunkPrefix { kind, tick, job, attempt, chunk, chunks, epoch, instance, .. } = prefix;
        let chunk = chunk + 1;
        return format!(
            "{kind:?} tick {tick} job {job}.{attempt} chunk {chunk}/{chunks} epoch {epoch} slot {instance} ({subject})"
        );
    }
    match Command::decode(&message.payload) {
        Ok(command) if subject.starts_with("command.") => format!("{subject} {}", command.id),
        _ => subject.to_owned(),
    }
}
