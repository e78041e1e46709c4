//! `engine config`, and what a coordinator makes of a file.

use std::process::{Command, Output};

use engine_net::server::{PrivateServer, ServerOptions};
use serde_json::Value;

use crate::world::{command, text};

const FILE: &str = "world = 'arena'\n\n[nats]\nurl = 'nats://ann:hush@h:1'\n\n[coordinator]\nrate = 30\nticks = 3\n\n[system]\nkeep_mib = 8\n";

/// The program with this file and these variables, and nothing else of the environment.
fn engine(file: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.toml");
    std::fs::write(&path, file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.env_clear().env("ENGINE_CONFIG", &path).envs(variables.iter().copied()).args(arguments);
    command.output().unwrap()
}

#[test]
fn every_setting_is_shown_with_its_origin_and_without_secrets() {
    let variables = [("ENGINE_SEED", "7"), ("NATS_LOG_TOKEN", "t0ken")];
    let output = engine(FILE, &variables, &["config", "show", "coordinator", "--lease", "9", "--json"]);
    let said = text(&output.stdout);
    let settings: Vec<Value> = serde_json::from_str(&said).unwrap();
    let of = |table: &str, key: &str| {
        let one = settings.iter().find(|one| one["table"].as_str().unwrap_or("") == table && one["key"] == key);
        let one = one.unwrap_or_else(|| panic!("{table}.{key}: {said}"));
        let from = one["from"].as_str().unwrap();
        (one["value"].as_str().unwrap_or("-").to_owned(), from.rsplit('/').next().unwrap().to_owned())
    };
    let pair = |value: &str, from: &str| (value.to_owned(), from.to_owned());
    assert_eq!(of("", "world"), pair("arena", "engine.toml:1"));
    assert_eq!(of("nats", "url"), pair("nats://h:1", "engine.toml:4"));
    assert_eq!(of("log", "token"), pair("(secret)", "variable NATS_LOG_TOKEN"));
    assert_eq!(of("coordinator", "rate"), pair("30", "engine.toml:7"));
    assert_eq!(of("coordinator", "seed"), pair("7", "variable ENGINE_SEED"));
    assert_eq!(of("coordinator", "lease"), pair("9", "flag --lease"));
    assert_eq!(of("coordinator", "paused"), pair("false", "default"));
    assert_eq!(of("coordinator", "scene"), pair("-", "default"));
    assert!(!said.contains("hush") && !said.contains("t0ken"));
    let table = text(&engine(FILE, &variables, &["config", "show"]).stdout);
    assert!(table.starts_with("setting") && table.contains("coordinator.seed") && !table.contains("t0ken"), "{table}");
    let table = text(&engine(FILE, &variables, &["config", "show", "system"]).stdout);
    assert!(table.lines().any(|line| line.starts_with("system.keep_mib") && line.contains(" 8 ")), "{table}");
}

#[test]
fn mistakes_are_told_with_file_and_line() {
    let refuses = |file: &str, variables: &[(&str, &str)]| {
        let output = engine(file, variables, &["config", "show"]);
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let said = refuses(&FILE.replace("rate", "rat"), &[]);
    assert!(said.contains("engine.toml:7: [coordinator]: unknown key `rat`; is `rate` meant?"), "{said}");
    let said = refuses(&FILE.replace("keep_mib", "kep_mib"), &[]);
    assert!(said.contains("engine.toml:11: [system]: unknown key `kep_mib`; is `keep_mib` meant?"), "{said}");
    let said = refuses(&FILE.replace("ticks = 3", "ticks = 'few'"), &[]);
    assert!(said.contains("engine.toml:8: coordinator.ticks: invalid value 'few'"), "{said}");
    let said = refuses(FILE, &[("ENGINE_RATE", "fast")]);
    assert!(said.contains("ENGINE_RATE: invalid value 'fast'"), "{said}");
    let said = refuses(FILE, &[("NATS_TOKEN", "t"), ("NATS_CREDS", "f")]);
    assert!(said.contains("the environment gives both a token and a credentials file"), "{said}");
    let said = refuses("[nats\n", &[]);
    assert!(said.contains("engine.toml is not valid TOML: line 1"), "{said}");
}

#[test]
fn the_schema_of_a_file_is_json() {
    let output = engine("", &[], &["config", "schema"]);
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |table: &str, key: &str| schema["properties"][table]["properties"][key]["type"].clone();
    assert_eq!((of("coordinator", "rate"), of("system", "keep_mib")), ("number".into(), "integer".into()));
    assert_eq!((of("coordinator", "scene"), of("nats", "context")), ("string".into(), "string".into()));
}

#[test]
fn a_coordinator_runs_as_its_file_says() {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.toml");
    std::fs::write(&path, "[coordinator]\ntime = 'fast'\nticks = 5\nexit = true\nreport_every = 2\n").unwrap();
    let mut coordinator = command(&server.config(), &["coordinator", "--config", path.to_str().unwrap()]);
    let output = coordinator.env("ENGINE_TICKS", "6").output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains("tick 4, hash") && said.lines().last().unwrap().starts_with("tick 6, hash"), "{said}");
}
