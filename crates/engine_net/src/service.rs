//! A process as a service in the sense of the NATS services framework: what `nats micro ls`, `info` and `stats` show.
//!
//! Pure: whoever has a connection subscribes to [`Service::subjects`] and sends what [`Service::answer`] gives. Payloads
//! are JSON, as the framework (ADR-32 of the NATS project) says.

use serde::Serialize;
use serde_json::{Value, json};

/// The verbs that every service answers, and the types of the answers.
const VERBS: [(&str, &str); 3] = [
    ("PING", "io.nats.micro.v1.ping_response"),
    ("INFO", "io.nats.micro.v1.info_response"),
    ("STATS", "io.nats.micro.v1.stats_response"),
];

/// What a service is called, and what is known of it beside its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it does; all processes that do the same have the same name. Letters, digits, `_` and `-`.
    pub name: String,
    /// Of this process alone, of the same letters.
    pub id: String,
    /// Its version, as in `1.2.3`.
    pub version: String,
    /// For people.
    pub description: String,
    /// More about it: its world, its host.
    pub metadata: Vec<(String, String)>,
    /// When it started, as RFC 3339 writes it.
    pub started: String,
}

/// Something that a service does when it is asked, and how often that was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// Where it is asked.
    pub subject: String,
    /// The queue group in which it listens; empty for none.
    pub queue_group: String,
    /// How often it was asked.
    pub num_requests: u64,
    /// How often it refused.
    pub num_errors: u64,
    /// Why it did the last time; empty if it never did.
    pub last_error: String,
    /// Nanoseconds that all that took.
    pub processing_time: u64,
}

/// A service: who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    identity: Identity,
}

impl Service {
    /// A service of this identity. Letters that its name, its id or its version may not have become `_`.
    #[must_use]
    pub fn new(mut identity: Identity) -> Self {
        for name in [&mut identity.name, &mut identity.id] {
            *name = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect();
        }
        Self { identity }
    }

    /// Its identity, as it is told.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it listens to.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        let Identity { name, id, .. } = &self.identity;
        let of_verb = |(verb, _): (&str, &str)| {
            [format!("$SRV.{verb}"), format!("$SRV.{verb}.{name}"), format!("$SRV.{verb}.{name}.{id}")]
        };
        VERBS.into_iter().flat_map(of_verb).collect()
    }

    /// The answer to what is asked on one of its [subjects](Self::subjects); none on another one.
    #[must_use]
    pub fn answer(&self, subject: &str, endpoints: &[Endpoint]) -> Option<Vec<u8>> {
        let rest = subject.strip_prefix("$SRV.")?;
        let mut tokens = rest.split('.');
        let verb = tokens.next()?;
        let (_, kind) = VERBS.into_iter().find(|(known, _)| *known == verb)?;
        let is_me = tokens.next().is_none_or(|name| name == self.identity.name)
            && tokens.next().is_none_or(|id| id == self.identity.id)
            && tokens.next().is_none();
        is_me.then(|| self.json(verb, kind, endpoints).to_string().into_bytes())
    }

    /// The same as the answer to `INFO`: for `discovery.*`.
    #[must_use]
    pub fn info(&self, endpoints: &[Endpoint]) -> Vec<u8> {
        self.json("INFO", VERBS[1].1, endpoints).to_string().into_bytes()
    }

    /// The same as the answer to `STATS`: for `health.*`.
    #[must_use]
    pub fn stats(&self, endpoints: &[Endpoint]) -> Vec<u8> {
        self.json("STATS", VERBS[2].1, endpoints).to_string().into_bytes()
    }

    fn json(&self, verb: &str, kind: &str, endpoints: &[Endpoint]) -> Value {
        let Identity { name, id, version, description, metadata, started } = &self.identity;
        let metadata: serde_json::Map<String, Value> =
            metadata.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        let mut answer = json!({ "type": kind, "name": name, "id": id, "version": version, "metadata": metadata });
        match verb {
            "INFO" => {
                answer["description"] = description.clone().into();
                let of = |endpoint: &Endpoint| {
                    let Endpoint { name, subject, queue_group, .. } = endpoint;
                    json!({ "name": name, "subject": subject, "queue_group": queue_group, "metadata": {} })
                };
                answer["endpoints"] = endpoints.iter().map(of).collect();
            }
            "STATS" => {
                answer["started"] = started.clone().into();
                let of = |endpoint: &Endpoint| {
                    let average = endpoint.processing_time.checked_div(endpoint.num_requests).unwrap_or(0);
                    let mut stats = json!(endpoint);
                    stats["average_processing_time"] = average.into();
                    stats
                };
                answer["endpoints"] = endpoints.iter().map(of).collect();
            }
            _ => {}
        }
        answer
    }
}

/// Now, as RFC 3339 writes it.
#[must_use]
pub fn now() -> String {
    let now = time::OffsetDateTime::now_utc().truncate_to_second();
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service::new(Identity {
            name: "engine-coordinator".into(),
            id: "main.7".into(),
            version: "0.1.0".into(),
            description: "owns a world".into(),
            metadata: vec![("world".into(), "main".into())],
            started: "1970-01-01T00:00:00Z".into(),
        })
    }

    fn endpoint() -> Endpoint {
        Endpoint {
            name: "query".into(),
            subject: "engine.main.query.request".into(),
            queue_group: "coordinator".into(),
            num_requests: 4,
            num_errors: 1,
            last_error: "no".into(),
            processing_time: 10,
        }
    }

    fn asked(subject: &str) -> Option<Value> {
        let answer = service().answer(subject, &[endpoint()])?;
        Some(serde_json::from_slice(&answer).unwrap())
    }

    #[test]
    fn it_answers_to_all_to_its_name_and_to_its_id() {
        assert_eq!(service().subjects().len(), 9);
        for subject in service().subjects() {
            let answer = asked(&subject).unwrap();
            assert_eq!((&answer["name"], &answer["id"]), (&json!("engine-coordinator"), &json!("main_7")));
            assert_eq!(answer["metadata"]["world"], "main");
        }
        for other in ["$SRV.PING.other", "$SRV.STATS.engine-coordinator.x", "$SRV.SCHEMA", "$SRV.PING.a.b.c", "x"] {
            assert_eq!(asked(other), None, "{other}");
        }
    }

    #[test]
    fn answers_are_as_the_framework_has_them() {
        let ping = asked("$SRV.PING").unwrap();
        assert_eq!(ping["type"], "io.nats.micro.v1.ping_response");
        assert!(ping.get("endpoints").is_none());
        let info = asked("$SRV.INFO.engine-coordinator").unwrap();
        assert_eq!(
            (&info["type"], &info["description"]),
            (&json!("io.nats.micro.v1.info_response"), &json!("owns a world"))
        );
        let listed = json!([{ "name": "query", "subject": "engine.main.query.request", "queue_group": "coordinator", "metadata": {} }]);
        assert_eq!(info["endpoints"], listed);
        let stats = asked("$SRV.STATS").unwrap();
        assert_eq!(
            (&stats["type"], &stats["started"]),
            (&json!("io.nats.micro.v1.stats_response"), &json!("1970-01-01T00:00:00Z"))
        );
        let endpoint = &stats["endpoints"][0];
        assert_eq!((&endpoint["num_requests"], &endpoint["num_errors"]), (&json!(4), &json!(1)));
        assert_eq!((&endpoint["processing_time"], &endpoint["average_processing_time"]), (&json!(10), &json!(2)));
    }
}
