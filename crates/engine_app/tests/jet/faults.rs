//! What breaks: the server, the disk, permissions, and neighbours with bad intentions.

use std::collections::BTreeMap;
use std::time::Instant;

use engine_app::log::jet::{JetError, JetEvent, JetSettings, Kind, Mode, Refusal, Streams};
use engine_net::{
    client,
    config::{ConnectionConfig, Credentials, Secret},
    server::{PrivateCredentials, PrivateServer, ServerOptions},
};
use futures_util::StreamExt as _;

use crate::place::{SOON, append, append_now, fill, log_user, open, open_with, payload, server, small, until};

fn up(streams: &Streams) {
    until(streams, |event| matches!(event, JetEvent::Up { .. }).then_some(()));
}

#[test]
fn a_killed_server_loses_nothing_that_was_acknowledged() {
    let mut server = server();
    let streams = open(&server);
    let epoch = append_now(&streams, append(Kind::Epoch, "epoch", 0, None));
    let mut end = epoch;
    let mut lost_in_all = 0;
    for round in 0..5_u64 {
        // Many are under way when it dies, after some of them were acknowledged.
        let mut open = BTreeMap::new();
        let mut acked = BTreeMap::new();
        for n in 0..200 {
            let bytes = payload(round << 32 | n, 2000);
            let token = streams.publish(append(Kind::Tick, bytes.clone(), end + n, Some(epoch))).unwrap();
            open.insert(token, (end + n + 1, bytes));
        }
        let mut killed = false;
        let mut lost = Vec::new();
        while !open.is_empty() {
            match streams.events().recv_timeout(SOON).unwrap() {
                JetEvent::Acked { token, sequence, .. } => {
                    let (place, bytes) = open.remove(&token).unwrap();
                    assert_eq!(sequence, place);
                    acked.insert(place, bytes);
                }
                JetEvent::Lost { token, .. } => lost.push(open.remove(&token).unwrap()),
                // Behind one that was not stored nothing else is.
                JetEvent::Refused { token, .. } => drop(open.remove(&token).unwrap()),
                _ => {}
            }
            if !killed && acked.len() as u64 > 10 + 30 * round {
                server.kill();
                killed = true;
            }
        }
        if killed {
            server.restart().unwrap();
            up(&streams);
        }
        lost_in_all += lost.len();
        // What is ambiguous is read: it is there as it was sent, or the place is empty.
        for (place, bytes) in lost {
            let mine = streams.read(place).unwrap();
            let record = until(&streams, |event| match event {
                JetEvent::Read { token, record } if token == mine => Some(record.unwrap()),
                _ => None,
            });
            if let Some(record) = record {
                assert_eq!(record.payload, bytes);
                acked.insert(place, bytes);
            }
        }
        end += acked.len() as u64;
        assert_eq!(streams.tail().unwrap().last, end);
        let first = *acked.keys().next().unwrap();
        let records = streams.read_range(first, end, 2).map(|record| record.unwrap());
        assert!(records.map(|record| (record.sequence, record.payload.to_vec())).eq(acked), "round {round}");
    }
    println!("{lost_in_all} answers were lost");
}

#[test]
fn what_is_appended_while_the_server_is_away_is_never_stored() {
    let mut server = server();
    let streams = open(&server);
    append_now(&streams, append(Kind::Epoch, "epoch", 0, None));
    server.kill();
    until(&streams, |event| matches!(event, JetEvent::Down { .. }).then_some(()));
    let mine = streams.publish(append(Kind::Tick, "never", 1, Some(1))).unwrap();
    until(&streams, |event| match event {
        JetEvent::Refused { token, reason } if token == mine => {
            assert_eq!(reason, Refusal::NotConnected);
            Some(())
        }
        _ => None,
    });
    let question = streams.read(1).unwrap();
    until(&streams, |event| match event {
        JetEvent::Read { token, record } if token == question => {
            assert!(matches!(record, Err(JetError::Disconnected { .. })), "{record:?}");
            Some(())
        }
        _ => None,
    });
    server.restart().unwrap();
    up(&streams);
    assert_eq!(append_now(&streams, append(Kind::Tick, "first", 1, Some(1))), 2);
}

