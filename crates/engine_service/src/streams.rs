//! The streams of a domain: made as they must be, and read back, since somebody else may have made them.

use std::time::Duration;

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};

use crate::link::Settings;
use crate::names::Names;
use crate::{Backoff, ServiceError};

/// Makes or checks all of a domain's.
pub(crate) async fn ensure(
    jet: &Context,
    names: &Names,
    domain: &str,
    settings: &Settings,
) -> Result<(), ServiceError> {
    for wanted in [
        events(names, domain, settings),
        commands(names, domain, settings),
        advisories(names, domain, settings),
        dead_letters(names, settings),
    ] {
        ensure_one(jet, wanted).await?;
    }
    Ok(())
}

/// Events stay. What is full refuses, and never drops what was acknowledged. That nobody purges them is asked for, and
/// no reason to refuse a stream that was made without: it can't be added, and histories tell if one was cut.
fn events(names: &Names, domain: &str, settings: &Settings) -> Config {
    let subjects = vec![names.event(&format!("{domain}.>")), names.outcome(domain, "*", "*"), names.again(domain, "*")];
    let common = common(names.events(domain), subjects, settings.event_bytes, settings);
    Config { deny_delete: true, deny_purge: true, ..common }
}

/// Submitted commands go when they are handled.
fn commands(names: &Names, domain: &str, settings: &Settings) -> Config {
    let subjects = vec![names.submit(domain, "*", "*")];
    let common = common(names.commands(domain), subjects, settings.small_bytes, settings);
    Config { retention: RetentionPolicy::WorkQueue, ..common }
}

fn advisories(names: &Names, domain: &str, settings: &Settings) -> Config {
    let of = |kind: &str, stream: String| format!("$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.*");
    let streams = [names.events(domain), names.commands(domain)];
    let kinds = ["MAX_DELIVERIES", "MSG_TERMINATED"];
    let subjects = streams.iter().flat_map(|stream| kinds.map(|kind| of(kind, stream.clone()))).collect();
    let common = common(names.advisories(domain), subjects, settings.small_bytes, settings);
    Config { retention: RetentionPolicy::WorkQueue, ..common }
}

fn dead_letters(names: &Names, settings: &Settings) -> Config {
    common(names.dead_letters(), vec![names.dead("*", "*", "*")], settings.small_bytes, settings)
}

fn common(name: String, subjects: Vec<String>, max_bytes: i64, settings: &Settings) -> Config {
    Config {
        name,
        subjects,
        max_bytes,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        num_replicas: settings.replicas,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        duplicate_window: Duration::from_secs(120),
        allow_direct: true,
        ..Config::default()
    }
}

async fn ensure_one(jet: &Context, wanted: Config) -> Result<(), ServiceError> {
    let mut tried = 0;
    let found = loop {
        match get_or_create(jet, &wanted).await {
            Ok(found) => break found,
            // A server that was just started, or a cluster without a leader.
            Err(error) if error.may_pass() && tried < 10 => {
                tried += 1;
                Backoff::default().wait(tried).await;
            }
            Err(error) => return Err(error),
        }
    };
    check(&wanted, &found)
}

async fn get_or_create(jet: &Context, wanted: &Config) -> Result<Config, ServiceError> {
    let what = format!("make the stream {}", wanted.name);
    match jet.get_stream(&wanted.name).await {
        Ok(stream) => return Ok(stream.cached_info().config.clone()),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(problem) if problem.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            GetStreamErrorKind::JetStream(problem) => return Err(ServiceError::passing(what, problem)),
            _ => return Err(ServiceError::passing(what, error)),
        },
    }
    // Two programs may do this in the same moment: the later one finds it in the next round.
    match jet.create_stream(wanted).await {
        Ok(stream) => Ok(stream.cached_info().config.clone()),
        Err(error) => Err(ServiceError::passing(what, error)),
    }
}

/// What the promises rest on. Sizes are the operator's business.
fn check(wanted: &Config, found: &Config) -> Result<(), ServiceError> {
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort();
        subjects.join(", ")
    };
    let no = "false".to_owned();
    // A longer memory of ids keeps the promise too.
    let window = wanted.duplicate_window.min(found.duplicate_window);
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
        ("sealed", no, found.sealed.to_string()),
    ];
    match settings.into_iter().find(|(_, wanted, found)| wanted != found) {
        None => Ok(()),
        Some((setting, wanted_value, value)) => {
            Err(ServiceError::Setting { stream: wanted.name.clone(), setting, wanted: wanted_value, found: value })
        }
    }
}
