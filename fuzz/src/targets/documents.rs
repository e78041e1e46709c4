//! Values from outside by their schemas: rows, documents, JSON; and raw MessagePack.

use engine_component::msgpack;
use engine_component::schema::Schema;

use crate::script::{Script, Writer};
use crate::{Seeds, bits};

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let schemas = bits::schemas();
    let schema = script.choose(schemas);
    let rest = script.rest();
    raw(rest);
    row(schema, rest);
    if let Ok(value) = serde_json::from_slice(rest)
        && let Ok(made) = schema.value_to_row(&value)
    {
        schema.check_row(&made).expect("what is made of a value is a row");
        row(schema, &made);
    }
    let rows = rest.len() / schema.stride().max(1);
    let _ = schema.check_rows(rest, rows);
    let _ = schema.check_rows(rest, usize::MAX);
}

fn raw(bytes: &[u8]) {
    match msgpack::check(bytes, 32) {
        Ok(length) => {
            assert!(length <= bytes.len());
            msgpack::check_whole(&bytes[..length], 32).expect("a value is whole where it ends");
        }
        Err(_) => assert!(msgpack::check_whole(bytes, 32).is_err()),
    }
    let mut count = 0;
    msgpack::visit_entities(bytes, |_| count += 1);
    let mut same = bytes.to_vec();
    msgpack::for_each_entity(&mut same, |entity| {
        count -= 1;
        entity
    });
    assert_eq!((count, &same[..]), (0, bytes), "the same entities are visited, and stay what they are");
}

fn row(schema: &Schema, bytes: &[u8]) {
    schema.visit_entities(bytes, &mut |_| {});
    let checked = schema.check_row(bytes);
    let Ok(value) = schema.row_to_value(bytes) else { return };
    if checked.is_err() {
        return;
    }
    // A document may leave out what has no default, and may hold what JSON can't.
    let Ok(again) = schema.value_to_row(&value) else { return };
    let value_again = schema.row_to_value(&again).expect("it was just written");
    let third = schema.value_to_row(&value_again).expect("what was written once can be written again");
    assert_eq!(again, third, "a row is the same after one more turn through JSON");
}

pub(super) fn seeds() -> Seeds {
    let names: Vec<String> = bits::schemas().iter().map(|schema| schema.name.clone()).collect();
    let at = |name: &str| names.iter().position(|known| known == name).expect("it is one of the app") as u8;
    let story = crate::app::Story { friend: None, hits: vec![1, 300], text: "é".into() };
    let packed = rmp_serde::to_vec_named(&story).expect("a story can be written");
    let json = |name: &str, text: &str| Writer::default().byte(at(name)).bytes(text.as_bytes()).end();
    vec![
        ("plain", Writer::default().byte(at("fuzz.Place")).bytes(&[0; 8]).end()),
        ("document", Writer::default().byte(at("fuzz.Story")).bytes(&packed).end()),
        ("json", json("fuzz.Place", r#"{"at":{"x":1.5,"y":-2}}"#)),
        ("json-link", json("fuzz.Link", r#"{"to":5,"weight":7,"spare":[1,2]}"#)),
        ("json-story", json("fuzz.Story", r#"{"friend":9,"hits":[1,2],"text":"a"}"#)),
        ("json-list", json("fuzz.Wind", "[0.5, 3]")),
    ]
}
