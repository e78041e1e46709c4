//! Instances: the core that runs at NATS, and in place of a process a number that says which incarnation of
//! it is meant. What was on its way to a dead one is lost with it.

use std::collections::VecDeque;

use bytes::Bytes;
use engine_net::subject::Subject;
use engine_system::runner::{Answer, InstanceCore, Work};

use super::{Cluster, Event, MS, RESULTS};
use crate::faults::Fault;
use crate::network::{Message, Party};

/// How often an instance looks around.
const LOOK: u64 = 10 * MS;
/// A request that is not answered for so long has failed.
const REQUEST: u64 = 3_000 * MS;
const PAYLOAD_LIMIT: usize = 64 << 10;

/// A place for a process: whoever is killed here is started again here.
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) systems: Vec<String>,
    pub(super) core: Option<InstanceCore>,
    pub(super) incarnation: u32,
    /// Stands still until then.
    pub(super) paused_until: u64,
    /// When this process was started.
    pub(super) started: u64,
    requests: u64,
    asked: Option<u64>,
    work: VecDeque<Work>,
    computing: bool,
}

impl Instance {
    pub(super) fn new(name: String, systems: Vec<String>) -> Self {
        Self {
            name,
            systems,
            core: None,
            incarnation: 0,
            paused_until: 0,
            started: 0,
            requests: 0,
            asked: None,
            work: VecDeque::new(),
            computing: false,
        }
    }
}

impl Cluster {
    pub(super) fn happen_to_instance(&mut self, event: Event) {
        let (party, incarnation) = match &event {
            Event::Arrive { to, incarnation, .. }
            | Event::Unanswered { to, incarnation, .. }
            | Event::Computed { to, incarnation, .. }
            | Event::Wake { to, incarnation } => (*to, *incarnation),
            Event::Start { party, .. } | Event::Heal { party } => (*party, self.incarnation(*party)),
            _ => return,
        };
        let instance = &mut self.instances[party - 1];
        if instance.incarnation != incarnation {
            return self.outlive(event);
        }
        if instance.paused_until > self.now && !matches!(event, Event::Start { .. }) {
            let until = instance.paused_until;
            return self.at(until, event);
        }
        let now = self.now;
        match event {
            Event::Start { name, .. } => self.start(party, name),
            Event::Heal { .. } => {
                self.network.heal(party);
                self.subscribe(party);
                self.tell(party, || "is connected again".into());
                self.send_late(party);
                self.with_core(party, InstanceCore::forget_everything);
            }
            Event::Arrive { message, .. } if !self.network.is_cut(party) => self.hear(party, &message),
            Event::Unanswered { request, .. } if self.instances[party - 1].asked == Some(request) => {
                self.instances[party - 1].asked = None;
                self.with_core(party, InstanceCore::unanswered);
            }
            Event::Computed { computed, .. } => {
                self.instances[party - 1].computing = false;
                self.with_core(party, |core| core.computed(computed));
            }
            Event::Wake { .. } => {
                self.with_core(party, |core| core.look_around(now));
                if let Err(problem) = self.check_instance(party) {
                    self.problem.get_or_insert(problem);
                }
                if self.instances[party - 1].core.is_some() {
                    self.at(now + LOOK, Event::Wake { to: party, incarnation });
                }
            }
            _ => {}
        }
        self.compute(party);
    }

    fn start(&mut self, party: Party, name: String) {
        let instance = &mut self.instances[party - 1];
        if instance.core.is_some() {
            return;
        }
        let runs = |system: &str| instance.systems.iter().any(|name| name == system);
        let systems = self.systems.iter().filter(|system| runs(&system.descriptor().name)).cloned().collect();
        let incarnation = instance.incarnation;
        let nonce = (u64::from(incarnation) << 32) | ((party as u64) << 16);
        let mut core = InstanceCore::new(name.clone(), nonce, systems, PAYLOAD_LIMIT).expect("few systems");
        // Some keep little, and some nothing.
        core.set_keep_bytes([1 << 20, 2 << 10, 0, 1 << 20][(party + incarnation as usize) % 4]);
        instance.core = Some(core);
        instance.name = name;
        (instance.paused_until, instance.started) = (0, self.now);
        self.tell(party, || format!("starts, life {incarnation}"));
        self.network.heal(party);
        self.subscribe(party);
        self.at(self.now, Event::Wake { to: party, incarnation });
    }

    fn subscribe(&mut self, party: Party) {
        self.network.forget(party);
        let instance = &self.instances[party - 1];
        let Some(core) = &instance.core else { return };
        let jobs: Vec<String> = core.systems().map(|system| self.subjects.schedule(system, core.name())).collect();
        let rejected = self.subjects.rejected(core.sender());
        let inbox = inbox(party, instance.incarnation);
        for subject in jobs.into_iter().chain([inbox, rejected, self.subjects.hello()]) {
            self.network.subscribe(party, subject);
        }
    }

