//! `engine acl`: a server with the permissions that it made lets everybody do his work, and nothing else.

use std::path::Path;
use std::sync::atomic::Ordering;

use engine_app::Stop;
use engine_net::config::ConnectionConfig;
use engine_system::runner::{InstanceOptions, run_instance};

use crate::house::{House, NOBODY_PUBLISHES, NOBODY_SUBSCRIBES, tries, with};
use crate::world::{Process, app, engine, refusal, text, until};

const ROLES: [&str; 10] = [
    "coordinator",
    "standby",
    "system:drift",
    "system:a+b",
    "editor:alice",
    "editor-read-only:bob",
    "editor-read-only:eve",
    "operator:ann",
    "gateway:eu",
    "metrics",
];

#[test]
fn the_server_refuses_what_is_not_the_roles() {
    let house = House::of(&ROLES);
    let may = |user: &str, allowed: [&[&str]; 2], forbidden: [&[&str]; 2]| {
        let publish = with(forbidden[0], &NOBODY_PUBLISHES);
        let subscribe = with(forbidden[1], &NOBODY_SUBSCRIBES);
        tries(&house.config(user), allowed, [&publish, &subscribe]);
    };
    for user in ["main-coordinator", "main-standby"] {
        may(
            user,
            [
                &["engine.main.coord.hello", "engine.main.system.schedule.drift.i", "_INBOX.main.editor.alice.x"],
                &["engine.main.component.changed.7.*.*", "engine.main.command.>", "engine.main.watch.ack.>"],
            ],
            [
                &[
                    "engine.main.component.changed.7.drift.i",
                    "engine.main.system.register.drift.i",
                    "engine.main.command.world.entity.spawn",
                ],
                &["engine.main.system.schedule.drift.i", "_INBOX.main.editor.alice.>", "engine.main.event.>"],
            ],
        );
    }
    may(
        "main-system-drift",
        [
            &[
                "engine.main.system.register.drift.i",
                "engine.main.component.changed.7.drift.i",
                "engine.main.system.heartbeat.drift.i",
                "_INBOX.main.editor.alice.x",
            ],
            &[
                "engine.main.system.schedule.drift.i",
                "engine.main.system.rejected.drift.i",
                "engine.main.coord.hello",
                "_INBOX.main.system.drift.i.>",
            ],
        ],
        [
            &[
                "engine.main.system.register.lurk.i",
                "engine.main.system.register.drift+lurk.i",
                "engine.main.system.register.+.i",
                "engine.main.component.changed.7.lurk.i",
                "engine.main.component.changed.7.a+b.i",
                "engine.main.system.heartbeat.a+b.i",
                "engine.main.system.leave.a+b.i",
                "engine.main.system.schedule.drift.i",
                "engine.main.coord.hello",
                "engine.main.coord.commit",
                "engine.main.event.shop.Purchased",
                "engine.main.query.request",
                "engine.main.command.world.entity.spawn",
                "engine.main.snapshot.request",
                "_INBOX.main.coordinator.one.x",
                "_INBOX.main.system.a_b.x",
            ],
            &[
                "engine.main.system.schedule.lurk.i",
                "engine.main.system.schedule.*.*",
                "engine.main.system.rejected.a+b.i",
                "engine.main.component.changed.7.*.*",
                "engine.main.command.world.>",
                "engine.main.query.request",
                "_INBOX.main.editor.alice.>",
                "_INBOX.main.system.a_b.>",
            ],
        ],
    );
    may(
        "main-system-a_b",
        [
            &["engine.main.system.register.a+b.i", "engine.main.component.changed.7.a+b.i"],
            &["engine.main.system.schedule.a.i", "engine.main.system.schedule.b.i"],
        ],
        [
            &["engine.main.system.register.a.i", "engine.main.component.changed.7.drift.i"],
            &["engine.main.system.schedule.drift.i"],
        ],
    );
    let looks = [
        "engine.main.query.request",
        "engine.main.query.schemas",
        "engine.main.health.coordinator",
        "engine.main.discovery.drift",
        "$SRV.PING",
        "$SRV.STATS.engine-instance",
    ];
    let editors_never = [
        "engine.main.system.register.drift.i",
        "engine.main.component.changed.7.drift.i",
        "engine.main.system.schedule.drift.i",
        "engine.main.coord.hello",
        "engine.main.discovery.announce",
        "engine.main.event.shop.Purchased",
        "engine.main.watch.request",
        "engine.main.command.world.entity.spawn",
        "_INBOX.main.coordinator.one.x",
    ];
    let never_heard = ["engine.main.watch.frame.*", "engine.main.watch.frame.>", "engine.main.system.schedule.drift.i"];
    may(
        "main-editor-alice",
        [
            &with(
                &[
                    "engine.main.command.world.entity.spawn.alice",
                    "engine.main.watch.request.alice",
                    "engine.main.snapshot.request",
                ],
                &looks,
            ),
            &["engine.main.watch.frame.alice.*", "engine.main.coord.tick", "_INBOX.main.editor.alice.>"],
        ],
        [
            &with(
                &[
                    "engine.main.command.world.entity.spawn.bob",
                    "engine.main.watch.request.bob",
                    "engine.main.watch.ack.bob.1-1",
                    "engine.main.command.shop.player.purchase.alice",
                ],
                &editors_never,
            ),
            &with(&["engine.main.watch.frame.bob.*", "_INBOX.main.editor-read-only.bob.>"], &never_heard),
        ],
    );
    may(
        "main-editor-read-only-bob",
        [&with(&["engine.main.watch.request.bob"], &looks), &["engine.main.watch.frame.bob.*", "engine.main.event.>"]],
        [
            &with(
                &[
                    "engine.main.command.world.entity.spawn.bob",
                    "engine.main.command.world.entity.spawn.alice",
                    "engine.main.command.world.sim.pause.bob",
                    "engine.main.snapshot.request",
                    "engine.main.watch.ack.eve.1-1",
                ],
                &editors_never,
            ),
            &with(&["engine.main.watch.frame.eve.*", "_INBOX.main.editor-read-only.eve.>"], &never_heard),
        ],
    );
    may(
        "main-gateway-eu",
        [
            &with(&["engine.main.command.shop.player.purchase.eu"], &looks),
            &["engine.main.event.>", "engine.main.watch.frame.eu.*"],
        ],
        [
            &with(
                &[
                    "engine.main.command.world.entity.despawn.eu",
                    "engine.main.command.world.sim.pause.eu",
                    "engine.main.command.shop.player.purchase",
                    "engine.main.command.shop.player.purchase.us",
                    "engine.main.snapshot.request",
                ],
                &editors_never,
            ),
            &never_heard,
        ],
    );
    may(
        "main-metrics-metrics",
        [&["engine.main.health.coordinator", "$SRV.STATS"], &["_INBOX.main.metrics.metrics.>"]],
        [
            &with(&["engine.main.query.request", "engine.main.watch.request.metrics"], &editors_never),
            &with(&["engine.main.event.>", "engine.main.coord.tick"], &never_heard),
        ],
    );
}

