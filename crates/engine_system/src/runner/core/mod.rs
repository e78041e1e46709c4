//! The instance's state machine, without I/O: chunks and answers in, jobs and messages out.
//!
//! A job is run only when it, and the shared input that it needs, is complete. What is missing is asked
//! for; results are kept for two ticks and sent again when they are asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use engine_component::schema::{Fit, fit};
use engine_net::messages::heartbeat::{Heartbeat, InstanceState};
use engine_net::messages::hello::Hello;
use engine_net::messages::register::{Accepted, Leave, LeaveReply, Register, RegisterReply};
use engine_net::messages::rejected::{RejectReason, Rejected};
use engine_net::messages::{Message, Reply};
use engine_net::parcel::{Assembler, ChunkSizes, JobManifest, Limits, Missing, Parcel, control};
use engine_net::prefix::ParcelId;
use engine_net::{ChunkKind, ChunkPrefix, strict};

use super::compute::{Computed, Work};
use crate::System;

/// An incomplete parcel that is silent for so long is asked for, in nanoseconds.
const SILENCE: u64 = 50_000_000;
/// Between two registrations that were not answered.
const BACK_OFF: [u64; 5] = [50_000_000, 100_000_000, 250_000_000, 500_000_000, 1_000_000_000];
/// Bytes of incomplete and waiting parcels, at the most; beyond, the oldest go and are asked for again.
const MAX_HELD: usize = 512 << 20;

/// What the instance wants done.
pub enum Answer {
    /// A job for the compute thread.
    Compute(Box<Work>),
    /// A message about a job.
    Result {
        /// The epoch of its subject.
        epoch: u64,
        /// The chunk.
        payload: Bytes,
    },
    /// A sign of life.
    Heartbeat(Vec<u8>),
    /// A registration, to be answered.
    Register(Vec<u8>),
    /// A farewell, to be answered.
    Leave(Vec<u8>),
}

enum State {
    /// Asks again at this time.
    Joining {
        ask_at: u64,
        tries: usize,
        asking: bool,
    },
    Ready,
    Leaving {
        ask_at: u64,
    },
    Gone,
}

struct Incoming {
    assembler: Assembler,
    heard_at: u64,
}

struct WaitingJob {
    prefix: ChunkPrefix,
    manifest: JobManifest,
    parcel: Parcel,
    arrived: u64,
}

/// The state machine. See the module's text.
pub struct InstanceCore {
    name: String,
    nonce: u64,
    systems: BTreeMap<String, Arc<dyn System>>,
    max_payload: usize,
    state: State,
    accepted: Option<Accepted>,
    incoming: BTreeMap<ParcelId, Incoming>,
    /// Complete shared inputs, by tick and node.
    shared: BTreeMap<(u64, u32), Arc<Parcel>>,
    waiting: Vec<WaitingJob>,
    /// Jobs at the compute thread.
    running: BTreeSet<(u64, u32, u16)>,
    results: BTreeMap<(u64, u32, u16), Vec<Bytes>>,
    tick: u64,
    jobs: u64,
    compute_ns: u64,
    reported_ns: u64,
    asked_again: u64,
    refused: u64,
    heartbeat_at: u64,
    now: u64,
    answers: VecDeque<Answer>,
}

