//! One writer and its stream: what becomes of messages whose fate is unknown.

use bytes::Bytes;

use super::super::virtual_stream::Behaviour;
use super::super::writer::{AppendError, Output, Publish, Refusal, StallReason, State, Token, Writer};
use super::desk::Desk;
use super::{begin, limits};

#[test]
fn a_lost_acknowledgement_is_resolved_by_reading() {
    let mut desk = Desk::begun();
    (1..=3).for_each(|tick| desk.append(tick));
    let sent = desk.publishes();
    // The first is stored, the second not; the third follows the second.
    desk.stream.publish(&sent[0]).unwrap();
    sent.iter().for_each(|publish| desk.writer.lost(publish.token, 0));
    assert_eq!(desk.writer.state(), State::Doubtful);
    let (token, seq) = desk.only_read();
    assert_eq!(seq, 2);
    desk.append(4);
    assert_eq!(desk.writer.output(), None, "nothing is sent in doubt");
    desk.answer_read(token, seq);
    assert_eq!(desk.writer.durable(), (2, 1));
    let (token, seq) = desk.only_read();
    assert_eq!(seq, 3);
    desk.answer_read(token, seq);
    let again = desk.publishes();
    assert_eq!(again.len(), 3);
    assert_eq!((&again[0].bytes, &again[0].msg_id), (&sent[1].bytes, &sent[1].msg_id));
    assert_eq!((again[0].expected_last_seq, again[0].guard_seq), (2, 1));
    assert_ne!(again[0].token, sent[1].token);
    again.iter().for_each(|publish| desk.answer(publish));
    assert_eq!((desk.writer.durable(), desk.writer.state()), ((5, 4), State::Writing));
}

#[test]
fn a_refusal_may_be_that_of_an_own_duplicate() {
    for ids_first in [false, true] {
        let mut desk = Desk::begun();
        desk.stream.behaviour.ids_first = ids_first;
        desk.append(1);
        let sent = desk.publishes();
        desk.writer.lost(sent[0].token, 0);
        let (token, _) = desk.only_read();
        desk.writer.read(token, None, 0);
        let again = desk.publishes();
        // The first copy arrives after all, before the second.
        desk.stream.publish(&sent[0]).unwrap();
        desk.answer(&again[0]);
        desk.run();
        assert_eq!((desk.writer.durable(), desk.writer.state()), ((2, 1), State::Writing), "ids first: {ids_first}");
    }
}

#[test]
fn a_late_acknowledgement_of_an_earlier_attempt_counts() {
    let mut desk = Desk::begun();
    desk.append(1);
    let sent = desk.publishes();
    desk.writer.lost(sent[0].token, 0);
    let (token, seq) = desk.only_read();
    desk.answer(&sent[0]);
    assert_eq!(desk.writer.durable(), (2, 1));
    desk.answer_read(token, seq);
    assert_eq!((desk.writer.state(), desk.writer.output()), (State::Writing, None));
}

#[test]
fn the_own_duplicate_of_an_epoch_record_is_no_other_reign() {
    let mut desk = Desk::new();
    desk.stream.behaviour = Behaviour { ids_first: false, names_guard: true, ..desk.stream.behaviour };
    let sent = desk.publishes();
    desk.writer.lost(sent[0].token, 0);
    let (token, _) = desk.only_read();
    desk.writer.read(token, None, 0);
    let again = desk.publishes();
    desk.stream.publish(&sent[0]).unwrap();
    desk.writer.refused(again[0].token, Refusal::GuardFailed, 0);
    desk.run();
    assert!(desk.writer.began());
}

#[test]
fn a_foreign_record_deposes_for_good() {
    let mut desk = Desk::begun();
    desk.append(1);
    desk.append(2);
    let sent = desk.publishes();
    let _rival = desk.rival(2);
    // The first place is taken; the second would follow in sequence, were it not for the guard.
    assert_eq!(desk.stream.last_seq(), 2);
    assert_eq!(desk.stream.publish(&sent[1]), Err(Refusal::WrongLastSequence));
    desk.stream.behaviour.ignores_guard = true;
    assert_eq!(desk.stream.clone().publish(&sent[1]), Ok(3), "this is the hole that the guard closes");
    desk.stream.behaviour.ignores_guard = false;
    desk.answer(&sent[0]);
    let (token, seq) = desk.only_read();
    desk.answer_read(token, seq);
    let deposed = State::Deposed { by: Some(2) };
    assert_eq!(desk.writer.state(), deposed);
    assert_eq!(desk.writer.append(3, Bytes::new(), 0), Err(AppendError::Over(deposed.clone())));
    desk.writer.reconnected(5);
    desk.writer.acked(sent[1].token, 3, 5);
    desk.writer.clock(u64::MAX);
    assert_eq!((desk.writer.output(), desk.writer.wakes_at(), desk.writer.state()), (None, None, deposed));
    assert_eq!(desk.writer.durable(), (1, 0));
}

