//! Questions to a coordinator, with errors that say what to do next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{anyhow, bail};
use async_nats::connection::State;
use async_nats::{Event, Request, RequestErrorKind};
use engine_app::tool::schemas::Schemas;
use engine_net::Subjects;
use engine_net::client::{self, Connection};
use engine_net::config::ConnectionConfig;
use engine_net::envelope::Envelope;
use engine_net::headers::Headers;
use engine_net::messages::command::{Action, Command, DOMAIN, Done, Expected};
use engine_net::messages::query::{QueryPage, QueryRequest};
use engine_net::messages::schemas::{SchemaPage, SchemasRequest};
use engine_net::messages::snapshot::{Snapshot, SnapshotRequest};
use engine_net::messages::status::{SimState, Status, StatusReply};
use engine_net::messages::trace::{TracePage, TraceRequest};
use engine_net::messages::{Message, Reply};
use tokio::sync::Notify;

use crate::Common;

/// The name of the connection, also in inboxes: permissions of tools are written for it.
pub(crate) const NAME: &str = "tool";
/// How long a status may take that only makes an error clearer.
const SOON: Duration = Duration::from_secs(1);

/// What the server complained about since the connection was made.
#[derive(Clone, Default)]
pub(crate) struct Complaints {
    texts: Arc<Mutex<Vec<String>>>,
    news: Arc<Notify>,
}

impl Complaints {
    fn hear(&self, event: &Event) {
        if let Event::ServerError(error) = event {
            let text = error.to_string();
            let text = text.strip_prefix("nats: ").unwrap_or(&text).to_owned();
            self.texts.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            self.news.notify_waiters();
        }
    }

    /// The first refusal that names one of these subjects.
    pub(crate) fn about(&self, subjects: &[&str]) -> Option<String> {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.iter().find(|text| subjects.iter().any(|subject| names(text, subject))).cloned()
    }

    /// Whether the server has refused this very subject.
    pub(crate) fn about_exactly(&self, subject: &str) -> bool {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.iter().any(|text| names(text, subject) && text.split('"').nth(1) == Some(subject))
    }

    /// Comes back when the server has refused one of these subjects.
    async fn refused(&self, subjects: &[&str]) -> String {
        loop {
            let news = self.news.notified();
            if let Some(text) = self.about(subjects) {
                return text;
            }
            news.await;
        }
    }
}

/// `Permissions Violation for Publish to "engine.main.query.request"`
fn names(complaint: &str, subject: &str) -> bool {
    let violation = complaint.to_ascii_lowercase().contains("permissions violation");
    violation && complaint.split('"').nth(1).is_some_and(|named| named.starts_with(subject))
}

/// A connection, and the world that is talked about.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) subjects: Subjects,
    pub(crate) complaints: Complaints,
    inbox: String,
    patience: Duration,
}

impl Link {
    pub(crate) async fn open(common: &Common) -> anyhow::Result<Self> {
        Ok(Self::connect(&common.connection.resolve()?, common.timeout).await?)
    }

    pub(crate) async fn connect(config: &ConnectionConfig, patience: Duration) -> Result<Self, client::ConnectError> {
        let complaints = Complaints::default();
        let heard = complaints.clone();
        let connection = client::connect_with(config, NAME, move |event| heard.hear(&event)).await?;
        // Both names were checked when the configuration was made.
        let subjects = config.subjects().unwrap_or_else(|error| panic!("{error}"));
        Ok(Self { connection, subjects, complaints, inbox: format!("{}.{NAME}", config.inbox_prefix), patience })
    }

    /// Bytes of a command, at the most.
    pub(crate) fn command_limit(&self) -> usize {
        // What headers and the command itself need stays free.
        self.connection.server.max_payload.saturating_sub(16 << 10).clamp(2 << 10, Command::LIMIT - (16 << 10))
    }

    async fn request<M: Message>(
        &self,
        subject: String,
        message: Option<&M>,
        patience: Option<Duration>,
    ) -> Result<bytes::Bytes, Silence> {
        let mut request = Request::new().timeout(patience);
        if let Some(message) = message {
            request = request.headers((&Headers::of::<M>()).into()).payload(message.encode().into());
        }
        self.send(subject, request).await
    }

