//! What a coordinator says of itself.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::Ordering;

use engine_app::{App, Stop};
use engine_component::query::Query;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::runner::{InstanceOptions, run_instance};
use serde_json::Value;

use crate::world::{Health, Process, command, refusal, text};

fn age(mut all: Query<&mut Health>) {
    for health in &mut all {
        health.0 = health.0.wrapping_add(1);
    }
}

/// An instance that joins and leaves; the lines that the coordinator writes up to then.
fn lines(environment: &[(&str, &str)], arguments: &[&str], last: &str) -> Vec<String> {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let config = server.config();
    let mut coordinator = command(&config, &[&["coordinator"], arguments].concat());
    coordinator.envs(environment.iter().copied()).env_remove("RUST_LOG").stderr(Stdio::piped()).stdout(Stdio::null());
    let mut coordinator = Process(coordinator.spawn().unwrap());
    let stop = Stop::default();
    let options = InstanceOptions { name: Some("age-1".into()), stop: stop.flag(), ..InstanceOptions::default() };
    let systems = App::new("one").add_system("age", age).into_systems().unwrap();
    let instance = std::thread::spawn(move || run_instance(&config, systems, options).unwrap());
    let all = BufReader::new(coordinator.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = Vec::new();
    for line in all {
        let is_last = line.contains(last);
        lines.push(line);
        if is_last {
            break;
        }
    }
    stop.flag().store(true, Ordering::Relaxed);
    instance.join().unwrap();
    lines
}

#[test]
fn a_line_of_json_says_of_which_world_tick_and_instance_it_is() {
    for (environment, arguments) in [
        (&[][..], &["--log", "info", "--log-format", "json"][..]),
        (&[("ENGINE_LOG", "info"), ("ENGINE_LOG_FORMAT", "json")], &[]),
    ] {
        let lines = lines(environment, arguments, "an instance joins");
        let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let joins = lines.last().unwrap();
        assert_eq!((&joins["world"], &joins["instance"]), (&"main".into(), &"age-1".into()));
        assert_eq!((&joins["level"], &joins["message"]), (&"INFO".into(), &"an instance joins".into()));
        assert!(joins["epoch"].is_u64() && joins["tick"].is_u64() && joins["slot"].is_u64(), "{joins}");
    }
}

#[test]
fn text_says_the_same() {
    let lines = lines(&[("ENGINE_LOG", "info")], &[], "an instance joins");
    let joins = lines.last().unwrap();
    assert!(joins.contains("coordinator{world=\"main\" epoch="), "{joins}");
    assert!(joins.contains("instance=\"age-1\"") && joins.contains("tick="), "{joins}");
}

#[test]
fn a_format_or_a_filter_that_is_none_is_refused() {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let output = command(&server.config(), &["coordinator", "--log-format", "xml"]).output().unwrap();
    assert!(text(&output.stderr).contains("[possible values: text, json]"), "{}", text(&output.stderr));
    let mut output = command(&server.config(), &["coordinator"]);
    let error = refusal(&output.env("ENGINE_LOG", "=loud=").output().unwrap());
    assert!(error.contains("ENGINE_LOG"), "{error}");
}
