//! Events that are kept: as messages of a size that any server takes, with a place in the world's history by which
//! whoever has some of them knows which are missing.
//!
//! A place is a function of the world alone: a coordinator that computes a tick once more, from its record, comes to the
//! same messages. Only where one is cut from the next may differ, between builds or servers; so what is stored already
//! is told by the numbers of events, and never by messages.

use bytes::Bytes;
use engine_component::{Schema, StorageKind};
use engine_net::headers::Headers;
use engine_net::messages::Message as _;
use engine_net::messages::event::{Events, MAX_EVENTS};
use engine_net::messages::value::Blob;
use engine_net::strict;
use engine_system::EventBatch;

/// Bytes of events in one message, unless a single one is longer.
const AIM: usize = 512 << 10;
/// What a message has besides its events and their schema, at the most.
const OVERHEAD: usize = 512;

/// How far the events of one type are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The reign whose record the tick has: an operator who goes back lets the same ticks happen again, in a later one.
    pub epoch: u64,
    /// The tick.
    pub tick: u64,
    /// So many events of it.
    pub end: u32,
}

/// The kept events of a tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptTick {
    /// The reign whose record it has.
    pub epoch: u64,
    /// The tick.
    pub tick: u64,
    /// By the order in which the types were first sent.
    pub types: Vec<KeptType>,
}

/// Those of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptType {
    /// The declared name.
    pub name: String,
    /// Where they are published.
    pub subject: String,
    /// Messages, in order.
    pub parts: Vec<Part>,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The number of its first event among those of its type in the tick.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// An [`Events`] as MessagePack.
    pub payload: Bytes,
}

impl KeptTick {
    /// How many events.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.parts().map(|part| u64::from(part.count)).sum()
    }

    /// The bytes of all messages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts().map(|part| part.payload.len()).sum()
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.types.iter().flat_map(|of_type| &of_type.parts)
    }

    /// The headers of its messages.
    #[must_use]
    pub fn headers(&self) -> Headers {
        Headers::of::<Events>().epoch(self.epoch).tick(self.tick)
    }
}

/// What the server knows a message by, for a while: whoever sends it again has the same.
#[must_use]
pub fn message_id(epoch: u64, tick: u64, name: &str, first: u32) -> String {
    format!("world/{epoch}.{tick}.{name}.{first}")
}

/// What of a message is not stored yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Missing {
    /// Nothing.
    Nothing,
    /// This.
    Part(Part),
    /// What is stored is of no past of this world: another coordinator writes, or it is another world's.
    Foreign,
}

/// What of a message has to be stored in `reign`, behind what is stored of its type.
///
/// Records of earlier reigns are computed again, and what came of them may be stored already. What is of the reign
/// itself, or of a later one, nobody else may have stored.
#[must_use]
pub fn missing(epoch: u64, tick: u64, part: &Part, newest: Option<Place>, reign: u64) -> Missing {
    let Some(newest) = newest.filter(|newest| (newest.epoch, newest.tick) >= (epoch, tick)) else {
        return Missing::Part(part.clone());
    };
    if (newest.epoch, newest.tick) > (epoch, tick) {
        return if newest.epoch >= reign { Missing::Foreign } else { Missing::Nothing };
    }
    if newest.end >= part.first.saturating_add(part.count) {
        return Missing::Nothing;
    }
    match newest.end.checked_sub(part.first) {
        None | Some(0) => Missing::Part(part.clone()),
        // It was cut elsewhere.
        Some(stored) => behind(part, stored).map_or(Missing::Foreign, Missing::Part),
    }
}

/// How far a message of a stream goes; none, if it is no world's.
#[must_use]
pub fn place_of(headers: &Headers, payload: &[u8]) -> Option<Place> {
    if headers.msg_type.is_none() || !headers.is::<Events>() {
        return None;
    }
    let events = Events::decode(payload).ok()?;
    Some(Place { epoch: events.epoch, tick: events.tick, end: events.first.saturating_add(events.count) })
}

/// A message without its first events.
fn behind(part: &Part, stored: u32) -> Option<Part> {
    let mut events = Events::decode(&part.payload).ok()?;
    let batch = EventBatch::from_bytes(&events.schema, events.count as usize, &events.records.0).ok()?;
    let length = |row: &[u8]| row.len() + extra(&events.schema);
    let cut: usize = batch.as_slice().rows().take(stored as usize).map(length).sum();
    events.records = Blob::from(batch.bytes().get(cut..)?.to_vec());
    (events.first, events.count) = (events.first.checked_add(stored)?, events.count.checked_sub(stored)?);
    let payload = strict::encode(&events).into();
    Some(Part { first: events.first, count: events.count, payload })
}

