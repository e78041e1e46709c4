//! The client against a real nats-server: every fault is made, none is imagined.
#![cfg(feature = "client")]

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crossbeam_channel::Receiver;
use engine_net::{
    client::{ConnectError, connect, require_jetstream},
    config::{ConnectionConfig, Credentials, Secret},
    io::{HeaderMap, Io, IoEvent, Lane, Outgoing, PublishError, RequestError},
    server::{PrivateCredentials, PrivateServer, ServerError, ServerOptions},
};

const SOON: Duration = Duration::from_secs(10);
const LANE: Lane = Lane::CONTROL;
const OUT: Lane = Lane(1);

fn server() -> PrivateServer {
    PrivateServer::start(&ServerOptions::default()).expect("these tests need nats-server")
}

fn io(server: &PrivateServer) -> (Io, Receiver<IoEvent>) {
    Io::start(&quick(server.config()), "test", 2).expect("the server runs")
}

/// Notices a frozen server in 150 ms.
fn quick(config: ConnectionConfig) -> ConnectionConfig {
    ConnectionConfig { ping_interval: Duration::from_millis(50), ..config }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Takes events until one fits; others are passed over.
fn until<T>(events: &Receiver<IoEvent>, mut fits: impl FnMut(IoEvent) -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        let event = events.recv_deadline(deadline).expect("the event comes in time");
        if let Some(found) = fits(event) {
            return found;
        }
    }
}

fn message(event: IoEvent) -> Option<engine_net::io::IoMessage> {
    if let IoEvent::Message(message) = event { Some(message) } else { None }
}

#[test]
fn a_wrong_password_fails_at_once_even_when_waiting_is_allowed() {
    let server = server();
    let config = ConnectionConfig {
        credentials: Credentials::UserPassword { user: "engine".into(), password: Secret::new("wrong-guess") },
        wait_for_server: true,
        ..server.config()
    };
    let started = Instant::now();
    let error = Io::start(&config, "test", 1).map(drop).unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    let text = error.to_string();
    assert!(text.contains(&server.url()) && text.contains("`engine`") && text.contains("NATS_PASSWORD"), "{text}");
    assert!(!text.contains("wrong-guess"), "{text}");
    let nobody = ConnectionConfig { credentials: Credentials::None, ..server.config() };
    assert!(matches!(block_on(connect(&nobody, "test")), Err(ConnectError::Refused { .. })));
}

