//! Framing: what is written is read again, and nothing else is.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::super::record::{
    Assembler, Body, EpochBody, Expected, HEADER_BYTES, MAX_BODY_BYTES, MIN_MESSAGE_BYTES, Message, OVERHEAD_BYTES,
    Record, RecordError, assemble,
};
use super::{epoch_body, tick_record};

fn records() -> impl Strategy<Value = Record> {
    let body = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..3000).prop_map(|bytes| Body::Tick(bytes.into())),
        1 => ("[a-zé]{0,100}", any::<u32>(), any::<u32>(), any::<u64>())
            .prop_map(|(host, pid, format, wall_ms)| Body::Epoch(EpochBody { host, pid, format, wall_ms })),
    ];
    (1..=u64::MAX, 1..=u64::MAX, any::<u64>(), any::<u128>(), any::<u128>(), body)
        .prop_map(|(index, epoch, tick, nonce, prev, body)| Record { index, epoch, tick, nonce, prev, body })
}

fn messages(record: &Record, limit: usize) -> Vec<Bytes> {
    let encoded = record.encode(limit).unwrap();
    encoded.parts.into_iter().chain([encoded.last]).collect()
}

/// Gives changed bytes a checksum that is right, as a wrong writer would.
fn with_checksum(mut bytes: Vec<u8>) -> Bytes {
    let at = bytes.len() - 16;
    let checksum = xxh3_128(&bytes[..at]).to_le_bytes();
    bytes[at..].copy_from_slice(&checksum);
    bytes.into()
}

proptest! {
    #[test]
    fn what_is_written_is_read(record in records(), limit in MIN_MESSAGE_BYTES..2000) {
        let encoded = record.encode(limit).unwrap();
        let messages = messages(&record, limit);
        prop_assert!(messages.iter().all(|message| message.len() <= limit));
        let assembled = assemble(&messages).unwrap();
        prop_assert_eq!(assembled.records, [(record, encoded.chain)]);
        prop_assert_eq!(assembled.dropped, 0);
    }

    #[test]
    fn a_flipped_bit_is_found(record in records(), message in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>()) {
        let messages = messages(&record, 600);
        let mut bytes = message.get(&messages).to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Message::decode(&bytes.into()).is_err());
    }

    #[test]
    fn a_cut_or_a_longer_message_is_found(record in records(), at in any::<prop::sample::Index>(), more in 1_usize..40) {
        let last = record.encode(4000).unwrap().last;
        prop_assert!(Message::decode(&last.slice(..at.index(last.len()))).is_err());
        prop_assert!(Message::decode(&last.slice(1 + at.index(last.len() - 1)..)).is_err());
        let mut longer = last.to_vec();
        longer.resize(last.len() + more, 0);
        prop_assert!(Message::decode(&longer.into()).is_err());
    }

    /// Fields that no writer gives them are refused; what is accepted is exactly what a writer would have written.
    #[test]
    fn a_wrong_field_is_found_though_its_checksum_is_right(
        record in records(), at in 0..HEADER_BYTES + 18, value in any::<u8>(), message in any::<prop::sample::Index>()
    ) {
        let messages = messages(&record, 600);
        let mut bytes = message.get(&messages).to_vec();
        prop_assume!(at < bytes.len() - 16);
        bytes[at] = value;
        let bytes = with_checksum(bytes);
        if let Ok(Message::Whole(record)) = Message::decode(&bytes) {
            prop_assert_eq!(record.encode(bytes.len().max(MIN_MESSAGE_BYTES)).unwrap().last, bytes);
        }
    }

    #[test]
    fn any_bytes_are_no_message(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Message::decode(&bytes.into()).is_err());
    }

    #[test]
    fn a_record_whose_messages_are_mixed_up_is_found(record in records(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let mut messages = messages(&record, MIN_MESSAGE_BYTES);
        let (a, b) = (a.index(messages.len()), b.index(messages.len()));
        prop_assume!(a != b);
        messages.swap(a, b);
        prop_assert!(assemble(&messages).is_err());
    }
}

