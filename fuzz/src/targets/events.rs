//! Batches of events.

use engine_component::Entity;
use engine_component::schema::Schema;
use engine_system::{EventBatch, EventSlice};

use crate::app::{Bell, Hit, Tale};
use crate::script::{Script, Writer};
use crate::{Seeds, bits};

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let schemas = bits::schemas();
    let schema = script.choose(schemas);
    let count = script.short() as usize;
    let bytes = script.rest();
    let batch = EventBatch::from_bytes(schema, count, bytes);
    assert_eq!(batch.is_ok(), EventSlice::from_bytes(schema, count, bytes).is_ok());
    let Ok(mut batch) = batch else { return };
    assert_eq!((batch.len(), batch.bytes()), (count, bytes), "a batch is what it was made of");
    assert_eq!(batch.as_slice().rows().count(), count);
    visit(schema, &batch);
    let offsets = schema.entity_offsets();
    batch.replace_entities(&offsets, |entity| entity);
    assert_eq!(batch.bytes(), bytes, "the same entities, the same bytes");
    batch.replace_entities(&offsets, |_| Entity::from_bits(1));
    let again = EventBatch::from_bytes(schema, batch.len(), batch.bytes()).expect("an entity is as good as another");
    let mut twice = again.clone();
    twice.append(&again);
    assert_eq!((twice.len(), twice.byte_len()), (2 * again.len(), 2 * again.byte_len()));
}

fn visit(schema: &Schema, batch: &EventBatch) {
    for row in batch.as_slice().rows() {
        schema.check_row(row).expect("each was checked");
        schema.visit_entities(row, &mut |_| {});
    }
}

pub(super) fn seeds() -> Seeds {
    let at =
        |name: &str| bits::schemas().iter().position(|schema| schema.name == name).expect("it is one of the app") as u8;
    let script = |name: &str, batch: &EventBatch| {
        Writer::default().byte(at(name)).short(batch.len() as u16).bytes(batch.bytes()).end()
    };
    let (mut hits, mut tales, mut bells) =
        (EventBatch::of::<Hit>(), EventBatch::of::<Tale>(), EventBatch::of::<Bell>());
    for number in 1..4 {
        hits.push(&Hit { whom: Entity::from_bits(number), points: 1, spare: 0 });
        tales.push(&Tale { of: Entity::from_bits(number), text: "so".into() });
        bells.push(&Bell);
    }
    vec![
        ("hits", script("fuzz.Hit", &hits)),
        ("tales", script("fuzz.Tale", &tales)),
        ("bells", script("fuzz.Bell", &bells)),
    ]
}
