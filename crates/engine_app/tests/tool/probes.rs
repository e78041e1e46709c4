//! What a coordinator and an instance serve over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use engine_app::{App, Stop};
use engine_component::query::Query;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::runner::{InstanceOptions, run_instance};

use crate::world::{Health, Process, command, until};

fn age(mut all: Query<&mut Health>) {
    for health in &mut all {
        health.0 += 1;
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_coordinator_is_ready_when_its_systems_are_there() {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let config = server.config();
    let mut coordinator = command(&config, &["coordinator", "--expect", "age", "--http", "127.0.0.1:0"]);
    let mut coordinator = Process(coordinator.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(coordinator.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.next().unwrap();
    let address = line.strip_prefix("probes and figures at http://").and_then(|rest| rest.split_once(':'));
    let (host, rest) = address.unwrap_or_else(|| panic!("{line}"));
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let address = format!("{host}:{port}");
    until("it says what it waits for", || get(&address, "/ready").contains("waits for an instance of age"));
    assert!(get(&address, "/ready").starts_with("HTTP/1.1 503"));
    assert!(get(&address, "/live").starts_with("HTTP/1.1 200"));

    let stop = Stop::default();
    let options = InstanceOptions { name: Some("age-1".into()), stop: stop.flag(), ..InstanceOptions::default() };
    let systems = App::new("one").add_system("age", age).into_systems().unwrap();
    let of_instance = config.clone();
    let instance = std::thread::spawn(move || run_instance(&of_instance, systems, options).unwrap());
    until("the world runs", || get(&address, "/ready").starts_with("HTTP/1.1 200"));
    let figure = |name: &str| {
        let text = get(&address, "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        // Of a component that was never changed there is none.
        line.unwrap_or_else(|| if name.starts_with("engine_component") { 0.0 } else { panic!("{name}: {text}") })
    };
    until("ticks are counted", || {
        figure("engine_tick_duration_seconds_count") > 3.0 && figure("engine_tick_number") > 3.0
    });
    assert_eq!((figure("engine_leads"), figure("engine_running")), (1.0, 1.0));
    assert_eq!(figure("engine_instances{system=\"age\"}"), 1.0);
    assert!(figure("engine_system_runs_total{system=\"age\"}") > 0.0);
    assert!(command(&config, &["spawn", "t.Health=5", "--count", "100"]).output().unwrap().status.success());
    until("its rows are computed and merged", || {
        figure("engine_component_updates_total{component=\"t.Health\"}") >= 200.0
    });
    let phase = |of: &str, name: &str, phase: &str| {
        figure(&format!("engine_{of}_phase_seconds_total{{{of}=\"{name}\",phase=\"{phase}\"}}"))
    };
    for name in ["wait", "ship", "queue", "compute", "return", "merge"] {
        let (of_system, of_instance) = (phase("system", "age", name), phase("instance", "age-1", name));
        assert!(of_system > 0.0 && of_instance > 0.0, "{name}: {of_system} {of_instance}");
    }
    assert!(figure("engine_instance_jobs_merged_total{instance=\"age-1\"}") >= 2.0);
    assert!(figure("engine_instance_wire_bytes_total{instance=\"age-1\",direction=\"in\"}") > 0.0);
    command(&config, &["query", "t.Health", "--count"]).output().unwrap();
    until("the query is counted", || figure("engine_query_duration_seconds_count") >= 1.0);
    stop.flag().store(true, Ordering::Relaxed);
    instance.join().unwrap();
    until("it is missed", || get(&address, "/ready").contains("waits for an instance of age"));
}

#[test]
fn an_address_that_is_taken_ends_the_coordinator() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let output = command(&server.config(), &["coordinator", "--http", &address]).output().unwrap();
    let error = crate::world::refusal(&output);
    assert!(error.contains(&format!("can't serve at {address}")) && error.contains("in use"), "{error}");
}