#[test]
fn a_frozen_server_is_noticed_and_what_it_held_is_ambiguous() {
    let server = server();
    let streams = open(&server);
    let mut end = append_now(&streams, append(Kind::Epoch, "epoch", 0, None));
    server.pause().unwrap();
    // It stops a little after it was told to.
    loop {
        let mine = streams.publish(append(Kind::Tick, "held", end, Some(1))).unwrap();
        let stored = until(&streams, |event| match event {
            JetEvent::Lost { token, .. } if token == mine => Some(None),
            JetEvent::Acked { token, sequence, .. } if token == mine => Some(Some(sequence)),
            _ => None,
        });
        let Some(sequence) = stored else { break };
        end = sequence;
    }
    until(&streams, |event| matches!(event, JetEvent::Down { .. }).then_some(()));
    server.resume().unwrap();
    up(&streams);
    // The bytes were in its socket: it may store them now. Sending the same again ends in one record either way.
    let again = streams.publish(append(Kind::Tick, "held", end, Some(1))).unwrap();
    until(&streams, |event| match event {
        JetEvent::Acked { token, .. } if token == again => Some(()),
        JetEvent::Refused { token, reason } if token == again => {
            assert!(matches!(reason, Refusal::WrongLast { .. }), "{reason:?}");
            Some(())
        }
        _ => None,
    });
    assert_eq!(streams.tail().unwrap().last, end + 1);
    assert!(streams.read_range(2, end + 1, 1).all(|record| record.unwrap().payload == "held"));
}