#[test]
fn a_guard_that_is_named_deposes_at_once() {
    let mut desk = Desk::begun();
    desk.append(1);
    let sent = desk.publishes();
    desk.writer.refused(sent[0].token, Refusal::GuardFailed, 0);
    assert_eq!(desk.writer.state(), State::Deposed { by: None });
}

#[test]
fn who_slept_until_its_place_was_purged_is_deposed_not_alarmed() {
    let mut desk = Desk::begun();
    desk.append(1);
    let sent = desk.publishes();
    let mut rival = desk.rival(2);
    for tick in 1..9 {
        rival.append(tick, Bytes::new(), 0).unwrap();
        let Some(Output::Publish(publish)) = rival.output() else { panic!("nothing sent") };
        let seq = desk.stream.publish(&publish).unwrap();
        rival.acked(publish.token, seq, 0);
    }
    let _third = desk.rival(3);
    desk.stream.purge_before(9);
    desk.answer(&sent[0]);
    desk.settle();
    assert_eq!(desk.writer.state(), State::Deposed { by: Some(3) });
}

#[test]
fn an_older_reign_that_goes_on_while_one_begins_is_named() {
    let mut desk = Desk::begun();
    let begin = begin(desk.writer.position(), 1, 2);
    desk.append(1);
    desk.run();
    let mut late = Desk { stream: desk.stream, writer: Writer::begin(begin, limits(), 0).unwrap(), now: 0 };
    late.settle();
    assert_eq!((late.writer.state(), late.writer.began()), (State::Deposed { by: Some(1) }, false));
}

#[test]
fn a_full_stream_stalls_and_goes_on() {
    let mut desk = Desk::begun();
    desk.stream.behaviour.most = 2;
    (1..=5).for_each(|tick| desk.append(tick));
    desk.now = 7;
    desk.run();
    assert_eq!(desk.writer.durable(), (2, 1));
    assert_eq!(desk.writer.state(), State::Stalled { reason: StallReason::Full, since: 7 });
    let mut waits = Vec::new();
    for _ in 0..8 {
        let until = desk.writer.wakes_at().unwrap();
        waits.push((until - desk.now) / 1_000_000);
        desk.writer.clock(until - 1);
        assert_eq!(desk.writer.output(), None);
        desk.now = until;
        desk.writer.clock(until);
        desk.run();
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 16, 16, 16]);
    assert_eq!(desk.writer.state(), State::Stalled { reason: StallReason::Full, since: 7 });
    desk.stream.behaviour.most = 100;
    desk.settle();
    assert_eq!((desk.writer.durable(), desk.writer.state()), ((6, 5), State::Writing));
}

#[test]
fn without_answers_it_stalls_until_it_is_connected_again() {
    let mut desk = Desk::begun();
    desk.append(1);
    let sent = desk.publishes();
    assert_eq!(desk.writer.wakes_at(), Some(20_000_000));
    for _ in 0..5 {
        let at = desk.writer.wakes_at().unwrap();
        desk.now = at;
        desk.writer.clock(at);
        assert!(desk.outputs().iter().all(|output| matches!(output, Output::Read { .. })), "nothing is sent in doubt");
    }
    assert_eq!(desk.writer.state(), State::Stalled { reason: StallReason::NoAnswer, since: 40_000_000 });
    desk.stream.publish(&sent[0]).unwrap();
    desk.writer.reconnected(desk.now);
    desk.run();
    assert_eq!((desk.writer.durable(), desk.writer.state()), ((2, 1), State::Writing));
}

#[test]
fn what_the_server_says_is_kept_and_tried_again() {
    let mut desk = Desk::begun();
    desk.append(1);
    let sent = desk.publishes();
    desk.writer.refused(sent[0].token, Refusal::Other("no leader".into()), 3);
    assert_eq!(desk.writer.state(), State::Stalled { reason: StallReason::Other("no leader".into()), since: 3 });
    assert_eq!(desk.writer.output(), None, "not at once");
    desk.settle();
    assert_eq!(desk.writer.durable(), (2, 1));
}

#[test]
fn a_log_that_lost_its_end_is_damaged() {
    let mut desk = Desk::begun();
    (1..=3).for_each(|tick| desk.append(tick));
    desk.run();
    desk.stream.lose_last(2);
    desk.append(4);
    desk.settle();
    let State::Damaged { what } = desk.writer.state() else { panic!("{:?}", desk.writer.state()) };
    assert!(what.contains("nothing is at sequence 5") && what.contains("are gone"), "{what}");
    assert_eq!(desk.stream.last_seq(), 2);
    assert_eq!(desk.writer.output(), None);
}

