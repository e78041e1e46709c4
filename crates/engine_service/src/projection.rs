//! Projections: events folded into a bucket of values by key, for whoever wants to read and not to ask.
//!
//! The place is stored *with* the data: each value carries the sequence of the last message that is folded into it, and
//! is written only if nobody wrote it since it was read. So a message counts once for each key, wherever the runner is
//! killed and however many of them run. Beside that the bucket has a mark behind which everything is folded: a runner
//! begins there, and folding again what is behind it changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_nats::jetstream::kv::{Config, Operation, Store, UpdateErrorKind};
use bytes::Bytes;
use engine_net::strict;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::names::Pattern;
use crate::reader::{Read, Reader};
use crate::recorded::{Place, ReadError, Recorded};
use crate::{Backoff, Gauge, Link, ServiceError, names};

/// Where the mark is; no key of a projection has this character.
const MARK: &str = "=mark";
/// Bytes of a value, at the most.
const MAX_VALUE: usize = 512 * 1024;
/// Messages that are folded before anything is written.
const BATCH: usize = 512;
/// Values that are kept in memory.
const KEPT: usize = 50_000;
/// Tries in a row behind which it is said loudly that nothing is folded.
const MANY: u32 = 5;
/// Writes that are under way at a time.
const WRITES: usize = 64;

/// What events amount to, by key.
pub trait Projection: Send + Sync + 'static {
    /// Which events, as a [`Pattern`].
    const EVENTS: &'static str;
    /// What there is of each key.
    type Value: Serialize + DeserializeOwned + Default + Clone + Send + Sync + 'static;

    /// Which value an event changes; `None` when it changes none. 1 to 64 of the characters `A-Z a-z 0-9 _ -`.
    ///
    /// # Errors
    /// When the event can't be read.
    fn key(&self, event: &Recorded) -> Result<Option<String>, ReadError>;

    /// Folds an event into the value. It must not look at anything else.
    ///
    /// # Errors
    /// When the event can't be read.
    fn fold(&self, value: &mut Self::Value, event: &Recorded) -> Result<(), ReadError>;
}

/// A value as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept<V> {
    /// The last message that is folded into it.
    sequence: u64,
    value: V,
}

/// The same in memory.
#[derive(Clone, Debug)]
struct Cell<V> {
    /// Of the bucket; 0 when it is not there.
    revision: u64,
    kept: Kept<V>,
    changed: bool,
}

/// Folds events into a bucket.
pub struct Runner<P: Projection> {
    link: Link,
    projection: P,
    pattern: Pattern,
    bucket: String,
    gauge: Gauge,
    cells: BTreeMap<String, Cell<P::Value>>,
    refused: u64,
    /// Tries in a row that got nowhere.
    failed: u32,
}

/// Reads what is folded.
#[derive(Clone, Debug)]
pub struct View<V> {
    store: Store,
    value: std::marker::PhantomData<fn() -> V>,
}

/// Somebody else wrote meanwhile, or the server can't be reached: read anew.
struct Again(String);

impl<P: Projection> Runner<P> {
    /// Into a bucket of this name. Two projections must not share one.
    ///
    /// # Errors
    /// When one of the names is none.
    pub fn new(link: &Link, bucket: &str, projection: P) -> Result<Self, ServiceError> {
        engine_net::name::token("bucket", bucket)?;
        let pattern = Pattern::new(P::EVENTS)?;
        let gauge = Gauge::new(bucket, link.names().event(pattern.as_str()), "");
        let (link, bucket) = (link.clone(), bucket.to_owned());
        Ok(Self { link, projection, pattern, bucket, gauge, cells: BTreeMap::new(), refused: 0, failed: 0 })
    }

    /// What it has done, and how many messages it is behind, for [`Presence`](crate::Presence).
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// Messages that could not be read, and are not part of any value.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Folds until it is dropped. A lost server is waited for.
    ///
    /// # Errors
    /// When the streams are not what they have to be, an event gives a key that is none, a value becomes larger than
    /// 512 KiB or deeper than 31 levels, or what is in the bucket is no value of this projection.
    pub async fn run(&mut self) -> Result<(), ServiceError> {
        self.fold_until(None).await
    }

