//! `doctor`, on servers that are well and servers that are not.

use engine_app::Settings;
use engine_net::config::{ConnectionConfig, Credentials, Secret};
use engine_net::server::{PrivateCredentials, PrivateServer, ServerOptions};
use serde_json::Value;

use crate::world::{World, app, engine, text};

/// Exit code, and the lines by their check.
fn examine(config: &ConnectionConfig, arguments: &[&str]) -> (Option<i32>, Vec<(String, String, String)>) {
    let output = engine(config, &[&["doctor", "--json"], arguments].concat());
    assert_eq!(text(&output.stderr), "");
    let lines = text(&output.stdout);
    let lines = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let word = |key: &str| line[key].as_str().unwrap().to_owned();
        (word("check"), word("state"), format!("{} → {}", word("text"), word("advice")))
    });
    (output.status.code(), lines.collect())
}

fn state_of<'a>(lines: &'a [(String, String, String)], check: &str) -> (&'a str, &'a str) {
    let line = lines.iter().find(|line| line.0 == check);
    line.map_or(("missing", ""), |line| (line.1.as_str(), line.2.as_str()))
}

fn server(options: ServerOptions) -> std::sync::Arc<PrivateServer> {
    std::sync::Arc::new(PrivateServer::start(&options).unwrap())
}

#[test]
fn a_good_server_and_a_good_world_are_well() {
    let server = server(ServerOptions { jetstream: true, ..ServerOptions::default() });
    let world = World::start_at(server, app(), Settings::default());
    let (code, lines) = examine(&world.config, &[]);
    assert_eq!(code, Some(0));
    for check in [
        "configuration",
        "version",
        "round trip",
        "max_payload",
        "jetstream",
        "permissions",
        "coordinator",
        "clock",
        "systems",
        "order",
    ] {
        assert_eq!(state_of(&lines, check).0, "ok", "{check}: {lines:?}");
    }
    assert!(lines.iter().all(|line| line.1 == "ok" || line.1 == "note"), "{lines:?}");
    let said = world.says(&["doctor"]);
    assert!(said.lines().all(|line| ["ok ", "note ", "  "].iter().any(|start| line.starts_with(start))), "{said}");
}

#[test]
fn no_jetstream_and_no_coordinator_are_warnings() {
    let server = server(ServerOptions::default());
    let (code, lines) = examine(&server.config(), &[]);
    assert_eq!(code, Some(0));
    assert_eq!(state_of(&lines, "jetstream").0, "warn");
    let (state, said) = state_of(&lines, "coordinator");
    assert!(state == "warn" && said.contains("engine coordinator"), "{said}");
}

#[test]
fn no_server_is_a_failure_that_says_what_to_do() {
    // Nobody listens on a port that was free a moment ago and is kept by this test.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    let config = ConnectionConfig::new(format!("nats://127.0.0.1:{port}"), Credentials::None);
    let (code, lines) = examine(&config, &[]);
    let (state, said) = state_of(&lines, "server");
    assert_eq!((code, state), (Some(1), "fail"));
    assert!(said.contains("nats-server"), "{said}");
    let output = engine(&config, &["status"]);
    assert!(crate::world::refusal(&output).contains("no NATS server at"));
}

#[test]
fn a_wrong_password_is_told() {
    let server = server(ServerOptions::default());
    let wrong = Credentials::UserPassword { user: "engine".into(), password: Secret::new("wrong-one") };
    let config = ConnectionConfig { credentials: wrong, ..server.config() };
    let (code, lines) = examine(&config, &[]);
    let (state, said) = state_of(&lines, "credentials");
    assert_eq!((code, state), (Some(1), "fail"));
    assert!(said.contains("NATS_PASSWORD") && !said.contains("wrong-one"), "{said}");
}

#[test]
fn a_small_payload_limit_is_told() {
    let server = server(ServerOptions { max_payload: Some(32 << 10), ..ServerOptions::default() });
    let (code, lines) = examine(&server.config(), &[]);
    assert_eq!((code, state_of(&lines, "max_payload").0), (Some(1), "fail"));
}

