//! The world log in JetStream: streams, appends, reading, keyframes, lease.
//!
//! Records are opaque bytes here. What they mean, who may write them and what an answer leads to is decided by
//! state machines elsewhere; this half talks to the server. [`Streams`] runs two threads with a connection each:
//! one appends, asks and holds the lease, and nothing large ever goes through it; the other reads for recovery,
//! writes keyframes and truncates. Orders return a [`Token`] at once, their ends arrive as [`JetEvent`]s. Methods
//! that read for recovery, and `open`, wait.
//!
//! Every append carries the sequence that it expects to follow and, after an epoch has begun, the sequence of that
//! epoch's record (`Nats-Expected-Last-Subject-Sequence` with its `-Subject`). Without the second one, of two
//! appends under way of a deposed writer the second is valid: the new epoch's record stands where it expects the
//! first.

mod api;
mod bucket;
mod bulk;
mod connected;
mod durability;
mod error;
mod event;
mod kept;
mod keyframe;
mod lane;
mod lease;
mod mark;
mod names;
mod range;
mod settings;
mod streams;
mod truncate;

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use async_nats::{HeaderMap, header};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use engine_net::{
    client::{ServerFacts, require_jetstream},
    config::ConnectionConfig,
};
use tryhard::RetryPolicy;

pub use bucket::{Bucket, SettingsWatch};
pub use error::JetError;
pub use event::{JetEvent, LeaseAnswer, LeaseState, Lost, Record, Refusal, Token};
pub use kept::{EventKeeper, KeptError, KeptNews, KeptSettings};
pub use keyframe::{KeyframeId, KeyframeParts, KeyframeReader};
pub use mark::Mark;
pub use names::{Kind, Names};
pub use range::Records;
pub use settings::{JetSettings, Mode};

use bulk::Bulk;
use error::code;
use keyframe::Writer;
use lane::{Lane, Load, Order, Setup};
use lease::LeaseOrder;
use range::Range;

/// No stream is that long: a publish that expects it is refused, after the user's permissions were looked at.
const NEVER: u64 = 1 << 62;

/// The guard of an append: the epoch record that must still be the last of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochGuard {
    /// Its sequence.
    pub sequence: u64,
}

/// Something to be appended.
#[derive(Clone, Debug)]
pub struct Append {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub payload: Bytes,
    /// The sequence of the record that it follows; 0 in an empty log.
    pub expected_last: u64,
    /// The epoch in which it is written; none for the first epoch's own record. An epoch record is guarded by the
    /// one before it.
    pub guard: Option<EpochGuard>,
    /// An id that the server remembers for the duplicate window.
    pub message_id: Option<String>,
}

/// What the log is, before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The first sequence that is there; one more than the last when nothing is.
    pub first: u64,
    /// The last sequence that was given; 0 in a log that never had a record.
    pub last: u64,
    /// The last epoch record.
    pub epoch: Option<Record>,
}

/// The streams of one world, and the connections to them.
///
/// Dropping it writes the newest mark and ends its threads; what is under way is not waited for.
#[derive(Debug)]
pub struct Streams {
    names: Names,
    settings: JetSettings,
    lane: Lane,
    bulk: Arc<Bulk>,
    writer: Arc<Writer>,
    load: Arc<Load>,
    events: Receiver<JetEvent>,
    sender: Sender<JetEvent>,
    tokens: AtomicU64,
    identity: u64,
}

impl Streams {
    /// Connects, checks the server and the user's permissions, and makes the streams or checks that they are as they
    /// must be. `config` is the world's connection; the log's own settings in it count here.
    ///
    /// # Errors
    /// Each says what to do: no or too old a server, no JetStream, a stream that differs, permissions, and with
    /// [`Mode::Disk`] a server that doesn't sync, or can't be asked.
    pub fn open(config: &ConnectionConfig, world: &str, mode: Mode, settings: JetSettings) -> Result<Self, JetError> {
        let names = Names::new(world)?;
        let config = &config.log_connection();
        let bulk = Bulk::start(config, &settings)?;
        prepare(&bulk, config, &names, mode, &settings)?;
        Self::start(bulk, config, names, settings)
    }

