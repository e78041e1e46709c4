//! Two builds of one component: what is read in place, what is adapted, what is refused and why.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Car, Profile, Velocity};
use engine_component::schema::{Access, Adapter, Field, FieldType, Fit, SchemaDiff, fit};
use engine_component::{Data, Schema, StorageKind};
use serde_json::{Value, json};

/// A Plain schema from lines like `x: f32 = 1.0 was y`, parts optional.
fn plain(fields: &[(&str, &str)]) -> Schema {
    let mut offset = 0;
    let field = |(name, ty): &(&str, &str)| {
        let ty: FieldType = ty.parse().unwrap();
        let at = offset;
        offset += ty.size();
        Field { name: (*name).into(), ty, offset: at, default: None, was: None }
    };
    let fields: Vec<Field> = fields.iter().map(field).collect();
    Schema {
        name: "t.T".into(),
        version: 1,
        kind: StorageKind::Plain,
        size: offset,
        align: 1,
        finite: false,
        access: Access::Open,
        fields,
    }
}

fn document(fields: &[(&str, &str)]) -> Schema {
    let field = |(name, ty): &(&str, &str)| Field {
        name: (*name).into(),
        ty: FieldType::Text((*ty).into()),
        offset: 0,
        default: None,
        was: None,
    };
    Schema {
        name: "t.D".into(),
        version: 1,
        kind: StorageKind::Document,
        size: 0,
        align: 1,
        finite: false,
        access: Access::Open,
        fields: fields.iter().map(field).collect(),
    }
}

fn with_default(mut schema: Schema, field: &str, default: Value) -> Schema {
    schema.fields.iter_mut().find(|candidate| candidate.name == field).unwrap().default = Some(default);
    schema
}

fn with_was(mut schema: Schema, field: &str, was: &str) -> Schema {
    schema.fields.iter_mut().find(|candidate| candidate.name == field).unwrap().was = Some(was.into());
    schema
}

fn adapter(stored: &Schema, reader: &Schema) -> Adapter {
    stored.check().unwrap();
    reader.check().unwrap();
    match fit(stored, reader) {
        Fit::Compatible(adapter) => adapter,
        other => panic!("{other:?}"),
    }
}

