//! The bucket of run-time settings: a key-value bucket as the `nats` command makes and changes them.
//!
//! Who leads looks at it four times a second, by one small question to its leader; values are read when something was
//! put. To listen on the subjects of the bucket would be heard sooner, and by whatever is sent there: a flood of large
//! messages that no bucket takes would have to be kept by whoever leads. What is read here is what is stored.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::HeaderMap;
use bytes::Bytes;
use engine_net::{client, config::ConnectionConfig, name};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    JetError, JetSettings,
    api::{Ack, Api, Complaints},
    error::code,
    streams::Info,
};
use crate::run_time::{Entry, Key, MAX_VALUE};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long after something went wrong.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Earlier values of each key that are kept, for people.
const HISTORY: u64 = 8;
/// Bytes of all values: three settings with their history, and room for mistakes.
const MAX_BYTES: u64 = 1 << 20;
/// What a message takes beside its value, at the most: the key, and what a client says about it.
const OVERHEAD: usize = 1024;
/// Keys that nobody knows and that are told, at the most.
const MAX_FOREIGN: usize = 8;

/// The bucket of a world.
#[derive(Clone, Debug)]
pub struct Bucket {
    api: Api,
    world: String,
}

/// Which state of the bucket was seen: one that was removed and made anew begins to count anew.
type Seen = (String, u64);

impl Bucket {
    /// Connects to where the world's log is. Nothing is made.
    ///
    /// # Errors
    /// When there is no connection, or the world's name can't be one.
    pub async fn connect(config: &ConnectionConfig) -> Result<Self, JetError> {
        let (world, config) = (config.world.clone(), config.log_connection());
        let complaints = Complaints::default();
        let heard = complaints.clone();
        let connection = client::connect_with(&config, "settings", move |event| drop(heard.hear(&event))).await?;
        let api = Api::new(connection.client, complaints, JetSettings::default().answer_timeout, &config);
        Self::new(api, &world)
    }

    pub(super) fn new(api: Api, world: &str) -> Result<Self, JetError> {
        name::token("world", world)?;
        Ok(Self { api, world: world.to_owned() })
    }