#[test]
fn no_server_is_said_at_once_with_its_address() {
    let config = ConnectionConfig::new("nats://127.0.0.1:1", Credentials::None);
    let error = block_on(connect(&config, "test")).unwrap_err();
    assert!(matches!(error, ConnectError::NoServer { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1") && text.contains("refused") && text.contains("NATS_URL"), "{text}");
    let config = ConnectionConfig::new("http://127.0.0.1:1", Credentials::None);
    assert!(matches!(block_on(connect(&config, "test")), Err(ConnectError::Address { .. })));
    let missing = Credentials::File("/nowhere/user.creds".into());
    let error = block_on(connect(&ConnectionConfig::new("nats://127.0.0.1:1", missing), "test")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/user.creds"), "{error}");
}

#[test]
fn a_server_that_comes_late_is_waited_for() {
    let mut server = server();
    let config = ConnectionConfig { wait_for_server: true, ..server.config() };
    server.kill();
    let waiting = std::thread::spawn(move || Io::start(&config, "test", 1).map(drop));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.is_finished());
    server.restart().unwrap();
    waiting.join().unwrap().unwrap();
}

#[test]
fn an_old_server_is_refused_with_its_version() {
    // The oldest server that can be had here is too new: a listener plays one.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"INFO {\"version\":\"2.9.10\",\"max_payload\":1048576,\"headers\":true}\r\n").unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while !lines.next().unwrap().unwrap().starts_with("PING") {}
        stream.write_all(b"PONG\r\n").unwrap();
        lines.next();
    });
    let error = block_on(connect(&ConnectionConfig::new(url, Credentials::None), "test")).unwrap_err();
    assert!(matches!(error, ConnectError::TooOld { .. }), "{error:?}");
    assert!(error.to_string().contains("2.9.10") && error.to_string().contains("2.12.1"), "{error}");
}

#[test]
fn jetstream_is_missed_only_when_it_is_asked_for() {
    let without = server();
    block_on(async {
        let connection = connect(&without.config(), "test").await.unwrap();
        let error = require_jetstream(&connection, &without.config()).await.unwrap_err();
        assert!(matches!(error, ConnectError::NoJetStream { .. }), "{error:?}");
        assert!(error.to_string().contains("-js"), "{error}");
    });
    let options = ServerOptions { jetstream: true, sync_always: true, ..ServerOptions::default() };
    let with = PrivateServer::start(&options).unwrap();
    block_on(async { require_jetstream(&connect(&with.config(), "test").await.unwrap(), &with.config()).await })
        .unwrap();
}

#[test]
fn the_log_account_has_jetstream_and_the_engine_has_not() {
    let options = ServerOptions { log_account: true, ..ServerOptions::default() };
    let server = PrivateServer::start(&options).unwrap();
    block_on(async {
        let log = server.log_config().unwrap();
        require_jetstream(&connect(&log, "log").await.unwrap(), &log).await.unwrap();
        let engine = connect(&server.config(), "engine").await.unwrap();
        assert!(matches!(require_jetstream(&engine, &server.config()).await, Err(ConnectError::NoJetStream { .. })));
    });
}

#[test]
fn nobody_on_a_subject_is_known_within_milliseconds() {
    let server = server();
    let (io, events) = io(&server);
    let mut times: Vec<Duration> = (0..20)
        .map(|number| {
            let expected = io.reply_subject(OUT, &format!("job.{number}"));
            let started = Instant::now();
            io.publish(OUT, Outgoing::new("dead.subject", "job").reply(expected.as_str())).unwrap();
            let (lane, reply) = until(&events, |event| match event {
                IoEvent::NoResponders { lane, reply } => Some((lane, reply)),
                _ => None,
            });
            assert_eq!((lane, reply.as_str()), (OUT, expected.as_str()));
            started.elapsed()
        })
        .collect();
    times.sort();
    assert!(times[10] < Duration::from_millis(20), "{times:?}");
    let error = io.request_blocking(LANE, Outgoing::new("dead.subject", ""), SOON).unwrap_err();
    assert_eq!(error, RequestError::NoResponders);
}

#[test]
fn messages_carry_reply_headers_and_their_subscription() {
    let server = server();
    let (io, events) = io(&server);
    let id = io.subscribe_blocking(LANE, "jobs.*", None, SOON).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("tick-id", "7");
    let reply = io.reply_subject(OUT, "x");
    io.publish(OUT, Outgoing::new("jobs.a", vec![1, 2, 3]).reply(reply.as_str()).headers(headers)).unwrap();
    let job = until(&events, message);
    assert_eq!((job.lane, job.subscription, job.subject.as_str()), (LANE, Some(id), "jobs.a"));
    assert_eq!(job.payload.as_ref(), [1, 2, 3]);
    assert_eq!(job.headers.as_ref().unwrap().get("tick-id").unwrap().as_str(), "7");
    assert_eq!(job.reply.as_deref(), Some(reply.as_str()));
    io.publish(LANE, Outgoing::new(job.reply.clone().unwrap(), "done")).unwrap();
    let done = until(&events, message);
    assert_eq!((done.lane, done.subscription, done.payload.as_ref()), (OUT, None, b"done".as_slice()));
    assert!(io.held_bytes() > 0);
    drop((job, done));
    assert_eq!(io.held_bytes(), 0);
}

#[test]
fn a_confirmed_subscription_misses_nothing() {
    let server = server();
    let (one, events) = io(&server);
    let (other, _other_events) = io(&server);
    for round in 0..100 {
        let subject = format!("round.{round}");
        let id = one.subscribe(LANE, subject.as_str(), None).unwrap();
        let result = until(&events, |event| match event {
            IoEvent::Subscribed { id: confirmed, result } if confirmed == id => Some(result),
            _ => None,
        });
        assert_eq!(result, Ok(()));
        other.publish(LANE, Outgoing::new(subject.as_str(), "now")).unwrap();
        assert_eq!(until(&events, message).subject.as_str(), subject);
        one.unsubscribe(id);
    }
}

#[test]
fn requests_are_answered_or_time_out() {
    let server = server();
    let (io, events) = io(&server);
    io.subscribe_blocking(LANE, "silent", None, SOON).unwrap();
    let limit = Duration::from_millis(50);
    let id = io.request(OUT, Outgoing::new("silent", ""), limit).unwrap();
    let answer = until(&events, |event| match event {
        IoEvent::Answer { lane, id: answered, answer } if answered == id => Some((lane, answer)),
        _ => None,
    });
    assert_eq!((answer.0, answer.1.unwrap_err()), (OUT, RequestError::TimedOut(limit)));
    let fence = io.fence(OUT, SOON).unwrap();
    until(&events, |event| matches!(event, IoEvent::Answer { id, answer: Ok(_), .. } if id == fence).then_some(()));

    let responder = io.handle();
    let answering = std::thread::spawn(move || {
        let request = until(&events, |event| message(event).filter(|message| message.payload.as_ref() == b"ping"));
        responder.publish(LANE, Outgoing::new(request.reply.clone().unwrap(), "pong")).unwrap();
    });
    let answer = io.request_blocking(OUT, Outgoing::new("silent", "ping"), SOON).unwrap();
    assert_eq!(answer.payload.as_ref(), b"pong");
    answering.join().unwrap();
}

#[test]
fn a_payload_above_the_limit_is_refused_and_the_connection_lives_on() {
    let options = ServerOptions { max_payload: Some(64 * 1024), ..ServerOptions::default() };
    let server = PrivateServer::start(&options).unwrap();
    let (io, events) = io(&server);
    assert_eq!((io.max_payload(OUT), io.server(OUT).max_payload), (64 * 1024, 64 * 1024));
    io.publish(OUT, Outgoing::new("fits", vec![0; 64 * 1024])).unwrap();
    let error = io.publish(OUT, Outgoing::new("big", vec![0; 64 * 1024 + 1])).unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { limit: 65_536, .. }), "{error:?}");
    let mut headers = HeaderMap::new();
    headers.insert("a", "b");
    let error = io.publish(OUT, Outgoing::new("big", vec![0; 64 * 1024]).headers(headers)).unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { .. }), "headers count: {error:?}");
    assert!(matches!(io.publish(OUT, Outgoing::new("a b", "")), Err(PublishError::Subject { .. })));
    io.fence_blocking(OUT, SOON).unwrap();
    assert!(!events.try_iter().any(|event| matches!(event, IoEvent::Disconnected { .. })));
}

