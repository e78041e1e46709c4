//! The high-water mark: how far the log was acknowledged, kept apart from the log.
//!
//! A damaged file or a restored copy can leave a stream shorter than it was, without a word and with its sequence
//! numbers used again. The mark is in another stream. It is written every now and then and not with each record,
//! so it proves only what is older than that; it never goes back.

use std::time::{Duration, Instant};

use async_nats::{HeaderMap, header};
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    JetError, JetSettings, Names,
    api::{Ack, Api},
    error::code,
};

/// A place in the log that was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The sequence of the record in the stream.
    pub sequence: u64,
    /// The record's number by the log's own count.
    pub index: u64,
    /// The hash that chains the record to all before it.
    pub chain: Bytes,
}

impl Mark {
    fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(16 + self.chain.len());
        bytes.put_u64_le(self.sequence);
        bytes.put_u64_le(self.index);
        bytes.put_slice(&self.chain);
        bytes.freeze()
    }

    fn decode(bytes: &Bytes) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Self { sequence: number(0)?, index: number(8)?, chain: bytes.slice(16..) })
    }
}

/// What stands there, with its revision.
pub(super) async fn read(api: &Api, names: &Names) -> Result<Option<(u64, Mark)>, JetError> {
    let Some(message) = api.last(&names.marks(), &names.mark()).await? else { return Ok(None) };
    let damaged = || JetError::Damaged {
        what: format!("the high-water mark in {}", names.marks()),
        reason: format!("it has {} bytes", message.payload.len()),
    };
    let mark = Mark::decode(&message.payload).ok_or_else(damaged)?;
    Ok(Some((message.sequence, mark)))
}

/// How writing it ended: what stands there now, and its revision; or not known.
pub(super) type Outcome = Result<(u64, Mark), JetError>;

/// Writes the newest mark, not too often, one at a time.
#[derive(Debug)]
pub(super) struct MarkKeeper {
    every: Duration,
    records: u64,
    newest: Option<Mark>,
    written: Option<(u64, Mark)>,
    last_write: Option<Instant>,
    writing: bool,
}

impl MarkKeeper {
    pub(super) fn new(settings: &JetSettings) -> Self {
        let (every, records) = (settings.mark_every, settings.mark_records.max(1));
        Self { every, records, newest: None, written: None, last_write: None, writing: false }
    }

    /// Takes note; a mark behind a newer one is dropped.
    pub(super) fn set(&mut self, mark: Mark) {
        if self.newest.as_ref().is_none_or(|newest| newest.sequence < mark.sequence) {
            self.newest = Some(mark);
        }
    }

    fn behind(&self) -> Option<u64> {
        let newest = self.newest.as_ref()?;
        match &self.written {
            None => Some(u64::MAX),
            Some((_, written)) if written.sequence >= newest.sequence => None,
            Some((_, written)) => Some(newest.index.saturating_sub(written.index)),
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.writing
            && self.behind().is_some_and(|behind| {
                behind >= self.records || self.last_write.is_none_or(|at| now.duration_since(at) >= self.every)
            })
    }

    /// When to look again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.behind().filter(|_| !self.writing)?;
        self.last_write.map(|at| at + self.every)
    }

    pub(super) fn begin(&mut self, now: Instant, api: &Api, names: &Names, done: UnboundedSender<Outcome>) {
        let Some(mark) = self.newest.clone() else { return };
        self.writing = true;
        self.last_write = Some(now);
        let (api, names, known) = (api.clone(), names.clone(), self.written.as_ref().map(|(revision, _)| *revision));
        tokio::spawn(async move { done.send(write(&api, &names, mark, known).await) });
    }

    pub(super) fn end(&mut self, outcome: Outcome) {
        self.writing = false;
        match outcome {
            Ok(written) => self.written = Some(written),
            // The next one tries again; the revision is asked for anew.
            Err(error) => {
                tracing::warn!("the high-water mark was not written: {error}");
                self.written = None;
            }
        }
    }

    /// Writes the last one before the connection is closed.
    pub(super) async fn finish(&mut self, api: &Api, names: &Names) {
        if self.behind().is_none() {
            return;
        }
        let Some(mark) = self.newest.clone() else { return };
        self.end(write(api, names, mark, None).await);
    }
}

/// Writes it where `known` is the revision, as long as what stands there isn't further.
async fn write(api: &Api, names: &Names, mark: Mark, mut known: Option<u64>) -> Outcome {
    let what = "write the high-water mark";
    for _ in 0..4 {
        let revision = match known.take() {
            Some(revision) => revision,
            None => match read(api, names).await? {
                Some((revision, there)) if there.sequence >= mark.sequence => return Ok((revision, there)),
                Some((revision, _)) => revision,
                None => 0,
            },
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
        match api.ask::<Ack>(what, &names.mark(), Some(headers), mark.encode()).await {
            Ok(ack) => return Ok((ack.sequence, mark)),
            // Somebody else wrote it, or a write that counted as lost was stored.
            Err(JetError::Server { code: code::WRONG_LAST | code::WRONG_LAST_CONSTANT, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(JetError::NoAnswer { what: what.into(), limit: api.limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: u64) -> Mark {
        Mark { sequence, index: sequence, chain: Bytes::from_static(b"chain") }
    }

    #[test]
    fn it_is_written_when_it_is_old_or_far_behind() {
        let settings = JetSettings { mark_records: 3, ..JetSettings::default() };
        let mut keeper = MarkKeeper::new(&settings);
        let start = Instant::now();
        assert!(!keeper.is_due(start));
        keeper.set(mark(1));
        assert!(keeper.is_due(start), "the first one goes at once");
        keeper.last_write = Some(start);
        keeper.end(Ok((1, mark(1))));
        keeper.set(mark(3));
        assert!(!keeper.is_due(start) && keeper.is_due(start + settings.mark_every));
        assert_eq!(keeper.next_due(), Some(start + settings.mark_every));
        keeper.set(mark(4));
        assert!(keeper.is_due(start), "three records behind");
        keeper.set(mark(2));
        assert_eq!(keeper.newest, Some(mark(4)), "it never goes back");
    }

    #[test]
    fn bytes_that_are_no_mark_are_refused() {
        let encoded = mark(7).encode();
        assert_eq!(Mark::decode(&encoded), Some(mark(7)));
        assert_eq!(Mark::decode(&encoded.slice(..15)), None);
    }
}
