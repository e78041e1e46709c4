//! Streams that keep events: which there is for a domain, and how it must be made.
//!
//! Programs around a world publish into it, and so does the coordinator of a world whose events are kept. Whoever comes
//! first makes it; all others find it, and look whether it is what their promises rest on, since an operator may have
//! made it as well.

use std::time::Duration;

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};

use crate::Subjects;

/// How often a server is asked that was just started, or a cluster that has no leader.
const TRIES: u32 = 10;

/// Why there is no such stream.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError {
    /// A server did not do it, or did not say so.
    #[error("can't {what}: {reason}")]
    Server {
        /// What was tried.
        what: String,
        /// What is known of the reason.
        reason: String,
    },
    /// A stream is not what the promises rest on.
    #[error(
        "the stream {stream} has {setting} = {found}, and {wanted} is needed; it was made by somebody else: change it by `nats stream edit`, or use another world's name"
    )]
    Setting {
        /// Which stream.
        stream: String,
        /// Which of its settings.
        setting: &'static str,
        /// What it has to be.
        wanted: String,
        /// What it is.
        found: String,
    },
}

/// The name of the stream of a domain's events.
#[must_use]
pub fn events_name(world: &str, domain: &str) -> String {
    format!("ENGINE_EVENT_{world}_{domain}")
}

/// The subjects of a domain's events, as a pattern.
#[must_use]
pub fn event_pattern(subjects: &Subjects, domain: &str) -> String {
    format!("{}.event.{domain}.>", subjects.root())
}

/// The subjects whose messages the stream of a domain's events holds: events, outcomes of commands, and dead letters
/// that are tried again.
#[must_use]
pub fn event_subjects(subjects: &Subjects, domain: &str) -> Vec<String> {
    let root = subjects.root();
    vec![event_pattern(subjects, domain), format!("{root}.outcome.{domain}.*.*"), format!("{root}.again.{domain}.*")]
}

/// The stream of a domain's events. Events stay: what is full refuses, and never drops what was acknowledged. That
/// nobody purges them is asked for, and no reason to refuse a stream that was made without: it can't be added, and
/// histories tell if one was cut.
#[must_use]
pub fn events(subjects: &Subjects, domain: &str, max_bytes: i64, replicas: usize) -> Config {
    let name = events_name(subjects.world(), domain);
    let common = common(name, event_subjects(subjects, domain), max_bytes, replicas);
    Config { deny_delete: true, deny_purge: true, ..common }
}

/// What all streams beside a world have in common.
#[must_use]
pub fn common(name: String, subjects: Vec<String>, max_bytes: i64, replicas: usize) -> Config {
    Config {
        name,
        subjects,
        max_bytes,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        num_replicas: replicas,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        duplicate_window: Duration::from_secs(120),
        allow_direct: true,
        ..Config::default()
    }
}

/// Makes a stream, or checks the one that is there.
///
/// # Errors
/// When there is no JetStream, or the stream is another one.
pub async fn ensure(jet: &Context, wanted: &Config) -> Result<(), StreamError> {
    let mut tried = 0;
    let found = loop {
        match get_or_create(jet, wanted).await {
            Ok(found) => break found,
            Err(_) if tried < TRIES => {
                tried += 1;
                tokio::time::sleep(Duration::from_millis(10 << tried.min(7))).await;
            }
            Err(error) => return Err(error),
        }
    };
    check(wanted, &found)
}

async fn get_or_create(jet: &Context, wanted: &Config) -> Result<Config, StreamError> {
    let failed = |reason: String| StreamError::Server { what: format!("make the stream {}", wanted.name), reason };
    match jet.get_stream(&wanted.name).await {
        Ok(stream) => return Ok(stream.cached_info().config.clone()),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(problem) if problem.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            GetStreamErrorKind::JetStream(problem) => return Err(failed(problem.to_string())),
            _ => return Err(failed(error.to_string())),
        },
    }
    // Two programs may do this in the same moment: the later one finds it in the next round.
    match jet.create_stream(wanted).await {
        Ok(stream) => Ok(stream.cached_info().config.clone()),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// What the promises rest on. Sizes are the operator's business.
fn check(wanted: &Config, found: &Config) -> Result<(), StreamError> {
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort();
        subjects.join(", ")
    };
    let no = "false".to_owned();
    // A longer memory of ids keeps the promise too.
    let window = wanted.duplicate_window.min(found.duplicate_window);
    // Whoever made it could have it copy what is not of the domain, or show elsewhere what is.
    let copies = [
        ("republish", found.republish.is_some()),
        ("subject_transform", found.subject_transform.is_some()),
        ("sources", found.sources.as_ref().is_some_and(|sources| !sources.is_empty())),
        ("mirror", found.mirror.is_some()),
    ];
    let copies = copies.map(|(setting, is_set)| (setting, no.clone(), is_set.to_string()));
    let settings: [(&'static str, String, String); 13] = [
        ("subjects", sorted(&wanted.subjects), sorted(&found.subjects)),
        ("retention", format!("{:?}", wanted.retention), format!("{:?}", found.retention)),
        ("storage", format!("{:?}", wanted.storage), format!("{:?}", found.storage)),
        ("discard", format!("{:?}", wanted.discard), format!("{:?}", found.discard)),
        ("max_age", format!("{:?}", Duration::ZERO), format!("{:?}", found.max_age)),
        ("max_msgs", "-1".into(), found.max_messages.to_string()),
        ("max_msgs_per_subject", "-1".into(), found.max_messages_per_subject.to_string()),
        ("allow_direct", wanted.allow_direct.to_string(), found.allow_direct.to_string()),
        ("deny_delete", wanted.deny_delete.to_string(), found.deny_delete.to_string()),
        ("duplicate_window", format!("{:?}", wanted.duplicate_window), format!("{window:?}")),
        ("no_ack", no.clone(), found.no_ack.to_string()),
        ("allow_rollup_hdrs", no.clone(), found.allow_rollup.to_string()),
        ("sealed", no.clone(), found.sealed.to_string()),
    ];
    match settings.into_iter().chain(copies).find(|(_, wanted, found)| wanted != found) {
        None => Ok(()),
        Some((setting, wanted_value, value)) => {
            Err(StreamError::Setting { stream: wanted.name.clone(), setting, wanted: wanted_value, found: value })
        }
    }
}
