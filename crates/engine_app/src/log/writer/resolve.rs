//! What answers mean, and what follows from none: the transitions of the picture in the [writer's](super) text.

use bytes::Bytes;
use engine_system::planted::{self, Bug};

use super::super::record::Message;
#[cfg(test)]
use super::Mistake;
use super::entry::{Entry, Status};
use super::{Output, Refusal, StallReason, State, Subject, Token, Writer};

/// So often may the server refuse the first message for its place, and have nothing there, before it is believed that
/// the end of the log was lost. Once would do if every read was answered by an up-to-date leader.
const CONTRADICTIONS: u32 = 4;

/// A read under way.
#[derive(Debug)]
pub(super) struct Reading {
    token: Token,
    pub(super) sent: u64,
    /// A later message was acknowledged before this read was sent: then the first one must be there.
    later_stored: bool,
    /// It is of the last epoch record.
    epoch: bool,
}

/// Something went wrong, and nothing was stored since.
#[derive(Debug)]
pub(super) struct Trouble {
    reason: StallReason,
    since: u64,
    rounds: u32,
    contradictions: u32,
    /// Nothing is sent before.
    pub(super) until: Option<u64>,
}

impl Trouble {
    pub(super) fn stalled(&self) -> Option<State> {
        Some(State::Stalled { reason: self.reason.clone(), since: self.since })
    }
}

impl Writer {
    /// The server stored the message, at `seq`. Also its answer that the message is a duplicate of the one at `seq`.
    pub fn acked(&mut self, token: Token, seq: u64, now: u64) {
        if self.over.is_some() || token.read || token.writer != self.nonce as u64 {
            return;
        }
        if seq != token.seq {
            let what = format!("the server stored at sequence {seq} what belongs at {}", token.seq);
            return self.end_with(State::Damaged { what });
        }
        // Any attempt's answer will do: it is there.
        if let Some(entry) = self.entry(token.seq).filter(|entry| entry.token.attempt > 0) {
            entry.status = Status::Stored;
        }
        self.pump(now);
    }

    /// The server didn't store the message, or says so.
    pub fn refused(&mut self, token: Token, reason: Refusal, now: u64) {
        if self.over.is_some() || token.read || token.writer != self.nonce as u64 {
            return;
        }
        let Some(entry) = self.entry(token.seq) else { return };
        if reason == Refusal::GuardFailed && entry.subject != Subject::Epoch {
            return self.end_with(State::Deposed { by: None });
        }
        // Of an earlier attempt it says nothing about the last one.
        if entry.token != token || !entry.is_sent() {
            return;
        }
        entry.status = Status::Unknown;
        match reason {
            // An epoch record's own duplicate fails at the guard.
            Refusal::WrongLastSequence | Refusal::GuardFailed => {
                entry.refused = true;
                #[cfg(test)]
                if token.attempt > 1 && self.makes(Mistake::BlindRetry) {
                    self.set(token.seq, Status::Stored);
                }
            }
            Refusal::Full => self.stall(StallReason::Full, now),
            Refusal::Other(text) => self.stall(StallReason::Other(text), now),
        }
        self.pump(now);
    }

    /// No answer came, and none is waited for any longer: a time-out, or the connection is gone.
    pub fn lost(&mut self, token: Token, now: u64) {
        if self.over.is_some() {
            return;
        }
        if self.reading.as_ref().is_some_and(|reading| reading.token == token) {
            self.reading = None;
            self.stall(StallReason::NoAnswer, now);
        } else if self.entry(token.seq).is_some_and(|entry| entry.token == token && entry.is_sent()) {
            self.doubt(token, now);
        }
        self.pump(now);
    }

    /// What is where it was to be read; `None` when nothing is.
    pub fn read(&mut self, token: Token, found: Option<&Bytes>, now: u64) {
        let Some(reading) = self.reading.take_if(|reading| reading.token == token) else { return };
        let Some(first) = self.entries.front_mut() else { return };
        match found {
            _ if reading.epoch => self.epoch_found(found, now),
            None => self.nothing_there(reading.later_stored),
            Some(bytes) if *bytes == first.bytes => first.status = Status::Stored,
            #[cfg(test)]
            Some(_) if self.mistake == Some(Mistake::AnyoneIsMe) => first.status = Status::Stored,
            Some(bytes) => {
                let over = self.judge(bytes, token.seq);
                self.end_with(over);
            }
        }
        self.pump(now);
    }