#[test]
fn a_full_log_refuses_and_keeps_what_it_has() {
    let server = server();
    let settings = JetSettings { log_bytes: 1 << 20, ..small() };
    let streams = open_with(&server, settings);
    let last = fill(&streams, 9, 100_000);
    let mut end = last;
    let description = loop {
        let mine = streams.publish(append(Kind::Tick, vec![1; 100_000], end, Some(1))).unwrap();
        let answer = until(&streams, |event| match event {
            JetEvent::Acked { token, sequence, .. } if token == mine => Some(Ok(sequence)),
            JetEvent::Refused { token, reason } if token == mine => Some(Err(reason)),
            _ => None,
        });
        match answer {
            Ok(sequence) => end = sequence,
            Err(Refusal::Full { description }) => break description,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert!(description.contains("maximum bytes"), "{description}");
    assert_eq!(streams.tail().unwrap().first, 1, "nothing was dropped");
    let _ = streams.truncate_log(end - 1);
    until(&streams, |event| matches!(event, JetEvent::Removed { .. }).then_some(()));
    append_now(&streams, append(Kind::Tick, vec![1; 100_000], end, Some(1)));
}

fn with_users(log: &str) -> PrivateServer {
    PrivateServer::start(&options_with(log)).unwrap()
}

/// A log account with more to say; its user is `l`.
fn options_with(log: &str) -> ServerOptions {
    ServerOptions {
        jetstream: true,
        credentials: PrivateCredentials::Open,
        extra: format!("accounts {{ LOG {{ {log} }}, SYS {{ users: [] }} }}\nsystem_account: SYS\n"),
        ..ServerOptions::default()
    }
}

fn user_l(server: &PrivateServer) -> ConnectionConfig {
    let credentials = Credentials::UserPassword { user: "l".into(), password: Secret::new("l") };
    ConnectionConfig { credentials, ..log_user(server) }
}

#[test]
fn an_account_that_is_too_small_is_named() {
    let server = with_users("jetstream: { max_store: 10MB }, users: [{ user: l, password: l }]");
    let error = Streams::open(&user_l(&server), "w", Mode::Server, small()).unwrap_err().to_string();
    assert!(error.contains("raise") && error.contains("create the stream ENGINE_"), "{error}");
}

fn denying(subjects: &str) -> String {
    format!(
        "jetstream: enabled, users: [{{ user: l, password: l, permissions: {{ publish: {{ deny: [{subjects}] }} }} }}]"
    )
}

#[test]
fn a_denied_subject_is_named_at_once() {
    for (denied, named) in [
        ("\"engine_log.w.part\"", "engine_log.w.part"),
        ("\"engine_key.>\"", "engine_key.w.0.0.0.probe"),
        ("\"engine_lease.>\"", "engine_lease.w"),
        ("\"$JS.API.STREAM.CREATE.>\"", "$JS.API.STREAM.CREATE.ENGINE_KEY_w"),
        ("\"$JS.API.>\"", "$JS.API.INFO"),
    ] {
        let server = with_users(&denying(denied));
        let started = Instant::now();
        let error = Streams::open(&user_l(&server), "w", Mode::Server, small()).unwrap_err();
        assert!(matches!(&error, JetError::Denied { subject, .. } if subject == named), "{denied}: {error}");
        assert!(started.elapsed() < small().answer_timeout, "{denied}: it was waited for");
    }
}

#[test]
fn a_permission_that_is_taken_away_is_named_at_once() {
    let mut server = with_users("jetstream: enabled, users: [{ user: l, password: l }]");
    let streams = Streams::open(&user_l(&server), "w", Mode::Server, small()).unwrap();
    append_now(&streams, append(Kind::Epoch, "epoch", 0, None));
    server.restart_with(|options| options.extra = options_with(&denying("\"engine_log.w.tick\"")).extra).unwrap();
    up(&streams);
    let started = Instant::now();
    let mine = streams.publish(append(Kind::Tick, "tick", 1, Some(1))).unwrap();
    until(&streams, |event| match event {
        JetEvent::Refused { token, reason } if token == mine => {
            assert_eq!(reason, Refusal::Denied { subject: "engine_log.w.tick".into() });
            Some(())
        }
        JetEvent::Lost { token, why } if token == mine => panic!("{why:?}"),
        _ => None,
    });
    assert!(started.elapsed() < small().answer_timeout);
}

#[test]
fn wrong_credentials_fail_at_once() {
    let server = server();
    let mut config = log_user(&server);
    config.credentials = Credentials::UserPassword { user: "log".into(), password: Secret::new("wrong") };
    let error = Streams::open(&config, "w", Mode::Server, small()).unwrap_err().to_string();
    assert!(error.contains("refused the connection as user `log`"), "{error}");
}

/// A neighbour asks a question whose answer would go to a subject of the log.
async fn attack(victim: &ConnectionConfig, attacker: &ConnectionConfig) {
    let victim = client::connect(victim, "victim").await.unwrap().client;
    let mut questions = victim.subscribe("engine.w.query.request").await.unwrap();
    victim.flush().await.unwrap();
    let attacker = client::connect(attacker, "attacker").await.unwrap().client;
    let goals = ["engine_log.w.tick", "$JS.API.STREAM.PURGE.ENGINE_LOG_w", "$JS.API.STREAM.DELETE.ENGINE_LOG_w"];
    for goal in goals {
        attacker.publish_with_reply("engine.w.query.request", goal, "".into()).await.unwrap();
        // And by itself.
        let _ = attacker.publish(goal, "".into()).await;
    }
    attacker.flush().await.unwrap();
    for _ in goals {
        let question = questions.next().await.unwrap();
        victim.publish(question.reply.unwrap(), "".into()).await.unwrap();
    }
    // What was sent before is done when something later is answered.
    let mut echo = victim.subscribe("engine.w.echo").await.unwrap();
    victim.publish("engine.w.echo", "".into()).await.unwrap();
    echo.next().await.unwrap();
}

#[test]
fn a_neighbour_in_another_account_reaches_nothing_of_the_log() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // In one account the answers do what the attacker wants: that is why the log has its own.
    let shared = PrivateServer::start(&ServerOptions { jetstream: true, ..ServerOptions::default() }).unwrap();
    let streams = open(&shared);
    fill(&streams, 5, 10);
    runtime.block_on(attack(&shared.config(), &shared.config()));
    let error = streams.tail().unwrap_err().to_string();
    assert!(error.contains("stream not found"), "{error}");

    let apart = server();
    let streams = open(&apart);
    let last = fill(&streams, 5, 10);
    runtime.block_on(attack(&apart.config(), &apart.config()));
    let tail = streams.tail().unwrap();
    assert_eq!((tail.first, tail.last), (1, last));
    assert_eq!(streams.read_range(1, last, 1).filter(Result::is_ok).count() as u64, last);
}