fn refusal(stored: &Schema, reader: &Schema) -> String {
    match fit(stored, reader) {
        Fit::Incompatible(diff) => diff.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Values of one schema as the other reads them.
fn read(stored: &Schema, reader: &Schema, values: &[Value]) -> Vec<Value> {
    let rows: Vec<u8> = values.iter().flat_map(|value| stored.value_to_row(value).unwrap()).collect();
    let mut out = vec![0xee; reader.stride() * values.len()];
    adapter(stored, reader).read(&rows, &mut out, values.len());
    out.chunks_exact(reader.stride()).map(|row| reader.row_to_value(row).unwrap()).collect()
}

#[test]
fn equal_bytes_fit_exactly_whatever_else_differs() {
    assert_eq!(fit(&Car::schema(), &Car::schema()), Fit::Exact);
    let mut newer = with_default(Velocity::schema(), "x", json!(1.0));
    newer.version = 2;
    newer.finite = true;
    assert_eq!(fit(&Velocity::schema(), &newer), Fit::Exact);
    assert_ne!(newer.hash(), Velocity::schema().hash());
}

#[test]
fn fields_may_be_added_removed_reordered_and_renamed() {
    let stored = plain(&[("a", "u32"), ("b", "f32"), ("gone", "u64"), ("old", "i16"), ("pad", "[u8; 2]")]);
    let reader = plain(&[("b", "f32"), ("new", "i16"), ("added", "[u8; 2]"), ("a", "u32")]);
    let reader = with_was(with_default(reader, "added", json!([7, 8])), "new", "old");
    let values = [
        json!({"a": 1, "b": 0.5, "gone": 9, "old": -2, "pad": [0, 0]}),
        json!({"a": 3, "b": 1.5, "gone": 9, "old": -4, "pad": [0, 0]}),
    ];
    let expected =
        [json!({"b": 0.5, "new": -2, "added": [7, 8], "a": 1}), json!({"b": 1.5, "new": -4, "added": [7, 8], "a": 3})];
    assert_eq!(read(&stored, &reader, &values), expected);

    let adapter = adapter(&stored, &reader);
    let mut kept = stored.value_to_row(&values[0]).unwrap();
    adapter.write_back(&reader.value_to_row(&expected[1]).unwrap(), &mut kept, 1).unwrap();
    assert_eq!(stored.row_to_value(&kept).unwrap(), json!({"a": 3, "b": 1.5, "gone": 9, "old": -4, "pad": [0, 0]}));
}

#[test]
fn an_older_reader_understands_a_renamed_field() {
    let stored = with_was(plain(&[("new", "u8"), ("x", "u8")]), "new", "old");
    let reader = plain(&[("x", "u8"), ("old", "u8")]);
    assert_eq!(read(&stored, &reader, &[json!({"new": 1, "x": 2})]), [json!({"old": 1, "x": 2})]);
}

#[test]
fn a_name_that_moved_on_is_not_taken_for_the_former_one() {
    // `a` became `b`, and another `a` came: the reader's `b` is not the stored `a` of today.
    let stored = plain(&[("a", "u8")]);
    let reader = with_was(plain(&[("a", "u8"), ("b", "u8")]), "b", "a");
    assert!(refusal(&stored, &reader).contains("field `b`: not stored, and without a default"));
}

#[test]
fn numbers_may_be_wider_on_the_readers_side() {
    let narrow = ["u8", "u16", "u32", "i8", "i16", "i32", "f32"];
    for from in narrow {
        for to in ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64"] {
            let (stored, reader) = (plain(&[("x", from)]), plain(&[("x", to)]));
            let Fit::Compatible(adapter) = fit(&stored, &reader) else { continue };
            let value = match from {
                "f32" => json!({"x": -0.5}),
                "u8" | "u16" | "u32" => json!({"x": 200}),
                _ => json!({"x": -100}),
            };
            let seen = &read(&stored, &reader, std::slice::from_ref(&value))[0]["x"];
            assert_eq!(seen.as_f64(), value["x"].as_f64(), "{from} as {to}");
            let mut back = stored.value_to_row(&json!({"x": 1})).unwrap();
            adapter.write_back(&reader.value_to_row(&value).unwrap(), &mut back, 1).unwrap();
            assert_eq!(stored.row_to_value(&back).unwrap(), value, "{from} as {to} and back");
        }
    }
    assert!(
        matches!(fit(&plain(&[("x", "u32")]), &plain(&[("x", "f32")])), Fit::Incompatible(_)),
        "not every u32 is an f32"
    );
    assert!(matches!(fit(&plain(&[("x", "i8")]), &plain(&[("x", "u64")])), Fit::Incompatible(_)));
}

#[test]
fn arrays_and_structs_are_converted_inside() {
    let stored = plain(&[("p", "[{x: f32, y: f32}; 2]"), ("q", "{a: u8, b: i8}")]);
    let reader = plain(&[("p", "[{y: f64, x: f64}; 2]"), ("q", "{b: i16}")]);
    let value = json!({"p": [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}], "q": {"a": 1, "b": -3}});
    let expected = json!({"p": [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}], "q": {"b": -3}});
    assert_eq!(read(&stored, &reader, &[value]), [expected]);
    assert!(
        refusal(&plain(&[("p", "[f32; 2]")]), &plain(&[("p", "[f32; 3]")]))
            .contains("[f32; 2] cannot be read as [f32; 3]")
    );
}