    /// There is a connection again. What was under way is unknown, and what was waited for may come at once.
    pub fn reconnected(&mut self, now: u64) {
        if self.over.is_some() {
            return;
        }
        self.outputs.clear();
        self.reading = None;
        self.entries.iter_mut().filter(|entry| entry.is_sent()).for_each(|entry| entry.status = Status::Unknown);
        if let Some(trouble) = &mut self.trouble {
            trouble.until = None;
        }
        self.pump(now);
    }

    /// Time goes on: see [`wakes_at`](Writer::wakes_at).
    pub fn clock(&mut self, now: u64) {
        let late = |sent: u64, patience: u64| now.saturating_sub(sent) >= patience;
        let patience = self.limits.patience;
        if self.reading.take_if(|reading| late(reading.sent, patience)).is_some() {
            self.stall(StallReason::NoAnswer, now);
        }
        let overdue: Vec<Token> = self
            .entries
            .iter()
            .filter(|entry| entry.is_sent() && late(entry.sent, patience))
            .map(|entry| entry.token)
            .collect();
        overdue.into_iter().for_each(|token| self.doubt(token, now));
        self.pump(now);
    }

    /// Counts what is proved, and sends what may be sent.
    pub(super) fn pump(&mut self, now: u64) {
        if self.over.is_some() {
            return;
        }
        self.settle();
        if let Some(trouble) = &mut self.trouble {
            if trouble.until.is_some_and(|until| now < until) {
                return;
            }
            trouble.until = None;
        }
        match self.entries.front() {
            Some(first) if first.status == Status::Unknown => self.read_first(now),
            Some(_) => self.send(now),
            None => {}
        }
    }

    fn entry(&mut self, seq: u64) -> Option<&mut Entry> {
        let first = self.entries.front()?.token.seq;
        self.entries.get_mut(usize::try_from(seq.checked_sub(first)?).ok()?)
    }

    #[cfg(test)]
    fn set(&mut self, seq: u64, status: Status) {
        if let Some(entry) = self.entry(seq) {
            entry.status = status;
        }
    }

    /// The fate of what was sent is unknown from now on.
    fn doubt(&mut self, token: Token, now: u64) {
        if let Some(entry) = self.entry(token.seq) {
            let believes = planted::is(Bug::BelieveLostAck);
            entry.status = if believes { Status::Stored } else { Status::Unknown };
        }
        #[cfg(test)]
        match self.mistake {
            Some(Mistake::LostIsStored) => self.set(token.seq, Status::Stored),
            Some(Mistake::BlindRetry) => self.set(token.seq, Status::Waiting),
            _ => {}
        }
        // The first time it is looked at once; who lost the second attempt too should wait.
        if token.attempt > 1 {
            self.stall(StallReason::NoAnswer, now);
        }
    }

    fn stall(&mut self, reason: StallReason, now: u64) {
        let trouble = self.trouble.get_or_insert_with(|| Trouble {
            reason: reason.clone(),
            since: now,
            rounds: 0,
            contradictions: 0,
            until: None,
        });
        trouble.reason = reason;
        if trouble.until.is_none() {
            trouble.rounds = trouble.rounds.saturating_add(1);
            trouble.until = Some(now.saturating_add(self.limits.backoff(trouble.rounds)));
        }
    }

