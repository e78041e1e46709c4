//! The world log: messages, records put together, the chain, the bodies of tick records, the heads of keyframes.

use bytes::Bytes;
use engine_app::log::chain::Verifier;
use engine_app::log::keyframe::{Head, Keyframe};
use engine_app::log::record::{Assembler, Body, EpochBody, HEADER_BYTES, Message, Record, chain_hash};
use engine_app::record::{Input, TickRecord};
use engine_component::WorldHash;
use engine_net::messages::command::Action;
use engine_net::strict;
use xxhash_rust::xxh3::xxh3_128;

use crate::script::{Script, Writer};
use crate::{Seeds, app, cluster};

/// Bytes of messages that the target writes.
const LIMIT: usize = 1024;
/// Where a message has its length, and the chain hash of the record before.
const LENGTH: usize = 8;
const PREV: usize = 64;

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    match script.byte() % 3 {
        0 => chain(&mut script),
        1 => tick_record(script.rest()),
        _ => keyframe(&mut script),
    }
}

/// Messages one after another, most of them sealed as if a writer had made them.
fn chain(script: &mut Script<'_>) {
    let (mut verifier, mut assembler) = (Verifier::new(), Assembler::default());
    let (mut seq, mut last) = (0, 0);
    while !script.is_over() {
        let how = script.byte();
        let mut bytes = script.block().to_vec();
        if how & 1 == 0 {
            if how & 2 == 0 && bytes.len() >= PREV + 16 {
                bytes[PREV..PREV + 16].copy_from_slice(&u128::to_le_bytes(last));
            }
            seal(&mut bytes);
        }
        let bytes = Bytes::from(bytes);
        seq += 1;
        let position = verifier.position();
        let fed = verifier.feed(seq, &bytes);
        match Message::decode(&bytes) {
            Err(_) => assert!(fed.is_err(), "what can't be read is not let through"),
            Ok(message) => {
                written_as_read(&bytes, &message);
                let _ = assembler.push(&bytes, message);
            }
        }
        match fed {
            Ok(Some(_)) => {
                last = chain_hash(&bytes);
                assert_eq!((verifier.position().chain, verifier.position().seq), (last, seq));
            }
            Ok(None) => assert_eq!(verifier.position(), position, "a part is no record"),
            Err(_) => {
                assert_eq!(verifier.position(), position, "a refused message counts as not taken");
                seq -= 1;
            }
        }
    }
}

fn seal(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().max(HEADER_BYTES), 0);
    let length = (bytes.len() + 16) as u32;
    bytes[LENGTH..LENGTH + 4].copy_from_slice(&length.to_le_bytes());
    let sum = xxh3_128(bytes);
    bytes.extend(sum.to_le_bytes());
}

fn written_as_read(bytes: &Bytes, message: &Message) {
    if let Message::Whole(record) = message {
        let again = record.encode(bytes.len().max(LIMIT)).expect("it came in one message");
        assert!(again.parts.is_empty());
        assert_eq!(again.last, bytes, "a record is written as it was read");
    }
}

fn tick_record(bytes: &[u8]) {
    let Ok(record) = TickRecord::from_bytes(bytes) else { return };
    let written = strict::encode(&record);
    let again = TickRecord::from_bytes(&written).expect("what was written can be read");
    assert_eq!(strict::encode(&again), written);
}

fn keyframe(script: &mut Script<'_>) {
    let mut bytes = script.block().to_vec();
    let sum = xxh3_128(&bytes);
    bytes.extend(sum.to_le_bytes());
    let pieces: Vec<Bytes> = (0..script.byte() % 4).map(|_| Bytes::copy_from_slice(script.block())).collect();
    if let Ok(head) = Head::decode(&bytes) {
        let _ = head.state_pieces();
        if let Ok(state) = head.state(&pieces) {
            assert_eq!(state.len(), pieces.iter().map(Bytes::len).sum::<usize>());
        }
        assert!(head.image().len() <= bytes.len());
    }
}

pub(super) fn seeds() -> Seeds {
    let epoch = EpochBody { host: "north".into(), pid: 1, format: 1, wall_ms: 0 };
    let mut record = Record { index: 1, epoch: 1, tick: 0, nonce: 7, prev: 0, body: Body::Epoch(epoch) };
    let mut script = Writer::default().byte(0);
    for size in [0_usize, 10, 3000, 5] {
        let encoded = record.encode(LIMIT).expect("it is small");
        for message in encoded.parts.iter().chain([&encoded.last]) {
            script = script.byte(0).block(&message[..message.len() - 16]);
        }
        record.index += 1;
        record.tick += 1;
        record.prev = encoded.chain;
        record.body = Body::Tick(vec![1; size].into());
    }
    let schemas = crate::bits::schemas().to_vec();
    let systems = cluster::systems().iter().map(|system| system.descriptor().clone()).collect();
    let inputs = vec![
        Input::Arrived { schemas, systems },
        Input::Command { id: "a".into(), by: None, action: Action::Step { ticks: 1 } },
    ];
    let tick = TickRecord { inputs, ..TickRecord::empty(1, 2, WorldHash(3)) };
    let coordinator = cluster::coordinator(app::app(), app::settings());
    let state = coordinator.state().expect("no tick runs");
    let mut world = coordinator.into_world();
    let snapshot = engine_component::image::Snapshot::capture(&mut world);
    let mut pieces = Vec::new();
    let head = Keyframe { hash: snapshot.hash(), state: state.clone(), snapshot }
        .write(Default::default(), |message| pieces.push(message))
        .expect("the world is small");
    let keyframe = Writer::default().byte(2).block(&head[..head.len() - 16]).byte(1).block(&state);
    vec![
        ("chain", script.end()),
        ("tick", Writer::default().byte(1).bytes(&strict::encode(&tick)).end()),
        ("keyframe", keyframe.end()),
    ]
}