#[test]
fn a_coordinator_deletes_no_stream_and_reads_no_other_worlds_log() {
    let house = House::of(&ROLES);
    tries(
        &house.log_config("main-coordinator"),
        [&["$JS.API.STREAM.INFO.ENGINE_LOG_main", "engine_lease.main"], &["_INBOX.main.log.coordinator.one.>"]],
        [
            &[
                "$JS.API.STREAM.DELETE.ENGINE_LOG_main",
                "$JS.API.STREAM.MSG.DELETE.ENGINE_LOG_main",
                "$JS.API.STREAM.SNAPSHOT.ENGINE_LOG_main",
                "$JS.API.STREAM.CREATE.other",
                "$JS.API.STREAM.INFO.ENGINE_LOG_other",
                "$JS.API.CONSUMER.CREATE.ENGINE_LOG_main",
                "engine_log.other.tick",
                "engine.main.coord.hello",
            ],
            &["engine_log.main.tick", "engine.main.>", "_INBOX.main.log.standby.one.>", ">"],
        ],
    );
    // Who reads it doesn't write it.
    tries(
        &house.log_config("main-operator-ann"),
        [
            &[
                "$JS.API.STREAM.INFO.ENGINE_LOG_main",
                "$JS.API.DIRECT.GET.ENGINE_KEY_main",
                "$KV.ENGINE_SETTINGS_main.rate",
            ],
            &["_INBOX.main.log.operator.ann.>"],
        ],
        [
            &[
                "engine_log.main.tick",
                "engine_lease.main",
                "engine_mark.main",
                "$JS.API.STREAM.PURGE.ENGINE_LOG_main",
                "$JS.API.STREAM.DELETE.ENGINE_LOG_main",
                "$JS.API.STREAM.UPDATE.ENGINE_LOG_main",
                "$KV.ENGINE_SETTINGS_other.rate",
            ],
            &["_INBOX.main.log.coordinator.one.>", "engine_log.>"],
        ],
    );
}

