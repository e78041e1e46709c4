//! Opening: what is checked, and what is said when it isn't right.

use engine_app::log::jet::{JetError, JetSettings, Kind, Mode, Streams};
use engine_net::{
    config::{Credentials, Secret},
    server::{PrivateCredentials, ServerOptions},
};

use crate::place::{append, append_now, log_user, open, server, server_with, small};

fn refused(result: Result<Streams, JetError>) -> String {
    result.expect_err("it must not open").to_string()
}

#[test]
fn a_second_coordinator_finds_the_same_streams() {
    let server = server();
    let first = open(&server);
    append_now(&first, append(Kind::Epoch, "epoch", 0, None));
    let tail = open(&server).tail().unwrap();
    assert_eq!((tail.first, tail.last), (1, 1));
    assert_eq!(&tail.epoch.unwrap().payload[..], b"epoch");
}

#[test]
fn the_engines_account_has_no_streams_and_is_told_so() {
    let server = server();
    let error = refused(Streams::open(&server.config(), "w", Mode::Server, small()));
    assert!(error.contains("no JetStream") && error.contains("jetstream: enabled"), "{error}");
}

#[test]
fn a_stream_that_differs_is_named_and_one_that_may_grow_grows() {
    let server = server();
    drop(open(&server));
    let open = |settings: JetSettings| Streams::open(&log_user(&server), "w", Mode::Server, settings);
    let window = std::time::Duration::from_secs(60);
    let error = refused(open(JetSettings { duplicate_window: window, ..small() }));
    assert!(error.contains("_w has `duplicate_window` = 120000000000, but 60000000000 is needed"), "{error}");
    let error = refused(open(JetSettings { log_bytes: 1 << 20, ..small() }));
    assert!(error.contains("ENGINE_LOG_w has `max_bytes` = 268435456, but 1048576 is needed"), "{error}");
    open(JetSettings { log_bytes: 300 << 20, ..small() }).unwrap();
    let error = refused(open(JetSettings { log_bytes: 299 << 20, ..small() }));
    assert!(error.contains("= 314572800"), "{error}");
    let error = refused(open(JetSettings { replicas: 3, log_bytes: 300 << 20, ..small() }));
    assert!(error.contains("`num_replicas` = 1, but 3 is needed"), "{error}");
}

#[test]
fn more_than_the_server_has_is_refused_with_advice() {
    let server = server_with(|options| options.extra = String::new());
    let error =
        refused(Streams::open(&log_user(&server), "w", Mode::Server, JetSettings { log_bytes: 1 << 60, ..small() }));
    assert!(error.contains("create the stream ENGINE_LOG_w") && error.contains("log_bytes"), "{error}");
    let settings = JetSettings { replicas: 3, ..small() };
    let error = refused(Streams::open(&log_user(&server), "v", Mode::Server, settings));
    assert!(error.contains("three replicas need a cluster"), "{error}");
}

#[test]
fn disk_durability_is_verified_and_not_believed() {
    let synced = server_with(|options| options.sync_always = true);
    Streams::open(&log_user(&synced), "w", Mode::Disk, small()).unwrap();
    let error = refused(Streams::open(&log_user(&server()), "w", Mode::Disk, small()));
    assert!(error.contains("sync_interval: always"), "{error}");
}

/// A server whose log account may not ask, with a user of the system account.
fn silent(sync: &str) -> (engine_net::server::PrivateServer, Credentials) {
    let options = ServerOptions {
        credentials: PrivateCredentials::Open,
        extra: format!(
            "jetstream {{ store_dir: \"{}\"{sync} }}\n\
             accounts {{ LOG {{ jetstream: enabled, users: [{{ user: l, password: l }}] }}, SYS {{ users: [{{ user: s, password: s }}] }} }}\n\
             system_account: SYS\n",
            std::env::temp_dir().join(format!("engine-nats-silent-{}-{}", std::process::id(), sync.len())).display()
        ),
        ..ServerOptions::default()
    };
    let system = Credentials::UserPassword { user: "s".into(), password: Secret::new("s") };
    (engine_net::server::PrivateServer::start(&options).unwrap(), system)
}

#[test]
fn where_nobody_may_ask_the_system_account_is_needed() {
    for (sync, is_synced) in [("", false), (", sync_interval: always", true)] {
        let (server, system) = silent(sync);
        let mut config = server.config();
        config.credentials = Credentials::UserPassword { user: "l".into(), password: Secret::new("l") };
        let error = refused(Streams::open(&config, "w", Mode::Disk, small()));
        assert!(error.contains("can't be verified") && error.contains("NATS_LOG_SYSTEM_USER"), "{error}");
        config.log.system = Some(system);
        let opened = Streams::open(&config, "w", Mode::Disk, small());
        assert_eq!(opened.is_ok(), is_synced);
        if let Err(error) = opened {
            assert!(error.to_string().contains("acknowledges before it syncs"), "{error}");
        }
        config.log.system = Some(Credentials::UserPassword { user: "s".into(), password: Secret::new("wrong") });
        let error = refused(Streams::open(&config, "w", Mode::Disk, small()));
        assert!(error.contains("refused the connection as user `s`"), "{error}");
    }
    for length in [0, ", sync_interval: always".len()] {
        let store = std::env::temp_dir().join(format!("engine-nats-silent-{}-{length}", std::process::id()));
        let _ = std::fs::remove_dir_all(store);
    }
}
