//! The writer of a reign, over the streams.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::LogEvent;
use crate::log::chain::Position;
use crate::log::jet::{self, Append, EpochGuard, JetEvent, Kind, Mark, Streams};
use crate::log::record::RecordError;
use crate::log::writer::{
    AppendError, Begin, Limits, Output, Publish, Refusal, StallReason, State, Subject, Token, Writer,
};

pub(super) struct Appender {
    writer: Writer,
    /// What the streams call what the writer asked for.
    tokens: BTreeMap<jet::Token, Token>,
    began: bool,
    /// The index of the epoch record.
    first: u64,
    /// Durable records that were told.
    told: u64,
    /// Trouble that was told.
    trouble: Option<String>,
    behind: bool,
}

impl Appender {
    pub(super) fn begin(begin: Begin, limits: Limits, now: u64) -> Result<Self, RecordError> {
        let first = begin.position.index + 1;
        let writer = Writer::begin(begin, limits, now)?;
        Ok(Self { writer, tokens: BTreeMap::new(), began: false, first, told: 0, trouble: None, behind: false })
    }

    pub(super) fn epoch(&self) -> u64 {
        self.writer.epoch()
    }

    /// Behind the last durable record.
    pub(super) fn position(&self) -> Position {
        self.writer.position()
    }

    /// Behind the last record that was appended.
    pub(super) fn end(&self) -> Position {
        self.writer.end()
    }

    /// Whether it was deposed since an older reign had appended more before this one could begin: then the lease
    /// is still good, and what came has to be read.
    pub(super) fn was_behind(&self) -> bool {
        self.behind
    }

    pub(super) fn can_append(&self) -> bool {
        self.writer.can_append()
    }

    /// Appends a record; why it can't be, when that is the record's own fault.
    pub(super) fn append(&mut self, tick: u64, record: Bytes, now: u64) -> Result<(), String> {
        match self.writer.append(tick, record, now) {
            Ok(_) => Ok(()),
            // Its state says so.
            Err(AppendError::Over(_)) => Ok(()),
            Err(error) => Err(format!("the record of tick {tick} can't be kept: {error}")),
        }
    }

    /// Whether nothing more goes into the log, since it has reached its limits.
    pub(super) fn is_full(&self) -> bool {
        matches!(self.writer.state(), State::Stalled { reason: StallReason::Full, .. })
    }

    pub(super) fn wakes_at(&self) -> Option<u64> {
        self.writer.wakes_at()
    }

    pub(super) fn clock(&mut self, now: u64) {
        self.writer.clock(now);
    }

    pub(super) fn reconnected(&mut self, now: u64) {
        self.writer.reconnected(now);
    }

    pub(super) fn step_down(&mut self) {
        self.writer.step_down();
    }

    /// Hands to the streams what the writer wants done.
    pub(super) fn pump(&mut self, streams: &Streams, now: u64) {
        while let Some(output) = self.writer.output() {
            let (token, asked) = match output {
                Output::Publish(publish) => (publish.token, streams.publish(append_of(publish))),
                Output::Read { token, seq } => (token, streams.read(seq)),
                Output::ReadEpoch { token } => (token, streams.read_epoch()),
            };
            match asked {
                Ok(jet) => drop(self.tokens.insert(jet, token)),
                // As if no answer came: the writer tries again, ever more slowly.
                Err(error) => {
                    tracing::warn!(%error, "the log can't be asked");
                    self.writer.lost(token, now);
                }
            }
        }
    }

    pub(super) fn answered(&mut self, event: JetEvent, now: u64) {
        match event {
            JetEvent::Acked { token, sequence, .. } => {
                if let Some(token) = self.tokens.remove(&token) {
                    self.writer.acked(token, sequence, now);
                }
            }
            JetEvent::Refused { token, reason } => {
                if let Some(token) = self.tokens.remove(&token) {
                    self.writer.refused(token, refusal(reason), now);
                }
            }
            JetEvent::Lost { token, .. } => {
                if let Some(token) = self.tokens.remove(&token) {
                    self.writer.lost(token, now);
                }
            }
            JetEvent::Read { token, record } => {
                let Some(token) = self.tokens.remove(&token) else { return };
                match record {
                    Ok(record) => self.writer.read(token, record.as_ref().map(|record| &record.payload), now),
                    Err(error) => {
                        tracing::warn!(%error, "a record can't be read");
                        self.writer.lost(token, now);
                    }
                }
            }
            _ => {}
        }
    }

    /// What is to be told since the last call; notes how far the log is acknowledged.
    pub(super) fn news(&mut self, streams: &Streams) -> Vec<LogEvent> {
        let mut news = Vec::new();
        let position = self.writer.position();
        if !self.began && self.writer.began() {
            self.began = true;
            news.push(LogEvent::Began { position });
        }
        let durable = position.index.saturating_sub(self.first);
        if self.began && durable > self.told {
            self.told = durable;
            let mark = Mark {
                sequence: position.seq,
                index: position.index,
                chain: Bytes::copy_from_slice(&position.chain.to_le_bytes()),
            };
            if let Err(error) = streams.mark(mark) {
                tracing::warn!(%error, "the high-water mark is not noted");
            }
            news.push(LogEvent::Durable { records: durable });
        }
        let trouble = match self.writer.state() {
            State::Writing | State::Doubtful => None,
            State::Stalled { reason, .. } => Some(stall_text(&reason)),
            State::Deposed { by } => {
                self.behind = by.is_some_and(|by| by < self.writer.epoch());
                news.push(LogEvent::Deposed(deposed_text(by)));
                return news;
            }
            State::Damaged { what } => {
                news.push(LogEvent::Damaged(what));
                return news;
            }
        };
        if trouble != self.trouble {
            self.trouble.clone_from(&trouble);
            news.push(LogEvent::Trouble(trouble));
        }
        news
    }
}

fn append_of(publish: Publish) -> Append {
    let kind = match publish.subject {
        Subject::Epoch => Kind::Epoch,
        Subject::Tick => Kind::Tick,
        Subject::Part => Kind::Part,
    };
    Append {
        kind,
        payload: publish.bytes,
        expected_last: publish.expected_last_seq,
        guard: Some(EpochGuard { sequence: publish.guard_seq }),
        message_id: Some(publish.msg_id),
    }
}

fn refusal(reason: jet::Refusal) -> Refusal {
    match reason {
        // The server's words do not say which of the two conditions failed: reading does.
        jet::Refusal::WrongLast { .. } => Refusal::WrongLastSequence,
        jet::Refusal::Full { .. } => Refusal::Full,
        jet::Refusal::NobodyListens => Refusal::Other("JetStream does not answer: it is off, or not yet up".into()),
        jet::Refusal::NotConnected => Refusal::Other("there is no connection to the server".into()),
        jet::Refusal::Denied { subject } => Refusal::Other(format!("this user may not publish on `{subject}`")),
        jet::Refusal::Other { code, description } => Refusal::Other(format!("{description} (error {code})")),
    }
}

fn stall_text(reason: &StallReason) -> String {
    match reason {
        StallReason::Full => "the stream is full: raise its limit (--log-mib), or make room on the disk".into(),
        StallReason::NoAnswer => "the server does not answer".into(),
        StallReason::Contradiction => "the server refuses what belongs there, and nothing is there".into(),
        StallReason::Other(text) => text.clone(),
    }
}

fn deposed_text(by: Option<u64>) -> String {
    match by {
        Some(epoch) => format!("epoch {epoch} has written to the log"),
        None => "another coordinator has written to the log".into(),
    }
}