    /// Folds all that is there now, and comes back.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn catch_up(&mut self) -> Result<(), ServiceError> {
        self.link.ensure_domain(self.pattern.domain()).await?;
        let stream = self.link.names().events(self.pattern.domain());
        let failed = |error: &dyn fmt::Display| ServiceError::passing(format!("look at {stream}"), error);
        let stream = self.link.jet().get_stream(&stream).await.map_err(|error| failed(&error))?;
        // Messages that don't concern it are not seen, so the end is that of its own subjects.
        let mut end = 0;
        for filter in self.filters() {
            use async_nats::jetstream::stream::LastRawMessageErrorKind::NoMessageFound;
            match stream.get_last_raw_message_by_subject(&filter).await {
                Ok(message) => end = end.max(message.sequence),
                Err(error) if error.kind() == NoMessageFound => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        self.fold_until(Some(end)).await
    }

    /// Empties the bucket and folds everything from the beginning; comes back when all that is there now is folded. No
    /// other runner must be on the bucket meanwhile, and readers see values grow.
    ///
    /// To rebuild while others read the old values, give a runner a new bucket and [`catch_up`](Self::catch_up).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn rebuild(&mut self) -> Result<(), ServiceError> {
        self.cells.clear();
        let store = open(&self.link, &self.bucket).await?;
        let purged = store.stream.purge().await;
        purged.map_err(|error| ServiceError::passing(format!("empty the bucket {}", self.bucket), error))?;
        self.catch_up().await
    }

    fn filters(&self) -> Vec<String> {
        let names = self.link.names();
        vec![names.event(self.pattern.as_str()), names.outcome(self.pattern.domain(), "*", "*")]
    }

    async fn fold_until(&mut self, end: Option<u64>) -> Result<(), ServiceError> {
        self.link.ensure_domain(self.pattern.domain()).await?;
        let store = open(&self.link, &self.bucket).await?;
        self.failed = 0;
        loop {
            match self.fold_from_mark(&store, end).await {
                Ok(()) => return Ok(()),
                Err(Stop::Lasting(error)) => {
                    self.cells.clear();
                    self.gauge.count(Duration::ZERO, Some(&error.to_string()));
                    return Err(error);
                }
                Err(Stop::Again(Again(reason))) => {
                    self.cells.clear();
                    self.failed = self.failed.saturating_add(1);
                    // Another runner or a restarted server is nothing to speak of; one that never gets on is.
                    if self.failed < MANY {
                        tracing::debug!(bucket = self.bucket, reason, "folding from the mark again");
                    } else {
                        self.gauge.count(Duration::ZERO, Some(&reason));
                        tracing::warn!(bucket = self.bucket, failed = self.failed, reason, "a projection gets nowhere");
                    }
                    Backoff::default().wait(self.failed.min(8)).await;
                }
            }
        }
    }

    async fn fold_from_mark(&mut self, store: &Store, end: Option<u64>) -> Result<(), Stop> {
        let mark = mark(store).await?;
        if end.is_some_and(|end| end <= mark) {
            return Ok(());
        }
        let stream = self.link.names().events(self.pattern.domain());
        let mut reader = Reader::new(&self.link, stream, self.filters(), mark + 1);
        loop {
            let first = reader.next().await;
            let mut last = (first.sequence, first.pending);
            self.fold(store, first).await?;
            for _ in 1..BATCH {
                let Some(read) = reader.now() else { break };
                last = (read.sequence, read.pending);
                self.fold(store, read).await?;
            }
            self.write(store).await?;
            put(store, MARK, strict::encode(&last.0).into()).await?;
            self.failed = 0;
            self.gauge.waits(usize::try_from(last.1).unwrap_or(usize::MAX));
            if end.is_some_and(|end| end <= last.0) {
                return Ok(());
            }
        }
    }