#[test]
fn a_refusal_shows_a_line_per_difference() {
    let stored = plain(&[("x", "f32"), ("y", "f32"), ("gone", "u8")]);
    let mut reader = plain(&[("x", "u8"), ("y", "f32"), ("added", "u64")]);
    reader.version = 2;
    let expected = "  version: 1, offered 2
  size: 9, offered 13
  field `x`: f32 at byte 0, offered u8 at byte 0
  field `y`: f32 at byte 4, offered f32 at byte 1
  field `gone`: u8 at byte 8, not offered
  field `added`: not there, offered u64 at byte 5
  field `x`: f32 cannot be read as u8
  field `added`: not stored, and without a default";
    assert_eq!(refusal(&stored, &reader), expected);
    assert!(SchemaDiff::between(&stored, &stored).is_empty());
    assert!(refusal(&stored, &document(&[])).contains("storage: plain, offered document"));
}

#[test]
fn documents_are_adapted_field_by_field() {
    let stored = document(&[("name", "String"), ("level", "u8"), ("old", "Vec<u8>"), ("gone", "bool")]);
    let reader = document(&[
        ("title", "String"),
        ("level", "u8"),
        ("added", "f32"),
        ("maybe", "Option<u8>"),
        ("old", "Vec<u8>"),
    ]);
    let reader = with_default(with_was(reader, "title", "name"), "added", json!(0.5));
    let adapter = adapter(&stored, &reader);
    let bytes = stored.value_to_row(&json!({"name": "a", "level": 1, "old": [1], "gone": true})).unwrap();
    let mine = adapter.read_document(&bytes).unwrap();
    assert_eq!(reader.row_to_value(&mine).unwrap(), json!({"title": "a", "level": 1, "added": 0.5, "old": [1]}));

    let changed = reader.value_to_row(&json!({"title": "b", "level": 2, "added": 9, "old": []})).unwrap();
    let kept = adapter.write_document(&changed, &bytes).unwrap();
    assert_eq!(stored.row_to_value(&kept).unwrap(), json!({"name": "b", "level": 2, "old": [], "gone": true}));
    assert!(adapter.read_document(&[0x92, 1, 2]).is_err() && adapter.read_document(&bytes[..9]).is_err());

    assert!(
        refusal(&document(&[("a", "String")]), &document(&[("a", "u8")]))
            .contains("\"String\" cannot be read as \"u8\"")
    );
    for (from, to) in [("u8", "u32"), ("String", "Option<String>")] {
        let _ = self::adapter(&document(&[("a", from)]), &document(&[("a", to)]));
    }
    assert_eq!(fit(&Profile::schema(), &Profile::schema()), Fit::Exact);
}

#[test]
fn a_number_that_was_not_touched_keeps_its_bytes() {
    let (stored, reader) = (plain(&[("x", "f32"), ("y", "u8")]), plain(&[("y", "f64"), ("x", "f64")]));
    let adapter = adapter(&stored, &reader);
    // A NaN with a payload, which the way to f64 and back would not keep.
    let mut row = [0x01, 0x00, 0xa0, 0x7f, 7];
    let mut mine = vec![0; reader.stride()];
    adapter.read(&row, &mut mine, 1);
    mine[..8].copy_from_slice(&8.0_f64.to_le_bytes());
    adapter.write_back(&mine, &mut row, 1).unwrap();
    assert_eq!(row, [0x01, 0x00, 0xa0, 0x7f, 8]);
}

#[test]
fn a_number_that_is_too_large_for_what_is_stored_is_an_error() {
    let (stored, reader) =
        (plain(&[("p", "[u8; 2]"), ("q", "{a: i8}")]), plain(&[("q", "{a: f32}"), ("p", "[u16; 2]")]));
    let adapter = adapter(&stored, &reader);
    let write = |value: Value| {
        let mine = reader.value_to_row(&value).unwrap();
        adapter.write_back(&mine, &mut [0, 0, 0], 1).map_err(|error| error.to_string())
    };
    assert_eq!(write(json!({"q": {"a": -128.0}, "p": [255, 0]})), Ok(()));
    let error = write(json!({"q": {"a": 0.0}, "p": [255, 256]})).unwrap_err();
    assert_eq!(error, "field `p[1]`: 256 is no u8, and that is what is stored");
    let error = write(json!({"q": {"a": 0.5}, "p": [0, 0]})).unwrap_err();
    assert_eq!(error, "field `q.a`: 0.5 is no i8, and that is what is stored");
}