    /// What is stored without a gap is durable.
    fn settle(&mut self) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.status == Status::Stored) {
            self.bytes -= entry.bytes.len();
            if let Some(after) = entry.after {
                self.records -= 1;
                self.durable = after;
            }
            (self.reading, self.trouble, self.contradicted) = (None, None, false);
        }
    }

    fn read_first(&mut self, now: u64) {
        let Some(first) = self.entries.front().filter(|_| self.reading.is_none()) else { return };
        self.reads = self.reads.wrapping_add(1);
        let token = Token { attempt: self.reads, read: true, ..first.token };
        let (later_stored, epoch) = (self.later_stored(), self.contradicted);
        self.reading = Some(Reading { token, sent: now, later_stored, epoch });
        self.outputs.push_back(match epoch {
            true => Output::ReadEpoch { token },
            false => Output::Read { token, seq: token.seq },
        });
    }

    fn later_stored(&self) -> bool {
        self.entries.iter().skip(1).any(|entry| entry.status == Status::Stored)
    }

    /// Sends what waits, in order, up to a message whose fate is unknown. In trouble one message tries the ice.
    fn send(&mut self, now: u64) {
        let most = if self.trouble.is_some() { 1 } else { self.limits.in_flight.max(1) };
        let in_flight = self.entries.iter().filter(|entry| entry.is_sent());
        let (mut count, mut bytes) =
            in_flight.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.bytes.len()));
        for (place, entry) in self.entries.iter_mut().enumerate() {
            match entry.status {
                Status::Unknown => break,
                Status::Sent | Status::Stored => continue,
                Status::Waiting => {}
            }
            let length = entry.bytes.len();
            if count >= most || (count > 0 && bytes + length > self.limits.in_flight_bytes) {
                break;
            }
            // The epoch record's own guard is the epoch record before it.
            let guard_seq = if entry.subject == Subject::Epoch { self.durable.epoch_seq } else { self.epoch_seq };
            self.outputs.push_back(Output::Publish(entry.send(guard_seq, place == 0, now)));
            (count, bytes) = (count + 1, bytes + length);
        }
    }

    /// The place of the first message is empty: then nothing after it is stored either, and all is sent again.
    fn nothing_there(&mut self, later_stored_before: bool) {
        if self.later_stored() {
            // The read may have been answered before the messages arrived; the next one can't be.
            self.contradicted = later_stored_before;
            return;
        }
        // Refused for its place, although all before it was durable.
        self.contradicted = self.entries.front().is_some_and(|first| first.refused && first.was_first);
        if !self.contradicted {
            self.wait();
        }
    }

    /// The last epoch record, after a contradiction. A newer reign may have purged this part of the log already, but
    /// never its epoch record.
    fn epoch_found(&mut self, found: Option<&Bytes>, now: u64) {
        self.contradicted = false;
        let reigns = found.and_then(|bytes| Message::decode(bytes).ok()).map(|message| message.head().epoch);
        // Before the own reign began, it may also be an older one that went on and purged: whoever reads the log again
        // will see.
        if !self.began() || reigns > Some(self.epoch) {
            return self.end_with(State::Deposed { by: reigns });
        }
        if self.later_stored() {
            let what = format!("a later message was stored, and nothing is at sequence {}", self.first_seq());
            return self.end_with(State::Damaged { what });
        }
        self.wait();
        self.stall(StallReason::Contradiction, now);
        let Some(trouble) = &mut self.trouble else { return };
        trouble.contradictions += 1;
        if trouble.contradictions >= CONTRADICTIONS {
            let what = format!(
                "nothing is at sequence {0}, the server refuses what belongs there, and nobody else reigns: messages \
                 before it are gone, or the epoch record at sequence {1}",
                self.first_seq(),
                self.epoch_seq
            );
            self.end_with(State::Damaged { what });
        }
    }

    /// All is sent again; none of it is stored.
    fn wait(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.status = Status::Waiting);
    }

    fn first_seq(&self) -> u64 {
        self.entries.front().map_or(self.end_seq, |first| first.token.seq)
    }

    /// Something else is where a message of ours belongs.
    fn judge(&self, bytes: &Bytes, seq: u64) -> State {
        match Message::decode(bytes) {
            Err(error) => State::Damaged { what: format!("what is stored at sequence {seq} can't be read: {error}") },
            Ok(message) if message.head().nonce == self.nonce => {
                State::Damaged { what: format!("what is stored at sequence {seq} is ours, but not what was sent") }
            }
            Ok(message) => State::Deposed { by: Some(message.head().epoch) },
        }
    }
}