    /// Folds all events of a message into the values in memory.
    async fn fold(&mut self, store: &Store, read: Read) -> Result<(), Stop> {
        let place = Place { sequence: read.sequence, delivered: 1, pending: read.pending };
        let events = Recorded::all(read.headers.as_ref(), &read.payload, Some(place), self.link.upcasters());
        let mut folded: BTreeMap<String, P::Value> = BTreeMap::new();
        // A message counts whole: it is folded into copies, and only then into what will be written.
        let all = || -> Result<Vec<(String, Recorded)>, ReadError> {
            let mut keyed = Vec::new();
            for event in events.clone()?.into_iter().filter(|event| self.pattern.matches(event.name())) {
                if let Some(key) = self.projection.key(&event)? {
                    keyed.push((key, event));
                }
            }
            Ok(keyed)
        };
        let keyed = match all() {
            Ok(keyed) => keyed,
            Err(error) => return self.refuse(read.sequence, &error),
        };
        for (key, event) in keyed {
            names::key(&key).map_err(|error| Stop::Lasting(error.into()))?;
            let cell = self.cell(store, &key).await?;
            // It was folded before the runner died, or by another one.
            if cell.kept.sequence >= read.sequence {
                continue;
            }
            let value = folded.entry(key).or_insert_with(|| cell.kept.value.clone());
            if let Err(error) = self.projection.fold(value, &event) {
                return self.refuse(read.sequence, &error);
            }
        }
        for (key, value) in folded {
            if let Some(cell) = self.cells.get_mut(&key) {
                cell.kept = Kept { sequence: read.sequence, value };
                cell.changed = true;
            }
        }
        self.gauge.count(Duration::ZERO, None);
        Ok(())
    }

    /// One message that can't be read must not stop all others; whoever looks sees that there was one.
    fn refuse(&mut self, sequence: u64, error: &ReadError) -> Result<(), Stop> {
        self.refused += 1;
        self.gauge.count(Duration::ZERO, Some(&error.to_string()));
        tracing::warn!(bucket = self.bucket, sequence, %error, "a message is left out of the projection");
        Ok(())
    }

    async fn cell(&mut self, store: &Store, key: &str) -> Result<&Cell<P::Value>, Stop> {
        if !self.cells.contains_key(key) {
            let (revision, kept) = entry(store, key).await?;
            let kept = kept.unwrap_or_else(|| Kept { sequence: 0, value: P::Value::default() });
            self.cells.insert(key.to_owned(), Cell { revision, kept, changed: false });
        }
        self.cells.get(key).ok_or_else(|| Again("it was just put there".into()).into())
    }

    async fn write(&mut self, store: &Store) -> Result<(), Stop> {
        let mut changed = Vec::new();
        for (key, cell) in self.cells.iter_mut().filter(|(_, cell)| cell.changed) {
            let bytes = written(&cell.kept).map_err(|reason| {
                Stop::Lasting(ServiceError::lasting(format!("keep {key} in the bucket {}", self.bucket), reason))
            })?;
            changed.push((key, cell, bytes));
        }
        let writes = changed.into_iter().map(|(key, cell, bytes)| async move {
            // Revision 0 means: only if it is not there.
            let written = store.update(key, bytes, cell.revision).await;
            cell.revision = written.map_err(|error| match error.kind() {
                UpdateErrorKind::WrongLastRevision => Again(format!("{key} was written by another runner")),
                _ => Again(error.to_string()),
            })?;
            cell.changed = false;
            Ok::<_, Again>(())
        });
        stream::iter(writes.collect::<Vec<_>>()).map(Ok).try_for_each_concurrent(WRITES, |write| write).await?;
        if self.cells.len() > KEPT {
            self.cells.clear();
        }
        Ok(())
    }
}

/// A value as it will be stored: only what can be read again.
fn written<V: Serialize>(kept: &Kept<V>) -> Result<Bytes, String> {
    let bytes = rmp_serde::to_vec_named(kept).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_VALUE {
        return Err(format!("it has {} bytes, where {MAX_VALUE} are the most; spread it over more keys", bytes.len()));
    }
    strict::measure(&bytes).map_err(|error| error.to_string())?;
    Ok(bytes.into())
}

