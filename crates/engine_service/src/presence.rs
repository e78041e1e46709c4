//! A program as a service of NATS: `nats micro ls`, `info` and `stats` show it, and how much waits in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine_net::service::{Endpoint, Identity, Service, now};
use futures_util::StreamExt;
use futures_util::stream::select_all;
use uuid::Uuid;

use crate::{Link, ServiceError};

/// What a part of a program has done, and what waits in it. A clone is another handle of the same one.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    name: String,
    subject: String,
    group: String,
    done: AtomicU64,
    failed: AtomicU64,
    nanos: AtomicU64,
    waiting: AtomicU64,
    last_error: Mutex<String>,
}

impl Gauge {
    /// Of a part with this name, that gets its work on this subject, in this queue group if there is one.
    #[must_use]
    pub fn new(name: &str, subject: String, group: &str) -> Self {
        let zero = AtomicU64::default;
        Self(Arc::new(Counts {
            name: name.to_owned(),
            subject,
            group: group.to_owned(),
            done: zero(),
            failed: zero(),
            nanos: zero(),
            waiting: zero(),
            last_error: Mutex::default(),
        }))
    }

    /// Notes that something was done, in this time, perhaps with an error.
    pub fn count(&self, took: Duration, error: Option<&str>) {
        self.0.done.fetch_add(1, Ordering::Relaxed);
        self.0.nanos.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        if let Some(error) = error {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
            let mut last = self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner);
            *last = error.chars().take(200).collect();
        }
    }

    /// Notes how much waits.
    pub fn waits(&self, waiting: usize) {
        self.0.waiting.store(waiting as u64, Ordering::Relaxed);
    }

    /// How much was done so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// How much of it failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// How much waited when it was last looked at.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.0.waiting.load(Ordering::Relaxed)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            name: self.0.name.clone(),
            subject: self.0.subject.clone(),
            queue_group: self.0.group.clone(),
            num_requests: self.done(),
            num_errors: self.failed(),
            last_error: self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            processing_time: self.0.nanos.load(Ordering::Relaxed),
        }
    }
}

/// Answers what the NATS services framework asks.
#[derive(Debug)]
pub struct Presence {
    link: Link,
    service: Service,
    gauges: Vec<Gauge>,
}

impl Presence {
    /// Under the name of the link's source; `description` is for people, `version` as in `1.2.3`.
    #[must_use]
    pub fn new(link: &Link, version: &str, description: &str) -> Self {
        let service = Service::new(Identity {
            name: link.source().to_owned(),
            id: Uuid::now_v7().simple().to_string(),
            version: version.to_owned(),
            description: description.to_owned(),
            metadata: vec![
                ("world".into(), link.names().subjects().world().to_owned()),
                ("subjects".into(), link.names().subjects().root().to_owned()),
                ("role".into(), "service".into()),
            ],
            started: now(),
        });
        Self { link: link.clone(), service, gauges: Vec::new() }
    }

    /// And shows this part.
    #[must_use]
    pub fn with(mut self, gauge: Gauge) -> Self {
        self.gauges.push(gauge);
        self
    }

    /// Answers until it is dropped.
    ///
    /// # Errors
    /// When it can't listen, or the connection was given up.
    pub async fn run(self) -> Result<(), ServiceError> {
        let (client, subjects) = (self.link.client(), self.link.names().subjects());
        let failed = |error: &dyn std::fmt::Display| ServiceError::passing("answer as a service", error);
        let name = self.service.identity().name.clone();
        let (health, discovery) = (subjects.health(&name), subjects.discovery(&name));
        let mut all = Vec::new();
        for subject in self.service.subjects().into_iter().chain([health.clone(), discovery.clone()]) {
            all.push(client.subscribe(subject).await.map_err(|error| failed(&error))?);
        }
        let mut questions = select_all(all);
        while let Some(message) = questions.next().await {
            let Some(to) = message.reply.filter(|to| self.link.may_answer(to.as_str())) else { continue };
            let endpoints: Vec<_> = self.gauges.iter().map(Gauge::endpoint).collect();
            let answer = match message.subject.as_str() {
                subject if subject == health => Some(self.service.stats(&endpoints)),
                subject if subject == discovery => Some(self.service.info(&endpoints)),
                subject => self.service.answer(subject, &endpoints),
            };
            if let Some(answer) = answer {
                client.publish(to, answer.into()).await.map_err(|error| failed(&error))?;
            }
        }
        Err(failed(&"the connection is closed"))
    }
}
