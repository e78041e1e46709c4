//! The stream in memory keeps the rules that it was made for.

use bytes::Bytes;

use super::super::virtual_stream::VirtualStream;
use super::super::writer::{Output, Publish, Refusal, Subject, Writer};
use super::{begin, limits};
use crate::log::chain::Position;

fn publish(subject: Subject, expected_last_seq: u64, guard_seq: u64, id: &str) -> Publish {
    let mut writer = Writer::begin(begin(Position::GENESIS, 0, 1), limits(), 0).unwrap();
    let Some(Output::Publish(publish)) = writer.output() else { panic!("no epoch record") };
    Publish { subject, expected_last_seq, guard_seq, msg_id: id.into(), bytes: Bytes::from(id.to_owned()), ..publish }
}

/// An epoch record at 1, ticks at 2 and 3.
fn stream() -> VirtualStream {
    let mut stream = VirtualStream::default();
    assert_eq!(stream.publish(&publish(Subject::Epoch, 0, 0, "a")), Ok(1));
    assert_eq!(stream.publish(&publish(Subject::Tick, 1, 1, "b")), Ok(2));
    assert_eq!(stream.publish(&publish(Subject::Tick, 2, 1, "c")), Ok(3));
    stream
}

#[test]
fn conditions_hold_or_nothing_is_stored() {
    let mut stream = stream();
    for (last, guard) in [(2, 1), (4, 1), (3, 0), (3, 2)] {
        let refused = stream.publish(&publish(Subject::Tick, last, guard, "d"));
        assert_eq!(refused, Err(Refusal::WrongLastSequence), "{last} {guard}");
    }
    stream.behaviour.names_guard = true;
    assert_eq!(stream.publish(&publish(Subject::Tick, 3, 0, "d")), Err(Refusal::GuardFailed));
    stream.behaviour.most = 3;
    assert_eq!(stream.publish(&publish(Subject::Tick, 3, 1, "d")), Err(Refusal::Full));
    assert_eq!((stream.len(), stream.last_seq(), stream.epoch_seq()), (3, 3, 1));
}

#[test]
fn an_id_that_is_remembered_is_not_stored_twice() {
    let mut stream = stream();
    assert_eq!(stream.publish(&publish(Subject::Tick, 1, 1, "b")), Ok(2));
    stream.behaviour.ids_first = false;
    assert_eq!(stream.publish(&publish(Subject::Tick, 1, 1, "b")), Err(Refusal::WrongLastSequence));
    assert_eq!(stream.publish(&publish(Subject::Tick, 3, 1, "b")), Ok(2));
    assert_eq!(stream.len(), 3);
    stream.behaviour.id_window = 1;
    assert_eq!(stream.publish(&publish(Subject::Tick, 3, 1, "d")), Ok(4));
    assert_eq!(stream.publish(&publish(Subject::Tick, 4, 1, "b")), Ok(5), "forgotten by now");
}

#[test]
fn purging_keeps_the_epoch_record_and_the_sequences() {
    let mut stream = stream();
    stream.purge_before(3);
    let left: Vec<u64> = stream.from(0).map(|(seq, _)| seq).collect();
    assert_eq!((left, stream.last_seq()), (vec![1, 3], 3));
    assert_eq!(stream.publish(&publish(Subject::Epoch, 3, 1, "e")), Ok(4));
    stream.purge_before(5);
    assert_eq!((stream.len(), stream.read_epoch().map(|stored| &stored.bytes[..])), (1, Some(&b"e"[..])));
}

#[test]
fn a_lost_end_is_written_again() {
    let mut stream = stream();
    stream.lose_last(2);
    assert_eq!((stream.last_seq(), stream.epoch_seq(), stream.read(2)), (1, 1, None));
    assert_eq!(stream.publish(&publish(Subject::Tick, 1, 1, "b")), Ok(2), "and its id is forgotten");
    stream.lose_last(9);
    assert_eq!((stream.last_seq(), stream.epoch_seq(), stream.is_empty()), (0, 0, true));
}
