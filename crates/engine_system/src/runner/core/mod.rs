//! The instance's state machine, without I/O: chunks and answers in, jobs and messages out.
//!
//! A job is run only when it, and the shared input that it needs, is complete. What is missing is asked
//! for; results are kept for a few ticks and sent again when they are asked for. Whatever can't be run is
//! answered with the reason.
//!
//! | file | what it does |
//! | --- | --- |
//! | `membership.rs` | joining, following the coordinator, leaving |
//! | `collect.rs` | from chunks to parcels; asks for what does not come |
//! | `jobs.rs` | from parcels to jobs; keeps results |
//! | `heartbeat.rs` | says how it is |
//! | `load.rs` | what it holds |

mod collect;
mod heartbeat;
mod jobs;
mod load;
mod membership;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine_net::headers::Headers;
use engine_net::messages::Message;
use engine_net::messages::register::Accepted;
use engine_net::name::{self, NameError};
use engine_net::parcel::{Missing, Parcel, control};
use engine_net::prefix::ParcelId;
use engine_net::subject::Sender;
use engine_net::{ChunkKind, ChunkPrefix};

use super::adapt::Adapters;
use super::compute::Work;
use super::copies::Copies;
use super::mapped::Mapping;
use crate::System;
use crate::planted::{self, Bug};

use collect::{Asking, Incoming};
use heartbeat::Figures;
use jobs::{JobKey, Running, WaitingJob};
use membership::State;

pub use load::Load;

/// Bytes of columns that an instance keeps, where nothing else is said.
pub(super) const DEFAULT_KEEP_BYTES: usize = 1 << 30;

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
    /// The coordinator offers its columns: whoever is on its host may [map](Mapping::join) them.
    Map {
        /// What it says.
        invitation: String,
        /// Where they will be.
        mapping: Arc<Mapping>,
    },
}

/// Where an instance runs, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The name of the machine.
    pub name: String,
    /// The number of the process.
    pub pid: u32,
}

/// The state machine. See the module's text.
pub struct InstanceCore {
    name: String,
    nonce: u64,
    host: Host,
    systems: BTreeMap<String, Arc<dyn System>>,
    /// Their names, as they stand in its subjects.
    systems_token: String,
    max_payload: usize,
    state: State,
    /// The latest epoch that it was registered in.
    newest_epoch: u64,
    /// The epoch of the last hello, which may be anybody's.
    said_epoch: u64,
    accepted: Option<Accepted>,
    /// For each system, how the world's values become this build's.
    adapters: BTreeMap<String, Arc<Adapters>>,
    incoming: BTreeMap<ParcelId, Incoming>,
    /// Complete shared inputs, by tick and node: the latest attempt.
    shared: BTreeMap<(u64, u32), (u16, Arc<Parcel>)>,
    /// Shared inputs that jobs wait for.
    lacking: BTreeMap<(u64, u32), Asking>,
    waiting: Vec<WaitingJob>,
    /// Jobs that were handed out to be computed.
    running: BTreeMap<JobKey, Running>,
    results: BTreeMap<JobKey, Vec<Bytes>>,
    /// What is kept from tick to tick in this registration.
    copies: Arc<Mutex<Copies>>,
    /// What it has mapped in this registration.
    mapping: Arc<Mapping>,
    /// Bytes of the copies, at the most.
    keep_bytes: usize,
    tick: u64,
    figures: Figures,
    now: u64,
    answers: VecDeque<Answer>,
}

impl InstanceCore {
    /// An instance that is not registered yet. The upper 48 bits of the nonce tell two processes of the same
    /// name apart.
    ///
    /// # Errors
    /// When the names of its systems together don't fit into a subject.
    pub fn new(name: String, nonce: u64, systems: Vec<Arc<dyn System>>, max_payload: usize) -> Result<Self, NameError> {
        let systems: BTreeMap<String, _> =
            systems.into_iter().map(|system| (system.descriptor().name.clone(), system)).collect();
        Ok(Self {
            name,
            systems_token: name::systems(systems.keys().map(String::as_str))?,
            nonce,
            host: Host::default(),
            systems,
            max_payload,
            state: State::joining(),
            newest_epoch: 0,
            said_epoch: 0,
            accepted: None,
            adapters: BTreeMap::new(),
            incoming: BTreeMap::new(),
            shared: BTreeMap::new(),
            lacking: BTreeMap::new(),
            waiting: Vec::new(),
            running: BTreeMap::new(),
            results: BTreeMap::new(),
            copies: Arc::new(Mutex::new(Copies::new(DEFAULT_KEEP_BYTES))),
            mapping: Arc::default(),
            keep_bytes: DEFAULT_KEEP_BYTES,
            tick: 0,
            figures: Figures::default(),
            now: 0,
            answers: VecDeque::new(),
        })
    }

