//! Nothing is shown as final before it is durable.
//!
//! A world that keeps a log makes a record of every tick, and of what is applied while it stands still. Whoever
//! keeps the log says how many records are durable. Until then what the world shows of them is held back:
//! answers, announcements, events, watch frames. Jobs go on: a tick may be computed while records before it
//! are on their way, up to a bound.

use std::collections::VecDeque;

use bytes::Bytes;
use engine_net::messages::Problem;
use engine_net::strict;
use engine_system::planted::{self, Bug};

use super::{Coordinator, CoordinatorError, Output};
use crate::record::{MAX_BYTES, TickRecord};

/// Messages that are held back, and their bytes, before queries and commands are refused.
const MAX_HELD: usize = 8192;
const MAX_HELD_BYTES: usize = 64 << 20;

/// What is known of the log.
#[derive(Default)]
pub(super) struct Durability {
    /// Records that may be on their way when a tick begins.
    lag: u64,
    durable: u64,
    /// The tick of the newest durable record.
    tick: u64,
    /// Records on their way, by their ticks.
    ticks: VecDeque<u64>,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// No tick begins, whatever is durable.
    holds: bool,
    /// Why it does not go on.
    trouble: Option<String>,
}

/// Something that waits until so many records are durable.
struct Held {
    records: u64,
    output: Output,
    bytes: usize,
}

impl Coordinator {
    /// From now on records are made ([`Output::Record`]) and waited for: at most `lag` of them, and at least one,
    /// are on their way when a tick begins. Without it the world is shown as soon as a tick is committed.
    pub fn keep_log(&mut self, lag: u64) {
        self.records = 0;
        self.durability = Some(Durability { lag: lag.max(1), tick: self.tick, ..Durability::default() });
    }

    pub(super) fn keeps_log(&self) -> bool {
        self.durability.is_some()
    }

    /// So many records, of those that were made since [`Self::keep_log`], are durable.
    pub fn durable(&mut self, now: u64, records: u64) {
        let made = self.records;
        let Some(log) = &mut self.durability else { return };
        while log.durable < records.min(made) {
            log.durable += 1;
            log.tick = log.ticks.pop_front().unwrap_or(log.tick);
        }
        while log.held.front().is_some_and(|held| held.records <= log.durable) {
            if let Some(held) = log.held.pop_front() {
                log.held_bytes -= held.bytes;
                self.out.push_back(held.output);
            }
        }
        self.advance(now);
    }

    /// The log does not go on, for this reason, or does again: the status says so.
    pub fn log_trouble(&mut self, trouble: Option<String>) {
        if let Some(log) = &mut self.durability {
            log.trouble = trouble;
        }
    }

    /// No tick begins, or they do again: the log has to be made shorter first.
    pub fn hold_ticks(&mut self, now: u64, holds: bool) {
        let Some(log) = &mut self.durability else { return };
        let goes_on = log.holds && !holds;
        log.holds = holds;
        if goes_on {
            self.advance(now);
        }
    }

    /// Whether everything that was committed is durable, and what is to be kept of it is.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_durable() && self.unkept_since().is_none()
    }

    /// Whether everything that was committed is durable.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.durability.as_ref().is_none_or(|log| log.durable == self.records && log.held.is_empty())
    }

    /// The newest durable tick, and what is wrong with the log; none of a world without one.
    #[must_use]
    pub fn durability(&self) -> Option<(u64, Option<&str>)> {
        self.durability.as_ref().map(|log| (log.tick, log.trouble.as_deref()))
    }

    /// Records that are not durable, and messages that wait for them.
    pub(super) fn held(&self) -> (usize, usize) {
        self.durability.as_ref().map_or((0, 0), |log| ((self.records - log.durable) as usize, log.held.len()))
    }

    /// Whether too much is on its way for another record.
    pub(super) fn log_lags(&self) -> bool {
        self.keeps_too_much()
            || self.durability.as_ref().is_some_and(|log| log.holds || self.records - log.durable >= log.lag)
    }

    /// Shows something of the world: what is sent for it waits until the world as it is now is durable.
    pub(super) fn finally(&mut self, show: impl FnOnce(&mut Self)) {
        let from = self.out.len();
        show(self);
        let records = self.records;
        let Some(log) = self.durability.as_mut().filter(|log| log.durable < records) else { return };
        if planted::is(Bug::ShowBeforeDurable) {
            return;
        }
        for output in self.out.drain(from..) {
            let bytes = match &output {
                Output::Send { subject, payload, .. } => subject.len() + payload.len(),
                Output::Keep(tick) => tick.bytes(),
                Output::Run(_) | Output::Record { .. } => 0,
            };
            log.held_bytes += bytes;
            log.held.push_back(Held { records, output, bytes });
        }
    }

    /// Whether more may be asked, with answers that wait for the log.
    pub(super) fn check_held(&self) -> Result<(), Problem> {
        match &self.durability {
            Some(log) if log.held.len() >= MAX_HELD || log.held_bytes >= MAX_HELD_BYTES => {
                let why = log.trouble.as_deref().unwrap_or("it is slower than what is asked");
                Err(Problem::new("overloaded", format_args!("too much waits for the log: {why}; try again")))
            }
            _ => Ok(()),
        }
    }

    /// Hands out a record; it is the next one.
    pub(super) fn hand_out(&mut self, record: &TickRecord) {
        self.records += 1;
        if let Some(log) = &mut self.durability {
            let bytes = strict::encode(record);
            if bytes.len() > MAX_BYTES {
                let error = CoordinatorError::TooMuchToRecord { tick: record.tick, bytes: bytes.len() };
                self.failure.get_or_insert(error);
                return;
            }
            log.ticks.push_back(record.tick);
            self.out.push_back(Output::Record { tick: record.tick, record: Bytes::from(bytes) });
        }
    }

    /// What was applied while the world stands still makes a record of its own, of the tick before.
    pub(super) fn record_standing(&mut self) {
        if self.keeps_log() && !self.inputs.is_empty() {
            let inputs = std::mem::take(&mut self.inputs);
            let record = TickRecord { inputs, ..TickRecord::empty(self.epoch, self.tick, self.hash) };
            self.hand_out(&record);
        }
    }
}
