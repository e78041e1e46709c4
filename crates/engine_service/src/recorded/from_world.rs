//! Events of a world's tick: rows with the schema of the coordinator, several in a message.

use std::sync::Arc;

use bytes::Bytes;
use engine_component::schema::{Fit, fit};
use engine_component::{Event, Schema, Storage, StorageKind};
use engine_net::messages::Message as _;
use engine_net::messages::event::{Events, MAX_EVENTS};

use super::{Data, Place, ReadError, Recorded};
use crate::content::{ContentError, known};
use crate::envelope::{Content, Envelope, SchemaRef};
use crate::upcast::Upcasters;

/// The events of a message `events.1`. Their ids follow from the tick, so that the same event always has the same one.
pub(super) fn events(
    payload: &Bytes,
    place: Option<Place>,
    upcasters: &Arc<Upcasters>,
) -> Result<Vec<Recorded>, ReadError> {
    let malformed = |reason: String| ReadError::Malformed(reason);
    let events = Events::decode(payload).map_err(|error| malformed(error.to_string()))?;
    events.schema.check().map_err(|error| malformed(error.to_string()))?;
    if events.count > MAX_EVENTS {
        return Err(malformed(format!("{} events in a message, where {MAX_EVENTS} are the most", events.count)));
    }
    let rows = rows(&events).ok_or_else(|| malformed("the records are not as many as it says".into()))?;
    let schema = Arc::new(events.schema);
    let reference = SchemaRef { name: schema.name.clone(), version: schema.version, hash: schema.hash() };
    let of = |(row, number): (Bytes, u64)| {
        schema.check_row(&row).map_err(ContentError::from)?;
        let envelope = Envelope {
            id: format!("{}.{}.{}.{number}", events.epoch, events.tick, schema.name),
            source: "coordinator".into(),
            kind: schema.name.clone(),
            time: None,
            subject: None,
            schema: Some(reference.clone()),
            content: Content::MessagePack,
            correlation: None,
            causation: None,
            trace: None,
        };
        Ok(Recorded { envelope, place, data: Data::Row(schema.clone(), row), upcasters: upcasters.clone() })
    };
    rows.into_iter().zip(u64::from(events.first)..).map(of).collect()
}

/// The bytes of each; `None` when they are not exactly so many.
fn rows(events: &Events) -> Option<Vec<Bytes>> {
    let records = &events.records.0;
    let count = events.count as usize;
    match events.schema.kind {
        StorageKind::Tag => records.is_empty().then(|| vec![Bytes::new(); count]),
        StorageKind::Plain => {
            let stride = events.schema.stride();
            let fits = stride > 0 && stride.checked_mul(count) == Some(records.len());
            fits.then(|| (0..count).map(|at| records.slice(at * stride..(at + 1) * stride)).collect())
        }
        StorageKind::Document => {
            let mut rows = Vec::new();
            let mut at = 0_usize;
            for _ in 0..count {
                let length = records.get(at..at.checked_add(4)?)?;
                let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
                let end = (at + 4).checked_add(length).filter(|end| *end <= records.len())?;
                rows.push(records.slice(at + 4..end));
                at = end;
            }
            (at == records.len()).then_some(rows)
        }
    }
}

/// The value of a row, whatever build of the type the world has.
pub(super) fn decode<E: Event>(stored: &Schema, row: &[u8]) -> Result<E, ReadError> {
    let mine = &known::<E>().schema;
    let value = match fit(stored, mine) {
        Fit::Exact => E::Storage::decode(row),
        Fit::Compatible(adapter) => {
            let row = adapter.read_value(row).map_err(|error| ReadError::Malformed(error.to_string()))?;
            E::Storage::decode(&row)
        }
        Fit::Incompatible(diff) => return Err(ReadError::Malformed(diff.to_string())),
    };
    Ok(value.map_err(ContentError::from)?)
}

#[cfg(test)]
mod tests {
    use engine_component::{Data as _, Entity, Event};
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Event)]
    #[event(name = "arena.Damage")]
    #[repr(C)]
    struct Damage {
        target: Entity,
        amount: f64,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(name = "arena.Said", document)]
    struct Said {
        text: String,
    }

    fn message(schema: Schema, count: u32, records: Vec<u8>) -> Result<Vec<Recorded>, ReadError> {
        let message = Events { epoch: 2, tick: 70, first: 5, count, schema, records: records.into() };
        events(&message.encode().into(), None, &Arc::default())
    }

    #[test]
    fn plain_events_of_a_tick_are_typed_and_have_ids_of_their_own() {
        let all = [
            Damage { target: Entity::from_bits(7), amount: 1.5 },
            Damage { target: Entity::from_bits(8), amount: 2.5 },
        ];
        let records = all.iter().flat_map(|one| engine_component::bytemuck::bytes_of(one).to_vec()).collect();
        let read = message(Damage::schema(), 2, records).unwrap();
        let values: Vec<Damage> = read.iter().map(|one| one.read().unwrap()).collect();
        assert_eq!(values, all);
        assert_eq!((read[0].name(), read[0].envelope.id.as_str()), ("arena.Damage", "2.70.arena.Damage.5"));
        assert_eq!(read[1].envelope.id, "2.70.arena.Damage.6");
        assert!(read[0].read::<Said>().is_err());
    }

    #[test]
    fn documents_lie_behind_their_lengths() {
        let mut records = Vec::new();
        for text in ["a", "bc"] {
            let mut row = Vec::new();
            <Said as engine_component::Data>::Storage::encode(&Said { text: text.into() }, &mut row);
            records.extend((row.len() as u32).to_le_bytes());
            records.extend(row);
        }
        let read = message(Said::schema(), 2, records.clone()).unwrap();
        assert_eq!(read[1].read::<Said>().unwrap(), Said { text: "bc".into() });
        for (count, cut) in [(2, 1), (1, 0), (3, 0), (u32::MAX, 0)] {
            assert!(message(Said::schema(), count, records[..records.len() - cut].to_vec()).is_err(), "{count} {cut}");
        }
    }
}