#[test]
fn the_bytes_are_those_of_the_table() {
    let encoded = tick_record(7, 5, b"moved").encode(512).unwrap();
    let text: String = encoded.last.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut expected = String::from("454c4f47"); // magic
    expected.push_str("0100" /* version */);
    expected.push_str("02" /* kind */);
    expected.push_str("00");
    expected.push_str("75000000" /* bytes */);
    expected.push_str("00000000" /* parts */);
    expected.push_str("00000000" /* number */);
    expected.push_str("05000000" /* body */);
    expected.push_str("0700000000000000" /* index */);
    expected.push_str("0300000000000000" /* epoch */);
    expected.push_str("0500000000000000" /* tick */);
    expected.push_str("bc0a0000000000000000000000000000" /* nonce */);
    expected.push_str("34120000000000000000000000000000" /* prev */);
    expected.push_str("00000000000000000000000000000000" /* whole */);
    expected.push_str("6d6f766564" /* piece */);
    assert_eq!(text[..expected.len()], expected);
    assert_eq!(encoded.last.len(), OVERHEAD_BYTES + 5);
    assert_eq!(encoded.chain, xxh3_128(&encoded.last));
    assert_eq!(format!("{:032x}", encoded.chain), "897c43e55d4ce1f365ba19913b4107e0");
    let epoch = Record { body: Body::Epoch(epoch_body()), ..tick_record(1, 0, b"") };
    let encoded = epoch.encode(512).unwrap();
    assert_eq!(encoded.last.len(), OVERHEAD_BYTES + 18 + 5);
    assert_eq!(format!("{:032x}", encoded.chain), "aee487a6ec723eb03c8323941d4a9e44");
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let good = tick_record(7, 5, b"moved").encode(512).unwrap().last;
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes
    };
    let error = |bytes: Vec<u8>| Message::decode(&bytes.into()).unwrap_err();
    assert_eq!(error(b"ELOG".to_vec()), RecordError::Short { bytes: 4 });
    assert_eq!(error(changed(0, b'F')), RecordError::Magic { found: *b"FLOG" });
    assert_eq!(error(changed(4, 9)), RecordError::Version { found: 9 });
    assert_eq!(error(changed(8, 9)), RecordError::Length { said: 9, bytes: good.len() });
    assert!(matches!(error(changed(97, 9)), RecordError::Checksum { at, .. } if at == good.len() - 16));
    let field = |at: usize, byte: u8| match error(with_checksum(changed(at, byte)).to_vec()) {
        RecordError::Field { at, field, found } => (at, field, found),
        other => panic!("{other}"),
    };
    assert_eq!(field(6, 4), (6, "kind", 4));
    assert_eq!(field(7, 1), (7, "the spare byte", 1));
    assert_eq!(field(16, 1), (16, "number", 1));
    assert_eq!(field(20, 6), (20, "body", 6));
    assert_eq!(field(24, 0), (24, "index", 0));
    assert_eq!(field(32, 0), (32, "epoch", 0));
    assert_eq!(field(80, 1), (80, "whole", 1));
}

#[test]
fn a_body_that_is_too_large_is_not_taken() {
    let body = |bytes: usize| Record { body: Body::Tick(vec![0; bytes].into()), ..tick_record(1, 1, b"") };
    assert_eq!(body(1).encode(100), Err(RecordError::Limit { limit: 100 }));
    let bytes = MAX_BODY_BYTES + 1;
    assert_eq!(body(bytes).encode(1 << 20), Err(RecordError::TooLarge { bytes, limit: 1 << 20 }));
    let room = MIN_MESSAGE_BYTES - OVERHEAD_BYTES;
    assert_eq!(body(4097 * room).encode(MIN_MESSAGE_BYTES).unwrap().parts.len(), 4096);
    assert!(body(4097 * room + 1).encode(MIN_MESSAGE_BYTES).is_err());
    let host = "h".repeat(256);
    let named = Record { body: Body::Epoch(EpochBody { host, ..epoch_body() }), ..tick_record(1, 1, b"") };
    assert_eq!(named.encode(4000), Err(RecordError::Field { at: 112, field: "length", found: 256 }));
}