/// A whole world, each part of it with the rights of its role.
#[test]
fn a_world_runs_with_these_permissions() {
    let house = House::of(&ROLES);
    let coordinator = ["coordinator", "--durability", "server", "--expect", "drift", "--rate", "200"];
    let _coordinator = Process(house.start("main-coordinator", &coordinator));
    let stop = Stop::default();
    let options = InstanceOptions { stop: stop.flag(), ..InstanceOptions::default() };
    let (config, systems) = (house.config("main-system-drift"), app().into_systems().unwrap());
    let config = ConnectionConfig { wait_for_server: true, ..config };
    let instance = std::thread::spawn(move || run_instance(&config, systems, options));
    until("the world runs", || text(&house.run("main-metrics-metrics", &["status"]).stdout).contains("running"));

    let spawned = house.says("main-editor-alice", &["spawn", "t.Position={\"at\":{\"x\":1,\"y\":2}}"]);
    assert!(spawned.starts_with("spawned entity 1,"), "{spawned}");
    let row = house.says("main-editor-read-only-bob", &["query", "t.Position.at.y", "--json"]);
    assert!(row.contains("\"y\":2"), "{row}");
    let error = refusal(&house.run("main-editor-read-only-bob", &["set", "1", "t.Position.at.y=9"]));
    assert!(error.contains("command.world.entity.set.bob") && error.contains("permission"), "{error}");
    let error = refusal(&house.run("main-metrics-metrics", &["query"]));
    assert!(error.contains("engine.main.query"), "{error}");
    let processes = house.says("main-metrics-metrics", &["ps"]);
    assert!(processes.contains("coordinator") && processes.contains("drift"), "{processes}");
    house.says("main-operator-ann", &["settings", "set", "rate", "150"]);
    let rate = || house.says("main-operator-ann", &["settings", "list"]);
    until("the rate is in effect", || {
        rate().lines().any(|line| line.contains("150") && line.contains("in effect behind"))
    });
    let trace = house.says("main-operator-ann", &["trace", "--ticks", "3"]);
    assert!(trace.contains("drift"), "{trace}");
    let keyframe = house.says("main-editor-alice", &["snapshot", "create"]);
    assert!(keyframe.contains("tick"), "{keyframe}");
    let version = house.says("main-editor-read-only-bob", &["query", "--entity", "1", "--versions"]);
    assert!(version.contains("version "), "{version}");
    let stale = ["set", "1", "t.Position.layer=3", "--expect", "t.Position=0123456789abcdef"];
    assert!(refusal(&house.run("main-editor-alice", &stale)).contains("(conflict)"));
    // Who did what is in the log.
    let audit = house.says("main-operator-ann", &["audit"]);
    for said in ["systems that joined: drift", "rate = 150", "entity spawn (1 entities): t.Position"] {
        assert!(audit.contains(said), "{said}: {audit}");
    }
    let hers = house.says("main-operator-ann", &["audit", "--by", "alice", "--json"]);
    let hers: Vec<serde_json::Value> = hers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let what: Vec<_> = hers.iter().map(|line| (line["what"].as_str().unwrap(), line["by"].as_str().unwrap())).collect();
    assert_eq!(what, [("command", "alice"), ("refused", "alice")]);
    assert_eq!(hers[1]["code"], "conflict");
    // Who asks the doctor is told that all is well.
    for (user, role) in [
        ("main-editor-alice", &["--role", "tool"][..]),
        ("main-editor-read-only-bob", &["--role", "viewer"]),
        ("main-system-drift", &["--role", "system", "--systems", "drift"]),
        ("main-system-a_b", &["--role", "system", "--systems", "b,a"]),
        ("main-standby", &["--role", "coordinator"]),
    ] {
        let said = text(&house.run(user, &[&["doctor"], role].concat()).stdout);
        assert!(said.lines().any(|line| line.starts_with("ok    permissions")), "{user}: {said}");
    }

    // Another process with the rights of another system, in the name of a system that it may not run.
    let (config, systems) = (house.config("main-system-a_b"), app().into_systems().unwrap());
    let options = InstanceOptions { name: Some("forger".into()), ..InstanceOptions::default() };
    let error = run_instance(&config, systems, options).unwrap_err().to_string();
    assert!(error.contains("system.schedule.drift.forger"), "{error}");
    let status = house.says("main-editor-alice", &["status", "--json"]);
    assert!(!status.contains("forger"), "{status}");
    stop.flag().store(true, Ordering::Relaxed);
    instance.join().unwrap().unwrap();
}

