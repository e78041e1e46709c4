//! A thread that moves bytes itself while it waits: nothing is lost or late whoever's turn it is.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::time::Duration;

use engine_net::config::ConnectionConfig;
use engine_net::io::{Helper, Io, IoEvent, IoMessage, Lane, Outgoing};
use engine_net::server::{PrivateServer, ServerOptions};

const SOON: Duration = Duration::from_secs(10);
const LANE: Lane = Lane::CONTROL;
/// More waits than it takes to find out that little moves.
const MANY: u32 = 100;

fn server() -> PrivateServer {
    PrivateServer::start(&ServerOptions::default()).expect("these tests need nats-server")
}

fn connect(server: &PrivateServer, subject: &str) -> (Io, Helper) {
    let config = ConnectionConfig { ping_interval: Duration::from_millis(50), ..server.config() };
    let (io, events) = Io::start(&config, "test", 1).expect("the server runs");
    io.subscribe_blocking(LANE, subject, None, SOON).unwrap();
    let helper = Helper::new(io.handle(), events);
    (io, helper)
}

fn next(helper: &mut Helper) -> IoMessage {
    loop {
        if let IoEvent::Message(message) = helper.wait(SOON).expect("it comes in time") {
            return message;
        }
    }
}

/// Sends to itself until it moves its bytes itself.
fn settle(io: &Io, helper: &mut Helper, subject: &str) {
    for round in 0..MANY {
        io.publish(LANE, Outgoing::new(subject, round.to_string())).unwrap();
        assert_eq!(next(helper).payload, round.to_string());
    }
}

#[test]
fn messages_go_to_and_fro_whoever_moves_them() {
    let server = server();
    let (here, mut mine) = connect(&server, "here");
    let (there, mut theirs) = connect(&server, "there");
    let echo = std::thread::spawn(move || {
        loop {
            let message = next(&mut theirs);
            if message.payload.is_empty() {
                return;
            }
            there.publish(LANE, Outgoing::new("here", message.payload.clone())).unwrap();
        }
    });
    // Few bytes, then so many that the I/O thread takes over, then few again.
    for size in [8, 100_000, 8] {
        for round in 0..MANY {
            let mut payload = vec![7; size];
            payload[..4].copy_from_slice(&round.to_le_bytes());
            here.publish(LANE, Outgoing::new("there", payload.clone())).unwrap();
            assert_eq!(next(&mut mine).payload, payload, "round {round} of {size} bytes");
        }
    }
    here.publish(LANE, Outgoing::new("there", "")).unwrap();
    // Nobody waits here any more.
    mine.release();
    echo.join().unwrap();
}

#[test]
fn who_has_something_else_to_do_lets_the_thread_move() {
    let server = server();
    let (here, mut mine) = connect(&server, "here");
    let (_there, mut theirs) = connect(&server, "there");
    settle(&here, &mut mine, "here");
    here.publish(LANE, Outgoing::new("there", "released")).unwrap();
    mine.release();
    assert_eq!(next(&mut theirs).payload, "released");
    // Whatever blocks does it by itself.
    settle(&here, &mut mine, "here");
    here.publish(LANE, Outgoing::new("there", "fenced")).unwrap();
    here.handle().fence_blocking(LANE, SOON).unwrap();
    assert_eq!(next(&mut theirs).payload, "fenced");
    settle(&here, &mut mine, "here");
    here.subscribe_blocking(LANE, "another", None, SOON).unwrap();
    here.publish(LANE, Outgoing::new("another", "subscribed")).unwrap();
    assert_eq!(next(&mut mine).payload, "subscribed");
}

#[test]
fn what_other_threads_send_is_moved_meanwhile() {
    let server = server();
    let (here, mut mine) = connect(&server, "here");
    settle(&here, &mut mine, "here");
    let handle = here.handle();
    for round in 0..MANY {
        let handle = handle.clone();
        let other = std::thread::spawn(move || handle.publish(LANE, Outgoing::new("here", round.to_string())));
        assert_eq!(next(&mut mine).payload, round.to_string());
        other.join().unwrap().unwrap();
    }
}

#[test]
fn short_waits_end_and_lose_nothing() {
    let server = server();
    let (here, mut mine) = connect(&server, "here");
    settle(&here, &mut mine, "here");
    for limit in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(3)] {
        for round in 0..20 {
            here.publish(LANE, Outgoing::new("here", round.to_string())).unwrap();
            let message = loop {
                if let Ok(IoEvent::Message(message)) = mine.wait(limit) {
                    break message;
                }
            };
            assert_eq!(message.payload, round.to_string());
        }
    }
}

#[test]
fn a_server_that_restarts_is_found_again() {
    let mut server = server();
    let (here, mut mine) = connect(&server, "here");
    settle(&here, &mut mine, "here");
    server.restart().unwrap();
    let (mut lost, mut back) = (false, false);
    while !back {
        match mine.wait(SOON).expect("it is told in time") {
            IoEvent::Disconnected { .. } => lost = true,
            IoEvent::Reconnected { .. } => back = true,
            _ => {}
        }
    }
    assert!(lost);
    settle(&here, &mut mine, "here");
}

#[test]
fn it_ends_while_somebody_helps() {
    let server = server();
    let (here, mut mine) = connect(&server, "here");
    settle(&here, &mut mine, "here");
    here.publish(LANE, Outgoing::new("here", "the last one")).unwrap();
    let helping = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while let Ok(event) = mine.wait(SOON) {
            match event {
                IoEvent::Message(message) => seen.push(message.payload.clone()),
                IoEvent::Closed => return seen,
                _ => {}
            }
        }
        panic!("it does not say that it ended");
    });
    here.close(SOON).unwrap();
    assert_eq!(helping.join().unwrap(), ["the last one"]);
}
