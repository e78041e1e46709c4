//! What the log ever held, and what follows from it: the only truth about a world. Kept beside the stream, which
//! is truncated.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine_app::Settings;
use engine_app::coordinator::Coordinator;
use engine_app::log::chain::{Position, Verifier};
use engine_app::log::record::Body;
use engine_app::record::{Input, TickRecord};
use engine_component::WorldHash;
use engine_system::planted::Bug;

use crate::check::Baseline;
use crate::ledger;
use crate::replay::replayed;
use crate::scenario::Scenario;

/// See the module's text.
pub(crate) struct Truth {
    pub(crate) settings: Settings,
    pub(crate) scenario: Scenario,
    baseline: Baseline,
    bug: Option<Bug>,
    verifier: Verifier,
    /// Of all epochs, in their order.
    pub(crate) records: Vec<TickRecord>,
    /// The first record of each tick: its epoch and its hash.
    ticks: BTreeMap<u64, (u64, WorldHash)>,
    applied: BTreeSet<String>,
    refused: BTreeSet<String>,
    /// Run-time settings that took effect.
    pub(crate) set: BTreeSet<u64>,
    /// When each epoch began.
    pub(crate) epochs: Vec<u64>,
    /// Whether anything from outside was applied.
    was_given_something: bool,
}

impl Truth {
    pub(crate) fn new(settings: Settings, scenario: Scenario, baseline: Baseline, bug: Option<Bug>) -> Self {
        Self {
            settings,
            scenario,
            baseline,
            bug,
            verifier: Verifier::new(),
            records: Vec::new(),
            ticks: BTreeMap::new(),
            applied: BTreeSet::new(),
            refused: BTreeSet::new(),
            set: BTreeSet::new(),
            epochs: Vec::new(),
            was_given_something: false,
        }
    }

    pub(crate) fn last_tick(&self) -> u64 {
        self.records.last().map_or(0, |record| record.tick)
    }

    /// Behind the last record.
    pub(crate) fn position(&self) -> Position {
        self.verifier.position()
    }

    /// The stream has stored a message. What it says, for people.
    pub(crate) fn stored(&mut self, now: u64, seq: u64, bytes: &Bytes) -> Result<String, String> {
        let record = self.verifier.feed(seq, bytes).map_err(|error| format!("chain: {error}"))?;
        let Some(record) = record else { return Ok(format!("stores a part at {seq}")) };
        let (index, epoch) = (record.index, record.epoch);
        match record.body {
            Body::Epoch(_) => {
                self.epochs.push(now);
                Ok(format!("stores record {index} at {seq}: epoch {epoch} begins"))
            }
            Body::Tick(bytes) => {
                let record = TickRecord::from_bytes(&bytes).map_err(|error| format!("chain: {error}"))?;
                if record.epoch != epoch {
                    return Err(format!("chain: a record of epoch {} in one of epoch {epoch}", record.epoch));
                }
                let (tick, hash, inputs, kept) = (record.tick, record.hash, record.inputs.len(), record.kept.len());
                self.keep(record)?;
                Ok(format!(
                    "stores record {index} at {seq}: epoch {epoch} tick {tick} with {inputs} inputs, {kept} kept, hash {hash}"
                ))
            }
        }
    }

    fn keep(&mut self, record: TickRecord) -> Result<(), String> {
        let last = self.last_tick();
        let stands_still = record.tick == last && !record.inputs.is_empty();
        if record.tick != last + 1 && !stands_still {
            return Err(format!("chain: a record of tick {} comes behind one of tick {last}", record.tick));
        }
        for input in &record.inputs {
            match input {
                Input::Command { id, .. } => drop(self.applied.insert(id.clone())),
                Input::Refused { id, .. } => drop(self.refused.insert(id.clone())),
                // What a system answers follows from the record, a refusal too.
                Input::Given { id, .. } => {
                    let id = ledger::given_id(id).ok_or_else(|| format!("a command {id}, which nobody gave"))?;
                    self.applied.insert(id.clone());
                    self.refused.insert(id);
                }
                Input::Arrived { .. } => {}
                Input::Setting { revision, .. } if self.set.insert(*revision) => {}
                Input::Setting { revision, .. } => {
                    return Err(format!("settings: revision {revision} takes effect in tick {} again", record.tick));
                }
            }
        }
        self.was_given_something |= !record.inputs.is_empty() || !record.kept.is_empty();
        let (tick, hash) = (record.tick, record.hash);
        if !stands_still {
            self.ticks.insert(tick, (record.epoch, hash));
        }
        self.records.push(record);
        match self.baseline.hash(tick as usize) {
            _ if self.was_given_something || stands_still => Ok(()),
            Some(due) if due == hash => Ok(()),
            Some(due) => Err(format!("divergence: tick {tick} has hash {hash} instead of {due}")),
            None => Err(format!("divergence: tick {tick} is beyond the last one")),
        }
    }

    /// Whether a tick that is shown is in the log: of its epoch, with its hash.
    pub(crate) fn check_commit(&self, epoch: u64, tick: u64, hash: WorldHash) -> Result<(), String> {
        match self.ticks.get(&tick) {
            Some(known) if *known == (epoch, hash) => Ok(()),
            Some((of, with)) => Err(format!(
                "announced: tick {tick} of epoch {epoch} with hash {hash}, and the log has it of epoch {of} with hash {with}"
            )),
            None => Err(format!("announced: tick {tick} of epoch {epoch}, which is not durable")),
        }
    }

    /// Whether what is shown by an epoch is of a tick that is in the log, and not of a version of its own.
    pub(crate) fn check_shown(&self, what: &str, epoch: u64, tick: u64) -> Result<(), String> {
        match self.ticks.get(&tick) {
            // An earlier one's is what this one has recovered.
            Some((of, _)) if *of <= epoch => Ok(()),
            None if tick == 0 => Ok(()),
            Some((of, _)) => Err(format!("announced: {what} of tick {tick} by epoch {epoch}, and it is of epoch {of}")),
            None => Err(format!("announced: {what} of tick {tick} by epoch {epoch}, which is not durable")),
        }
    }

    /// Whether an answer may be given.
    pub(crate) fn check_answer(&self, id: &str, accepted: bool) -> Result<(), String> {
        let known = if accepted { &self.applied } else { &self.refused };
        let what = if accepted { "acknowledged" } else { "refused" };
        match known.contains(id) {
            true => Ok(()),
            false => Err(format!("announced: command {id} is {what}, and that is in no record")),
        }
    }

    /// Replays all records from the beginning, by the book.
    pub(crate) fn replayed(&self) -> Result<Coordinator, String> {
        crate::cluster::plant(None);
        let replayed = replayed(&self.settings, self.scenario, 1, &self.records);
        crate::cluster::plant(self.bug);
        replayed
    }

    /// The world as its records make it, when that is not known to be the undisturbed one.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.was_given_something
    }
}