/// Bytes of an event besides its value.
fn extra(schema: &Schema) -> usize {
    if schema.kind == StorageKind::Document { 4 } else { 0 }
}

/// Packs the events of one type of a tick into messages, as full as they may be.
#[derive(Debug)]
pub(crate) struct Packer {
    epoch: u64,
    tick: u64,
    schema: Schema,
    subject: String,
    /// Bytes of events that a message aims at, and those that it has room for.
    aim: usize,
    room: usize,
    first: u32,
    count: u32,
    records: Vec<u8>,
    parts: Vec<Part>,
    /// Events that no message has room for.
    pub(crate) too_long: u32,
}

impl Packer {
    /// For messages of so many bytes at the most.
    pub(crate) fn new(epoch: u64, tick: u64, schema: Schema, subject: String, limit: usize) -> Self {
        let room = limit.min(Events::LIMIT).saturating_sub(strict::encode(&schema).len() + OVERHEAD);
        let aim = room.min(AIM);
        let (first, count, too_long) = (0, 0, 0);
        Self { epoch, tick, schema, subject, aim, room, first, count, records: Vec::new(), parts: Vec::new(), too_long }
    }

    pub(crate) fn add(&mut self, batch: &EventBatch) {
        let whole = batch.byte_len() + self.records.len() <= self.aim;
        if whole && batch.len() as u64 + u64::from(self.count) <= u64::from(MAX_EVENTS) {
            self.records.extend_from_slice(batch.bytes());
            self.count += batch.len() as u32;
            return;
        }
        batch.as_slice().rows().for_each(|row| self.add_one(row));
    }

    fn add_one(&mut self, row: &[u8]) {
        let length = row.len() + extra(&self.schema);
        if self.count > 0 && (self.records.len() + length > self.aim || self.count >= MAX_EVENTS) {
            self.close();
        }
        if length > self.room {
            // Its number is given away: others have theirs by what was sent, and not by what fits.
            self.close();
            self.first = self.first.saturating_add(1);
            self.too_long += 1;
            return;
        }
        if self.schema.kind == StorageKind::Document {
            self.records.extend_from_slice(&(row.len() as u32).to_le_bytes());
        }
        self.records.extend_from_slice(row);
        self.count += 1;
    }

    fn close(&mut self) {
        if self.count == 0 {
            return;
        }
        let (first, count) = (self.first, std::mem::take(&mut self.count));
        let records = Blob::from(std::mem::take(&mut self.records));
        let (epoch, tick, schema) = (self.epoch, self.tick, self.schema.clone());
        let payload = strict::encode(&Events { epoch, tick, first, count, schema, records }).into();
        self.parts.push(Part { first, count, payload });
        self.first = first.saturating_add(count);
    }

    pub(crate) fn finish(mut self) -> KeptType {
        self.close();
        KeptType { name: self.schema.name, subject: self.subject, parts: self.parts }
    }
}