    /// Its name, for `nats kv`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("ENGINE_SETTINGS_{}", self.world)
    }

    fn stream(&self) -> String {
        format!("KV_{}", self.name())
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name())
    }

    /// What stands in it; None when there is no such bucket.
    ///
    /// # Errors
    /// When the server doesn't say.
    pub async fn entries(&self) -> Result<Option<Vec<Entry>>, JetError> {
        match self.read().await {
            Ok((_, entries)) => Ok(Some(entries)),
            Err(JetError::Server { code: code::STREAM_NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a value, whatever it is; its revision.
    ///
    /// # Errors
    /// When the server doesn't take it.
    pub async fn put(&self, key: Key, value: &str) -> Result<u64, JetError> {
        let (what, value) = (format!("put the setting `{}`", key.name()), Bytes::from(value.to_owned()));
        let ack: Ack = self.api.ask(&what, &self.subject(key.name()), None, value).await?;
        Ok(ack.sequence)
    }

    async fn info(&self, question: &Value) -> Result<Info, JetError> {
        let what = format!("look at the bucket {}", self.name());
        self.api.call(&what, &format!("STREAM.INFO.{}", self.stream()), question).await
    }

    /// Makes it when it is not there. One that somebody else made may be otherwise: nothing depends on how it is, and
    /// what is too large is not read.
    async fn ensure(&self, replicas: u8) -> Result<(), JetError> {
        match self.info(&Value::Null).await {
            Err(JetError::Server { code: code::STREAM_NOT_FOUND, .. }) => {}
            other => return other.map(drop),
        }
        let stream = self.stream();
        let config = json!({
            "name": stream, "subjects": [self.subject(">")], "storage": "file", "retention": "limits", "discard": "new",
            "max_msgs_per_subject": HISTORY, "max_bytes": MAX_BYTES, "max_msg_size": MAX_VALUE + OVERHEAD, "max_age": 0,
            "max_msgs": -1, "max_consumers": -1, "num_replicas": replicas, "allow_rollup_hdrs": true,
            "deny_delete": true, "allow_direct": true,
        });
        let what = format!("create the bucket {}", self.name());
        match self.api.call::<Value>(&what, &format!("STREAM.CREATE.{stream}"), &config).await {
            Ok(_) | Err(JetError::Server { code: code::NAME_IN_USE, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What is in it, when that is something else than what was seen.
    async fn news(&self, seen: &mut Option<Seen>) -> Result<Option<Vec<Entry>>, JetError> {
        let Info { created, state, .. } = self.info(&Value::Null).await?;
        if seen.as_ref() == Some(&(created, state.last_seq)) {
            return Ok(None);
        }
        let (now, entries) = self.read().await?;
        *seen = Some(now);
        Ok(Some(entries))
    }

    async fn read(&self) -> Result<(Seen, Vec<Entry>), JetError> {
        let all = self.subject(">");
        let Info { created, state, .. } = self.info(&json!({ "subjects_filter": all })).await?;
        let mut entries = Vec::new();
        let keys = state.subjects.keys().filter_map(|subject| subject.strip_prefix(all.trim_end_matches('>')));
        let (known, foreign): (Vec<&str>, Vec<&str>) = keys.partition(|key| Key::of(key).is_some());
        for key in known.into_iter().chain(foreign.into_iter().take(MAX_FOREIGN)) {
            let Some(message) = self.api.last(&self.stream(), &self.subject(key)).await? else { continue };
            if !is_removed(&message.headers) {
                entries.push(Entry { key: key.to_owned(), revision: message.sequence, value: message.payload });
            }
        }
        Ok(((created, state.last_seq), entries))
    }
}

/// Whether the last thing that was said of a key is that it is gone.
fn is_removed(headers: &HeaderMap) -> bool {
    headers.get("KV-Operation").is_some_and(|operation| matches!(operation.as_str(), "DEL" | "PURGE"))
        || headers.get("Nats-Marker-Reason").is_some()
}

/// What is in the bucket, for the thread of the coordinator: the newest, once.
#[derive(Debug)]
pub struct SettingsWatch {
    latest: Arc<Latest>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Latest {
    is_new: AtomicBool,
    entries: Mutex<Vec<Entry>>,
}

impl SettingsWatch {
    pub(super) fn start(
        runtime: &tokio::runtime::Handle,
        bucket: Bucket,
        replicas: u8,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let latest = Arc::new(Latest::default());
        let told = latest.clone();
        let task = runtime.spawn(async move {
            watch(&bucket, replicas, |entries| {
                *told.entries.lock().unwrap_or_else(PoisonError::into_inner) = entries;
                told.is_new.store(true, Ordering::Release);
                wake();
            })
            .await;
        });
        Self { latest, task }
    }

    /// What is in the bucket, when that changed since the last call. Never waits for the server.
    #[must_use]
    pub fn news(&self) -> Option<Vec<Entry>> {
        let is_new = self.latest.is_new.load(Ordering::Relaxed) && self.latest.is_new.swap(false, Ordering::AcqRel);
        is_new.then(|| std::mem::take(&mut *self.latest.entries.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Drop for SettingsWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Looks for as long as somebody leads. What goes wrong is said once: a world runs well without settings.
async fn watch(bucket: &Bucket, replicas: u8, mut tell: impl FnMut(Vec<Entry>)) {
    let (mut seen, mut said) = (None, String::new());
    loop {
        let looked = match bucket.news(&mut seen).await {
            Err(JetError::Server { code: code::STREAM_NOT_FOUND, .. }) => bucket.ensure(replicas).await.map(|()| None),
            looked => looked,
        };
        let pause = match looked {
            Ok(news) => {
                said.clear();
                news.into_iter().for_each(&mut tell);
                LOOK
            }
            Err(error) => {
                let text = error.to_string();
                if said != text {
                    let bucket = bucket.name();
                    tracing::warn!(
                        bucket,
                        error = text,
                        "run-time settings can't be watched; the world goes on without"
                    );
                    said = text;
                }
                LOOK_AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}
