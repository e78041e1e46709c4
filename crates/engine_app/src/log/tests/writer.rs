//! One writer and its stream, step by step.

use bytes::Bytes;

use super::super::chain::{Position, Verifier};
use super::super::virtual_stream::VirtualStream;
use super::super::writer::{
    AppendError, Begin, Limits, Output, Publish, Refusal, StallReason, State, Subject, Token, Writer,
};
use super::{begin, limits};

/// A writer, its stream, and what it has sent and nobody has answered.
struct Desk {
    stream: VirtualStream,
    writer: Writer,
    now: u64,
}

impl Desk {
    fn new() -> Self {
        Self::with(VirtualStream::default(), begin(Position::GENESIS, 0, 1), limits())
    }

    fn with(stream: VirtualStream, begin: Begin, limits: Limits) -> Self {
        Self { stream, writer: Writer::begin(begin, limits, 0).unwrap(), now: 0 }
    }

    /// A reign that has begun.
    fn begun() -> Self {
        let mut desk = Self::new();
        desk.run();
        assert_eq!((desk.writer.durable(), desk.writer.began()), ((1, 0), true));
        desk
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.writer.output()).collect()
    }

    fn publishes(&mut self) -> Vec<Publish> {
        let publish = |output| match output {
            Output::Publish(publish) => publish,
            other => panic!("{other:?}"),
        };
        self.outputs().into_iter().map(publish).collect()
    }

    fn only_read(&mut self) -> (Token, u64) {
        let outputs = self.outputs();
        match outputs[..] {
            [Output::Read { token, seq }] => (token, seq),
            _ => panic!("{outputs:?}"),
        }
    }

    fn append(&mut self, tick: u64) {
        self.writer.append(tick, Bytes::from(vec![tick as u8; 10]), self.now).unwrap();
    }

    fn answer(&mut self, publish: &Publish) {
        match self.stream.publish(publish) {
            Ok(seq) => self.writer.acked(publish.token, seq, self.now),
            Err(refusal) => self.writer.refused(publish.token, refusal, self.now),
        }
    }

    fn answer_read(&mut self, token: Token, seq: u64) {
        let found = self.stream.read(seq).map(|stored| stored.bytes.clone());
        self.writer.read(token, found.as_ref(), self.now);
    }

    /// Answers all outputs at once, until there are none.
    fn run(&mut self) {
        while let Some(output) = self.writer.output() {
            match output {
                Output::Publish(publish) => self.answer(&publish),
                Output::Read { token, seq } => self.answer_read(token, seq),
                Output::ReadEpoch { token } => {
                    let found = self.stream.read_epoch().map(|stored| stored.bytes.clone());
                    self.writer.read(token, found.as_ref(), self.now);
                }
            }
        }
    }

    /// Waits as often as the writer wants to, and answers all.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.run();
            let Some(at) = self.writer.wakes_at() else { return };
            self.now = self.now.max(at);
            self.writer.clock(self.now);
        }
        panic!("still not quiet: {:?}", self.writer.state());
    }

    /// Another reign takes over.
    fn rival(&mut self, nonce: u128) -> Writer {
        let mut verifier = Verifier::new();
        for (seq, stored) in self.stream.from(1) {
            verifier.feed(seq, &stored.bytes).unwrap();
        }
        let begin = begin(verifier.position(), verifier.last_seq(), nonce);
        let mut writer = Writer::begin(begin, limits(), 0).unwrap();
        let Some(Output::Publish(publish)) = writer.output() else { panic!("no epoch record") };
        let seq = self.stream.publish(&publish).unwrap();
        writer.acked(publish.token, seq, 0);
        writer
    }
}

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
    desk.stream.behaviour =
        super::super::virtual_stream::Behaviour { ids_first: false, names_guard: true, ..desk.stream.behaviour };
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
