//! A collector that says what it is told to.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use super::*;

/// Answers requests with these, one after the other; the bodies that it got.
fn collector(answers: &'static [&'static str]) -> (Collector, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, got) = bounded(16);
    std::thread::spawn(move || {
        for answer in answers {
            let stream = listener.accept().unwrap().0;
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = number.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            write!(reader.get_mut(), "HTTP/1.1 {answer}\r\ncontent-length: 2\r\n\r\n{{}}").unwrap();
            sender.send((head, serde_json::from_slice(&body).unwrap())).unwrap();
        }
    });
    (address.parse().unwrap(), got)
}

fn span(name: &str) -> Span {
    let trace = TraceId::of_tick("main", 1, 2);
    let (id, parent) = (trace.batch(3, 0), Some(trace.root()));
    Span { name: name.into(), trace, id, parent, from: 10, to: 1 << 60, attributes: vec![("tick", 2.into())] }
}

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn spans_arrive_as_the_protocol_says() {
    let (collector, got) = collector(&["200 OK"]);
    let exporter = Exporter::start(collector, vec![("service.name", "engine-coordinator".into())]).unwrap();
    exporter.export(|| vec![span("batch")]);
    let (head, body) = got.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
    let of_process = &body["resourceSpans"][0];
    assert_eq!(
        of_process["resource"]["attributes"][0],
        json!({ "key": "service.name", "value": { "stringValue": "engine-coordinator" } })
    );
    let told = &of_process["scopeSpans"][0]["spans"][0];
    let span = span("batch");
    assert_eq!(
        *told,
        json!({
            "traceId": span.trace.to_string(), "spanId": span.id.to_string(), "name": "batch", "kind": 1,
            "parentSpanId": span.parent.unwrap().to_string(), "startTimeUnixNano": "10",
            "endTimeUnixNano": "1152921504606846976",
            "attributes": [{ "key": "tick", "value": { "intValue": "2" } }],
        })
    );
    until(|| exporter.counts() == (1, 0));
}

#[test]
fn what_a_collector_may_take_later_is_sent_again_and_other_refusals_are_counted() {
    let (collector, got) = collector(&["503 Service Unavailable", "200 OK", "400 Bad Request"]);
    let exporter = Exporter::start(collector, Vec::new()).unwrap();
    exporter.export(|| vec![span("first")]);
    exporter.export(|| vec![span("second"), span("third")]);
    let names: Vec<String> = (0..3)
        .map(|_| got.recv_timeout(Duration::from_secs(60)).unwrap().1)
        .map(|body| body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["first", "first", "second"]);
    until(|| exporter.counts() == (1, 2));
}

#[test]
fn a_collector_that_is_silent_holds_nobody() {
    // Nobody accepts: the exporter waits for an answer that never comes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let exporter = Exporter::start(collector, Vec::new()).unwrap();
    for _ in 0..2 * WAITING + 2 {
        exporter.export(|| vec![span("lost")]);
    }
    assert!(exporter.counts().1 >= WAITING as u64, "what does not fit is dropped at once");
}

#[test]
fn only_a_plain_address_is_one() {
    let collector = |text: &str| text.parse::<Collector>();
    assert_eq!(collector("http://collector:4318").unwrap().to_string(), "http://collector:4318/v1/traces");
    assert_eq!(collector("http://10.0.0.1/otlp/v1/traces").unwrap().to_string(), "http://10.0.0.1:4318/otlp/v1/traces");
    assert!(collector("https://collector:4318").unwrap_err().contains("http://"));
    for bad in ["collector:4318", "", "http://", "ftp://x", "http://user:secret@collector:4318"] {
        let error = collector(bad).unwrap_err();
        assert!(!error.contains("secret"), "{bad}: {error}");
    }
}