    async fn send(&self, subject: String, request: Request) -> Result<bytes::Bytes, Silence> {
        let ours = [subject.as_str(), self.inbox.as_str()];
        tokio::select! {
            answer = self.connection.client.send_request(subject.clone(), request) => match answer {
                Ok(answer) => Ok(answer.payload),
                Err(error) => Err(match error.kind() {
                    RequestErrorKind::NoResponders => Silence::Nobody,
                    RequestErrorKind::TimedOut => Silence::Late,
                    _ => Silence::Failed(error.to_string()),
                }),
            },
            text = self.complaints.refused(&ours) => Err(Silence::Refused(text)),
        }
    }

    /// Asks, and reads the answer.
    async fn ask<M: Message, T>(&self, subject: String, message: Option<&M>) -> anyhow::Result<T>
    where
        Reply<T>: Message,
    {
        match self.request(subject.clone(), message, Some(self.patience)).await {
            Ok(payload) => read(&payload),
            Err(silence) => Err(self.explain(&subject, silence).await),
        }
    }

    /// Why there is no answer, and what to do.
    async fn explain(&self, subject: &str, silence: Silence) -> anyhow::Error {
        let world = self.subjects.world();
        match silence {
            Silence::Nobody => anyhow!(
                "no coordinator answers for world `{world}` ({subject}); start one (`engine coordinator`, or that of \
                 your app), or name another world with --world"
            ),
            Silence::Refused(text) => anyhow!(
                "the server refuses: {text}; give this user permission to publish `{root}.>` and to subscribe \
                 `{inbox}.>`, or connect as another one",
                root = self.subjects.root(),
                inbox = self.inbox,
            ),
            Silence::Failed(reason) => anyhow!("{subject}: {reason}"),
            Silence::Late => {
                let why = match self.status_within(SOON).await {
                    Ok(Status { state: SimState::Waiting { what }, tick, .. }) => {
                        format!("its tick {} waits for {what}: start it, and ask again", tick + 1)
                    }
                    Ok(status) => format!("it is at tick {} and busy: try a longer --timeout", status.tick),
                    Err(_) => "it does not tell its status either: is it stopped, or the network cut?".to_owned(),
                };
                anyhow!(
                    "the coordinator of world `{world}` did not answer within {:?} ({subject}); {why}",
                    self.patience
                )
            }
        }
    }

    pub(crate) async fn status(&self) -> anyhow::Result<Status> {
        self.ask::<StatusReply, _>(self.subjects.status(), None).await
    }

    /// The status, for who goes on looking; or in a few words why there is none.
    pub(crate) async fn look(&self, patience: Duration) -> Result<Status, String> {
        let world = self.subjects.world();
        if self.connection.client.connection_state() != State::Connected {
            return Err("the server is gone; trying to connect again".into());
        }
        let answer = self.request::<StatusReply>(self.subjects.status(), None, Some(patience)).await;
        match answer {
            Ok(payload) => read(&payload).map_err(|error| error.to_string()),
            Err(Silence::Nobody) => Err(format!("no coordinator answers for world `{world}`; looking for one")),
            Err(Silence::Late) => Err(format!("the coordinator did not answer within {patience:?}; asking again")),
            Err(Silence::Refused(text)) => Err(format!("the server refuses: {text}")),
            Err(Silence::Failed(reason)) => Err(reason),
        }
    }

    async fn status_within(&self, patience: Duration) -> anyhow::Result<Status> {
        let payload = self.request::<StatusReply>(self.subjects.status(), None, Some(patience)).await;
        read(&payload.map_err(|_| anyhow!("no status"))?)
    }

    pub(crate) async fn query(&self, request: &QueryRequest) -> anyhow::Result<QueryPage> {
        self.ask(self.subjects.query(), Some(request)).await
    }

    pub(crate) async fn trace(&self, request: &TraceRequest) -> anyhow::Result<TracePage> {
        self.ask(self.subjects.trace(), Some(request)).await
    }

    /// All schemas of the world.
    pub(crate) async fn schemas(&self) -> anyhow::Result<Schemas> {
        let mut all = Vec::new();
        let mut request = SchemasRequest::default();
        loop {
            let page: SchemaPage = self.ask(self.subjects.schemas(), Some(&request)).await?;
            // A page that does not get on would be asked for again and again.
            let stuck = page.next.is_some() && page.next <= request.after;
            all.extend(page.schemas);
            match page.next {
                Some(_) if stuck => bail!("the coordinator sends the same page of schemas again and again"),
                Some(next) => request.after = Some(next),
                None => return Ok(all.into_iter().collect()),
            }
        }
    }

