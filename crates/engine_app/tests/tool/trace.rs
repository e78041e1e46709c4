//! What the time of ticks is spent on, of a world with an instance.

use std::sync::atomic::Ordering;

use engine_app::{App, Settings, Stop};
use engine_component::query::Query;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::runner::{InstanceOptions, run_instance};
use serde_json::Value;

use crate::world::{Health, Process, World, app, command, engine, text, until};

fn age(mut all: Query<&mut Health>) {
    for health in &mut all {
        health.0 = health.0.wrapping_add(1);
    }
}

#[test]
fn ticks_are_traced_to_the_instance_and_back() {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let config = server.config();
    let coordinator = command(&config, &["coordinator", "--expect", "age", "--rate", "200"]).spawn().unwrap();
    let _coordinator = Process(coordinator);
    let stop = Stop::default();
    let options = InstanceOptions { name: Some("age-1".into()), stop: stop.flag(), ..InstanceOptions::default() };
    let systems = App::new("one").add_system("age", age).into_systems().unwrap();
    let of_instance = config.clone();
    let instance = std::thread::spawn(move || run_instance(&of_instance, systems, options).unwrap());
    until("there are rows", || engine(&config, &["spawn", "t.Health=5", "--count", "100"]).status.success());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.json");
    let output = engine(&config, &["trace", "--ticks", "20", "--json", "--out", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ticks"], 20);
    let median = told["median_ns"].as_u64().unwrap();
    assert!(median > 0);
    let path = told["path"].as_array().unwrap();
    let has = |who: &str, what: &str| path.iter().any(|share| share["who"] == who && share["what"] == what);
    assert!(has("age", "compute") && has("age", "ship") && has("(coordinator)", "hash"), "{told}");

    let file: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let events = file["traceEvents"].as_array().unwrap();
    let named = |name: &str| events.iter().filter(|event| event["name"] == name && event["ph"] == "X").count();
    assert_eq!(named("age compute"), 2 * 20, "once at the instance, once on the path");
    assert!(events.iter().any(|event| event["args"]["name"] == "instance age-1"));
    let ticks: Vec<&Value> = events.iter().filter(|event| event["args"]["left_out"] == 0).collect();
    let numbers: Vec<u64> = ticks.iter().map(|event| event["args"]["tick"].as_u64().unwrap()).collect();
    assert!(numbers.len() == 20 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");

    let table = text(&engine(&config, &["trace", "--ticks", "3"]).stdout);
    assert!(table.starts_with("critical path over 3 ticks; the median tick took "), "{table}");
    stop.flag().store(true, Ordering::Relaxed);
    instance.join().unwrap();
}

#[test]
fn a_world_that_stands_still_says_so() {
    let world = World::start(app(), Settings { paused: true, ..Settings::default() });
    let error = world.refuses(&["trace", "--ticks", "1", "--timeout", "0.2"]);
    assert!(error.contains("no tick within 200ms: the world is paused; `engine resume` lets it run"), "{error}");
    let output = world.engine(&["trace", "--ticks", "1001"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
