//! Reading a range of a stream: parallel, in order, and complete.
//!
//! Batched direct gets (every supported server has them) are asked for several segments at a time and put in order
//! here. A copy of the stream that lags behind may answer with less: what it lacks is asked for at the leader, and
//! what the leader lacks is a gap.

use async_nats::{Message, StatusCode, header};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::sync::mpsc;

use super::{JetError, Names, Record, api::Api, connected::record};

/// Sequences of one segment of records, which are small.
pub(super) const RECORDS: u64 = 256;
/// Sequences of one segment of a keyframe. Whoever reads it is given nothing before a segment is complete, and puts
/// the world together while the next ones are on their way.
pub(super) const PARTS: u64 = 16;
/// Bytes that a server sends for one question, at the most (and one message more).
const SEGMENT_BYTES: usize = 4 << 20;
/// Questions without an answer before reading fails.
const ATTEMPTS: u32 = 3;

/// A message of a stream.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) sequence: u64,
    pub(super) subject: String,
    pub(super) payload: Bytes,
}

/// What is to be read; both ends are included.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub(super) stream: String,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Sequences that are asked for in one question.
    pub(super) segment: u64,
    /// Segments that are asked for at a time.
    pub(super) parallel: usize,
    /// Whether every sequence must be there.
    pub(super) strict: bool,
}

pub(super) type Batch = Result<Vec<Raw>, JetError>;

/// Starts reading; batches arrive in order, the first error ends it. As many batches wait as are read at a time.
pub(super) fn start(bulk: &super::bulk::Bulk, range: Range) -> mpsc::Receiver<Batch> {
    let (out, batches) = mpsc::channel(range.parallel.max(1));
    let api = bulk.api.clone();
    bulk.spawn(async move {
        let starts = (range.from.max(1)..=range.to).step_by(range.segment as usize);
        let segments = starts.map(|first| segment(&api, &range, first, (first + range.segment - 1).min(range.to)));
        let mut segments = std::pin::pin!(stream::iter(segments).buffered(range.parallel.max(1)));
        while let Some(batch) = segments.next().await {
            let failed = batch.is_err();
            if out.send(batch).await.is_err() || failed {
                return;
            }
        }
    });
    batches
}

async fn segment(api: &Api, range: &Range, first: u64, last: u64) -> Batch {
    let mut found = Vec::new();
    let mut next = first;
    let mut attempts = 0;
    while next <= last {
        let before = next;
        match ask(api, range, &mut next, last, &mut found).await {
            Ok(Answer::More) => attempts = 0,
            Ok(Answer::Nothing) if !range.strict => break,
            Ok(Answer::Nothing) => {
                let message = api.get(&range.stream, &json!({ "seq": next })).await?;
                let gap = || JetError::Gap { stream: range.stream.clone(), sequence: next };
                let message = message.ok_or_else(gap)?;
                found.push(Raw { sequence: next, subject: message.subject.to_string(), payload: message.payload });
                next += 1;
            }
            // The connection may have been lost with the rest of an answer.
            Err(error) => {
                attempts = if next > before { 1 } else { attempts + 1 };
                if attempts >= ATTEMPTS {
                    return Err(error);
                }
            }
        }
    }
    Ok(found)
}

enum Answer {
    /// Something was found, or the end reached.
    More,
    /// Not the message that comes next.
    Nothing,
}

async fn ask(api: &Api, range: &Range, next: &mut u64, last: u64, found: &mut Vec<Raw>) -> Result<Answer, JetError> {
    let start = *next;
    let what = || format!("read {start} from {}", range.stream);
    let failed = |error: String| JetError::Answer { what: what(), reason: error };
    let subject = format!("{}.DIRECT.GET.{}", api.interface, range.stream);
    let losses = api.complaints.losses();
    let inbox = api.client.new_inbox();
    let mut answers = api.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
    let question = json!({ "seq": *next, "batch": last - *next + 1, "max_bytes": SEGMENT_BYTES });
    let sent = api.client.publish_with_reply(subject.clone(), inbox, question.to_string().into()).await;
    sent.map_err(|error| failed(error.to_string()))?;
    loop {
        let answer = tokio::select! {
            biased;
            answer = tokio::time::timeout(api.limit, answers.next()) => answer,
            error = api.complaints.until(&subject, &api.inbox, losses, "read the log") => return Err(error),
        };
        let message = match answer {
            Err(_) => return Err(JetError::NoAnswer { what: what(), limit: api.limit }),
            Ok(None) => return Err(JetError::Closed),
            Ok(Some(message)) => message,
        };
        match message.status.map(|status| status.as_u16()) {
            None => {}
            Some(204) => return Ok(if *next > start { Answer::More } else { Answer::Nothing }),
            Some(404) => return Ok(Answer::Nothing),
            _ if message.status == Some(StatusCode::NO_RESPONDERS) => {
                return Err(JetError::Server { what: what(), code: 503, description: "nobody listens".into() });
            }
            Some(code) => {
                let description = message.description.unwrap_or_default();
                return Err(JetError::Server { what: what(), code: code.into(), description });
            }
        }
        let raw = raw(message).ok_or_else(|| failed("a message without its sequence".into()))?;
        if raw.sequence > last {
            *next = if range.strict { *next } else { last + 1 };
            return Ok(if range.strict { Answer::Nothing } else { Answer::More });
        }
        if range.strict && raw.sequence != *next {
            return Ok(Answer::Nothing);
        }
        *next = raw.sequence + 1;
        found.push(raw);
        if *next > last {
            return Ok(Answer::More);
        }
    }
}

fn raw(message: Message) -> Option<Raw> {
    let headers = message.headers?;
    // Headers of the record itself come first; the server's are the last.
    let sequence = headers.get_last(header::NATS_SEQUENCE)?.as_str().parse().ok()?;
    let subject = headers.get_last(header::NATS_SUBJECT)?.as_str().to_owned();
    Some(Raw { sequence, subject, payload: message.payload })
}

/// The records of a range of the log, in order. Dropping it ends the reading.
///
/// It waits on the calling thread, which must not be one of an asynchronous runtime.
#[derive(Debug)]
pub struct Records {
    names: Names,
    batches: mpsc::Receiver<Batch>,
    batch: std::vec::IntoIter<Raw>,
}

impl Records {
    pub(super) fn new(names: Names, batches: mpsc::Receiver<Batch>) -> Self {
        Self { names, batches, batch: Vec::new().into_iter() }
    }
}

impl Iterator for Records {
    type Item = Result<Record, JetError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(raw) = self.batch.next() {
                return Some(record(&self.names, raw.sequence, &raw.subject, raw.payload));
            }
            match self.batches.blocking_recv()? {
                Ok(batch) => self.batch = batch.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
