//! Writing a keyframe on a thread of its own, a few messages at a time.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, header};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    super::{
        JetError, JetSettings, Names,
        api::{Ack, Api, GUARD_SUBJECT},
        bulk::Bulk,
        error::code,
        lane::Load,
    },
    KeyframeId,
    frame::{Contents, Digest, MANIFEST_OVERHEAD, Packer, seal_manifest},
};

/// An append that is under way goes first; but a keyframe must come to its end, too.
const GIVE_WAY: Duration = Duration::from_millis(2);
const LOOK_AGAIN: Duration = Duration::from_micros(100);
/// A server that restarts is waited for, about a minute.
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(250);

/// What all keyframes of one coordinator share.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) bulk: Arc<Bulk>,
    pub(crate) names: Names,
    pub(crate) settings: JetSettings,
    pub(crate) load: Arc<Load>,
    /// Those that are being written: nobody cleans them up.
    pub(crate) open: Mutex<BTreeSet<KeyframeId>>,
    pub(crate) stop: AtomicBool,
}

impl Writer {
    pub(crate) fn is_writing(&self, id: &KeyframeId) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

/// Writes one; returns the bytes that it takes.
pub(crate) fn write(
    writer: &Writer,
    id: KeyframeId,
    parts: impl Iterator<Item = Bytes>,
    manifest: impl FnOnce() -> Option<Bytes>,
) -> Result<u64, JetError> {
    let limit = writer.bulk.payload_limit();
    let size = writer.settings.key_message_bytes.max(64 << 10).min(limit);
    let mut sent = Sent { writer, open: VecDeque::new(), bytes: 0, contents: Contents::default() };
    let mut pace = Pace { per_second: writer.settings.key_bytes_per_second.max(1), next: Instant::now() };
    let mut digest = Digest::default();
    for message in Packer::new(parts, size) {
        give_way(&writer.load);
        sent.room_for(message.len())?;
        pace.wait_for(message.len());
        digest.add(&message);
        sent.part(id, message);
    }
    sent.room_for(usize::MAX)?;
    sent.contents.digest = digest.finish();
    let manifest = manifest().ok_or_else(|| JetError::GivenUp { what: format!("keyframe {id}") })?;
    let bytes = manifest.len() + MANIFEST_OVERHEAD;
    if bytes > limit {
        return Err(JetError::TooLarge { what: format!("the manifest of keyframe {id}"), bytes, limit });
    }
    let payload = seal_manifest(&sent.contents, &manifest);
    let bytes = sent.contents.bytes + payload.len() as u64;
    let mut headers = message_id(id, "manifest");
    headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, sent.contents.first.to_string());
    headers.insert(GUARD_SUBJECT, id.part(&writer.names, 0));
    let (api, subject) = (writer.bulk.api.clone(), id.manifest(&writer.names));
    writer.bulk.wait(async move { publish(&api, &subject, headers, payload).await })?;
    Ok(bytes)
}

/// So many bytes a second; what was not used isn't made up for.
struct Pace {
    per_second: u64,
    next: Instant,
}

impl Pace {
    fn wait_for(&mut self, bytes: usize) {
        let now = Instant::now();
        thread::sleep(self.next.saturating_duration_since(now));
        self.next = self.next.max(now) + Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
    }
}

fn give_way(load: &Load) {
    let until = Instant::now() + GIVE_WAY;
    while load.busy() && Instant::now() < until {
        thread::sleep(LOOK_AGAIN);
    }
}

/// Messages that are under way.
struct Sent<'a> {
    writer: &'a Writer,
    open: VecDeque<(usize, oneshot::Receiver<Result<Ack, JetError>>)>,
    bytes: usize,
    contents: Contents,
}

impl Sent<'_> {
    /// Waits until so many more bytes may go; all of them is `usize::MAX`.
    fn room_for(&mut self, bytes: usize) -> Result<(), JetError> {
        while !self.open.is_empty() && self.bytes.saturating_add(bytes) > self.writer.settings.key_bytes_in_flight {
            let Some((size, answer)) = self.open.pop_front() else { break };
            let ack = answer.blocking_recv().unwrap_or(Err(JetError::Closed))?;
            self.bytes -= size;
            if self.contents.first == 0 {
                self.contents.first = ack.sequence;
            }
            self.contents.last = self.contents.last.max(ack.sequence);
        }
        if self.writer.stop.load(Ordering::Acquire) { Err(JetError::Closed) } else { Ok(()) }
    }

    fn part(&mut self, id: KeyframeId, message: Bytes) {
        let number = self.contents.messages;
        self.contents.messages += 1;
        self.contents.bytes += message.len() as u64;
        self.bytes += message.len();
        let (done, answer) = oneshot::channel();
        self.open.push_back((message.len(), answer));
        let (api, subject) = (self.writer.bulk.api.clone(), id.part(&self.writer.names, number));
        let headers = message_id(id, &number.to_string());
        self.writer.bulk.spawn(async move {
            let _ = done.send(publish(&api, &subject, headers, message).await);
        });
    }
}

fn message_id(id: KeyframeId, which: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_MESSAGE_ID, format!("{id}.{which}"));
    headers
}

/// Again and again while the server is away; the message's id makes a second copy none.
async fn publish(api: &Api, subject: &str, headers: HeaderMap, payload: Bytes) -> Result<Ack, JetError> {
    let mut attempts = 0;
    loop {
        let error = match api.ask("write a keyframe", subject, Some(headers.clone()), payload.clone()).await {
            Ok(ack) => return Ok(ack),
            Err(error) => error,
        };
        attempts += 1;
        let may_pass = matches!(
            error,
            JetError::NoAnswer { .. }
                | JetError::Disconnected { .. }
                | JetError::Answer { .. }
                | JetError::Server { code: code::NOBODY | code::CLUSTER_UNAVAILABLE, .. }
        );
        if !may_pass || attempts >= ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
