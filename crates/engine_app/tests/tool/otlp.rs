//! Spans of a tick, from a coordinator and from an instance, at one collector.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use engine_app::{App, Stop};
use engine_component::query::Query;
use engine_net::otlp::TraceId;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::runner::{InstanceOptions, run_instance};
use serde_json::Value;

use crate::world::{Health, Process, command, engine, until};

fn age(mut all: Query<&mut Health>) {
    for health in &mut all {
        health.0 = health.0.wrapping_add(1);
    }
}

/// A span, with the name of the service that it is of.
#[derive(Clone, Debug)]
struct Seen {
    service: String,
    span: Value,
}

impl Seen {
    fn text(&self, key: &str) -> &str {
        self.span[key].as_str().unwrap_or_default()
    }

    fn number(&self, key: &str) -> u64 {
        self.text(key).parse().unwrap()
    }

    fn attribute(&self, name: &str) -> Option<&Value> {
        let all = self.span["attributes"].as_array().unwrap();
        all.iter().find(|attribute| attribute["key"] == name).map(|attribute| &attribute["value"])
    }
}

/// Takes what comes, until the process ends.
fn collector() -> (String, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let body: Value = serde_json::from_slice(&take(stream.unwrap())).unwrap();
            let process = &body["resourceSpans"][0];
            let service = process["resource"]["attributes"][0]["value"]["stringValue"].as_str().unwrap().to_owned();
            let spans = process["scopeSpans"][0]["spans"].as_array().unwrap();
            let spans = spans.iter().map(|span| Seen { service: service.clone(), span: span.clone() });
            all.lock().unwrap().extend(spans);
        }
    });
    (address, seen)
}

fn take(stream: TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    body
}

/// The names of a span and of all that it is a part of.
fn path<'a>(by_id: &BTreeMap<&str, &'a Seen>, span: &'a Seen) -> Vec<&'a str> {
    std::iter::successors(Some(span), |span| by_id.get(span.text("parentSpanId")).copied())
        .map(|span| span.text("name"))
        .collect()
}

#[test]
fn spans_of_both_processes_are_of_one_trace() {
    let (address, seen) = collector();
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let config = server.config();
    let line = ["coordinator", "--expect", "age", "--rate", "200", "--otlp", &address, "--otlp-every", "3"];
    let _coordinator = Process(command(&config, &line).spawn().unwrap());
    let stop = Stop::default();
    let options = InstanceOptions {
        name: Some("age-1".into()),
        otlp: Some(address.parse().unwrap()),
        stop: stop.flag(),
        ..InstanceOptions::default()
    };
    let systems = App::new("one").add_system("age", age).into_systems().unwrap();
    let of_instance = config.clone();
    let instance = std::thread::spawn(move || run_instance(&of_instance, systems, options).unwrap());
    until("there are rows", || engine(&config, &["spawn", "t.Health=5", "--count", "100"]).status.success());

    let mut whole = None;
    until("a trace is of both", || {
        let seen = seen.lock().unwrap();
        let ran = seen.iter().filter(|span| span.service == "engine-instance").find_map(|ran| {
            let of_coordinator =
                |span: &&Seen| span.service == "engine-coordinator" && span.text("traceId") == ran.text("traceId");
            let spans: Vec<Seen> = seen.iter().filter(of_coordinator).cloned().collect();
            (!spans.is_empty()).then(|| (ran.clone(), spans))
        });
        whole = ran;
        whole.is_some()
    });
    let (ran, spans) = whole.unwrap();
    let by_id: BTreeMap<&str, &Seen> = spans.iter().map(|span| (span.text("spanId"), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "ids of their own");
    for span in spans.iter().filter(|span| !span.text("parentSpanId").is_empty()) {
        let parent = by_id[span.text("parentSpanId")];
        assert!(parent.number("startTimeUnixNano") <= span.number("startTimeUnixNano"), "{span:?} in {parent:?}");
        assert!(span.number("endTimeUnixNano") <= parent.number("endTimeUnixNano"), "{span:?} in {parent:?}");
    }
    assert_eq!(path(&by_id, &ran), ["run age", "batch", "node age", "tick"]);
    let compute = spans.iter().find(|span| span.text("name") == "compute").unwrap();
    assert_eq!(path(&by_id, compute), ["compute", "batch", "node age", "tick"]);
    assert_eq!(ran.attribute("engine.instance").unwrap()["stringValue"], "age-1");
    let root = spans.iter().find(|span| span.text("name") == "tick").unwrap();
    let number = |name: &str| root.attribute(name).unwrap()["intValue"].as_str().unwrap().parse::<u64>().unwrap();
    let (epoch, tick) = (number("engine.epoch"), number("engine.tick"));
    assert!(tick.is_multiple_of(3), "{tick}");
    assert_eq!(ran.text("traceId"), TraceId::of_tick("main", epoch, tick).to_string());
    stop.flag().store(true, Ordering::Relaxed);
    instance.join().unwrap();
}