#[test]
fn parts_of_a_dead_writer_are_dropped_when_the_next_reign_begins() {
    let large = Record { body: Body::Tick(vec![7; 2000].into()), ..tick_record(4, 9, b"") };
    let mut all = messages(&large, 512);
    let last = all.pop().unwrap();
    let left = all.len() as u64;
    let begins = Record { epoch: 4, nonce: 5, body: Body::Epoch(epoch_body()), ..tick_record(4, 8, b"") };
    all.push(begins.encode(512).unwrap().last);
    let assembled = assemble(&all).unwrap();
    assert_eq!((assembled.records.len(), assembled.dropped), (1, left));
    assert_eq!(assembled.records[0].0, begins);
    // Without a new reign, nothing may come between.
    all.pop();
    all.push(tick_record(4, 9, b"else").encode(512).unwrap().last);
    let expected = Expected::Next { index: 4, number: left as u32 };
    assert_eq!(assemble(&all), Err(RecordError::Piece { index: 4, number: 0, messages: 1, expected }));
    // A last message alone is none.
    let (number, messages) = (left as u32, left as u32 + 1);
    assert_eq!(assemble(&[last]), Err(RecordError::Piece { index: 4, number, messages, expected: Expected::First }));
}

#[test]
fn pieces_of_another_body_are_found() {
    let of = |byte: u8| Record { body: Body::Tick(vec![byte; 1000].into()), ..tick_record(4, 9, b"") };
    let (one, two) = (messages(&of(1), 512), messages(&of(2), 512));
    assert!(assemble(&[one[0].clone(), two[1].clone(), two[2].clone()]).is_err());
    // Even when all fields are as they should be.
    let mut forged = BytesMut::from(&one[0][..]).to_vec();
    forged[HEADER_BYTES] = 9;
    let forged = with_checksum(forged);
    let error = assemble(&[forged, one[1].clone(), one[2].clone()]).unwrap_err();
    assert!(matches!(error, RecordError::Whole { index: 4, parts: 2, .. }), "{error}");
}

#[test]
fn a_refused_message_leaves_the_assembler_as_it_was() {
    let large = Record { body: Body::Tick(vec![7; 1000].into()), ..tick_record(4, 9, b"") };
    let all = messages(&large, 512);
    let mut assembler = Assembler::default();
    let push = |assembler: &mut Assembler, bytes: &Bytes| assembler.push(bytes, Message::decode(bytes).unwrap());
    push(&mut assembler, &all[0]).unwrap();
    assert!(push(&mut assembler, &all[0]).is_err());
    assert!(push(&mut assembler, &all[2]).is_err());
    push(&mut assembler, &all[1]).unwrap();
    assert_eq!(push(&mut assembler, &all[2]).unwrap().unwrap().0, large);
}

/// A writer that is wrong about the size can't make a reader hold more than it announced.
#[test]
fn more_than_was_announced_is_not_held() {
    let large = Record { body: Body::Tick(vec![7; 1000].into()), ..tick_record(4, 9, b"") };
    let mut assembler = Assembler::default();
    let smaller = |bytes: &Bytes| {
        let mut bytes = bytes.to_vec();
        bytes[20..24].copy_from_slice(&402_u32.to_le_bytes());
        with_checksum(bytes)
    };
    let all: Vec<Bytes> = messages(&large, 512).iter().take(2).map(smaller).collect();
    let mut push = |bytes: &Bytes| assembler.push(bytes, Message::decode(bytes).unwrap());
    push(&all[0]).unwrap();
    assert!(push(&all[1]).is_err());
}