#[cfg(test)]
mod tests {
    use engine_component::Event;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Event)]
    #[event(name = "test.Hit")]
    #[repr(C)]
    struct Hit {
        number: u64,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(name = "test.Said", document)]
    struct Said {
        text: String,
    }

    fn batch<E: Event>(events: &[E]) -> EventBatch {
        let mut batch = EventBatch::of::<E>();
        events.iter().for_each(|event| batch.push(event));
        batch
    }

    fn hits(numbers: std::ops::Range<u64>) -> EventBatch {
        batch(&numbers.map(|number| Hit { number }).collect::<Vec<_>>())
    }

    fn pack<E: Event>(limit: usize, batches: &[EventBatch]) -> (Vec<Part>, u32) {
        let mut packer = Packer::new(3, 70, E::schema(), "w.event.test".into(), limit);
        batches.iter().for_each(|batch| packer.add(batch));
        let too_long = packer.too_long;
        (packer.finish().parts, too_long)
    }

    fn ranges(parts: &[Part]) -> Vec<(u32, u32)> {
        parts.iter().map(|part| (part.first, part.count)).collect()
    }

    fn numbers(part: &Part) -> Vec<u64> {
        let events = Events::decode(&part.payload).unwrap();
        assert_eq!((events.epoch, events.tick, events.first, events.count), (3, 70, part.first, part.count));
        events.records.0.chunks_exact(8).map(|row| u64::from_le_bytes(row.try_into().unwrap())).collect()
    }

    #[test]
    fn messages_are_filled_whatever_jobs_the_events_are_of() {
        let (whole, _) = pack::<Hit>(1 << 20, &[hits(0..100_000)]);
        let (pieces, _) =
            pack::<Hit>(1 << 20, &(0..1000).map(|job| hits(job * 100..job * 100 + 100)).collect::<Vec<_>>());
        assert_eq!(whole, pieces);
        assert_eq!(ranges(&whole), [(0, 65_536), (65_536, 34_464)]);
        assert_eq!(whole.iter().flat_map(numbers).collect::<Vec<_>>(), (0..100_000).collect::<Vec<_>>());
        assert!(whole.iter().all(|part| part.payload.len() < 600 << 10));
        assert!(pack::<Hit>(1 << 20, &[EventBatch::of::<Hit>()]).0.is_empty());
    }

    #[test]
    fn a_server_that_takes_little_gets_more_messages() {
        let (parts, _) = pack::<Hit>(4096, &[hits(0..2000)]);
        assert!(parts.len() > 3 && parts.iter().all(|part| part.payload.len() <= 4096));
        assert_eq!(parts.iter().flat_map(numbers).collect::<Vec<_>>(), (0..2000).collect::<Vec<_>>());
    }

    #[test]
    fn what_no_message_has_room_for_is_left_out_with_its_number() {
        let said = |length: usize| Said { text: "x".repeat(length) };
        let all = batch(&[said(10), said(600 << 10), said(10), said(2 << 20), said(10)]);
        let (parts, too_long) = pack::<Said>(1 << 20, &[all]);
        assert_eq!((ranges(&parts), too_long), (vec![(0, 1), (1, 1), (2, 1), (4, 1)], 1));
    }

    #[test]
    fn what_is_stored_already_is_left_out() {
        let (parts, _) = pack::<Hit>(1 << 20, &[hits(0..10)]);
        let part = &parts[0];
        let place = |epoch, tick, end| Some(Place { epoch, tick, end });
        let missing_of = |newest| missing(3, 70, part, newest, 5);
        for newest in [None, place(3, 69, 99), place(2, 700, 1), place(3, 70, 0)] {
            assert_eq!(missing_of(newest), Missing::Part(part.clone()), "{newest:?}");
        }
        for newest in [place(3, 70, 10), place(3, 70, 12), place(3, 71, 1), place(4, 12, 1)] {
            assert_eq!(missing_of(newest), Missing::Nothing, "{newest:?}");
        }
        assert_eq!(missing(3, 70, part, place(3, 70, 10), 3), Missing::Nothing, "it was stored, and nobody was told");
    }

    #[test]
    fn what_nobody_else_may_have_stored_is_foreign() {
        let (parts, _) = pack::<Hit>(1 << 20, &[hits(0..10)]);
        let newest = |epoch, tick| Some(Place { epoch, tick, end: 1 });
        assert_eq!(missing(3, 70, &parts[0], newest(3, 71), 3), Missing::Foreign);
        assert_eq!(missing(3, 70, &parts[0], newest(5, 1), 5), Missing::Foreign);
        assert_eq!(missing(3, 70, &parts[0], newest(6, 1), 5), Missing::Foreign);
    }

    #[test]
    fn a_message_that_was_cut_elsewhere_is_completed() {
        let (parts, _) = pack::<Hit>(1 << 20, &[hits(0..10)]);
        let Missing::Part(rest) = missing(3, 70, &parts[0], Some(Place { epoch: 3, tick: 70, end: 4 }), 5) else {
            panic!("the rest")
        };
        assert_eq!(numbers(&rest), (4..10).collect::<Vec<_>>());
        let said = [Said { text: "a".into() }, Said { text: "bcd".into() }];
        let (parts, _) = pack::<Said>(1 << 20, &[batch(&said)]);
        let rest = behind(&parts[0], 1).unwrap();
        let (alone, _) = pack::<Said>(1 << 20, &[batch(&said[1..])]);
        let records = |part: &Part| Events::decode(&part.payload).unwrap().records;
        assert_eq!((rest.first, rest.count, records(&rest)), (1, 1, records(&alone[0])));
    }

    #[test]
    fn only_events_of_a_world_have_a_place() {
        let (parts, _) = pack::<Hit>(1 << 20, &[hits(0..10)]);
        let tick = KeptTick { epoch: 3, tick: 70, types: Vec::new() };
        assert_eq!(place_of(&tick.headers(), &parts[0].payload), Some(Place { epoch: 3, tick: 70, end: 10 }));
        assert_eq!(place_of(&Headers::default(), &parts[0].payload), None);
        assert_eq!(place_of(&tick.headers(), b"{}"), None);
    }
}