    /// Has something done, and waits until it is.
    pub(crate) async fn command(&self, action: Action) -> anyhow::Result<Done> {
        self.command_expecting(action, Expected::new()).await
    }

    /// As [`Self::command`], if the entity is still what was seen of it.
    pub(crate) async fn command_expecting(&self, action: Action, expect: Expected) -> anyhow::Result<Done> {
        let (subject, mut command) = self.prepare(action);
        command.expect = expect;
        match self.request(subject.clone(), Some(&command), Some(self.patience)).await {
            Ok(payload) => read(&payload),
            Err(silence @ Silence::Late) => {
                let error = self.explain(&subject, silence).await;
                Err(anyhow!("{error}; the command may still be applied"))
            }
            Err(silence) => Err(self.explain(&subject, silence).await),
        }
    }

    /// Gives a command that a system or a service answers. The answer is MessagePack.
    pub(crate) async fn give(
        &self,
        name: [&str; 3],
        envelope: &Envelope,
        payload: Vec<u8>,
    ) -> anyhow::Result<bytes::Bytes> {
        let [domain, aggregate, action] = name;
        let subject = self.subjects.command(domain, aggregate, action);
        let request = Request::new().timeout(Some(self.patience)).headers(envelope.headers()).payload(payload.into());
        match self.send(subject.clone(), request).await {
            Ok(answer) => Ok(answer),
            Err(Silence::Nobody) => Err(anyhow!(
                "nobody answers `{}` in world `{}`: start the system or the service that does, or name another world with \
                 --world",
                envelope.kind,
                self.subjects.world()
            )),
            Err(silence @ Silence::Late) => {
                let error = self.explain(&subject, silence).await;
                Err(anyhow!("{error}; the command may still be done: ask again with --id {}", envelope.id))
            }
            Err(silence) => Err(self.explain(&subject, silence).await),
        }
    }

    /// As [`Self::command`], for what takes as long as it takes; `meanwhile` sees the status each second.
    pub(crate) async fn long_command(
        &self,
        action: Action,
        mut meanwhile: impl FnMut(&Status),
    ) -> anyhow::Result<Done> {
        let (subject, command) = self.prepare(action);
        let answer = self.request(subject.clone(), Some(&command), None);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return match answer {
                    Ok(payload) => read(&payload),
                    Err(silence) => Err(self.explain(&subject, silence).await),
                },
                () = tokio::time::sleep(SOON) => meanwhile(&self.status().await?),
            }
        }
    }

    /// Has a keyframe stored; `meanwhile` sees the status each second.
    pub(crate) async fn snapshot(&self, mut meanwhile: impl FnMut(&Status)) -> anyhow::Result<Snapshot> {
        let subject = self.subjects.snapshot();
        let request = SnapshotRequest {};
        let answer = self.request(subject.clone(), Some(&request), None);
        tokio::pin!(answer);
        let mut epoch = None;
        loop {
            tokio::select! {
                answer = &mut answer => return match answer {
                    Ok(payload) => read(&payload),
                    Err(silence) => Err(self.explain(&subject, silence).await),
                },
                () = tokio::time::sleep(SOON) => {
                    let status = self.status().await?;
                    if *epoch.get_or_insert(status.epoch) != status.epoch {
                        bail!("another coordinator leads the world now, and was not asked: give the command again");
                    }
                    meanwhile(&status);
                }
            }
        }
    }

    fn prepare(&self, action: Action) -> (String, Command) {
        let (aggregate, word) = action.subject();
        (self.subjects.command(DOMAIN, aggregate, word), Command::new(new_id(), action))
    }
}

/// An id that no other command of anybody has.
fn new_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{NAME}-{:x}-{}-{number}", engine_app::epoch_of_now(), std::process::id())
}

/// Why there is no answer.
enum Silence {
    Nobody,
    Late,
    Refused(String),
    Failed(String),
}

fn read<T>(payload: &[u8]) -> anyhow::Result<T>
where
    Reply<T>: Message,
{
    let reply = Reply::<T>::decode(payload)
        .map_err(|error| anyhow!("the coordinator's answer can't be read: {error}; are both of one version?"))?;
    reply.into_result().map_err(|problem| anyhow!("{problem} ({})", problem.code))
}
