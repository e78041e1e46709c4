//! Schemas from outside, as JSON and as MessagePack; and values that one of two schemas has for the other.

use engine_component::StorageKind;
use engine_component::schema::{Adapter, Fit, Schema, fit};
use engine_net::strict;

use crate::script::{Script, Writer};
use crate::{Seeds, bits};

const LIMIT: usize = 64 << 10;

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let packed = script.byte().is_multiple_of(2);
    let (first, second) = (read(script.block(), packed), read(script.block(), packed));
    let Some(first) = first else { return };
    alone(&first);
    let second = second.unwrap_or_else(|| bits::schemas()[usize::from(script.byte()) % bits::schemas().len()].clone());
    let renamed = Schema { name: first.name.clone(), ..second };
    if renamed.check().is_ok() {
        let values = script.rest();
        both(&first, &renamed, values);
        both(&renamed, &first, values);
    }
}

fn read(bytes: &[u8], packed: bool) -> Option<Schema> {
    let schema: Schema =
        if packed { strict::decode(bytes, LIMIT).ok()? } else { serde_json::from_slice(bytes).ok()? };
    // Whoever reads one checks it first.
    schema.check().is_ok().then_some(schema)
}

fn alone(schema: &Schema) {
    let packed: Schema = strict::decode(&strict::encode(schema), usize::MAX).expect("what was written can be read");
    assert_eq!(&packed, schema);
    let text = serde_json::to_string(schema).expect("a schema can be written");
    let again: Schema = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(again.hash(), schema.hash());
    assert_eq!(fit(schema, &again), Fit::Exact);
    for offset in schema.entity_offsets() {
        assert!(offset as usize + 8 <= schema.stride(), "entities are inside of the value");
    }
    for (offset, width) in schema.float_lanes() {
        assert!(offset as usize + usize::from(width) <= schema.stride(), "floats are inside of the value");
    }
    let zeros = vec![0; schema.stride()];
    if schema.kind != StorageKind::Document {
        schema.check_row(&zeros).expect("zeros are a value of everything Plain");
        schema.row_to_value(&zeros).expect("and can be read");
    }
    if let Ok(row) = schema.value_to_row(&serde_json::json!({})) {
        schema.check_row(&row).expect("a value of defaults is a value");
    }
}

fn both(stored: &Schema, reader: &Schema, values: &[u8]) {
    let Fit::Compatible(adapter) = fit(stored, reader) else { return };
    if stored.kind == StorageKind::Document {
        return documents(&adapter, values);
    }
    let mut old = values.get(..stored.stride()).map_or_else(|| vec![0; stored.stride()], <[u8]>::to_vec);
    let mine = adapter.read_value(&old).expect("a Plain value can be read");
    assert_eq!(mine.len(), reader.stride());
    if stored.check_row(&old).is_ok() && adapter.write_back(&mine, &mut old, 1).is_ok() {
        assert_eq!(adapter.read_value(&old).expect("it still can").len(), reader.stride());
    }
    if let Ok(made) = adapter.make(&mine) {
        assert_eq!(made.len(), stored.stride());
    }
}

fn documents(adapter: &Adapter, values: &[u8]) {
    let Ok(mine) = adapter.read_document(values) else { return };
    let _ = adapter.write_document(&mine, values);
    let _ = adapter.write_document(values, &mine);
    let _ = adapter.make(&mine);
}

pub(super) fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    let known = bits::schemas();
    for (packed, names) in [(0, ["packed-a", "packed-b", "packed-c"]), (1, ["json-a", "json-b", "json-c"])] {
        for (at, name) in names.into_iter().enumerate() {
            let mut other = known[at * 2].clone();
            other.fields.rotate_left(usize::from(other.kind == StorageKind::Document));
            let encode = |schema: &Schema| match packed {
                0 => strict::encode(schema),
                _ => serde_json::to_vec(schema).expect("a schema can be written"),
            };
            let script = Writer::default().byte(packed).block(encode(&known[at * 2])).block(encode(&other)).byte(1);
            seeds.push((name, script.bytes(&[0; 16]).end()));
        }
    }
    seeds
}
