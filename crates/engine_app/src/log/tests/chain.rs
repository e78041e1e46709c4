//! What a verifier lets through, and how it names what it doesn't.

use bytes::Bytes;

use super::super::chain::{Breach, ChainError, Position, Verifier};
use super::super::record::{Body, Record, RecordError};
use super::epoch_body;

/// Writes a log without asking whether it makes sense.
#[derive(Default)]
struct Pen {
    messages: Vec<Bytes>,
    last: Option<Record>,
    chain: u128,
}

impl Pen {
    /// The record that would be the next one: of the same tick, in the same reign.
    fn next(&self, body: Body) -> Record {
        let last = self.last.as_ref();
        let of = |get: fn(&Record) -> u64| last.map_or(0, get);
        let nonce = last.map_or(1, |record| record.nonce);
        Record {
            index: of(|r| r.index) + 1,
            epoch: of(|r| r.epoch),
            tick: of(|r| r.tick),
            nonce,
            prev: self.chain,
            body,
        }
    }

    fn write(&mut self, record: Record) -> &mut Self {
        let encoded = record.encode(512).unwrap();
        self.messages.extend(encoded.parts.into_iter().chain([encoded.last]));
        (self.chain, self.last) = (encoded.chain, Some(record));
        self
    }

    fn epoch(&mut self, epoch: u64) -> &mut Self {
        let next = self.next(Body::Epoch(epoch_body()));
        self.write(Record { epoch, nonce: u128::from(epoch), ..next })
    }

    fn tick(&mut self, tick: u64) -> &mut Self {
        let next = self.next(Body::Tick(vec![tick as u8; 900].into()));
        self.write(Record { tick, ..next })
    }

    fn fed(&self, verifier: &mut Verifier) -> Result<Vec<u64>, ChainError> {
        let from = verifier.last_seq();
        let mut ticks = Vec::new();
        for (seq, bytes) in (1..).zip(&self.messages).skip(from as usize) {
            ticks.extend(verifier.feed(seq, bytes)?.map(|record| record.tick));
        }
        Ok(ticks)
    }

    fn breach(&self) -> Breach {
        self.fed(&mut Verifier::new()).unwrap_err().breach
    }
}

/// Two reigns; each tick record has three messages.
fn two_reigns() -> Pen {
    let mut pen = Pen::default();
    pen.epoch(1).tick(0).tick(1).tick(2).tick(2).epoch(4).tick(3);
    pen
}

#[test]
fn a_whole_log_goes_through_from_its_beginning_and_from_any_position() {
    let pen = two_reigns();
    let mut whole = Verifier::new();
    let mut positions = vec![Position::GENESIS];
    for (seq, bytes) in (1..).zip(&pen.messages) {
        let record = whole.feed(seq, bytes).unwrap();
        positions.extend(record.map(|_| whole.position()));
    }
    assert_eq!(positions.len(), 8);
    let end = Position { seq: 17, index: 7, chain: pen.chain, epoch: 4, epoch_seq: 14, tick: 3 };
    assert_eq!((whole.position(), whole.last_seq(), whole.dropped()), (end, 17, 0));
    for position in positions {
        let json = serde_json::to_string(&position).unwrap();
        let read: Position = serde_json::from_str(&json).unwrap();
        assert_eq!(read, position, "{json}");
        let packed = engine_net::strict::encode(&position);
        assert_eq!(engine_net::strict::decode::<Position>(&packed, 1000).unwrap(), position);
        let mut verifier = Verifier::from(position);
        pen.fed(&mut verifier).unwrap();
        assert_eq!(verifier.position(), end);
    }
}

#[test]
fn a_missing_a_doubled_and_a_foreign_message_are_found() {
    let pen = two_reigns();
    let mut verifier = Verifier::new();
    verifier.feed(1, &pen.messages[0]).unwrap();
    for wrong in [0, 1, 3, u64::MAX] {
        let error = verifier.feed(wrong, &pen.messages[1]).unwrap_err();
        assert_eq!(error, ChainError { seq: wrong, index: 2, tick: 0, breach: Breach::Sequence { expected: 2 } });
    }
    // Sequences without a gap, and a record is missing.
    let error = verifier.feed(2, &pen.messages[4]).unwrap_err();
    assert_eq!(error, ChainError { seq: 2, index: 3, tick: 1, breach: Breach::Index { expected: 2 } });
    let error = verifier.feed(2, &Bytes::from_static(b"hello")).unwrap_err();
    let breach = Breach::Record(RecordError::Short { bytes: 5 });
    assert_eq!(error, ChainError { seq: 2, index: 2, tick: 0, breach });
    // It goes on where it was.
    pen.fed(&mut verifier).unwrap();
}

