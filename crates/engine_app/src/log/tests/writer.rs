//! One writer and its stream: what is sent, how much, and what is durable.

use bytes::Bytes;

use super::super::chain::Position;
use super::super::virtual_stream::VirtualStream;
use super::super::writer::{AppendError, Limits, Output, Refusal, State, Subject, Writer};
use super::desk::Desk;
use super::{begin, limits};

#[test]
fn a_reign_begins_with_its_epoch_record_and_takes_nothing_before() {
    let mut desk = Desk::new();
    let publish = desk.publishes().remove(0);
    assert_eq!((publish.subject, publish.expected_last_seq, publish.guard_seq), (Subject::Epoch, 0, 0));
    assert_eq!(publish.msg_id, "1-00000000000000000000000000000001");
    assert_eq!((desk.writer.epoch(), desk.writer.can_append()), (1, false));
    assert_eq!(desk.writer.append(0, Bytes::new(), 0), Err(AppendError::NotBegun));
    desk.answer(&publish);
    assert!(desk.writer.can_append());
    desk.append(0);
    let publish = desk.publishes().remove(0);
    assert_eq!((publish.subject, publish.expected_last_seq, publish.guard_seq), (Subject::Tick, 1, 1));
}

#[test]
fn appends_are_sent_ahead_up_to_a_bound_and_are_durable_in_order() {
    let mut desk = Desk::begun();
    (1..=6).for_each(|tick| desk.append(tick));
    let sent = desk.publishes();
    let places: Vec<u64> = sent.iter().map(|publish| publish.expected_last_seq).collect();
    assert_eq!(places, [1, 2, 3, 4]);
    let seqs: Vec<u64> = sent.iter().map(|publish| desk.stream.publish(publish).unwrap()).collect();
    desk.writer.acked(sent[1].token, seqs[1], 0);
    assert_eq!((desk.writer.durable(), desk.writer.pending()), ((1, 0), 6), "the first one is not acknowledged");
    desk.writer.acked(sent[0].token, seqs[0], 0);
    assert_eq!((desk.writer.durable(), desk.writer.pending()), ((3, 2), 4));
    assert_eq!(desk.publishes().len(), 2);
    assert_eq!(desk.writer.position().seq, 3);
}

#[test]
fn what_is_queued_is_bounded() {
    let mut desk = Desk::begun();
    (1..=16).for_each(|tick| desk.append(tick));
    assert!(!desk.writer.can_append());
    let error = desk.writer.append(17, Bytes::new(), 0).unwrap_err();
    assert!(matches!(error, AppendError::Queued { records: 16, .. }), "{error}");
    desk.run();
    assert_eq!((desk.writer.durable(), desk.writer.can_append()), ((17, 16), true));
    desk.writer.append(17, vec![0; 70_000].into(), 0).unwrap();
    assert!(!desk.writer.can_append(), "by bytes");
    desk.run();
    assert_eq!(desk.writer.durable(), (18, 17));
    assert_eq!(desk.writer.append(19, Bytes::new(), 0), Err(AppendError::Tick { last: 17, tick: 19 }));
}

#[test]
fn bytes_in_flight_are_bounded_but_one_message_goes() {
    let few = Limits { in_flight_bytes: 100, ..limits() };
    let mut desk = Desk::with(VirtualStream::default(), begin(Position::GENESIS, 0, 1), few);
    desk.run();
    desk.append(1);
    desk.append(2);
    assert_eq!(desk.publishes().len(), 1);
}

#[test]
fn a_large_record_is_durable_when_its_last_message_is() {
    let mut desk = Desk::begun();
    let promised = desk.writer.append(1, vec![3; 1000].into(), 0).unwrap();
    let sent = desk.publishes();
    let subjects: Vec<Subject> = sent.iter().map(|publish| publish.subject).collect();
    assert_eq!(subjects, [Subject::Part, Subject::Part, Subject::Tick]);
    assert_eq!(sent[1].msg_id, "2-00000000000000000000000000000001.1");
    desk.answer(&sent[0]);
    desk.answer(&sent[1]);
    assert_eq!(desk.writer.durable(), (1, 0));
    desk.answer(&sent[2]);
    assert_eq!((desk.writer.durable(), desk.writer.position()), ((2, 1), promised));
    // The next reign begins after parts that have no end.
    desk.writer.append(2, vec![3; 1000].into(), 0).unwrap();
    let sent = desk.publishes();
    desk.answer(&sent[0]);
    let rival = desk.rival(2);
    assert_eq!((rival.began(), rival.epoch(), rival.durable()), (true, 2, (3, 1)));
}

#[test]
fn answers_to_another_writer_mean_nothing() {
    let mut desk = Desk::new();
    let mut other = Writer::begin(begin(Position::GENESIS, 0, 2), limits(), 0).unwrap();
    let Some(Output::Publish(publish)) = other.output() else { panic!("no epoch record") };
    desk.writer.acked(publish.token, 1, 0);
    desk.writer.refused(publish.token, Refusal::GuardFailed, 0);
    desk.writer.lost(publish.token, 0);
    assert_eq!((desk.writer.durable(), desk.writer.state()), ((0, 0), State::Writing));
}

#[test]
fn stepping_down_is_silent() {
    let mut desk = Desk::begun();
    desk.append(1);
    desk.writer.step_down();
    assert_eq!((desk.writer.output(), desk.writer.state()), (None, State::Deposed { by: None }));
}
