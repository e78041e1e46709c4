//! The streams of a domain: made as they must be, and read back, since somebody else may have made them.

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use engine_net::streams;

use crate::ServiceError;
use crate::link::Settings;
use crate::names::Names;

/// Makes or checks all of a domain's.
pub(crate) async fn ensure(
    jet: &Context,
    names: &Names,
    domain: &str,
    settings: &Settings,
) -> Result<(), ServiceError> {
    for wanted in [
        streams::events(names.subjects(), domain, settings.event_bytes, settings.replicas),
        commands(names, domain, settings),
        advisories(names, domain, settings),
        dead_letters(names, settings),
    ] {
        streams::ensure(jet, &wanted).await?;
    }
    Ok(())
}

/// Submitted commands go when they are handled.
fn commands(names: &Names, domain: &str, settings: &Settings) -> Config {
    let subjects = vec![names.submit(domain, "*", "*")];
    let common = streams::common(names.commands(domain), subjects, settings.small_bytes, settings.replicas);
    Config { retention: RetentionPolicy::WorkQueue, ..common }
}

fn advisories(names: &Names, domain: &str, settings: &Settings) -> Config {
    let of = |kind: &str, stream: String| format!("$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.*");
    let streams = [names.events(domain), names.commands(domain)];
    let kinds = ["MAX_DELIVERIES", "MSG_TERMINATED"];
    let subjects = streams.iter().flat_map(|stream| kinds.map(|kind| of(kind, stream.clone()))).collect();
    let common = streams::common(names.advisories(domain), subjects, settings.small_bytes, settings.replicas);
    Config { retention: RetentionPolicy::WorkQueue, ..common }
}

fn dead_letters(names: &Names, settings: &Settings) -> Config {
    let subjects = vec![names.dead("*", "*", "*")];
    streams::common(names.dead_letters(), subjects, settings.small_bytes, settings.replicas)
}