    /// Says where it runs.
    pub fn set_host(&mut self, host: Host) {
        self.host = host;
    }

    /// Says how many bytes of columns it may keep from tick to tick; 0 for none.
    pub fn set_keep_bytes(&mut self, bytes: usize) {
        self.keep_bytes = bytes;
        self.copies = Arc::new(Mutex::new(Copies::new(bytes)));
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who it is, in subjects.
    #[must_use]
    pub fn sender(&self) -> Sender<'_> {
        Sender { systems: &self.systems_token, instance: &self.name }
    }

    /// The names of its systems, in order.
    pub fn systems(&self) -> impl Iterator<Item = &str> {
        self.systems.keys().map(String::as_str)
    }

    /// The headers of a message of this instance.
    #[must_use]
    pub fn headers<M: Message>(&self) -> Headers {
        let headers = Headers::of::<M>().instance(&self.name);
        match &self.accepted {
            Some(accepted) => headers.epoch(accepted.epoch).tick(self.tick),
            None => headers,
        }
    }

    /// The next thing to be done.
    pub fn next_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// What has to be done from time to time. The clock is in nanoseconds, and never goes back.
    pub fn look_around(&mut self, now: u64) {
        self.now = now;
        self.see_to_membership();
        self.ask_for_silent();
        self.beat();
    }

    /// A chunk arrived on this instance's subject.
    pub fn chunk(&mut self, now: u64, payload: Bytes) {
        self.now = now;
        let Ok((prefix, body)) = ChunkPrefix::decode(&payload) else {
            self.figures.refused += 1;
            return;
        };
        let Some(accepted) = &self.accepted else { return };
        if prefix.epoch == accepted.epoch && prefix.instance > accepted.slot {
            // It was registered once more than it knows: the answer was lost.
            return self.forget_everything();
        }
        let kept = u64::from(accepted.keep_ticks);
        if prefix.epoch != accepted.epoch
            || prefix.instance != accepted.slot
            || prefix.tick.saturating_add(kept) < self.tick
        {
            return; // Of somebody's past.
        }
        if prefix.tick > self.tick {
            self.tick = prefix.tick;
            self.forget_before(prefix.tick.saturating_sub(kept));
        }
        match prefix.kind {
            ChunkKind::Job | ChunkKind::Shared => self.collect(&prefix, payload),
            ChunkKind::Resend => match control::decode::<Missing>(body) {
                Ok(missing) => self.send_again(&prefix, &missing),
                Err(_) => self.figures.refused += 1,
            },
            _ => self.figures.refused += 1,
        }
    }

    fn forget_before(&mut self, oldest: u64) {
        self.incoming.retain(|id, _| id.tick >= oldest);
        self.shared.retain(|(tick, _), _| *tick >= oldest);
        self.lacking.retain(|(tick, _), _| *tick >= oldest);
        self.waiting.retain(|job| job.prefix.tick >= oldest);
        self.results.retain(|key, _| key.tick >= oldest);
        self.running.retain(|key, _| key.tick >= oldest);
    }

    /// The epoch has changed, or the connection was lost: nothing that is open counts any more.
    pub fn forget_everything(&mut self) {
        self.forget_before(u64::MAX);
        self.tick = 0;
        // Jobs that are still computed have the copies of before, and nobody else has.
        self.copies = Arc::new(Mutex::new(Copies::new(self.keep_bytes)));
        self.mapping = Arc::default();
        self.accepted = None;
        self.answers.clear();
        // The next registration is another one, and no repetition of the last.
        self.nonce = (self.nonce & !0xffff) | (self.nonce.wrapping_add(1) & 0xffff);
        self.state.start_over();
    }

    fn answer(&mut self, epoch: u64, payload: Bytes) {
        if planted::is(Bug::LoseLastChunk) && is_last_of_result(&payload) {
            return;
        }
        self.answers.push_back(Answer::Result { epoch, payload });
    }
}

/// Whether it is the last of several chunks of a result.
fn is_last_of_result(payload: &Bytes) -> bool {
    ChunkPrefix::decode(payload).is_ok_and(|(prefix, _)| {
        prefix.kind == ChunkKind::Result && prefix.chunk > 0 && prefix.chunk + 1 == prefix.chunks
    })
}
