//! A stream in memory, with those rules of JetStream that the log lives by: for tests, and for the simulator.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::writer::{Publish, Refusal, Subject};

/// A message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The subject that it was published on.
    pub subject: Subject,
    /// The message.
    pub bytes: Bytes,
}

/// How the server behaves where servers differ, or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Message ids that are remembered.
    pub id_window: usize,
    /// Whether an id is looked at before the conditions are: then a duplicate is acknowledged with the sequence of the
    /// first one, otherwise its conditions fail.
    pub ids_first: bool,
    /// Whether a failed guard is told from a wrong last sequence. Real servers have the same error for both.
    pub names_guard: bool,
    /// Does as if there was no guard: what servers did that were too old for it.
    pub ignores_guard: bool,
    /// Messages that the stream holds; more are refused.
    pub most: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { id_window: 1024, ids_first: true, names_guard: false, ignores_guard: false, most: usize::MAX }
    }
}

/// The stream.
#[derive(Clone, Debug, Default)]
pub struct VirtualStream {
    /// How it behaves; may be changed at any time.
    pub behaviour: Behaviour,
    messages: BTreeMap<u64, Stored>,
    last_seq: u64,
    epoch_seq: u64,
    ids: VecDeque<(String, u64)>,
}

impl VirtualStream {
    /// Stores a message, if its conditions hold. Answers its sequence.
    ///
    /// # Errors
    /// When a condition doesn't hold, or when the stream is full.
    pub fn publish(&mut self, publish: &Publish) -> Result<u64, Refusal> {
        let known = self.ids.iter().find(|(id, _)| *id == publish.msg_id).map(|(_, seq)| *seq);
        if let Some(seq) = known.filter(|_| self.behaviour.ids_first) {
            return Ok(seq);
        }
        if publish.expected_last_seq != self.last_seq {
            return Err(Refusal::WrongLastSequence);
        }
        if publish.guard_seq != self.epoch_seq && !self.behaviour.ignores_guard {
            return Err(if self.behaviour.names_guard { Refusal::GuardFailed } else { Refusal::WrongLastSequence });
        }
        if let Some(seq) = known {
            return Ok(seq);
        }
        if self.messages.len() >= self.behaviour.most {
            return Err(Refusal::Full);
        }
        self.last_seq += 1;
        if publish.subject == Subject::Epoch {
            self.epoch_seq = self.last_seq;
        }
        let stored = Stored { subject: publish.subject, bytes: publish.bytes.clone() };
        self.messages.insert(self.last_seq, stored);
        self.ids.push_back((publish.msg_id.clone(), self.last_seq));
        while self.ids.len() > self.behaviour.id_window {
            self.ids.pop_front();
        }
        Ok(self.last_seq)
    }

    /// The message at a sequence.
    #[must_use]
    pub fn read(&self, seq: u64) -> Option<&Stored> {
        self.messages.get(&seq)
    }

    /// The last epoch record.
    #[must_use]
    pub fn read_epoch(&self) -> Option<&Stored> {
        self.messages.get(&self.epoch_seq)
    }

    /// The messages from a sequence on.
    pub fn from(&self, seq: u64) -> impl Iterator<Item = (u64, &Stored)> {
        self.messages.range(seq..).map(|(seq, stored)| (*seq, stored))
    }

    /// The sequence of the last message that was ever stored.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The sequence of the last epoch record; 0 when there is none.
    #[must_use]
    pub fn epoch_seq(&self) -> u64 {
        self.epoch_seq
    }

    /// Messages that it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Purges what is before a sequence, except for the last epoch record, which the guard needs.
    pub fn purge_before(&mut self, seq: u64) {
        let epoch_seq = self.epoch_seq;
        self.messages.retain(|at, _| *at >= seq || *at == epoch_seq);
    }

    /// The stream without a message, those behind it each in the place of the one before: what a server may make of a
    /// damaged file. None when the message isn't there.
    #[must_use]
    pub fn without(&self, seq: u64) -> Option<Self> {
        let mut damaged = self.clone();
        damaged.messages.remove(&seq)?;
        let behind = damaged.messages.split_off(&seq);
        damaged.messages.extend(behind.into_iter().map(|(at, stored)| (at - 1, stored)));
        damaged.last_seq -= 1;
        let epochs = damaged.messages.iter().filter(|(_, stored)| stored.subject == Subject::Epoch);
        damaged.epoch_seq = epochs.map(|(seq, _)| *seq).next_back().unwrap_or(0);
        damaged.ids.clear();
        Some(damaged)
    }

    /// Loses the last messages, as a server does whose power was cut before it wrote them: sequences are used again.
    pub fn lose_last(&mut self, count: u64) {
        self.last_seq = self.last_seq.saturating_sub(count);
        self.messages.split_off(&(self.last_seq + 1));
        let epochs = self.messages.iter().filter(|(_, stored)| stored.subject == Subject::Epoch);
        self.epoch_seq = epochs.map(|(seq, _)| *seq).next_back().unwrap_or(0);
        self.ids.retain(|(_, seq)| *seq <= self.last_seq);
    }
}
