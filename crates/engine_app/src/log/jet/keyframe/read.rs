//! Reading a keyframe: the manifest, then its parts, in parallel and in order.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    super::{
        JetError, Names,
        bulk::Bulk,
        range::{self, Batch, Range},
    },
    KeyframeId,
    frame::{Contents, Digest, Unpacker, open_manifest},
};

/// A keyframe that is being read.
#[derive(Debug)]
pub struct KeyframeReader {
    /// What was written as its manifest.
    pub manifest: Bytes,
    /// Its parts, in the order in which they were written.
    pub parts: KeyframeParts,
}

/// What was written as its manifest, and the bytes that all of it takes.
pub(crate) fn manifest(bulk: &Bulk, names: &Names, id: KeyframeId) -> Result<(Bytes, u64), JetError> {
    let (contents, manifest, bytes) = read(bulk, names, id)?;
    Ok((manifest, contents.bytes + bytes as u64))
}

fn read(bulk: &Bulk, names: &Names, id: KeyframeId) -> Result<(Contents, Bytes, usize), JetError> {
    let damaged = |reason: &str| JetError::Damaged { what: format!("keyframe {id}"), reason: reason.to_owned() };
    let (api, stream, subject) = (bulk.api.clone(), names.keys(), id.manifest(names));
    let message = bulk.wait(async move { api.last(&stream, &subject).await })?;
    let message = message.ok_or_else(|| damaged("it has no manifest"))?;
    let (contents, manifest) = open_manifest(&message.payload).map_err(damaged)?;
    Ok((contents, manifest, message.payload.len()))
}

pub(crate) fn open(bulk: &Bulk, names: &Names, id: KeyframeId, parallel: usize) -> Result<KeyframeReader, JetError> {
    let (contents, manifest, _) = read(bulk, names, id)?;
    let Contents { first: from, last: to, .. } = contents;
    let range = Range { stream: names.keys(), from, to, segment: range::PARTS, parallel, strict: false };
    let parts = KeyframeParts {
        id,
        root: id.root(names),
        contents,
        batches: range::start(bulk, range),
        unpacker: Unpacker::default(),
        digest: Digest::default(),
        next: 0,
        waiting: std::collections::BTreeMap::new(),
        over: false,
    };
    Ok(KeyframeReader { manifest, parts })
}

/// The parts of a keyframe. The first error is the last item; a keyframe that ends without one is whole.
///
/// It waits on the calling thread, which must not be one of an asynchronous runtime.
pub struct KeyframeParts {
    id: KeyframeId,
    root: String,
    contents: Contents,
    batches: mpsc::Receiver<Batch>,
    unpacker: Unpacker,
    digest: Digest,
    /// The number of the message that comes next.
    next: u32,
    /// Messages that were stored before it: those that were sent twice are stored where the second one came.
    waiting: std::collections::BTreeMap<u32, Bytes>,
    over: bool,
}

impl std::fmt::Debug for KeyframeParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyframeParts").field("id", &self.id).field("next", &self.next).finish_non_exhaustive()
    }
}

impl KeyframeParts {
    fn damaged(&self, reason: impl Into<String>) -> JetError {
        JetError::Damaged { what: format!("keyframe {}", self.id), reason: reason.into() }
    }

    /// Takes messages that arrived; those of other keyframes stand between them.
    fn take(&mut self, batch: Vec<range::Raw>) -> Result<(), JetError> {
        for raw in batch {
            let number = raw.subject.strip_prefix(&self.root).and_then(|number| number.parse::<u32>().ok());
            if let Some(number) = number.filter(|number| *number >= self.next) {
                self.waiting.insert(number, raw.payload);
            }
        }
        while let Some(message) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.digest.add(&message);
            self.unpacker.take(&message).map_err(|reason| self.damaged(reason))?;
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), JetError> {
        if self.next < self.contents.messages {
            return Err(self.damaged(format!("message {} of {} is missing", self.next, self.contents.messages)));
        }
        if self.next > self.contents.messages || self.unpacker.is_open() || self.digest.finish() != self.contents.digest
        {
            return Err(self.damaged("its messages are not those that the manifest names"));
        }
        Ok(())
    }
}

impl Iterator for KeyframeParts {
    type Item = Result<Bytes, JetError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.over {
                return None;
            }
            if let Some(part) = self.unpacker.part() {
                return Some(Ok(part));
            }
            let result = match self.batches.blocking_recv() {
                Some(batch) => batch.and_then(|batch| self.take(batch)),
                None => {
                    self.over = true;
                    self.check_end()
                }
            };
            if let Err(error) = result {
                self.over = true;
                return Some(Err(error));
            }
        }
    }
}