impl InstanceCore {
    /// An instance that is not registered yet. The upper 48 bits of the nonce tell two processes of the same
    /// name apart.
    pub fn new(name: String, nonce: u64, systems: Vec<Arc<dyn System>>, max_payload: usize) -> Self {
        let systems = systems.into_iter().map(|system| (system.descriptor().name.clone(), system)).collect();
        Self {
            name,
            nonce,
            systems,
            max_payload,
            state: State::Joining { ask_at: 0, tries: 0, asking: false },
            accepted: None,
            incoming: BTreeMap::new(),
            shared: BTreeMap::new(),
            waiting: Vec::new(),
            running: BTreeSet::new(),
            results: BTreeMap::new(),
            tick: 0,
            jobs: 0,
            compute_ns: 0,
            reported_ns: 0,
            asked_again: 0,
            refused: 0,
            heartbeat_at: 0,
            now: 0,
            answers: VecDeque::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next thing to be done.
    pub fn next_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// Whether it has left.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// The epoch has changed, or the connection was lost: nothing that is open counts any more.
    pub fn forget_everything(&mut self) {
        self.incoming.clear();
        self.shared.clear();
        self.waiting.clear();
        self.results.clear();
        self.running.clear();
        self.accepted = None;
        self.answers.clear();
        // The next registration is another one, and no repetition of the last.
        self.nonce = (self.nonce & !0xffff) | (self.nonce.wrapping_add(1) & 0xffff);
        if !matches!(self.state, State::Leaving { .. } | State::Gone) {
            self.state = State::Joining { ask_at: 0, tries: 0, asking: false };
        }
    }

    /// A coordinator says hello: who runs systems registers again.
    pub fn hello(&mut self, payload: &[u8]) {
        let Ok(hello) = strict::decode::<Hello>(payload, Hello::LIMIT) else {
            self.refused += 1;
            return;
        };
        tracing::info!(epoch = hello.epoch, "a coordinator says hello");
        self.forget_everything();
    }

    /// The coordinator refused something of ours. When it does not know us we register again.
    pub fn rejected(&mut self, payload: &[u8]) {
        let Ok(rejected) = strict::decode::<Rejected>(payload, Rejected::LIMIT) else { return };
        tracing::debug!(reason = ?rejected.reason, message = rejected.message, "the coordinator refuses a message");
        if matches!(rejected.reason, RejectReason::WrongInstance | RejectReason::ForeignEpoch)
            && matches!(self.state, State::Ready)
        {
            self.forget_everything();
        }
    }

    /// Says good-bye as soon as nothing is open.
    pub fn leave(&mut self) {
        match self.state {
            State::Ready => self.state = State::Leaving { ask_at: 0 },
            State::Joining { .. } => self.state = State::Gone,
            State::Leaving { .. } | State::Gone => {}
        }
    }

    /// What has to be done from time to time.
    pub fn look_around(&mut self, now: u64) {
        self.now = now;
        match &mut self.state {
            State::Joining { ask_at, asking, .. } if !*asking && now >= *ask_at => {
                *asking = true;
                let register = self.register();
                self.answers.push_back(Answer::Register(register));
            }
            State::Leaving { ask_at } if now >= *ask_at => {
                *ask_at = now + BACK_OFF[1];
                if let Some(accepted) = &self.accepted {
                    let leave = Leave { instance: self.name.clone(), slot: accepted.slot, epoch: accepted.epoch };
                    self.answers.push_back(Answer::Leave(strict::encode(&leave)));
                } else {
                    self.state = State::Gone;
                }
            }
            _ => {}
        }
        self.ask_for_silent(now);
        self.beat(now);
    }

    fn register(&self) -> Vec<u8> {
        let mut schemas: Vec<engine_component::schema::Schema> = Vec::new();
        for schema in self.systems.values().flat_map(|system| system.schemas()) {
            if !schemas.iter().any(|known| known.name == schema.name) {
                schemas.push(schema.clone());
            }
        }
        strict::encode(&Register {
            instance: self.name.clone(),
            nonce: self.nonce,
            protocol: engine_net::PROTOCOL,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            host: std::fs::read_to_string("/etc/hostname").unwrap_or_default().trim().to_owned(),
            pid: std::process::id(),
            systems: self.systems.values().map(|system| system.descriptor().clone()).collect(),
            schemas,
            max_payload: self.max_payload as u64,
        })
    }

    /// A request was not answered.
    pub fn unanswered(&mut self) {
        if let State::Joining { ask_at, tries, asking } = &mut self.state {
            *asking = false;
            *ask_at = self.now + BACK_OFF[(*tries).min(BACK_OFF.len() - 1)];
            *tries += 1;
        }
    }

    /// A request was answered.
    ///
    /// # Errors
    /// When the coordinator refuses the instance for good.
    pub fn answered(&mut self, now: u64, payload: &[u8]) -> Result<(), String> {
        match self.state {
            State::Joining { .. } => self.registered(now, payload),
            State::Leaving { .. } => {
                let done = match strict::decode::<LeaveReply>(payload, LeaveReply::LIMIT) {
                    Ok(Reply::Ok(leaving)) => leaving.open_jobs == 0,
                    _ => true,
                };
                if done {
                    self.state = State::Gone;
                }
                Ok(())
            }
            State::Ready | State::Gone => Ok(()),
        }
    }

    fn registered(&mut self, now: u64, payload: &[u8]) -> Result<(), String> {
        match strict::decode::<RegisterReply>(payload, RegisterReply::LIMIT) {
            Ok(Reply::Ok(accepted)) => {
                self.check_schemas(&accepted)?;
                tracing::info!(epoch = accepted.epoch, slot = accepted.slot, "registered");
                self.accepted = Some(accepted);
                self.state = State::Ready;
                self.heartbeat_at = now;
                Ok(())
            }
            Ok(Reply::Error(problem)) if problem.code == "overloaded" || problem.code == "taken" => {
                self.unanswered();
                Ok(())
            }
            Ok(Reply::Error(problem)) => Err(problem.message),
            Err(error) => {
                tracing::warn!(%error, "the answer to the registration can't be read");
                self.unanswered();
                Ok(())
            }
        }
    }

    /// Columns are read in place, so this build's layouts have to be the world's.
    fn check_schemas(&self, accepted: &Accepted) -> Result<(), String> {
        for schema in self.systems.values().flat_map(|system| system.schemas()) {
            let Some(known) = accepted.components.iter().find(|known| known.schema.name == schema.name) else {
                continue;
            };
            if !matches!(fit(&known.schema, schema), Fit::Exact) {
                let diff = engine_component::schema::SchemaDiff::between(&known.schema, schema);
                return Err(format!(
                    "`{}` is laid out otherwise in this world (-) than in this build (+):\n{diff}",
                    schema.name
                ));
            }
        }
        Ok(())
    }

    fn beat(&mut self, now: u64) {
        let Some(accepted) = &self.accepted else { return };
        if now < self.heartbeat_at {
            return;
        }
        let interval = u64::from(accepted.heartbeat_ms) * 1_000_000;
        self.heartbeat_at = now + interval;
        let spent = self.compute_ns - self.reported_ns;
        self.reported_ns = self.compute_ns;
        let heartbeat = Heartbeat {
            instance: self.name.clone(),
            slot: accepted.slot,
            epoch: accepted.epoch,
            tick: self.tick,
            state: if matches!(self.state, State::Leaving { .. }) {
                InstanceState::Leaving
            } else {
                InstanceState::Ready
            },
            load: (spent as f64 / interval.max(1) as f64).min(1.0) as f32,
            queue: (self.waiting.len() + self.running.len()) as u32,
            queue_bytes: self.held() as u64,
            jobs: self.jobs,
            compute_ns: self.compute_ns,
            asked_again: self.asked_again,
            refused: self.refused,
            memory_bytes: 0,
        };
        self.answers.push_back(Answer::Heartbeat(strict::encode(&heartbeat)));
    }

    fn held(&self) -> usize {
        self.incoming.values().map(|incoming| incoming.assembler.bytes()).sum::<usize>()
            + self.waiting.iter().map(|job| job.parcel.bytes()).sum::<usize>()
    }

    /// A chunk arrived on this instance's subject.
    pub fn chunk(&mut self, now: u64, payload: Bytes) {
        self.now = now;
        let Ok((prefix, body)) = ChunkPrefix::decode(&payload) else {
            self.refused += 1;
            return;
        };
        let Some(accepted) = &self.accepted else { return };
        if prefix.epoch == accepted.epoch && prefix.instance > accepted.slot {
            // It was registered once more than it knows: the answer was lost.
            return self.forget_everything();
        }
        if prefix.epoch != accepted.epoch
            || prefix.instance != accepted.slot
            || prefix.tick.saturating_add(2) < self.tick
        {
            return; // Of somebody's past.
        }
        if prefix.tick > self.tick {
            self.tick = prefix.tick;
            self.forget_old();
        }
        match prefix.kind {
            ChunkKind::Job | ChunkKind::Shared => self.collect(now, &prefix, payload),
            ChunkKind::Resend => {
                let missing = control::decode::<Missing>(body).unwrap_or_default();
                self.send_again(&prefix, &missing);
            }
            _ => self.refused += 1,
        }
    }

    fn forget_old(&mut self) {
        let oldest = self.tick.saturating_sub(2);
        self.incoming.retain(|id, _| id.tick >= oldest);
        self.shared.retain(|(tick, _), _| *tick >= oldest);
        self.waiting.retain(|job| job.prefix.tick >= oldest);
        self.results.retain(|(tick, _, _), _| *tick >= oldest);
        self.running.retain(|(tick, _, _)| *tick >= oldest);
    }

    fn knows(&self, prefix: &ChunkPrefix) -> bool {
        let key = (prefix.tick, prefix.job, prefix.attempt);
        match prefix.kind {
            ChunkKind::Shared => self.shared.contains_key(&(prefix.tick, prefix.job)),
            _ => {
                self.running.contains(&key)
                    || self.results.contains_key(&key)
                    || self.waiting.iter().any(|job| job.prefix.parcel() == prefix.parcel())
            }
        }
    }

    fn collect(&mut self, now: u64, prefix: &ChunkPrefix, payload: Bytes) {
        if self.knows(prefix) {
            return; // Doubled.
        }
        if self.held() + payload.len() > MAX_HELD {
            self.refused += 1;
            self.incoming.pop_first();
        }
        let id = prefix.parcel();
        if let std::collections::btree_map::Entry::Vacant(e) = self.incoming.entry(id) {
            match Assembler::new(prefix, Limits::default()) {
                Ok(assembler) => {
                    e.insert(Incoming { assembler, heard_at: now });
                }
                Err(_) => {
                    self.refused += 1;
                    return;
                }
            }
        }
        let Some(incoming) = self.incoming.get_mut(&id) else { return };
        let had_gap = incoming.assembler.has_gap();
        incoming.heard_at = now;
        if incoming.assembler.push(payload).is_err() {
            self.refused += 1;
            return;
        }
        if incoming.assembler.is_complete() {
            if let Some(parcel) = self.incoming.remove(&id).and_then(|incoming| incoming.assembler.finish()) {
                self.complete(prefix, parcel);
            }
        } else if incoming.assembler.has_gap() && !had_gap {
            self.ask_for(&id);
        }
    }

    fn complete(&mut self, prefix: &ChunkPrefix, parcel: Parcel) {
        if prefix.kind == ChunkKind::Shared {
            self.shared.insert((prefix.tick, prefix.job), Arc::new(parcel));
        } else {
            match parcel.manifest::<JobManifest>() {
                Ok(manifest) => {
                    let prefix = prefix.answer(ChunkKind::Job);
                    self.waiting.push(WaitingJob { prefix, manifest, parcel, arrived: self.now });
                }
                Err(error) => {
                    self.refused += 1;
                    tracing::warn!(%error, "a job's manifest can't be read");
                }
            }
        }
        self.start_jobs();
    }

    /// Starts jobs that have all that they need, in the order in which they became complete.
    fn start_jobs(&mut self) {
        let Some(accepted) = &self.accepted else { return };
        let chunk_bytes = accepted.chunk_bytes as usize;
        let limit = self.max_payload.saturating_sub(16 << 10).max(4 << 10);
        for job in std::mem::take(&mut self.waiting) {
            let shared = self.shared.get(&(job.prefix.tick, job.manifest.node)).cloned();
            if job.manifest.shared && shared.is_none() {
                self.waiting.push(job);
                continue;
            }
            let Some(system) = self.systems.get(&job.manifest.system) else {
                self.refused += 1;
                continue;
            };
            self.running.insert((job.prefix.tick, job.prefix.job, job.prefix.attempt));
            self.answers.push_back(Answer::Compute(Box::new(Work {
                system: system.clone(),
                prefix: job.prefix,
                shared: shared.filter(|_| job.manifest.shared),
                manifest: job.manifest,
                parcel: job.parcel,
                sizes: ChunkSizes { aim: chunk_bytes, limit },
                arrived: job.arrived,
            })));
        }
    }

    /// Whether a job is still wanted.
    #[must_use]
    pub fn wants(&self, work: &Work) -> bool {
        let prefix = &work.prefix;
        self.running.contains(&(prefix.tick, prefix.job, prefix.attempt))
    }

    /// A job is computed.
    pub fn computed(&mut self, computed: Computed) {
        let key = (computed.prefix.tick, computed.prefix.job, computed.prefix.attempt);
        self.jobs += 1;
        self.compute_ns += computed.compute_ns;
        let current = self.accepted.as_ref().is_some_and(|accepted| {
            accepted.epoch == computed.prefix.epoch && accepted.slot == computed.prefix.instance
        });
        if !self.running.remove(&key) || !current {
            return; // Of an epoch that is over: nobody wants it.
        }
        for payload in &computed.chunks {
            self.answers.push_back(Answer::Result { epoch: computed.prefix.epoch, payload: payload.clone() });
        }
        self.results.insert(key, computed.chunks);
    }

    /// The coordinator has not heard of a job.
    fn send_again(&mut self, prefix: &ChunkPrefix, missing: &Missing) {
        let key = (prefix.tick, prefix.job, prefix.attempt);
        let epoch = prefix.epoch;
        if let Some(chunks) = self.results.get(&key) {
            let wanted = chunks
                .iter()
                .enumerate()
                .filter(|(number, _)| missing.chunks.is_empty() || missing.chunks.contains(&(*number as u16)));
            for (_, payload) in wanted {
                self.answers.push_back(Answer::Result { epoch, payload: payload.clone() });
            }
            return;
        }
        let id = ParcelId { kind: ChunkKind::Job, ..prefix.parcel() };
        if self.running.contains(&key) || self.waiting.iter().any(|job| job.prefix.parcel() == id) {
            self.answers
                .push_back(Answer::Result { epoch, payload: control::working(&prefix.answer(ChunkKind::Working)) });
        } else if self.incoming.contains_key(&id) {
            self.ask_for(&id);
        } else {
            let all = Missing { of: ChunkKind::Job as u8, chunks: Vec::new() };
            self.asked_again += 1;
            self.answers
                .push_back(Answer::Result { epoch, payload: control::encode(prefix, ChunkKind::Missing, &all) });
        }
    }

    fn ask_for(&mut self, id: &ParcelId) {
        let Some(incoming) = self.incoming.get(id) else { return };
        let chunks = incoming.assembler.missing().take(control::MAX_MISSING).collect();
        let prefix = ChunkPrefix {
            kind: ChunkKind::Missing,
            attempt: id.attempt,
            job: id.job,
            epoch: id.epoch,
            tick: id.tick,
            chunk: 0,
            chunks: 1,
            instance: id.instance,
        };
        let payload = control::encode(&prefix, ChunkKind::Missing, &Missing { of: id.kind as u8, chunks });
        self.asked_again += 1;
        self.answers.push_back(Answer::Result { epoch: id.epoch, payload });
    }

    /// Asks for what stopped coming, and for shared inputs that never came.
    fn ask_for_silent(&mut self, now: u64) {
        let silent: Vec<ParcelId> = self
            .incoming
            .iter()
            .filter(|(_, incoming)| now.saturating_sub(incoming.heard_at) > SILENCE)
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            if let Some(incoming) = self.incoming.get_mut(&id) {
                incoming.heard_at = now;
            }
            self.ask_for(&id);
        }
        let lacking: Vec<ChunkPrefix> = self
            .waiting
            .iter()
            .filter(|job| now.saturating_sub(job.arrived) > SILENCE)
            .map(|job| ChunkPrefix { job: job.manifest.node, attempt: 0, ..job.prefix })
            .filter(|prefix| {
                !self
                    .incoming
                    .keys()
                    .any(|id| id.kind == ChunkKind::Shared && id.tick == prefix.tick && id.job == prefix.job)
            })
            .collect();
        if let Some(prefix) = lacking.first() {
            let all = Missing { of: ChunkKind::Shared as u8, chunks: Vec::new() };
            self.asked_again += 1;
            self.answers.push_back(Answer::Result {
                epoch: prefix.epoch,
                payload: control::encode(prefix, ChunkKind::Missing, &all),
            });
        }
        for job in &mut self.waiting {
            if now.saturating_sub(job.arrived) > SILENCE {
                job.arrived = now;
            }
        }
    }
}
