//! `engine dlq`: what a consumer gave up is listed, shown, given again and dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine_component::Event;
use engine_net::config::ConnectionConfig;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_service::dead::Collector;
use engine_service::publish::Publisher;
use engine_service::subscribe::{Durable, Verdict};
use engine_service::{Link, Recorded};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::world::{engine, text, until};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "shop.Bought", document)]
struct Bought {
    item: String,
}

fn json(config: &ConnectionConfig, arguments: &[&str]) -> Value {
    let output = engine(config, &[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

/// A service in a thread that refuses everything, until it may take it.
fn service(config: &ConnectionConfig, takes: &Arc<AtomicBool>, items: Vec<String>) {
    let (config, takes) = (config.clone(), takes.clone());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let link = Link::open(&config, "shop").await.unwrap();
            link.ensure_domain("shop").await.unwrap();
            for item in items {
                Publisher::new(&link).publish(&Bought { item }).await.unwrap();
            }
            let handle = move |_: Recorded| {
                let takes = takes.load(Ordering::Relaxed);
                async move { if takes { Verdict::Done } else { Verdict::poison("no such customer") } }
            };
            let durable = Durable::new(&link, "bills", "shop.>").unwrap();
            let collector = Collector::new(&link, "shop").unwrap();
            tokio::select! {
                ended = durable.run(handle) => ended.unwrap(),
                ended = collector.run() => ended.unwrap(),
            }
        });
    });
}

#[test]
fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let options = ServerOptions { jetstream: true, ..ServerOptions::default() };
    let server = PrivateServer::start(&options).expect("these tests need nats-server");
    let config = server.config();
    let none = engine(&config, &["dlq", "list"]);
    assert!(text(&none.stderr).contains("no service of this world"), "{}", text(&none.stderr));
    let takes = Arc::new(AtomicBool::new(false));
    service(&config, &takes, ["sword", "shield", "bow"].map(String::from).into());
    let count = || {
        let output = engine(&config, &["dlq", "list", "--json"]);
        serde_json::from_slice::<Value>(&output.stdout).ok().and_then(|all| Some(all.as_array()?.len()))
    };
    until("all are collected", || count() == Some(3));
    let listed = text(&engine(&config, &["dlq", "list"]).stdout);
    assert!(listed.contains("shop/bills") && listed.contains("no such customer"), "{listed}");
    let shown = text(&engine(&config, &["dlq", "show", "1"]).stdout);
    assert!(shown.contains("ce-type") && shown.contains(r#"{"item":"#), "{shown}");
    for (consumer, there) in [("nobody", 0), ("bills", 3), ("shop/bills", 3), ("bank/bills", 0)] {
        let listed = json(&config, &["dlq", "list", "--consumer", consumer]);
        assert_eq!(listed.as_array().map(Vec::len), Some(there), "{consumer}");
    }
    assert!(!engine(&config, &["dlq", "list", "--consumer", "shop/*"]).status.success());

    let dropped = text(&engine(&config, &["dlq", "drop", "1"]).stdout);
    assert_eq!(dropped, "1 dead letter dropped\n");
    let again = engine(&config, &["dlq", "drop", "1"]);
    assert!(!again.status.success() && text(&again.stderr).contains("1 dead letter was not dropped"));
    takes.store(true, Ordering::Relaxed);
    assert_eq!(json(&config, &["dlq", "replay", "--consumer", "shop/bills"])["replayed"], 2);
    until("none is left", || count() == Some(0));
    assert_eq!(text(&engine(&config, &["dlq", "list"]).stdout), "no dead letters\n");
}

#[test]
fn all_are_dropped_however_many_they_are() {
    let options = ServerOptions { jetstream: true, ..ServerOptions::default() };
    let server = PrivateServer::start(&options).expect("these tests need nats-server");
    let config = server.config();
    service(&config, &Arc::default(), (0..300).map(|item| item.to_string()).collect());
    let there = || engine(&config, &["dlq", "show", "300"]).status.success();
    until("all are collected", there);
    assert_eq!(text(&engine(&config, &["dlq", "drop", "--all"]).stdout), "300 dead letters dropped\n");
    assert_eq!(text(&engine(&config, &["dlq", "list"]).stdout), "no dead letters\n");
}
