//! Events as plain CloudEvents on subjects of one's choice: for those who don't know outcomes, and other accounts.

use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::PublishMessage;

use super::{Sink, SinkError};
use crate::{Link, Recorded, ServiceError};

/// Publishes each event on `<root>.<name of the event>`.
#[derive(Clone, Debug)]
pub struct NatsSink {
    link: Link,
    root: String,
    kept: bool,
}

impl NatsSink {
    /// Below this subject, which must not be the engine's own.
    ///
    /// # Errors
    /// When it is no subject, or one of this world's or the server's.
    pub fn new(link: &Link, root: &str) -> Result<Self, ServiceError> {
        engine_net::name::dotted("subject", root)?;
        if !link.may_answer(root) {
            let why = "it is one of the engine's or of the server's own";
            return Err(ServiceError::lasting(format!("publish below {root}"), why));
        }
        Ok(Self { link: link.clone(), root: root.to_owned(), kept: false })
    }

    /// Waits until a stream that somebody has on these subjects says that it has the event. It is told the id, so that
    /// one that comes again within its window is stored once.
    #[must_use]
    pub fn kept(mut self) -> Self {
        self.kept = true;
        self
    }
}

impl Sink for NatsSink {
    async fn deliver(&self, event: &Recorded) -> Result<(), SinkError> {
        let (content, payload) = event.payload().map_err(|error| SinkError::Refused(error.to_string()))?;
        let mut envelope = event.envelope.clone();
        envelope.content = content;
        let mut headers = envelope.headers();
        let subject = format!("{}.{}", self.root, event.name());
        if self.kept {
            // Worlds, and aggregates of one, have the same names for what happens in them, and share the stream.
            let world = self.link.names().subjects().world();
            let about = envelope.subject.as_deref().unwrap_or_default();
            headers.insert(NATS_MESSAGE_ID, format!("{world}/{about}/{}", envelope.message_id()));
            let message = PublishMessage::build().headers(headers).payload(payload);
            let sent = self.link.jet().send_publish(subject, message).await.map_err(SinkError::failed)?;
            return sent.await.map(drop).map_err(SinkError::failed);
        }
        let client = self.link.client();
        client.publish_with_headers(subject, headers, payload).await.map_err(SinkError::failed)?;
        // What is only in this process' memory is not delivered.
        match tokio::time::timeout(Duration::from_secs(5), client.flush()).await {
            Ok(flushed) => flushed.map_err(SinkError::failed),
            Err(_) => Err(SinkError::failed("the server does not take it")),
        }
    }
}
