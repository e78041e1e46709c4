//! Answers for a [`Service`] on one lane: what the NATS services framework asks, and the plain subjects beside it.

use super::{IoHandle, IoMessage, Lane, Outgoing};
use crate::service::{Endpoint, Service};
use crate::subject::{Subject, Subjects};

/// A service that listens.
#[derive(Debug)]
pub struct Responder {
    service: Service,
    lane: Lane,
    subjects: Subjects,
    /// What it is called in `health.<name>` and `discovery.<name>`.
    aliases: Vec<String>,
}

impl Responder {
    /// Listens, and tells everybody on `discovery.announce`. A server that does not allow some of that to this user is no
    /// reason not to do the work: it is said in the log.
    #[must_use]
    pub fn start(
        handle: &IoHandle,
        lane: Lane,
        service: Service,
        subjects: &Subjects,
        aliases: Vec<String>,
        endpoints: &[Endpoint],
    ) -> Self {
        let plain = aliases.iter().flat_map(|name| [subjects.health(name), subjects.discovery(name)]);
        for subject in service.subjects().into_iter().chain(plain) {
            if let Err(error) = handle.subscribe(lane, subject.clone(), None) {
                tracing::warn!(subject, %error, "nobody will find this service there");
            }
        }
        let announcement = Outgoing::new(subjects.discovery(ANNOUNCE), service.info(endpoints));
        if let Err(error) = handle.publish(lane, announcement) {
            tracing::warn!(%error, "this service is not announced");
        }
        Self { service, lane, subjects: subjects.clone(), aliases }
    }

    /// Answers a message that is for the service; whether it was. `endpoints` is only called when there is an answer.
    pub fn answer(&self, handle: &IoHandle, message: &IoMessage, endpoints: impl FnOnce() -> Vec<Endpoint>) -> bool {
        let subject = message.subject.as_str();
        let is_srv = subject.starts_with("$SRV.");
        let asked = if is_srv { None } else { self.asked(subject) };
        if !is_srv && asked.is_none() {
            return false;
        }
        // An answer is published with this process' rights.
        let reply = message.reply.as_ref().map(super::WireSubject::as_str);
        let Some(reply) = reply.filter(|reply| self.subjects.may_be_answered(reply)) else {
            return true;
        };
        let endpoints = endpoints();
        let answer = match asked {
            Some(Asked::Health) => Some(self.service.stats(&endpoints)),
            Some(Asked::Discovery) => Some(self.service.info(&endpoints)),
            None => self.service.answer(subject, &endpoints),
        };
        if let Some(answer) = answer
            && let Err(error) = handle.publish(self.lane, Outgoing::new(reply.to_owned(), answer))
        {
            tracing::debug!(%error, "a question about this service is not answered");
        }
        true
    }

    fn asked(&self, subject: &str) -> Option<Asked> {
        let is_me = |service: &str| self.aliases.iter().any(|name| name == service);
        match self.subjects.parse(subject)? {
            Subject::Health { service } if is_me(service) => Some(Asked::Health),
            Subject::Discovery { service } if is_me(service) => Some(Asked::Discovery),
            _ => None,
        }
    }
}

enum Asked {
    Health,
    Discovery,
}

/// The token behind `discovery.` on which services tell that they are there.
pub const ANNOUNCE: &str = "announce";
