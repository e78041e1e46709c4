//! A program's connection to a world's surroundings: what all parts of this crate are made from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use engine_net::client;
use engine_net::config::ConnectionConfig;
use engine_net::name;
use engine_net::subject;

use crate::names::Names;
use crate::upcast::Upcasters;
use crate::{ServiceError, streams};

/// Bounds and times. All sizes in bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Copies of each stream: 1, or 3 (5) in a cluster.
    pub replicas: usize,
    /// The size of a domain's events, at the most, if this program makes the stream; when it is full, more are refused
    /// and nothing is dropped. The server reserves it.
    pub event_bytes: i64,
    /// The size of the other streams, each.
    pub small_bytes: i64,
    /// How long an answer of a server may take until it counts as lost.
    pub answer_timeout: Duration,
    /// Messages that may be on their way to a stream.
    pub publishes_in_flight: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replicas: 1,
            event_bytes: 1 << 30,
            small_bytes: 64 << 20,
            answer_timeout: Duration::from_secs(2),
            publishes_in_flight: 1024,
        }
    }
}

/// A connection, and what is known about the world. A clone is another handle of the same one.
///
/// ```no_run
/// # async fn example() -> Result<(), engine_service::ServiceError> {
/// use engine_net::config::ConnectionConfig;
/// use engine_service::Link;
///
/// let link = Link::open(&ConnectionConfig::default(), "shop").await?;
/// link.ensure_domain("shop").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    jet: Context,
    jet_api: String,
    names: Names,
    source: String,
    settings: Settings,
    upcasters: Arc<Upcasters>,
}

impl Link {
    /// Connects, under the name that its messages have as their source.
    ///
    /// # Errors
    /// When there is no connection, or a name is none.
    pub async fn open(config: &ConnectionConfig, source: &str) -> Result<Self, ServiceError> {
        Self::open_with(config, source, Settings::default(), Upcasters::default()).await
    }

    /// The same with other settings, and with what is known about events of earlier builds.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(
        config: &ConnectionConfig,
        source: &str,
        settings: Settings,
        upcasters: Upcasters,
    ) -> Result<Self, ServiceError> {
        name::token("source", source)?;
        let names = Names::new(config.subjects()?);
        let client = client::connect(config, source).await?.client;
        let jet = ContextBuilder::new()
            .api_prefix(config.jetstream())
            .timeout(settings.answer_timeout)
            .max_ack_inflight(settings.publishes_in_flight.max(1))
            .build(client.clone());
        let (source, upcasters) = (source.to_owned(), Arc::new(upcasters));
        Ok(Self {
            inner: Arc::new(Inner { client, jet, jet_api: config.jetstream(), names, source, settings, upcasters }),
        })
    }

    /// Makes the streams of a domain, or checks those that are there.
    ///
    /// # Errors
    /// When there is no JetStream, or a stream is not what the promises rest on.
    pub async fn ensure_domain(&self, domain: &str) -> Result<(), ServiceError> {
        name::token("domain", domain)?;
        streams::ensure(self.jet(), self.names(), domain, self.settings()).await
    }

    /// The client of NATS.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// JetStream.
    #[must_use]
    pub fn jet(&self) -> &Context {
        &self.inner.jet
    }

    /// Subjects and streams.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.inner.names
    }

    /// Who this is, in the envelopes of its messages.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// Bounds and times.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The root of JetStream's own subjects.
    pub(crate) fn jet_api(&self) -> &str {
        &self.inner.jet_api
    }

    pub(crate) fn upcasters(&self) -> &Arc<Upcasters> {
        &self.inner.upcasters
    }

    /// Whether an answer may go to a subject that somebody else has chosen. An answer is published with the rights of
    /// whoever answers.
    pub(crate) fn may_answer(&self, reply: &str) -> bool {
        self.names().subjects().may_be_answered(reply) && !subject::is_of_a_log(reply)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("source", &self.inner.source).field("names", &self.inner.names).finish()
    }
}
