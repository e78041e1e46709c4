//! Batches of events: bytes that are checked where they come from outside.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod common;

use common::{Bell, Hit, Shout};
use engine_component::{Data, Entity, Event};
use engine_system::{EventBatch, EventReader, EventSlice};
use proptest::prelude::*;

fn batch<E: Event>(events: &[E]) -> EventBatch {
    let mut batch = EventBatch::default();
    events.iter().for_each(|event| batch.push(event));
    batch
}

fn hits(bits: &[u64]) -> Vec<Hit> {
    bits.iter().map(|bits| Hit { who: Entity::from_bits(*bits) }).collect()
}

fn shouts(texts: &[String]) -> Vec<Shout> {
    texts.iter().map(|text| Shout { who: Entity::NONE, text: text.clone() }).collect()
}

fn travels<E: Event + PartialEq + std::fmt::Debug>(events: &[E], others: &[E]) {
    let mut sent = batch(events);
    sent.append(&batch(others));
    let received = EventBatch::from_bytes(&E::schema(), sent.len(), sent.bytes()).unwrap();
    assert_eq!(received, sent);
    assert_eq!(received.len(), events.len() + others.len());
    let reader = EventReader::<E>::new(received.as_slice());
    assert_eq!((reader.len(), reader.undecoded()), (sent.len(), 0));
    assert!(reader.iter().eq(events.iter().chain(others)));
}

proptest! {
    #[test]
    fn events_travel(a: Vec<u64>, b: Vec<u64>, texts: Vec<String>, more: Vec<String>, bells in 0_usize..9) {
        travels(&hits(&a), &hits(&b));
        travels(&shouts(&texts), &shouts(&more));
        travels(&vec![Bell; bells], &[Bell]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, count in 0_usize..20) {
        for schema in [Hit::schema(), Shout::schema(), Bell::schema()] {
            let _ = EventBatch::from_bytes(&schema, count, &bytes);
        }
    }

    #[test]
    fn plain_events_are_read_at_any_alignment(bits: Vec<u64>, shift in 0_usize..8) {
        let sent = batch(&hits(&bits));
        let mut bytes = vec![0; shift];
        bytes.extend(sent.bytes());
        let slice = EventSlice::from_bytes(&Hit::schema(), bits.len(), &bytes[shift..]).unwrap();
        prop_assert!(EventReader::<Hit>::new(slice).iter().eq(&hits(&bits)));
    }
}

#[test]
fn what_is_no_event_is_refused_by_place() {
    let sent = batch(&shouts(&["a".into(), "b".into()]));
    for (count, bytes) in [(1, sent.bytes()), (3, sent.bytes()), (2, &sent.bytes()[1..]), (usize::MAX, sent.bytes())] {
        assert!(EventBatch::from_bytes(&Shout::schema(), count, bytes).is_err(), "{count}");
    }
    assert!(EventBatch::from_bytes(&Bell::schema(), 1, &[0]).is_err());
    assert_eq!(EventBatch::from_bytes(&Bell::schema(), 1 << 20, &[]).map(|bells| bells.len()), Ok(1 << 20));
    assert!(EventBatch::from_bytes(&Bell::schema(), u32::MAX as usize, &[]).is_err());
    let mut bytes = sent.bytes().to_vec();
    let second = bytes.len() / 2 + 4;
    bytes[second] = 0xc1;
    let error = EventBatch::from_bytes(&Shout::schema(), 2, &bytes).unwrap_err();
    assert_eq!((error.index, error.event.as_str()), (1, "test.Shout"));
}

#[test]
fn events_of_another_shape_are_left_out_and_counted() {
    let wrong = batch(&shouts(&["a".into()]));
    let reader = EventReader::<Hit>::new(wrong.as_slice());
    assert_eq!((reader.len(), reader.is_empty(), reader.undecoded()), (0, true, 1));
}
