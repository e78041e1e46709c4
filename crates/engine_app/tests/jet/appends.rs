//! Appends: the guard, and what an answer means.

use std::time::Duration;

use engine_app::log::jet::{JetEvent, Kind, Mode, Refusal, Streams, Token};
use engine_net::config::ConnectionConfig;

use crate::place::{SOON, append, append_now, log_user, next, open, server, small, until};

fn refused(streams: &Streams, mine: Token) -> Refusal {
    until(streams, |event| match event {
        JetEvent::Refused { token, reason } if token == mine => Some(reason),
        JetEvent::Acked { token, sequence, .. } if token == mine => panic!("stored at {sequence}"),
        JetEvent::Lost { token, why } if token == mine => panic!("{why:?}"),
        _ => None,
    })
}

fn wrong_last(streams: &Streams, mine: Token) -> bool {
    matches!(refused(streams, mine), Refusal::WrongLast { .. })
}

#[test]
fn without_the_guard_the_second_append_of_a_deposed_writer_is_stored() {
    let server = server();
    let (old, new) = (open(&server), open(&server));
    let first = append_now(&old, append(Kind::Epoch, "old", 0, None));
    append_now(&new, append(Kind::Epoch, "new", first, Some(first)));
    // Both were sent before the old one knew of the new one.
    let one = old.publish(append(Kind::Tick, "one", first, None)).unwrap();
    let two = old.publish(append(Kind::Tick, "two", first + 1, None)).unwrap();
    assert!(wrong_last(&old, one));
    let sequence = until(&old, |event| match event {
        JetEvent::Acked { token, sequence, .. } if token == two => Some(sequence),
        _ => None,
    });
    assert_eq!(sequence, first + 2, "the hole that the guard closes");
}

#[test]
fn with_the_guard_a_deposed_writer_stores_nothing() {
    let server = server();
    let (old, new) = (open(&server), open(&server));
    let first = append_now(&old, append(Kind::Epoch, "old", 0, None));
    let second = append_now(&new, append(Kind::Epoch, "new", first, Some(first)));
    let one = old.publish(append(Kind::Tick, "one", first, Some(first))).unwrap();
    let two = old.publish(append(Kind::Tick, "two", first + 1, Some(first))).unwrap();
    assert!(wrong_last(&old, one) && wrong_last(&old, two));
    // The rightful one isn't hindered by it.
    let tick = append_now(&new, append(Kind::Tick, "tick", second, Some(second)));
    append_now(&new, append(Kind::Part, "part", tick, Some(second)));
    // A third one can't begin an epoch on what it has not seen.
    let late = old.publish(append(Kind::Epoch, "late", tick + 1, Some(first))).unwrap();
    assert!(wrong_last(&old, late));
    assert_eq!(new.tail().unwrap().last, tick + 1);
}

#[test]
fn appends_are_stored_in_their_order_while_many_are_under_way() {
    let server = server();
    let streams = open(&server);
    let epoch = append_now(&streams, append(Kind::Epoch, "epoch", 0, None));
    let tokens: Vec<_> = (0..100)
        .map(|n| streams.publish(append(Kind::Tick, format!("{n}"), epoch + n, Some(epoch))).unwrap())
        .collect();
    for (n, mine) in tokens.into_iter().enumerate() {
        match next(&streams) {
            JetEvent::Acked { token, sequence, duplicate } => {
                assert_eq!((token, sequence, duplicate), (mine, epoch + 1 + n as u64, false));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_under_way_is_bounded() {
    let server = server();
    let mut settings = small();
    (settings.appends_in_flight, settings.append_bytes_in_flight) = (4, 1000);
    // A server that stands still must not be taken for a dead one here.
    let config = ConnectionConfig { ping_interval: SOON, ..log_user(&server) };
    settings.answer_timeout = SOON;
    let streams = Streams::open(&config, "w", Mode::Server, settings).unwrap();
    server.pause().unwrap();
    // It stops a little after it was told to: then one isn't answered at once.
    let frozen = || {
        let mine = streams.publish(append(Kind::Tick, "", u64::MAX >> 2, None)).unwrap();
        let answered = streams.events().recv_timeout(Duration::from_millis(200));
        assert!(answered.is_err() || matches!(answered, Ok(JetEvent::Refused { token, .. }) if token == mine));
        answered.is_err()
    };
    while !frozen() {}
    for n in 0..2 {
        streams.publish(append(Kind::Tick, vec![0; 450], n, None)).unwrap();
    }
    let error = streams.publish(append(Kind::Tick, vec![0; 300], 3, None)).unwrap_err();
    assert!(error.to_string().contains("3 appends of 900 bytes are under way"), "{error}");
    streams.publish(append(Kind::Tick, "", 3, None)).unwrap();
    streams.publish(append(Kind::Tick, "", 4, None)).unwrap_err();
    server.resume().unwrap();
    let limit = streams.record_limit();
    let error = streams.publish(append(Kind::Tick, vec![0; limit + 1], 0, None)).unwrap_err();
    assert!(error.to_string().contains("raise its max_payload"), "{error}");
}

#[test]
fn an_id_that_was_used_is_no_second_record() {
    let server = server();
    let streams = open(&server);
    let mut first = append(Kind::Epoch, "epoch", 0, None);
    first.message_id = Some("epoch-1".into());
    append_now(&streams, first.clone());
    // The same again, as after a lost answer: an error or the old sequence, by the server; never a second record.
    let mine = streams.publish(first).unwrap();
    until(&streams, |event| match event {
        JetEvent::Acked { token, sequence, duplicate } if token == mine => {
            assert_eq!((sequence, duplicate), (1, true));
            Some(())
        }
        JetEvent::Refused { token, reason } if token == mine => {
            assert!(matches!(reason, Refusal::WrongLast { .. }), "{reason:?}");
            Some(())
        }
        _ => None,
    });
    assert_eq!(streams.tail().unwrap().last, 1);
}

#[test]
fn a_record_is_read_from_its_place() {
    let server = server();
    let streams = open(&server);
    append_now(&streams, append(Kind::Epoch, "epoch", 0, None));
    append_now(&streams, append(Kind::Part, vec![0, 255, 13, 10], 1, Some(1)));
    let read = |sequence| {
        let mine = streams.read(sequence).unwrap();
        until(&streams, |event| match event {
            JetEvent::Read { token, record } if token == mine => Some(record.unwrap()),
            _ => None,
        })
    };
    let record = read(2).unwrap();
    assert_eq!((record.sequence, record.kind, &record.payload[..]), (2, Kind::Part, &[0, 255, 13, 10][..]));
    assert_eq!(read(3), None);
    assert_eq!(read(0), None);
}