#[test]
fn a_server_that_goes_away_and_comes_back_is_met_again_with_all_subscriptions() {
    let mut server = server();
    let (io, events) = io(&server);
    io.subscribe_blocking(LANE, "still.here", None, SOON).unwrap();
    for _ in 0..3 {
        server.kill();
        let mut down = Vec::new();
        until(&events, |event| {
            if let IoEvent::Disconnected { lane } = event {
                down.push(lane);
            }
            (down.len() == 2).then_some(())
        });
        assert_eq!(io.publish(OUT, Outgoing::new("still.here", "lost")), Err(PublishError::Disconnected { lane: OUT }));
        assert!(!io.is_connected(OUT));
        server.restart().unwrap();
        let mut up = Vec::new();
        until(&events, |event| {
            if let IoEvent::Reconnected { lane, .. } = event {
                up.push(lane);
            }
            (up.len() == 2).then_some(())
        });
        // At once: the event says that the subscriptions are in force.
        io.publish(OUT, Outgoing::new("still.here", "again")).unwrap();
        assert_eq!(until(&events, message).payload.as_ref(), b"again");
    }
}

#[test]
fn a_request_in_flight_fails_when_the_server_dies() {
    let mut server = server();
    let (io, events) = io(&server);
    io.subscribe_blocking(LANE, "silent", None, SOON).unwrap();
    let id = io.request(OUT, Outgoing::new("silent", ""), Duration::from_secs(60)).unwrap();
    io.fence_blocking(OUT, SOON).unwrap();
    server.kill();
    let answer = until(&events, |event| match event {
        IoEvent::Answer { id: answered, answer, .. } if answered == id => Some(answer),
        _ => None,
    });
    assert_eq!(answer.unwrap_err(), RequestError::Disconnected);
}