/// Why folding stopped.
enum Stop {
    Again(Again),
    Lasting(ServiceError),
}

impl Stop {
    /// For somebody who reads.
    fn into_error(self, key: &str) -> ServiceError {
        match self {
            Self::Again(Again(reason)) => ServiceError::passing(format!("read {key}"), reason),
            Self::Lasting(error) => error,
        }
    }
}

impl From<Again> for Stop {
    fn from(again: Again) -> Self {
        Self::Again(again)
    }
}

impl<P: Projection> fmt::Debug for Runner<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("bucket", &self.bucket).field("events", &self.pattern).finish_non_exhaustive()
    }
}

async fn open(link: &Link, bucket: &str) -> Result<Store, ServiceError> {
    let failed = |error: &dyn fmt::Display| ServiceError::passing(format!("open the bucket {bucket}"), error);
    if let Ok(store) = link.jet().get_key_value(bucket).await {
        return Ok(store);
    }
    let config = Config {
        bucket: bucket.to_owned(),
        history: 1,
        max_bytes: link.settings().small_bytes,
        num_replicas: link.settings().replicas,
        ..Config::default()
    };
    link.jet().create_key_value(config).await.map_err(|error| failed(&error))
}

/// The revision of a key, and its value if there is one. What can't be read now won't be later either.
async fn entry<V: DeserializeOwned>(store: &Store, key: &str) -> Result<(u64, Option<V>), Stop> {
    let entry = store.entry(key).await.map_err(|error| Again(error.to_string()))?;
    let Some(entry) = entry else { return Ok((0, None)) };
    if entry.operation != Operation::Put {
        return Ok((entry.revision, None));
    }
    let value = strict::decode(&entry.value, MAX_VALUE).map_err(|error| {
        let what = format!("read {key} of the bucket {}", store.name);
        Stop::Lasting(ServiceError::lasting(what, format!("{error}; fold into a new bucket, or rebuild this one")))
    })?;
    Ok((entry.revision, Some(value)))
}

async fn mark(store: &Store) -> Result<u64, Stop> {
    Ok(entry::<u64>(store, MARK).await?.1.unwrap_or(0))
}

async fn put(store: &Store, key: &str, bytes: Bytes) -> Result<(), Again> {
    store.put(key, bytes).await.map(drop).map_err(|error| Again(error.to_string()))
}

impl<V: DeserializeOwned> View<V> {
    /// Of a bucket, which is made if it is not there.
    ///
    /// # Errors
    /// When it can't be reached.
    pub async fn open(link: &Link, bucket: &str) -> Result<Self, ServiceError> {
        engine_net::name::token("bucket", bucket)?;
        Ok(Self { store: open(link, bucket).await?, value: std::marker::PhantomData })
    }

    /// The value of a key, and the sequence of the last message in it; `None` when there is none.
    ///
    /// # Errors
    /// When the bucket can't be reached, or the value is another type's.
    pub async fn get(&self, key: &str) -> Result<Option<(V, u64)>, ServiceError> {
        names::key(key)?;
        let found = entry::<Kept<V>>(&self.store, key).await;
        let (_, kept) = found.map_err(|stop| stop.into_error(key))?;
        Ok(kept.map(|kept| (kept.value, kept.sequence)))
    }

    /// All values by key.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn all(&self) -> Result<BTreeMap<String, V>, ServiceError> {
        let failed = |error: &dyn fmt::Display| ServiceError::passing("list the keys of the bucket", error);
        let keys = self.store.keys().await.map_err(|error| failed(&error))?;
        let keys: Vec<String> = keys.try_collect().await.map_err(|error| failed(&error))?;
        let mut all = BTreeMap::new();
        for key in keys.into_iter().filter(|key| key != MARK) {
            if let Some((value, _)) = self.get(&key).await? {
                all.insert(key, value);
            }
        }
        Ok(all)
    }

    /// The sequence behind which everything is folded.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn mark(&self) -> Result<u64, ServiceError> {
        mark(&self.store).await.map_err(|stop| stop.into_error("the mark"))
    }
}
