//! The coordinator as a service: what it can be asked for, how often it was, and how long it took.

use engine_net::io::{IoHandle, IoMessage, Lane, Responder};
use engine_net::service::{Endpoint, Identity, Service, now};
use engine_net::subject::{COORDINATOR, Subject, Subjects};

use crate::coordinator::Coordinator;

/// What it is called in the services framework.
const NAME: &str = "engine-coordinator";

/// Its figures, and who answers with them.
pub(crate) struct Services {
    responder: Responder,
    endpoints: Vec<Endpoint>,
}

impl Services {
    pub(crate) fn start(handle: &IoHandle, coordinator: &Coordinator) -> Self {
        let subjects = coordinator.subjects();
        let endpoints = endpoints(subjects);
        let (epoch, pid) = (coordinator.epoch().to_string(), std::process::id());
        let service = Service::new(Identity {
            name: NAME.to_owned(),
            id: format!("{}-{epoch}-{pid}", subjects.world()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "owns a world and its tick".to_owned(),
            metadata: vec![
                ("world".to_owned(), subjects.world().to_owned()),
                ("subjects".to_owned(), subjects.root().to_owned()),
                ("epoch".to_owned(), epoch),
                ("protocol".to_owned(), engine_net::PROTOCOL.to_string()),
                ("pid".to_owned(), pid.to_string()),
            ],
            started: now(),
        });
        // `health.coordinator` and `discovery.coordinator` are answered with the whole status.
        let responder = Responder::start(handle, Lane::CONTROL, service, subjects, Vec::new(), &endpoints);
        Self { responder, endpoints }
    }

    /// Answers what is asked about the service itself; whether that was it.
    pub(crate) fn answer(&self, handle: &IoHandle, message: &IoMessage) -> bool {
        self.responder.answer(handle, message, || self.endpoints.clone())
    }

    /// A message was dealt with in so many nanoseconds, and was refused for a reason if there is one.
    pub(crate) fn note(&mut self, subject: Option<Subject<'_>>, took: u64, refused: Option<&str>) {
        let Some(endpoint) = subject.and_then(place_of).and_then(|place| self.endpoints.get_mut(place)) else { return };
        endpoint.num_requests += 1;
        endpoint.processing_time += took;
        if let Some(reason) = refused {
            endpoint.num_errors += 1;
            reason.clone_into(&mut endpoint.last_error);
        }
    }
}

/// What it can be asked for, in the order of [`place_of`].
fn endpoints(subjects: &Subjects) -> Vec<Endpoint> {
    let [register, _, leave] = subjects.membership();
    let all = [
        ("register", register, ""),
        ("leave", leave, ""),
        ("query", subjects.query(), COORDINATOR),
        ("schemas", subjects.schemas(), COORDINATOR),
        ("snapshot", subjects.snapshot(), COORDINATOR),
        ("trace", subjects.trace(), COORDINATOR),
        ("watch", subjects.watch(), COORDINATOR),
        ("command", subjects.commands_of(engine_net::messages::command::DOMAIN), COORDINATOR),
        ("status", subjects.status(), ""),
    ];
    all.into_iter()
        .map(|(name, subject, queue)| Endpoint {
            name: name.to_owned(),
            subject,
            queue_group: queue.to_owned(),
            ..Endpoint::default()
        })
        .collect()
}

fn place_of(subject: Subject<'_>) -> Option<usize> {
    match subject {
        Subject::Register(_) => Some(0),
        Subject::Leave(_) => Some(1),
        Subject::Query => Some(2),
        Subject::Schemas => Some(3),
        Subject::Snapshot => Some(4),
        Subject::Trace => Some(5),
        Subject::WatchRequest { .. } => Some(6),
        Subject::Command { .. } => Some(7),
        Subject::Health { .. } | Subject::Discovery { .. } => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_its_endpoint() {
        let subjects = Subjects::new("engine", "main").unwrap();
        let command = subjects.command("world", "entity", "spawn");
        let asked = |endpoint: &Endpoint| {
            let subject = if endpoint.name == "command" { command.clone() } else { endpoint.subject.replace('*', "a") };
            subjects.parse(&subject).and_then(place_of)
        };
        let places: Vec<_> = endpoints(&subjects).iter().map(asked).collect();
        assert_eq!(places, (0..9).map(Some).collect::<Vec<_>>());
        assert_eq!(place_of(Subject::Hello), None);
    }
}
