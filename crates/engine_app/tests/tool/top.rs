//! `engine top`, where there is no terminal: as text, and as lines of JSON. What a terminal shows is tested beside the
//! code that draws it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use engine_app::Settings;
use engine_net::config::ConnectionConfig;
use engine_net::server::{PrivateServer, ServerOptions};
use serde_json::Value;

use crate::world::{Process, World, app, command, engine, refusal, text, until};

fn running() -> Settings {
    Settings { rate: 100.0, ..Settings::default() }
}

/// The next object of a process that prints them for which something holds.
fn next(process: &mut Child, mut holds: impl FnMut(&Value) -> bool) -> Value {
    let mut lines = BufReader::new(process.stdout.as_mut().unwrap()).lines();
    for _ in 0..600 {
        let line = lines.next().expect("it goes on").unwrap();
        let object = serde_json::from_str(&line).unwrap();
        if holds(&object) {
            return object;
        }
    }
    panic!("not in 600 looks");
}

#[test]
fn one_look_is_text_and_the_only_world_needs_no_name() {
    let server = std::sync::Arc::new(PrivateServer::start(&ServerOptions::default()).unwrap());
    let arena = World::start_at(server.clone(), app(), Settings { world: "arena".into(), paused: true, ..running() });
    let unnamed = ConnectionConfig { world: "main".into(), ..server.config() };
    let look = |arguments: &[&str]| {
        let mut command = command(&unnamed, &[&["top"], arguments].concat());
        let output = command.env_remove("ENGINE_WORLD").output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    // Not a terminal: as with --once.
    for arguments in [&["--once"][..], &[], &["arena"], &["--world", "arena"]] {
        let said = look(arguments);
        assert!(said.starts_with("world arena: paused\ntick 0, epoch "), "{arguments:?}: {said}");
        assert!(said.contains("drift") && said.contains("in the coordinator"), "{said}");
        assert!(said.contains("led by arena-"), "{said}");
    }
    let other = World::start_at(server.clone(), app(), Settings { world: "other".into(), paused: true, ..running() });
    let said = look(&[]);
    assert!(said.contains("several worlds answer") && said.contains("engine.other"), "{said}");
    let worlds: Value = serde_json::from_str(&look(&["--json"])).unwrap();
    assert_eq!((&worlds["worlds"][0]["world"], &worlds["worlds"][1]["world"]), (&"arena".into(), &"other".into()));
    assert!(look(&["other"]).starts_with("world other: paused"));
    drop((arena, other));
    let error = refusal(&engine(&unnamed, &["top", "nobody"]));
    assert!(error.contains("no coordinator answers for world `nobody`"), "{error}");
    assert_eq!(engine(&unnamed, &["top", "--every", "0"]).status.code(), Some(2));
}

/// It is there before its world is, while that is gone, and when the server was gone.
#[test]
fn it_goes_on_looking_whoever_comes_and_goes() {
    let mut server = PrivateServer::start(&ServerOptions { port: None, ..ServerOptions::default() }).unwrap();
    let config = server.config();
    let mut top = command(&config, &["top", "--json", "--every", "0.1"]);
    let mut top = Process(top.stdout(Stdio::piped()).spawn().unwrap());
    let is_missing = |object: &Value| {
        object["trouble"].as_str().is_some_and(|trouble| trouble.contains("no coordinator answers for world `main`"))
    };
    assert_eq!(next(&mut top.0, is_missing)["status"], Value::Null);
    let world = World::start_with(&config, app(), running());
    let seen = next(&mut top.0, |object| object["status"]["tick"].as_u64() > Some(3));
    assert_eq!((&seen["trouble"], &seen["world"]), (&Value::Null, &"main".into()));
    world.says(&["spawn", "t.Health=1"]);
    next(&mut top.0, |object| object["changed"]["commands"] == 1);
    server.kill();
    let gone =
        next(&mut top.0, |object| object["trouble"].as_str().is_some_and(|trouble| trouble.contains("server is gone")));
    assert!(gone["status"]["tick"].is_u64(), "what was known is still there");
    server.restart().unwrap();
    let tick = gone["status"]["tick"].as_u64();
    next(&mut top.0, |object| object["trouble"].is_null() && object["status"]["tick"].as_u64() > tick);
    drop(world);
    next(&mut top.0, is_missing);
    until("it still runs", || top.0.try_wait().unwrap().is_none());
}