#[test]
fn an_unknown_setting_is_told() {
    let server = server(ServerOptions::default());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.toml");
    std::fs::write(&path, "wrld = \"a\"\n").unwrap();
    let (code, lines) = examine(&server.config(), &["--config", path.to_str().unwrap()]);
    let (state, said) = state_of(&lines, "configuration");
    assert_eq!((code, state), (Some(1), "fail"));
    assert!(said.contains("`world`"), "{said}");
}

/// A user who may do only what the words say, beside one who may do all.
fn guarded(permissions: &str) -> (std::sync::Arc<PrivateServer>, ConnectionConfig) {
    let extra = format!(
        "authorization {{ users: [ {{ user: all, password: all }}, {{ user: few, password: few, permissions: {{ {permissions} }} }} ] }}\n"
    );
    let server = server(ServerOptions { credentials: PrivateCredentials::Open, extra, ..ServerOptions::default() });
    let few = Credentials::UserPassword { user: "few".into(), password: Secret::new("few") };
    let config = ConnectionConfig { credentials: few, ..server.config() };
    (server, config)
}

fn of_all(config: &ConnectionConfig) -> ConnectionConfig {
    let all = Credentials::UserPassword { user: "all".into(), password: Secret::new("all") };
    ConnectionConfig { credentials: all, ..config.clone() }
}

#[test]
fn permissions_that_lack_are_named() {
    let (_server, config) = guarded(
        r#"publish: { allow: ["engine.main.query.>", "engine.main.health.>", "_INBOX.tool.>", "$JS.API.INFO"] }, subscribe: { allow: ["_INBOX.tool.>"] }"#,
    );
    let (code, lines) = examine(&config, &[]);
    let (state, said) = state_of(&lines, "permissions");
    assert_eq!((code, state), (Some(1), "fail"), "{lines:?}");
    assert!(said.contains("publish on engine.main.command.world.entity.despawn,"), "{said}");
    let (_, lines) = examine(&config, &["--role", "system"]);
    let failures: Vec<_> = lines.iter().filter(|line| line.1 == "fail").collect();
    assert_eq!(failures.len(), 2, "{failures:?}");
}

#[test]
fn a_command_that_the_server_refuses_fails_at_once_and_says_why() {
    let (_server, config) = guarded(
        r#"publish: { allow: ["engine.main.query.>", "engine.main.health.>"] }, subscribe: { allow: ["_INBOX.tool.>"] }"#,
    );
    let world = World::start_with(&of_all(&config), app(), Settings { paused: true, ..Settings::default() });
    assert!(engine(&config, &["query", "--count"]).status.success());
    // A minute's patience isn't needed: the server says so.
    let error = crate::world::refusal(&engine(&config, &["spawn", "t.Alive", "--timeout", "3600"]));
    assert!(
        error.contains("the server refuses") && error.contains("engine.main.command.world.entity.spawn"),
        "{error}"
    );
    drop(world);
}

#[test]
fn an_inbox_that_is_closed_is_told() {
    let (_server, config) = guarded(r#"publish: { allow: [">"] }, subscribe: { deny: ["_INBOX.>"] }"#);
    let (code, lines) = examine(&config, &[]);
    assert_eq!((code, state_of(&lines, "round trip").0), (Some(1), "fail"), "{lines:?}");
}

#[test]
fn two_coordinators_of_one_world_are_a_failure() {
    let server = server(ServerOptions::default());
    let _one = World::start_at(server.clone(), app(), Settings { paused: true, ..Settings::default() });
    let two = World::start_at(server, app(), Settings { paused: true, ..Settings::default() });
    let (code, lines) = examine(&two.config, &[]);
    let (state, said) = state_of(&lines, "coordinator");
    assert_eq!((code, state), (Some(1), "fail"));
    assert!(said.contains("stop all but one"), "{said}");
}
