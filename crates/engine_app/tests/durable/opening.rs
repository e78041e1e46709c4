//! What is missing is said at the start, with what to do.

use engine_net::config::{Credentials, LogConnection, Secret};
use engine_net::server::{PrivateCredentials, ServerOptions};

use crate::place::Place;

#[test]
fn a_server_that_does_not_sync_is_no_disk() {
    let options = ServerOptions { log_account: true, ..ServerOptions::default() };
    let place = Place::with(&options);
    let error = place.refuses(&["--durability", "disk"]);
    assert!(error.contains("acknowledges before it syncs") && error.contains("sync_interval: always"), "{error}");
    let place = Place::with(&ServerOptions { sync_always: true, ..options });
    let mut leader = place.lead(&["--durability", "disk", "--ticks", "20"]);
    leader.wait_for_tick(20);
}

#[test]
fn who_cannot_be_asked_whether_it_syncs_is_no_disk() {
    let error = Place::new().refuses(&["--durability", "disk"]);
    assert!(error.contains("can't be verified") && error.contains("NATS_LOG_SYSTEM_USER"), "{error}");
}

#[test]
fn a_server_without_jetstream_is_told_apart() {
    let error = Place::with(&ServerOptions::default()).refuses(&[]);
    assert!(error.contains("no JetStream") && error.contains("jetstream: enabled"), "{error}");
}

/// A user of the log that may do everything but this.
fn denied(subject: &str) -> String {
    let extra = format!(
        "authorization {{ users: [\n  {{ user: e, password: e }}\n  {{ user: l, password: l, permissions: {{ publish: {{ deny: \"{subject}\" }} }} }}\n] }}\n"
    );
    let options =
        ServerOptions { jetstream: true, credentials: PrivateCredentials::Open, extra, ..ServerOptions::default() };
    let mut place = Place::with(&options);
    let user = |name: &str| Credentials::UserPassword { user: name.into(), password: Secret::new(name) };
    place.config.credentials = user("e");
    place.config.log = LogConnection { credentials: Some(user("l")), ..LogConnection::default() };
    place.refuses(&[])
}

#[test]
fn who_lacks_a_permission_is_told_which() {
    for subject in ["engine_log.main.tick", "engine_lease.main", "$JS.API.STREAM.CREATE.ENGINE_LOG_main"] {
        let error = denied(subject);
        assert!(error.contains(subject) && error.contains("NATS_LOG_USER"), "{subject}: {error}");
    }
}

#[test]
fn what_needs_a_log_is_refused_without_one() {
    for flags in [&["--standby"][..], &["--recover-at", "5"]] {
        let error = Place::new().refuses(&[&["--durability", "none"], flags].concat());
        assert!(error.contains("--durability server"), "{error}");
    }
}
