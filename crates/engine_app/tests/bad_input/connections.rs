//! Servers that are not there, not ours, small, or gone for a while.

use engine_app::Stop;
use engine_app::driver::{self, RunError};
use engine_net::client::ConnectError;
use engine_net::config::{ConnectionConfig, Credentials, Secret};
use engine_net::io::{Io, Lane, Outgoing, PublishError};
use engine_net::messages::query::{QueryReply, QueryRequest};
use engine_net::messages::{Message, Reply};
use engine_net::server::{PrivateServer, ServerOptions};
use engine_net::strict;

use crate::world::{Gate, World, app, settings};

fn run(config: &ConnectionConfig) -> RunError {
    let (mut coordinator, _) =
        app(Gate::default()).into_coordinator(settings(), &Default::default(), |_| false, 7).unwrap();
    driver::run(&mut coordinator, Some(config), true, &Stop::default(), |_, _| {}).unwrap_err()
}

#[test]
fn a_coordinator_says_why_it_has_no_server() {
    let mut server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let credentials = Credentials::UserPassword { user: "engine".into(), password: Secret::new("wrong") };
    let error = run(&ConnectionConfig { credentials, ..server.config() });
    assert!(matches!(error, RunError::Connect(ConnectError::Refused { .. })), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("refused") && text.contains("NATS_PASSWORD") && !text.contains("wrong"), "{text}");
    server.stop().unwrap();
    let error = run(&server.config());
    assert!(matches!(error, RunError::Connect(ConnectError::NoServer { .. })), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("no NATS server at nats://127.0.0.1:") && text.contains("NATS_URL"), "{text}");
}

/// Nothing here needs it; whoever wants a durable world is told when it is missing.
#[test]
fn a_server_without_jetstream_is_enough() {
    let mut world = World::start_with(&ServerOptions { jetstream: false, ..ServerOptions::default() }, settings());
    let info = world.client.server_info();
    assert!(!info.jetstream, "{info:?}");
    world.step();
}

#[test]
fn a_server_with_a_low_limit() {
    let options = ServerOptions { max_payload: Some(24 << 10), ..ServerOptions::default() };
    let mut world = World::start_with(&options, settings());
    world.step();
    // Ours is refused before it is sent, with the reason, and the connection lives.
    let (io, _events) = Io::start(&world.server.config(), "mallory", 1).unwrap();
    let subject = world.subjects.status();
    let error = io.publish(Lane::CONTROL, Outgoing::new(subject, vec![0; 25 << 10])).unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { limit: 24_576, .. }), "{error:?}");
    assert!(error.to_string().contains("above the server's limit of 24576"), "{error}");
    assert!(io.is_connected(Lane::CONTROL));
    // Whoever breaks the rule is cut off, and nobody else.
    break_the_limit(&world);
    world.step();
    // Answers keep to it, however much is asked for.
    let query = QueryRequest { with: vec!["bad.Position".into()], page_rows: 4096, ..QueryRequest::default() };
    let (mut rows, mut cursor) = (0, None);
    loop {
        let query = QueryRequest { cursor: cursor.take(), ..query.clone() };
        let answer = world.request(&world.subjects.query(), strict::encode(&query));
        assert!(answer.len() < 24 << 10);
        let Ok(Reply::Ok(page)) = strict::decode::<QueryReply>(&answer, QueryReply::LIMIT) else {
            panic!("{answer:?}")
        };
        rows += page.rows.len();
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(rows, 256);
    world.step();
}

/// Speaks the protocol by hand, since no client would send this.
fn break_the_limit(world: &World) {
    use std::io::{BufRead, BufReader, Write};
    let config = world.server.config();
    let Credentials::UserPassword { user, password } = &config.credentials else { panic!("it has a password") };
    let address = config.urls[0].strip_prefix("nats://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let connect = format!("CONNECT {{\"user\":\"{user}\",\"pass\":\"{}\",\"verbose\":false}}\r\n", password.expose());
    stream.write_all(connect.as_bytes()).unwrap();
    let subject = world.subjects.status();
    stream.write_all(format!("PUB {subject} {}\r\n", 30 << 10).as_bytes()).unwrap();
    // The server may close before it has read all of it.
    let _ = stream.write_all(&vec![b'x'; 30 << 10]);
    let said: Vec<String> = BufReader::new(stream).lines().map_while(Result::ok).collect();
    assert!(said.iter().any(|line| line.contains("Maximum Payload Violation")), "{said:?}");
}

#[test]
fn a_server_that_goes_away_and_comes_back() {
    let mut world = World::start();
    for round in 0..3 {
        // Once between two ticks, once in the middle of one.
        if round == 1 {
            world.gate.set_closed(true);
            let commit = world.begin();
            world.next_job();
            world.server.restart().unwrap();
            world.until_back();
            world.gate.set_closed(false);
            world.finish(commit);
        } else {
            world.server.restart().unwrap();
            world.until_back();
        }
        world.step();
    }
    assert_eq!(world.counter("quarantined"), 0);
}