#[test]
fn secrets_are_for_the_owner_and_are_not_replaced_by_chance() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let again = |arguments: &[&str]| {
        let all = [&["acl", "coordinator", "system:drift", "--out", out], arguments].concat();
        engine(&ConnectionConfig::default(), &all)
    };
    let made = again(&[]);
    assert!(made.status.success());
    let files = text(&made.stdout);
    assert_eq!(files.lines().count(), 3, "{files}");
    let password = |path: &Path| std::fs::read_to_string(path).unwrap();
    let conf = folder.path().join("nats-accounts.conf");
    let before = password(&conf);
    for file in files.lines() {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let error = refusal(&again(&[]));
    assert!(error.contains("--force"), "{error}");
    assert_eq!(password(&conf), before);
    assert!(again(&["--force"]).status.success());
    assert_ne!(password(&conf), before);
    // On standard output there are none.
    let shown = engine(&ConnectionConfig::default(), &["acl", "coordinator", "system:drift"]);
    assert!(text(&shown.stdout).contains("password: $MAIN_COORDINATOR_PASSWORD"), "{}", text(&shown.stdout));
}

/// `nsc` itself is not run here: a stand-in notes what it would be given.
#[test]
fn the_script_for_nsc_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let nsc = folder.path().join("nsc");
    std::fs::write(&nsc, "#!/bin/sh\nfor word in \"$@\"; do printf '%s\\n' \"$word\" >> said; done\n").unwrap();
    let mut permissions = std::fs::metadata(&nsc).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&nsc, permissions).unwrap();
    let made = engine(&ConnectionConfig::default(), &["acl", "--format", "nsc", "coordinator", "gateway:eu"]);
    let script = folder.path().join("script");
    std::fs::write(&script, made.stdout).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let ran = std::process::Command::new("sh").arg(&script).current_dir(&folder).env("PATH", path).status().unwrap();
    assert!(ran.success());
    let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
    let said: Vec<&str> = said.lines().collect();
    let after = |flag: &str| {
        said.iter().enumerate().filter(|(_, word)| **word == flag).map(|(at, _)| said[at + 1]).collect::<Vec<_>>()
    };
    assert_eq!(after("--deny-pub"), ["engine.main.discovery.announce,engine.main.command.world.>"]);
    assert!(
        after("--allow-pub")[1].split(',').any(|subject| subject == "engine_log.main.*"),
        "{:?}",
        after("--allow-pub")
    );
    assert!(after("--allow-sub")[0].contains("$SRV.PING,$SRV.PING.engine-coordinator"), "no shell has read it");
    for user in ["main-coordinator", "main-coordinator-log", "main-gateway-eu"] {
        assert!(folder.path().join(format!("{user}.creds")).exists(), "{user}");
    }
}

#[test]
fn a_role_that_is_none_is_told_what_there_is() {
    let output = engine(&ConnectionConfig::default(), &["acl", "editr:alice"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("editor:NAME") && error.contains("gateway:NAME"), "{error}");
}
