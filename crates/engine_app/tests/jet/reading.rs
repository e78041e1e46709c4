//! Reading for recovery, and truncation.

use engine_app::log::jet::{JetError, JetEvent, Kind, Refusal};

use crate::place::{append, append_now, fill, open, payload, removed, server, until};

#[test]
fn a_range_comes_back_whole_and_in_order() {
    let server = server();
    let streams = open(&server);
    let last = fill(&streams, 1500, 200);
    for parallel in [1, 5] {
        let records: Vec<_> = streams.read_range(1, last, parallel).collect::<Result<_, _>>().unwrap();
        assert_eq!(records.len() as u64, last);
        assert_eq!((records[0].kind, &records[0].payload[..]), (Kind::Epoch, &b"epoch"[..]));
        for (record, tick) in records[1..].iter().zip(0..) {
            assert_eq!(
                (record.sequence, record.kind, &record.payload[..]),
                (tick + 2, Kind::Tick, &payload(tick, 200)[..])
            );
        }
    }
    let some: Vec<_> = streams.read_range(700, 703, 4).map(|record| record.unwrap().sequence).collect();
    assert_eq!(some, [700, 701, 702, 703]);
    assert_eq!(streams.read_range(5, 4, 2).count(), 0);
    // Who has read enough stops.
    assert_eq!(streams.read_range(1, last, 4).take(3).count(), 3);
}

#[test]
fn records_that_fill_more_than_an_answer_come_back_whole() {
    let server = server();
    let streams = open(&server);
    let last = fill(&streams, 40, 400 << 10);
    let bytes: usize = streams.read_range(2, last, 3).map(|record| record.unwrap().payload.len()).sum();
    assert_eq!(bytes, 40 * (400 << 10));
}

#[test]
fn a_gap_is_named() {
    let server = server();
    let streams = open(&server);
    let last = fill(&streams, 600, 50);
    removed(&streams, streams.truncate_log(300));
    let gap = |from, to| match streams.read_range(from, to, 2).find_map(Result::err) {
        Some(JetError::Gap { sequence, .. }) => sequence,
        other => panic!("{other:?}"),
    };
    assert_eq!(gap(1, last), 2);
    assert_eq!(gap(299, last), 299);
    assert_eq!(gap(301, last + 5), last + 1);
    assert!(streams.read_range(301, last, 2).all(|record| record.is_ok()));
}

#[test]
fn truncation_keeps_the_epoch_record_and_its_guard() {
    let mut server = server();
    let streams = open(&server);
    let last = fill(&streams, 50, 100);
    assert_eq!(removed(&streams, streams.truncate_log(30)), 29);
    let tail = streams.tail().unwrap();
    assert_eq!((tail.first, tail.last, tail.epoch.unwrap().sequence), (1, last, 1));
    let next = append_now(&streams, append(Kind::Tick, "guarded", last, Some(1)));
    let mine = streams.publish(append(Kind::Tick, "foreign", next, Some(2))).unwrap();
    until(&streams, |event| match event {
        JetEvent::Refused { token, reason: Refusal::WrongLast { .. } } if token == mine => Some(()),
        JetEvent::Acked { token, .. } if token == mine => panic!("the guard is gone"),
        _ => None,
    });
    // Even all of it, and beyond.
    removed(&streams, streams.truncate_log(u64::MAX - 1));
    server.restart().unwrap();
    until(&streams, |event| matches!(event, JetEvent::Up { .. }).then_some(()));
    let tail = streams.tail().unwrap();
    assert_eq!((tail.first, tail.last, tail.epoch.unwrap().sequence), (1, next, 1));
    // An epoch that is over goes with the rest.
    let second = append_now(&streams, append(Kind::Epoch, "second", next, Some(1)));
    append_now(&streams, append(Kind::Tick, "tick", second, Some(second)));
    assert_eq!(removed(&streams, streams.truncate_log(second)), 1);
    let tail = streams.tail().unwrap();
    assert_eq!((tail.first, tail.last), (second, second + 1));
    assert_eq!(&tail.epoch.unwrap().payload[..], b"second");
}