#[test]
fn a_stream_that_changed_under_the_writer_is_damaged() {
    let other = |bytes: &'static [u8]| {
        let mut desk = Desk::begun();
        desk.append(1);
        let sent = desk.publishes();
        desk.writer.lost(sent[0].token, 0);
        let (token, _) = desk.only_read();
        desk.writer.read(token, Some(&Bytes::from_static(bytes)), 0);
        desk.writer.state()
    };
    assert!(matches!(other(b"junk"), State::Damaged { what } if what.contains("sequence 2 can't be read")));
    let mut desk = Desk::begun();
    desk.append(1);
    let sent = desk.publishes();
    desk.writer.acked(sent[0].token, 9, 0);
    assert!(matches!(desk.writer.state(), State::Damaged { what } if what.contains("sequence 9")));
}

#[test]
fn a_reign_that_could_not_begin_before_the_log_was_purged_may_try_again() {
    let mut desk = Desk::begun();
    let begin = begin(desk.writer.position(), 1, 2);
    (1..=4).for_each(|tick| desk.append(tick));
    desk.run();
    desk.stream.purge_before(4);
    let mut late = Desk { stream: desk.stream, writer: Writer::begin(begin, limits(), 0).unwrap(), now: 0 };
    late.settle();
    assert_eq!(late.writer.state(), State::Deposed { by: Some(1) });
}

/// A reign with so many appends under way, that have all been lost but may arrive yet, and the read of the first place.
fn in_doubt(appends: u64) -> (Desk, Vec<Publish>, (Token, u64)) {
    let mut desk = Desk::begun();
    (1..=appends).for_each(|tick| desk.append(tick));
    let sent = desk.publishes();
    desk.writer.lost(sent[0].token, 0);
    let read = desk.only_read();
    (desk, sent, read)
}

#[test]
fn a_read_that_was_answered_before_the_messages_arrived_is_repeated() {
    let (mut desk, sent, (token, seq)) = in_doubt(2);
    desk.stream.publish(&sent[0]).unwrap();
    desk.answer(&sent[1]);
    desk.writer.read(token, None, 0);
    let (again, same) = desk.only_read();
    assert_eq!((again == token, same), (false, seq));
    desk.answer_read(again, seq);
    assert_eq!((desk.writer.durable(), desk.writer.state()), ((3, 2), State::Writing));
}

#[test]
fn what_was_stored_behind_an_empty_place_is_damage() {
    let (mut desk, sent, (token, _)) = in_doubt(2);
    desk.writer.acked(sent[1].token, 3, 0);
    desk.writer.read(token, None, 0);
    let (token, _) = desk.only_read();
    desk.writer.read(token, None, 0);
    desk.run();
    assert!(matches!(desk.writer.state(), State::Damaged { what } if what.contains("nothing is at sequence 2")));
}

#[test]
fn nothing_is_sent_behind_a_message_in_doubt() {
    let mut desk = Desk::begun();
    (1..=2).for_each(|tick| desk.append(tick));
    let sent = desk.publishes();
    desk.writer.lost(sent[1].token, 0);
    desk.append(3);
    assert_eq!(desk.outputs(), [], "the first one is still under way");
    desk.answer(&sent[0]);
    assert_eq!(desk.only_read().1, 3);
}

#[test]
fn a_second_loss_waits_and_then_one_message_tries() {
    let (mut desk, _, (token, seq)) = in_doubt(3);
    desk.answer_read(token, seq);
    let again = desk.publishes();
    assert_eq!(again.len(), 3);
    desk.writer.lost(again[0].token, 5);
    assert_eq!(desk.writer.state(), State::Stalled { reason: StallReason::NoAnswer, since: 5 });
    assert_eq!(desk.outputs(), []);
    assert_eq!(desk.writer.wakes_at(), Some(1_000_005));
    desk.now = 1_000_005;
    desk.writer.clock(desk.now);
    let (token, seq) = desk.only_read();
    desk.answer_read(token, seq);
    let tries = desk.publishes();
    assert_eq!(tries.len(), 1);
    desk.answer(&tries[0]);
    desk.run();
    assert_eq!((desk.writer.durable(), desk.writer.state()), ((4, 3), State::Writing));
}

#[test]
fn a_new_connection_makes_everything_doubtful_at_once() {
    let mut desk = Desk::begun();
    desk.append(1);
    let sent = desk.publishes();
    desk.append(2);
    // The second was not yet taken, and is not sent any more before the first is known.
    desk.stream.publish(&sent[0]).unwrap();
    desk.writer.reconnected(0);
    let (token, seq) = desk.only_read();
    assert_eq!((seq, desk.writer.state()), (2, State::Doubtful));
    desk.answer_read(token, seq);
    desk.run();
    assert_eq!(desk.writer.durable(), (3, 2));
}

#[test]
fn own_nonce_with_other_bytes_is_damage() {
    let (mut desk, sent, _) = in_doubt(2);
    let (mut other, _, (token, _)) = in_doubt(1);
    other.writer.read(token, Some(&sent[1].bytes), 0);
    assert!(matches!(other.writer.state(), State::Damaged { what } if what.contains("ours, but not what was sent")));
    desk.run();
}