#[test]
fn a_record_of_another_past_is_found_and_named() {
    let (mut ours, mut theirs) = (Pen::default(), Pen::default());
    ours.epoch(1).tick(0);
    theirs.epoch(1).tick(1).tick(2);
    let mut verifier = Verifier::new();
    ours.fed(&mut verifier).unwrap();
    let foreign = &theirs.messages[4];
    let error = verifier.feed(5, foreign).unwrap_err();
    assert!(matches!(error.breach, Breach::Prev { expected, .. } if expected == ours.chain));
    let text = error.to_string();
    assert!(text.starts_with("the log breaks at sequence 5, record 3, tick 2: it follows a record"), "{text}");
}

#[test]
fn reigns_only_grow_and_only_the_present_one_writes() {
    let mut pen = two_reigns();
    pen.epoch(4);
    assert_eq!(pen.breach(), Breach::Epoch { last: 4, found: 4, begins: true });
    let mut pen = two_reigns();
    let next = pen.next(Body::Tick(Bytes::new()));
    pen.write(Record { epoch: 1, nonce: 1, ..next });
    assert_eq!(pen.breach(), Breach::Epoch { last: 4, found: 1, begins: false });
    let mut pen = Pen::default();
    let next = pen.next(Body::Tick(Bytes::new()));
    pen.write(Record { epoch: 1, ..next });
    assert_eq!(pen.breach(), Breach::Epoch { last: 0, found: 1, begins: false });
    let mut pen = two_reigns();
    let next = pen.next(Body::Tick(Bytes::new()));
    pen.write(Record { nonce: 77, ..next });
    assert_eq!(pen.breach(), Breach::Nonce { expected: 4, found: 77 });
}

#[test]
fn ticks_go_on_one_by_one_or_stand() {
    for (tick, good) in [(2, false), (3, true), (4, true), (5, false)] {
        let mut pen = two_reigns();
        pen.tick(tick);
        let fed = pen.fed(&mut Verifier::new());
        assert_eq!(fed.is_ok(), good, "{tick}: {fed:?}");
    }
    let mut pen = two_reigns();
    let next = pen.next(Body::Epoch(epoch_body()));
    pen.write(Record { epoch: 9, tick: 4, ..next });
    assert_eq!(pen.breach(), Breach::Tick { last: 3, begins: true });
}

#[test]
fn parts_that_a_dead_writer_left_are_passed_over() {
    let mut pen = two_reigns();
    let before = pen.chain;
    pen.tick(4);
    pen.messages.pop();
    (pen.chain, pen.last.as_mut().unwrap().index) = (before, 7);
    pen.last.as_mut().unwrap().tick = 3;
    let mut verifier = Verifier::new();
    pen.fed(&mut verifier).unwrap();
    assert_eq!((verifier.position().seq, verifier.last_seq(), verifier.dropped()), (17, 19, 0));
    pen.epoch(5).tick(4);
    assert_eq!(pen.fed(&mut verifier).unwrap(), [3, 4]);
    assert_eq!((verifier.position().index, verifier.dropped()), (9, 2));
}

#[test]
fn a_position_from_elsewhere_is_read_strictly() {
    let good = r#"{"seq":1,"index":1,"chain":"000000000000000000000000000000ff","epoch":1,"epoch_seq":1,"tick":0}"#;
    assert_eq!(serde_json::from_str::<Position>(good).unwrap().chain, 255);
    for wrong in ["ff", "+00000000000000000000000000000ff", "0000000000000000000000000000000g"] {
        let text = good.replace("000000000000000000000000000000ff", wrong);
        assert!(serde_json::from_str::<Position>(&text).is_err(), "{wrong}");
    }
    let far = Position { seq: u64::MAX, index: u64::MAX, tick: u64::MAX, epoch: u64::MAX, ..Position::GENESIS };
    let mut verifier = Verifier::from(far);
    assert!(verifier.feed(u64::MAX, &two_reigns().messages[0]).is_err());
}