    /// The process is gone at once.
    pub(super) fn kill(&mut self, party: Party) {
        let instance = &mut self.instances[party - 1];
        instance.core = None;
        instance.incarnation += 1;
        (instance.asked, instance.computing, instance.paused_until) = (None, false, 0);
        instance.work.clear();
        self.late.retain(|message| message.from != party);
        self.network.forget(party);
        self.network.heal(party);
        self.tell(party, || "is gone".into());
    }

    fn hear(&mut self, party: Party, message: &Message) {
        let now = self.now;
        let prefix = inbox(party, self.instances[party - 1].incarnation);
        if let Some(request) = message.subject.strip_prefix(&prefix) {
            if self.instances[party - 1].asked != request.parse().ok() {
                return;
            }
            self.instances[party - 1].asked = None;
            let mut refused = None;
            self.with_core(party, |core| refused = core.answered(now, &message.payload).err());
            if let Some(refused) = refused {
                self.problem = Some(format!("an instance is refused: {refused}"));
            }
            return;
        }
        match self.subjects.clone().parse(&message.subject) {
            Some(Subject::Schedule { .. }) => self.with_core(party, |core| core.chunk(now, message.payload.clone())),
            Some(Subject::Hello) => self.with_core(party, |core| core.hello(&message.payload)),
            Some(Subject::Rejected { .. }) => {
                self.with_core(party, |core| core.rejected(&message.payload));
            }
            _ => {}
        }
    }

    /// Lets the core do something, and does what it wants done.
    pub(super) fn with_core(&mut self, party: Party, act: impl FnOnce(&mut InstanceCore)) {
        let Some(mut core) = self.instances[party - 1].core.take() else { return };
        act(&mut core);
        let mut dies = false;
        while let Some(answer) = core.next_answer() {
            match answer {
                Answer::Compute(work) => self.instances[party - 1].work.push_back(*work),
                Answer::Result { epoch, payload } => {
                    let subject = self.subjects.changed(epoch, core.sender());
                    self.send(from_instance(party, RESULTS, subject, None, payload));
                    dies = self.now < self.climate.until && self.rng.chance(self.climate.midway);
                    if dies {
                        break;
                    }
                }
                Answer::Heartbeat(payload) => {
                    self.send(from_instance(party, 0, self.subjects.heartbeat(core.sender()), None, payload));
                }
                Answer::Register(payload) => self.ask(party, self.subjects.register(core.sender()), payload),
                Answer::Map { .. } => panic!("nobody offers memory here"),
                Answer::Leave(payload) => self.ask(party, self.subjects.leave(core.sender()), payload),
            }
        }
        let gone = core.is_gone();
        self.instances[party - 1].core = Some(core);
        if dies {
            return self.kill_and_restart(party, Fault::KillMidway);
        }
        if gone {
            self.kill(party);
            let lives = self.instances[party - 1].incarnation;
            let later = self.now + u64::from(self.rng.below(50)) * MS;
            // Another process, under another name.
            self.ends_at(later);
            self.at(later, Event::Start { party, name: format!("i{party}x{lives}") });
        }
    }

    fn ask(&mut self, party: Party, subject: String, payload: Vec<u8>) {
        let instance = &mut self.instances[party - 1];
        instance.requests += 1;
        let (request, incarnation) = (instance.requests, instance.incarnation);
        instance.asked = Some(request);
        let reply = format!("{}{request}", inbox(party, incarnation));
        let heard = self.send(from_instance(party, 0, subject, Some(reply), payload));
        let fails = self.now + if heard { REQUEST } else { MS };
        self.at(fails, Event::Unanswered { to: party, incarnation, request });
    }

    /// One job at a time.
    fn compute(&mut self, party: Party) {
        let instance = &mut self.instances[party - 1];
        let Some(core) = &instance.core else { return };
        if instance.computing {
            return;
        }
        while let Some(work) = instance.work.pop_front() {
            if !core.wants(&work) {
                continue;
            }
            instance.computing = true;
            let incarnation = instance.incarnation;
            let now = self.now;
            let computed = work.run(&|| now);
            let mut took = u64::from(self.rng.below(2_000)) * 1_000;
            if now < self.climate.until && self.rng.chance(self.climate.slow) {
                self.counts.count(Fault::Slow);
                took += u64::from(self.rng.below(3_000)) * MS;
                self.ends_at(now + took);
            }
            return self.at(now + took, Event::Computed { to: party, incarnation, computed });
        }
    }
}

fn inbox(party: Party, incarnation: u32) -> String {
    format!("_INBOX.{party}-{incarnation}.")
}

/// A message of an instance.
fn from_instance(
    from: Party,
    lane: usize,
    subject: String,
    reply: Option<String>,
    payload: impl Into<Bytes>,
) -> Message {
    Message { from, lane, subject, reply, token: None, payload: payload.into(), envelope: None, jet: None }
}