#[cfg(unix)]
#[test]
fn a_frozen_server_is_noticed_by_its_silence() {
    let server = server();
    let (_io, events) = io(&server);
    server.pause().unwrap();
    let started = Instant::now();
    until(&events, |event| matches!(event, IoEvent::Disconnected { .. }).then_some(()));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    server.resume().unwrap();
    until(&events, |event| matches!(event, IoEvent::Reconnected { .. }).then_some(()));
}

#[cfg(unix)]
#[test]
fn a_full_outbox_refuses_instead_of_growing() {
    let server = server();
    let config = ConnectionConfig { publish_bytes: 1 << 20, ..server.config() };
    let (io, _events) = Io::start(&config, "test", 1).unwrap();
    server.pause().unwrap();
    let payload = bytes::Bytes::from(vec![0; 64 * 1024]);
    let mut accepted = 0;
    let error = loop {
        match io.publish(LANE, Outgoing::new("somewhere", payload.clone())) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 10_000, "the socket's buffers end somewhere");
    };
    assert!(matches!(error, PublishError::Full { .. }), "{error:?}");
    assert!(io.backlog(LANE).1 <= 1 << 20);
    server.resume().unwrap();
    let deadline = Instant::now() + SOON;
    while io.backlog(LANE).1 > 0 {
        assert!(Instant::now() < deadline, "what waited is sent when the server goes on");
        std::thread::yield_now();
    }
    io.close(SOON).unwrap();
}

#[test]
fn a_program_that_does_not_take_its_messages_is_told_that_some_were_dropped() {
    let server = server();
    let bounds = ConnectionConfig { event_bytes: 64 * 1024, subscription_capacity: 16, ..server.config() };
    let (slow, slow_events) = Io::start(&bounds, "slow", 1).unwrap();
    slow.subscribe_blocking(LANE, "flood", None, SOON).unwrap();
    let (fast, _events) = io(&server);
    for _ in 0..1000 {
        fast.publish(LANE, Outgoing::new("flood", vec![0; 4096])).unwrap();
    }
    fast.fence_blocking(LANE, SOON).unwrap();
    // The answer to a fence passes what is not taken.
    slow.fence_blocking(LANE, SOON).unwrap();
    let mut held = Vec::new();
    let lane = until(&slow_events, |event| match event {
        IoEvent::SlowConsumer { lane } => Some(lane),
        other => {
            held.push(other);
            None
        }
    });
    assert_eq!(lane, LANE);
    assert!(slow.held_bytes() < 64 * 1024 + 3 * 4096, "{}", slow.held_bytes());
}

#[test]
fn closing_leaves_nothing_behind() {
    let server = server();
    let (reader, events) = io(&server);
    reader.subscribe_blocking(LANE, "last.words", None, SOON).unwrap();
    for round in 0..5 {
        let (writer, writer_events) = io(&server);
        for _ in 0..2000 {
            writer.publish(OUT, Outgoing::new("last.words", vec![round; 1024])).unwrap();
        }
        let handle = writer.handle();
        writer.close(SOON).unwrap();
        assert_eq!(handle.publish(OUT, Outgoing::new("x", "")), Err(PublishError::Closed { lane: OUT }));
        until(&writer_events, |event| matches!(event, IoEvent::Closed).then_some(()));
        for _ in 0..2000 {
            assert_eq!(until(&events, message).payload[0], round);
        }
    }
}

#[test]
fn a_forbidden_subscription_is_refused() {
    let permissions = "authorization { users: [ { user: u, password: p, permissions: { subscribe: [\"_INBOX.>\"], publish: \">\" } } ] }";
    let options =
        ServerOptions { credentials: PrivateCredentials::Open, extra: permissions.into(), ..ServerOptions::default() };
    let server = PrivateServer::start(&options).unwrap();
    let credentials = Credentials::UserPassword { user: "u".into(), password: Secret::new("p") };
    let (io, _events) = Io::start(&ConnectionConfig { credentials, ..server.config() }, "test", 1).unwrap();
    let error = io.subscribe_blocking(LANE, "secret.>", None, SOON).unwrap_err();
    assert!(matches!(&error, RequestError::Refused(text) if text.contains("secret.>")), "{error:?}");
}