    /// As [`Self::open`], to read what is there: nothing is made, checked or changed.
    ///
    /// # Errors
    /// When there is no connection, no JetStream, or no log of this world ([`JetError::NoLog`]).
    pub fn open_existing(config: &ConnectionConfig, world: &str) -> Result<Self, JetError> {
        let (names, settings) = (Names::new(world)?, JetSettings::default());
        let config = &config.log_connection();
        let bulk = Bulk::start(config, &settings)?;
        let (api, connection, streams) = (bulk.api.clone(), bulk.connection.clone(), [names.keys(), names.log()]);
        let (world, of_log) = (world.to_owned(), config.clone());
        bulk.wait(async move {
            require_jetstream(&connection, &of_log).await?;
            for stream in streams {
                let operation = format!("STREAM.INFO.{stream}");
                match api.call::<serde_json::Value>("look at the log", &operation, &serde_json::Value::Null).await {
                    Ok(_) => {}
                    Err(JetError::Server { code: code::STREAM_NOT_FOUND, .. }) => {
                        return Err(JetError::NoLog { world });
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })?;
        Self::start(bulk, config, names, settings)
    }

    fn start(
        bulk: Arc<Bulk>,
        config: &ConnectionConfig,
        names: Names,
        settings: JetSettings,
    ) -> Result<Self, JetError> {
        let (sender, events) = unbounded();
        let load = Arc::new(Load::default());
        let setup = Setup {
            config: config.clone(),
            names: names.clone(),
            settings: settings.clone(),
            events: sender.clone(),
            load: load.clone(),
        };
        let lane = Lane::start(setup)?;
        let writer = Arc::new(Writer {
            bulk: bulk.clone(),
            names: names.clone(),
            settings: settings.clone(),
            load: load.clone(),
            open: Mutex::new(BTreeSet::new()),
            stop: AtomicBool::new(false),
        });
        let (tokens, identity) = (AtomicU64::new(1), RandomState::new().hash_one(0));
        Ok(Self { names, settings, lane, bulk, writer, load, events, sender, tokens, identity })
    }

    /// Where the ends of all orders arrive, and what happens to the connection.
    #[must_use]
    pub fn events(&self) -> &Receiver<JetEvent> {
        &self.events
    }

    /// The names of streams and subjects.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The server, as it was when connected to.
    #[must_use]
    pub fn server(&self) -> &ServerFacts {
        &self.bulk.connection.server
    }

    /// Bytes that fit into one record.
    #[must_use]
    pub fn record_limit(&self) -> usize {
        self.bulk.payload_limit()
    }

    fn token(&self) -> Token {
        Token(self.tokens.fetch_add(1, Ordering::Relaxed))
    }

    /// Appends; the answer is [`JetEvent::Acked`], [`JetEvent::Refused`] or [`JetEvent::Lost`]. Never waits. Orders
    /// of one thread reach the server in their order.
    ///
    /// # Errors
    /// When too much is under way, the record is too large, or the thread has ended; then nothing was sent.
    pub fn publish(&self, append: Append) -> Result<Token, JetError> {
        let (bytes, limit) = (append.payload.len(), self.record_limit());
        if bytes > limit {
            return Err(JetError::TooLarge { what: "a record".into(), bytes, limit });
        }
        self.load.reserve(bytes, &self.settings)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_EXPECTED_STREAM, self.names.log());
        headers.insert(header::NATS_EXPECTED_LAST_SEQUENCE, append.expected_last.to_string());
        if let Some(guard) = append.guard {
            headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, guard.sequence.to_string());
            headers.insert(api::GUARD_SUBJECT, self.names.record(Kind::Epoch));
        }
        if let Some(id) = append.message_id {
            headers.insert(header::NATS_MESSAGE_ID, id);
        }
        let (token, subject) = (self.token(), self.names.record(append.kind));
        self.lane.order(Order::Append { token, subject, headers, payload: append.payload })?;
        Ok(token)
    }

    /// Asks the stream's leader what stands at a place; the answer is [`JetEvent::Read`].
    pub fn read(&self, sequence: u64) -> Result<Token, JetError> {
        let token = self.token();
        self.lane.order(Order::Read { token, sequence: Some(sequence) })?;
        Ok(token)
    }

    /// Asks the stream's leader for the last epoch record; the answer is [`JetEvent::Read`].
    pub fn read_epoch(&self) -> Result<Token, JetError> {
        let token = self.token();
        self.lane.order(Order::Read { token, sequence: None })?;
        Ok(token)
    }

    /// Takes note how far the log was acknowledged; written when it is due.
    pub fn mark(&self, mark: Mark) -> Result<(), JetError> {
        self.lane.order(Order::Mark(mark))
    }

    /// The high-water mark, if there is one. Waits.
    pub fn read_mark(&self) -> Result<Option<Mark>, JetError> {
        let (api, names) = (self.bulk.api.clone(), self.names.clone());
        self.bulk.wait(async move { Ok(mark::read(&api, &names).await?.map(|(_, mark)| mark)) })
    }

    /// Forgets the high-water mark: for an operator who accepts that the log is shorter than it was. Waits.
    pub fn forget_mark(&self) -> Result<(), JetError> {
        let (api, names) = (self.bulk.api.clone(), self.names.clone());
        self.bulk.wait(async move { api.purge(&names.marks(), &names.mark(), None).await.map(drop) })
    }

    /// Watches the world's run-time settings, whose bucket is made when it is missing; `wake` is called when they
    /// changed. Ends when what it returns is dropped.
    ///
    /// # Errors
    /// When the world's name can't be one of a bucket.
    pub fn watch_settings(&self, wake: impl Fn() + Send + Sync + 'static) -> Result<SettingsWatch, JetError> {
        let bucket = Bucket::new(self.bulk.api.clone(), self.names.world())?;
        Ok(SettingsWatch::start(self.bulk.runtime(), bucket, self.settings.replicas, wake))
    }

    /// Where the log begins and ends. Waits.
    pub fn tail(&self) -> Result<Tail, JetError> {
        let (api, names) = (self.bulk.api.clone(), self.names.clone());
        self.bulk.wait(async move {
            let operation = format!("STREAM.INFO.{}", names.log());
            let info: streams::Info = api.call("look at the log", &operation, &serde_json::Value::Null).await?;
            let epoch = connected::last_epoch(&api, &names).await?;
            let state = info.state;
            let first = if state.messages == 0 { state.last_seq + 1 } else { state.first_seq };
            Ok(Tail { first, last: state.last_seq, epoch })
        })
    }

    /// Reads records in order, both ends included, some hundreds of them at a time in `parallel` questions. A
    /// sequence that is missing is an error that names it.
    #[must_use]
    pub fn read_range(&self, from: u64, to: u64, parallel: usize) -> Records {
        let range = Range { stream: self.names.log(), from, to, segment: range::RECORDS, parallel, strict: true };
        Records::new(self.names.clone(), range::start(&self.bulk, range))
    }

    /// As [`Self::read_range`], but what is missing is passed over.
    #[must_use]
    pub fn read_present(&self, from: u64, to: u64, parallel: usize) -> Records {
        let range = Range { stream: self.names.log(), from, to, segment: range::RECORDS, parallel, strict: false };
        Records::new(self.names.clone(), range::start(&self.bulk, range))
    }

    /// Removes records of ticks up to and with `up_to`, and earlier epoch records behind it; never the last epoch
    /// record. The answer is [`JetEvent::Removed`].
    #[must_use]
    pub fn truncate_log(&self, up_to: u64) -> Token {
        let (api, names) = (self.bulk.api.clone(), self.names.clone());
        self.remove(async move { truncate::truncate(&api, &names, up_to).await })
    }

    fn remove(&self, work: impl Future<Output = Result<u64, JetError>> + Send + 'static) -> Token {
        let (token, events) = (self.token(), self.sender.clone());
        self.bulk.spawn(async move {
            let _ = events.send(JetEvent::Removed { token, result: work.await });
        });
        token
    }

    /// Writes a keyframe in the background, behind whatever is appended; the answer is [`JetEvent::Keyframe`].
    /// `parts` is asked for more when there is room for it, on a thread of its own; then `manifest` is asked for
    /// the manifest, and without one the keyframe is given up.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn write_keyframe<P, M>(&self, tick: u64, epoch: u64, parts: P, manifest: M) -> Result<Token, JetError>
    where
        P: Iterator<Item = Bytes> + Send + 'static,
        M: FnOnce() -> Option<Bytes> + Send + 'static,
    {
        let token = self.token();
        let id = KeyframeId { epoch, tick, writer: self.identity.wrapping_add(token.0) };
        let (writer, events) = (self.writer.clone(), self.sender.clone());
        writer.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        let close = {
            let writer = writer.clone();
            move || writer.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
        };
        let done = close.clone();
        let work = move || {
            let result = keyframe::write(&writer, id, parts, manifest);
            done();
            let _ = events.send(JetEvent::Keyframe { token, id, result });
        };
        if let Err(error) = thread::Builder::new().name("engine-keyframe".into()).spawn(work) {
            close();
            return Err(engine_net::client::ConnectError::Thread { reason: error.to_string() }.into());
        }
        Ok(token)
    }

    /// The keyframes that are complete, the newest first. Waits.
    pub fn list_keyframes(&self) -> Result<Vec<KeyframeId>, JetError> {
        let (api, names) = (self.bulk.api.clone(), self.names.clone());
        self.bulk.wait(async move { keyframe::list(&api, &names).await })
    }

    /// Reads a keyframe: its manifest at once, its parts as they are asked for. Waits.
    pub fn read_keyframe(&self, id: KeyframeId, parallel: usize) -> Result<KeyframeReader, JetError> {
        keyframe::open(&self.bulk, &self.names, id, parallel)
    }

    /// Reads the manifest of a keyframe, and how many bytes the keyframe takes. Waits.
    pub fn read_manifest(&self, id: KeyframeId) -> Result<(Bytes, u64), JetError> {
        keyframe::manifest(&self.bulk, &self.names, id)
    }

    /// Removes a keyframe; the answer is [`JetEvent::Removed`].
    #[must_use]
    pub fn delete_keyframe(&self, id: KeyframeId) -> Token {
        let (api, names) = (self.bulk.api.clone(), self.names.clone());
        self.remove(async move { keyframe::delete(&api, &names, id).await })
    }

    /// Removes all keyframes but the newest `keep`, and what is left of those that were never completed, of earlier
    /// epochs than `epoch` or of dead attempts in it. The answer is [`JetEvent::Removed`].
    #[must_use]
    pub fn retain_keyframes(&self, keep: usize, epoch: u64) -> Token {
        let (api, names, writer) = (self.bulk.api.clone(), self.names.clone(), self.writer.clone());
        self.remove(async move { keyframe::retain(&api, &names, keep, epoch, |id| writer.is_writing(id)).await })
    }

    /// Takes the lease if it is free; the answer is [`JetEvent::Lease`]. `holder` is told to others, and must not be
    /// empty; it ends after `seconds` unless it is renewed.
    pub fn lease_acquire(&self, holder: Bytes, seconds: u32) -> Result<Token, JetError> {
        self.lease(LeaseOrder::Acquire { holder, seconds })
    }

    /// Renews the lease for `seconds` from now, if nobody has changed it since `revision`.
    pub fn lease_renew(&self, holder: Bytes, seconds: u32, revision: u64) -> Result<Token, JetError> {
        self.lease(LeaseOrder::Renew { holder, seconds, revision })
    }

    /// Gives the lease back, if nobody has changed it since `revision`.
    pub fn lease_release(&self, revision: u64) -> Result<Token, JetError> {
        self.lease(LeaseOrder::Release { revision })
    }

    /// Asks who has the lease; the answer is [`JetEvent::LeaseRead`].
    pub fn lease_read(&self) -> Result<Token, JetError> {
        self.lease(LeaseOrder::Read)
    }

    fn lease(&self, order: LeaseOrder) -> Result<Token, JetError> {
        let token = self.token();
        self.lane.order(Order::Lease { token, order })?;
        Ok(token)
    }

    /// Looks at the lease every so often and tells each change as [`JetEvent::LeaseSeen`], what it is now first;
    /// `None` ends it.
    pub fn lease_watch(&self, every: Option<Duration>) -> Result<(), JetError> {
        self.lane.order(Order::Watch { every })
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.writer.stop.store(true, Ordering::Release);
    }
}

/// Everything that is checked before the first append.
fn prepare(
    bulk: &Arc<Bulk>,
    config: &ConnectionConfig,
    names: &Names,
    mode: Mode,
    settings: &JetSettings,
) -> Result<(), JetError> {
    let (api, connection) = (bulk.api.clone(), bulk.connection.clone());
    let (config, names, settings) = (config.clone(), names.clone(), settings.clone());
    bulk.wait(async move {
        // A user without permission would be told that nobody answers: ask in a way that hears complaints first.
        api.call::<serde_json::Value>("use JetStream", "INFO", &serde_json::Value::Null).await.map(drop).or_else(
            |error| match error {
                denied @ JetError::Denied { .. } => Err(denied),
                _ => Ok(()),
            },
        )?;
        require_jetstream(&connection, &config).await?;
        let ensure = tryhard::retry_fn(|| streams::ensure(&api, &names, &settings)).retries(RETRIES);
        let log = ensure.custom_backoff(again_when_it_may_pass).await?;
        probe(&api, &names).await?;
        match mode {
            Mode::Server => Ok(()),
            Mode::Disk => durability::verify(&api, &config, &log).await,
        }
    })
}

/// So often the streams are looked at again before a server without a leader is an error: for ten seconds.
const RETRIES: u32 = 20;

fn again_when_it_may_pass(attempt: u32, error: &JetError) -> RetryPolicy {
    if !error.may_pass() {
        return RetryPolicy::Break;
    }
    if attempt == 1 {
        tracing::warn!(%error, "the streams of the log are not there yet: trying again");
    }
    RetryPolicy::Delay(Duration::from_millis(500))
}

/// Whether the user may publish everything that will be published, by messages that can't be stored.
async fn probe(api: &api::Api, names: &Names) -> Result<(), JetError> {
    let records = Kind::ALL.map(|kind| names.record(kind));
    let others = [format!("{}0.0.0.probe", names.key_root()), names.lease(), names.mark()];
    for subject in records.into_iter().chain(others) {
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_EXPECTED_LAST_SEQUENCE, NEVER.to_string());
        match api.ask::<api::Ack>("write the world log", &subject, Some(headers), Bytes::new()).await {
            Ok(_) | Err(JetError::Server { code: code::WRONG_LAST | code::WRONG_LAST_CONSTANT, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
