//! `engine settings`, and the bucket behind it: on a real server, with coordinators that die.

use std::process::Stdio;

use engine_app::Settings;
use engine_net::client;
use engine_net::config::ConnectionConfig;
use engine_net::server::{PrivateServer, ServerOptions};
use serde_json::{Value, json};

use crate::world::{Process, World, app, command, engine, refusal, text, until};

struct Site {
    config: ConnectionConfig,
    _server: PrivateServer,
}

impl Site {
    fn new() -> Self {
        let server = PrivateServer::start(&ServerOptions { jetstream: true, ..ServerOptions::default() }).unwrap();
        Self { config: server.config(), _server: server }
    }

    /// A coordinator that leads.
    fn coordinate(&self) -> Process {
        let arguments = ["coordinator", "--rate", "200", "--durability", "server", "--lease", "1"];
        let mut coordinator = command(&self.config, &arguments);
        let process = Process(coordinator.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        until("it leads", || engine(&self.config, &["snapshot", "create"]).status.success());
        process
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = engine(&self.config, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn refuses(&self, arguments: &[&str]) -> String {
        refusal(&engine(&self.config, arguments))
    }

    /// What the server answers, whatever is asked: also where `engine` would not ask it.
    fn asks(&self, subject: &str, payload: impl Into<Vec<u8>>) -> Value {
        let payload: Vec<u8> = payload.into();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = client::connect(&self.config, "somebody").await.unwrap().client;
            let answer = client.request(subject.to_owned(), payload.into()).await.unwrap();
            serde_json::from_slice(&answer.payload).unwrap()
        })
    }

    fn puts(&self, key: &str, value: impl Into<Vec<u8>>) -> Value {
        self.asks(&format!("$KV.ENGINE_SETTINGS_main.{key}"), value)
    }

    /// A setting as `engine settings list` has it.
    fn of(&self, key: &str) -> Value {
        let all = self.json(&["settings", "list"]);
        all.as_array().unwrap().iter().find(|row| row["key"] == key).cloned().unwrap_or_default()
    }
}

#[test]
fn what_is_set_is_in_effect_and_the_successor_of_a_killed_coordinator_has_it() {
    let site = Site::new();
    let first = site.coordinate();
    assert!(site.says(&["settings", "list"]).contains("not set; ticks a second"));
    let set = site.json(&["settings", "set", "rate", "50"]);
    assert_eq!((&set["in_effect"], &set["value"]), (&true.into(), &"50".into()), "{set}");
    assert!(site.says(&["settings", "set", "log_level", "info,engine_app=debug"]).contains("in effect behind tick"));
    assert_eq!(site.says(&["settings", "get", "rate"]), "50\n");
    assert_eq!(site.json(&["status"])["rate"], 50.0);
    site.says(&["settings", "set", "paused", "true"]);
    assert_eq!(site.json(&["status"])["state"], "paused");
    // The last change wins: a command lets it go on, and so it stays.
    site.says(&["resume"]);
    let tick = site.json(&["status"])["tick"].as_u64().unwrap();
    until("it runs", || site.json(&["status"])["tick"].as_u64().unwrap() > tick + 5);
    let before = site.json(&["status"])["settings"].clone();
    // As `kill -9` does it.
    drop(first);
    let left = site.says(&["settings", "list"]);
    assert!(left.contains("nobody leads the world now"), "{left}");
    let _second = site.coordinate();
    let status = site.json(&["status"]);
    assert_eq!((&status["rate"], &status["settings"]), (&50.0.into(), &before), "{status}");
    assert_eq!(status["state"], "running", "what was taken already is not taken again");
    let replayed = site.json(&["replay"]);
    assert_eq!(replayed["diverged"], Value::Null, "{replayed}");
    // Somebody removes the bucket: it is made anew, and counts from the beginning.
    assert_eq!(site.asks("$JS.API.STREAM.DELETE.KV_ENGINE_SETTINGS_main", "")["success"], true);
    until("there is a bucket", || engine(&site.config, &["settings", "list"]).status.success());
    let set = site.json(&["settings", "set", "rate", "70"]);
    assert_eq!((&set["in_effect"], &set["revision"]), (&true.into(), &1.into()), "{set}");
    assert_eq!(site.json(&["status"])["rate"], 70.0);
}

#[test]
fn hostile_values_are_refused_and_the_world_goes_on() {
    let site = Site::new();
    let _coordinator = site.coordinate();
    site.says(&["settings", "set", "rate", "100"]);
    for value in [&b"NaN"[..], b"0", b"-1", b"1e9", b"\xff\xfe\x00", b"", b"thirty"] {
        let revision = site.puts("rate", value)["seq"].clone();
        until("it is refused", || {
            let status = site.json(&["status"]);
            status["refused_settings"][0]["revision"] == revision
        });
        let row = site.of("rate");
        assert_eq!((&row["in_effect"], &row["revision"]), (&false.into(), &revision));
        assert!(row["state"].as_str().unwrap().contains("ticks a second, 0.01 to 10000"), "{row}");
        assert_eq!(site.json(&["status"])["rate"], 100.0);
    }
    // The bucket itself takes nothing large.
    let answer = site.puts("rate", vec![b'9'; 900 << 10]);
    assert!(answer["error"]["description"].as_str().unwrap().contains("message size exceeds"), "{answer}");
    site.puts("rat", "30");
    until("a key that nobody knows is told", || {
        site.json(&["status"])["refused_settings"].as_array().unwrap().iter().any(|one| one["key"] == "rat")
    });
    assert_eq!(site.json(&["status"])["counters"]["refused.setting"], 8);
    let set = site.json(&["settings", "set", "rate", "30"]);
    assert_eq!(set["in_effect"], true);
    assert!(site.refuses(&["settings", "set", "rat", "30"]).contains("is `rate` meant?"));
    assert!(site.refuses(&["settings", "set", "rate", "1e9"]).contains("0.01 to 10000"));
    assert!(site.refuses(&["settings", "get", "log_level"]).contains("was never set"));
}

/// A bucket that is there before its world, made by somebody who gave it no bounds.
#[test]
fn a_world_begins_with_what_it_finds_and_does_not_read_what_is_too_large() {
    let site = Site::new();
    let config = json!({
        "name": "KV_ENGINE_SETTINGS_main", "subjects": ["$KV.ENGINE_SETTINGS_main.>"], "storage": "file",
        "max_msgs_per_subject": 1,
    });
    let made = site.asks("$JS.API.STREAM.CREATE.KV_ENGINE_SETTINGS_main", config.to_string());
    assert!(made.get("error").is_none(), "{made}");
    site.puts("log_level", vec![b'9'; (1 << 20) - 1024]);
    site.puts("rate", "40");
    site.puts("paused", "true");
    let _coordinator = site.coordinate();
    until("the rate is taken", || site.json(&["status"])["rate"] == 40.0);
    until("it is paused", || site.json(&["status"])["state"] == "paused");
    let row = site.of("log_level");
    assert!(row["state"].as_str().unwrap().contains("1024 are the most"), "{row}");
    site.says(&["settings", "set", "paused", "false"]);
    let tick = site.json(&["status"])["tick"].as_u64().unwrap();
    until("it runs", || site.json(&["status"])["tick"].as_u64().unwrap() > tick);
}

#[test]
fn a_world_without_a_log_says_why_it_has_no_settings() {
    let server = PrivateServer::start(&ServerOptions { jetstream: true, ..ServerOptions::default() }).unwrap();
    let world = World::start_at(server.into(), app(), Settings { paused: true, ..Settings::default() });
    let error = world.refuses(&["settings", "list"]);
    assert!(error.contains("world `main` keeps no log") && error.contains("engine speed"), "{error}");
    let error = world.refuses(&["settings", "set", "rate", "30", "--world", "elsewhere"]);
    assert!(error.contains("there is no bucket ENGINE_SETTINGS_elsewhere"), "{error}");
}
