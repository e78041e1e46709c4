//! Processes are services of NATS: whoever asks as its framework does is answered as it says.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine_app::{Settings, Stop};
use engine_net::client;
use engine_system::runner::{InstanceOptions, run_instance};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::world::{World, app, until};

fn blocking<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The first `count` answers.
fn ask(world: &World, subject: &str, count: usize) -> Vec<Value> {
    blocking(async {
        let client = client::connect(&world.config, "somebody").await.unwrap().client;
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await.unwrap();
        client.publish_with_reply(subject.to_owned(), inbox, "".into()).await.unwrap();
        let all = answers.take(count).map(|message| serde_json::from_slice(&message.payload).unwrap()).collect();
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("an answer")
    })
}

/// Runs something while there is an instance of `drift`.
fn with_instance(world: &World, name: &str, check: impl FnOnce()) {
    let stop = Stop::default();
    let options = InstanceOptions { name: Some(name.into()), stop: stop.flag(), ..InstanceOptions::default() };
    let (config, systems) = (world.config.clone(), app().into_systems().unwrap());
    let thread = std::thread::spawn(move || run_instance(&config, systems, options).unwrap());
    until("the instance answers", || world.json(&["ps"]).as_array().unwrap().len() == 2);
    check();
    stop.flag().store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

#[test]
fn the_framework_finds_every_process_and_its_figures() {
    let world = World::paused(app());
    with_instance(&world, "drift-1", || {
        let kinds = |answers: &[Value]| -> BTreeMap<String, String> {
            answers.iter().map(|one| (one["name"].to_string(), one["type"].to_string())).collect()
        };
        for (verb, kind) in [("PING", "ping"), ("INFO", "info"), ("STATS", "stats")] {
            let kind = format!("\"io.nats.micro.v1.{kind}_response\"");
            let both = [("\"engine-coordinator\"".to_owned(), kind.clone()), ("\"engine-instance\"".to_owned(), kind)];
            assert_eq!(kinds(&ask(&world, &format!("$SRV.{verb}"), 2)), both.into());
        }
        let info = &ask(&world, "$SRV.INFO.engine-instance.drift-1", 1)[0];
        assert_eq!((&info["id"], &info["metadata"]["systems"]), (&json!("drift-1"), &json!("drift")));
        assert_eq!(info["endpoints"][0]["subject"], "engine.main.system.schedule.*.drift-1");
        // The same beside the framework.
        assert_eq!(&ask(&world, "engine.main.discovery.drift", 1)[0], info);
        assert_eq!(ask(&world, "engine.main.health.drift", 1)[0]["type"], "io.nats.micro.v1.stats_response");
    });
}

#[test]
fn requests_and_refusals_are_counted() {
    let world = World::paused(app());
    let of = |name: &str| {
        let stats = ask(&world, "$SRV.STATS.engine-coordinator", 1).remove(0);
        let all = stats["endpoints"].as_array().unwrap().clone();
        all.into_iter().find(|endpoint| endpoint["name"] == name).unwrap()
    };
    world.says(&["query", "t.Health"]);
    let query = of("query");
    assert!(query["num_requests"].as_u64().unwrap() >= 1 && query["processing_time"].as_u64().unwrap() > 0, "{query}");
    assert_eq!((&query["num_errors"], &query["queue_group"]), (&json!(0), &json!("coordinator")));
    let command = of("command");
    blocking(async {
        let client = client::connect(&world.config, "somebody").await.unwrap().client;
        client.request("engine.main.command.world.entity.spawn", "garbage".into()).await.unwrap();
    });
    let after = of("command");
    let grown = |key: &str| after[key].as_u64().unwrap() - command[key].as_u64().unwrap();
    assert_eq!((grown("num_requests"), grown("num_errors")), (1, 1));
    assert_eq!(after["last_error"], "bad_request");
}

/// An answer goes out with the rights of who answers.
#[test]
fn an_answer_goes_nowhere_where_it_does_harm() {
    let world = World::paused(app());
    blocking(async {
        let client = client::connect(&world.config, "somebody").await.unwrap().client;
        let mut hello = client.subscribe("engine.main.coord.hello").await.unwrap();
        let mut server = client.subscribe("$JS.API.STREAM.DELETE.x").await.unwrap();
        let mut log = client.subscribe("engine_log.main.tick").await.unwrap();
        let mut mine = client.subscribe("mine").await.unwrap();
        for reply in ["engine.main.coord.hello", "$JS.API.STREAM.DELETE.x", "engine_log.main.tick", "mine"] {
            client.publish_with_reply("$SRV.PING.engine-coordinator", reply, "".into()).await.unwrap();
        }
        // The harmless one is answered last: by then the others would have been.
        tokio::time::timeout(Duration::from_secs(30), mine.next()).await.unwrap().unwrap();
        client.flush().await.unwrap();
        let soon = |next| futures_util::FutureExt::now_or_never(next);
        assert!(soon(log.next()).is_none(), "JSON in the world's log");
        assert!(soon(hello.next()).is_none());
        // Only what was published there by ourselves could be there, and nothing was.
        assert!(soon(server.next()).is_none());
    });
}

#[test]
fn ps_lists_the_processes_of_a_world_or_of_all() {
    let world = World::paused(app());
    let other = World::start_with(
        &engine_net::config::ConnectionConfig { world: "other".into(), ..world.config.clone() },
        app(),
        Settings { world: "other".into(), paused: true, ..Settings::default() },
    );
    with_instance(&world, "drift-1", || {
        let said = world.says(&["ps"]);
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].starts_with("service") && lines.len() == 3, "{said}");
        assert!(lines[1].starts_with("coordinator") && lines[2].starts_with("instance"), "{said}");
        assert!(lines[2].contains("drift-1") && lines[2].contains("runs drift"), "{said}");
    });
    assert_eq!(world.json(&["ps", "--all"]).as_array().unwrap().len(), 2);
    assert_eq!(other.json(&["ps"])[0]["metadata"]["world"], "other");
    let nobody = engine_net::config::ConnectionConfig { world: "nobody".into(), ..world.config.clone() };
    let said = crate::world::text(&crate::world::engine(&nobody, &["ps"]).stdout);
    assert!(said.starts_with("no process of `engine.nobody` answers; --all"), "{said}");
}