#[test]
fn new_values_have_the_stored_schemas_defaults() {
    let stored = with_default(plain(&[("a", "u32"), ("gone", "u16"), ("b", "{x: u8, y: u8}")]), "gone", json!(9));
    let reader = plain(&[("b", "{y: u8, x: u8}"), ("a", "u32")]);
    let made = adapter(&stored, &reader).make(&reader.value_to_row(&json!({"a": 1, "b": {"x": 2, "y": 3}})).unwrap());
    assert_eq!(stored.row_to_value(&made.unwrap()).unwrap(), json!({"a": 1, "gone": 9, "b": {"x": 2, "y": 3}}));

    // Without a default for what the reader does not know, there is no new value; rows are still written.
    let stored = plain(&[("a", "u32"), ("gone", "u16"), ("b", "{x: u8, y: u8}")]);
    let reader = plain(&[("b", "{y: u8}"), ("a", "u32")]);
    let adapter = adapter(&stored, &reader);
    let error = adapter.make(&[1, 2, 3, 4, 5]).unwrap_err().to_string();
    let expected =
        "a new value lacks `gone`, `b`: this build does not know what is stored there, and it has no default";
    assert_eq!(error, expected);
    assert!(adapter.check_make().is_err());
    let mut kept = stored.value_to_row(&json!({"a": 1, "gone": 2, "b": {"x": 3, "y": 4}})).unwrap();
    adapter.write_back(&reader.value_to_row(&json!({"b": {"y": 5}, "a": 6})).unwrap(), &mut kept, 1).unwrap();
    assert_eq!(stored.row_to_value(&kept).unwrap(), json!({"a": 6, "gone": 2, "b": {"x": 3, "y": 5}}));
}

#[test]
fn documents_go_back_with_the_types_of_the_store() {
    let stored =
        document(&[("gone", "bool"), ("small", "u8"), ("text", "String"), ("maybe", "Option<u8>"), ("x", "f32")]);
    let stored = with_default(stored, "gone", json!(true));
    let reader = document(&[("x", "f64"), ("small", "f32"), ("text", "Option<String>"), ("maybe", "Option<u8>")]);
    let adapter = adapter(&stored, &reader);
    let before = stored.value_to_row(&json!({"gone": false, "small": 1, "text": "a", "maybe": 3, "x": 0.5})).unwrap();
    let mine = |value: Value| reader.value_to_row(&value).unwrap();
    let written = adapter.write_document(&mine(json!({"x": 2.5, "small": 2.0, "text": "b"})), &before).unwrap();
    let expected = json!({"gone": false, "small": 2, "text": "b", "x": 2.5});
    assert_eq!(stored.row_to_value(&written).unwrap(), expected, "what may be left out is left out");
    let made = adapter.make(&mine(json!({"x": 2.5, "small": 2.0, "text": "b", "maybe": 4}))).unwrap();
    let expected = stored.value_to_row(&json!({"gone": true, "small": 2, "text": "b", "maybe": 4, "x": 2.5})).unwrap();
    // JSON knows no 32-bit floats, so that field is compared by its value.
    assert_eq!(stored.row_to_value(&made).unwrap(), stored.row_to_value(&expected).unwrap());

    let refused = |value: Value| adapter.write_document(&mine(value), &before).unwrap_err().to_string();
    let error = refused(json!({"x": 0, "small": 300, "text": "b"}));
    assert_eq!(error, "field `small`: 300 is no u8, and that is what is stored");
    let error = refused(json!({"x": 0, "small": 1, "text": null}));
    assert_eq!(error, "field `text` is left out, and what is stored there is not optional");
    assert_eq!(refused(json!({"x": 0, "small": 1})), error);
}