#[test]
fn two_servers_side_by_side_do_not_meet() {
    let (one, two) = (server(), server());
    assert_ne!(one.port(), two.port());
    let (io_one, events_one) = io(&one);
    let (io_two, _events_two) = io(&two);
    io_one.subscribe_blocking(LANE, "hello", None, SOON).unwrap();
    let error = io_two.request_blocking(LANE, Outgoing::new("hello", ""), SOON).unwrap_err();
    assert_eq!(error, RequestError::NoResponders);
    let foreign = ConnectionConfig { credentials: two.config().credentials, ..one.config() };
    assert!(matches!(block_on(connect(&foreign, "test")), Err(ConnectError::Refused { .. })));
    assert!(events_one.try_iter().next().is_none());
}

#[test]
fn tokens_and_open_servers_work_too() {
    for credentials in [PrivateCredentials::Token(Secret::new("t\"o\\k")), PrivateCredentials::Open] {
        let options = ServerOptions { credentials, ..ServerOptions::default() };
        let server = PrivateServer::start(&options).unwrap();
        block_on(connect(&server.config(), "test")).unwrap();
    }
}

#[test]
fn a_server_that_can_not_start_shows_its_log() {
    let options = ServerOptions { extra: "no_such_setting: 1".into(), ..ServerOptions::default() };
    let error = PrivateServer::start(&options).unwrap_err();
    assert!(matches!(error, ServerError::NotReady { .. }), "{error:?}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[test]
fn dropping_a_server_ends_it_and_removes_its_directory() {
    let server = server();
    let (pid, directory) = (server.pid().unwrap(), server.directory().to_owned());
    assert!(directory.join("nats.conf").is_file());
    drop(server);
    assert!(!directory.exists());
    assert!(!alive(pid));
}

#[test]
fn a_restart_keeps_port_password_and_streams() {
    let mut server = PrivateServer::start(&ServerOptions { jetstream: true, ..ServerOptions::default() }).unwrap();
    let config = server.config();
    let request = |subject: &'static str, body: &'static str| {
        let (io, _events) = Io::start(&config, "test", 1).unwrap();
        let answer = io.request_blocking(LANE, Outgoing::new(subject, body), SOON).unwrap();
        String::from_utf8(answer.payload.to_vec()).unwrap()
    };
    request("$JS.API.STREAM.CREATE.LOG", r#"{"name":"LOG","subjects":["log"],"num_replicas":1}"#);
    request("log", "one");
    server.restart().unwrap();
    assert_eq!(server.config(), config);
    request("log", "two");
    server.stop().unwrap();
    assert!(server.pid().is_none() && server.log().contains("Server Exiting"), "{}", server.log());
    server.restart().unwrap();
    let info = request("$JS.API.STREAM.INFO.LOG", "");
    assert!(info.contains(r#""messages":2"#), "{info}");
}

/// A server is started by a thread that ends, and by a process that is killed.
#[cfg(target_os = "linux")]
#[test]
fn a_server_ends_with_its_process_but_not_with_its_thread() {
    const CHILD: &str = "ENGINE_TEST_SERVER_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let server = server();
        println!("pid={}", server.pid().unwrap());
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let server = std::thread::spawn(server).join().unwrap();
    block_on(connect(&server.config(), "test")).unwrap();

    use std::io::{BufRead, BufReader};
    let name = "a_server_ends_with_its_process_but_not_with_its_thread";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains("pid=")).unwrap();
    let pid: u32 = line.split("pid=").nth(1).unwrap().trim().parse().unwrap();
    assert!(alive(pid));
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + SOON;
    while alive(pid) {
        assert!(Instant::now() < deadline, "the server outlived its process");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs; a zombie, whose new parent hasn't waited for it, doesn't.
fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with(['Z', 'X'])))
}
