//! Schemas come over the wire: whatever a stranger writes, it is accepted or refused, and nothing panics.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Alive, Car, Profile, Velocity};
use engine_component::schema::{FieldType, MAX_SIZE};
use engine_component::{Data, Schema};
use serde_json::json;

fn refused(change: impl FnOnce(&mut Schema)) -> String {
    let mut schema = Car::schema();
    change(&mut schema);
    schema.check().unwrap_err().to_string()
}

#[test]
fn names_are_checked() {
    assert!(refused(|schema| schema.name = "a.*".into()).contains("`a.*` is no name"));
    assert!(refused(|schema| schema.fields[0].name = "a b".into()).contains("`a b` is no name of a field"));
    assert!(refused(|schema| schema.fields[0].name = "x\n".repeat(1000)).len() < 400);
    assert!(refused(|schema| schema.fields[0].was = Some(String::new())).contains("is no name of a field"));
    assert!(refused(|schema| schema.fields[1].name = "driver".into()).contains("two fields `driver`"));
}

#[test]
fn the_layout_is_checked() {
    assert!(refused(|schema| schema.fields[1].offset = 4).contains("field `place` starts at byte 4 instead of 8"));
    assert!(refused(|schema| schema.fields[1].offset = u32::MAX).contains("instead of 8"));
    assert!(refused(|schema| schema.size = 56).contains("48 bytes together, the value has 56"));
    assert!(refused(|schema| drop(schema.fields.pop())).contains("42 bytes together"));
    assert!(refused(|schema| schema.size = 0).contains("0 bytes"));
    assert!(refused(|schema| schema.size = u32::MAX).contains(&MAX_SIZE.to_string()));
    for align in [0, 3, 32, u32::MAX] {
        assert!(refused(|schema| schema.align = align).contains("is no alignment"));
    }
    assert!(refused(|schema| schema.fields[0].ty = FieldType::Text("u64".into())).contains("cannot be of type"));
    assert!(
        refused(|schema| schema.fields[0].ty = FieldType::Array(Box::new(FieldType::U8), 0))
            .contains("cannot be of type")
    );
    assert!(refused(|schema| schema.fields[0].ty = FieldType::Struct(Vec::new())).contains("cannot be of type"));
}

#[test]
fn counts_are_limited() {
    let many = |schema: &mut Schema| {
        let field = schema.fields[0].clone();
        schema.fields = (0..257)
            .map(|index| engine_component::schema::Field { name: format!("f{index}"), ..field.clone() })
            .collect();
    };
    assert!(refused(many).contains("more than 256 fields"));
    let deep = |schema: &mut Schema| {
        schema.fields[0].ty = (0..50).fold(FieldType::U64, |ty, _| FieldType::Array(Box::new(ty), 1));
    };
    assert!(refused(deep).contains("nested deeper"));
}

#[test]
fn tags_and_documents_have_no_layout() {
    let mut tag = Alive::schema();
    tag.size = 4;
    assert!(tag.check().is_err());
    let mut tag = Alive::schema();
    tag.fields = Velocity::schema().fields;
    assert!(tag.check().is_err());
    let mut document = Profile::schema();
    document.fields[0].ty = FieldType::U8;
    assert!(document.check().is_err());
    let mut document = Profile::schema();
    document.fields[0].ty = FieldType::Text("a\nb".into());
    assert!(!document.check().unwrap_err().to_string().contains('\n'));
    let mut document = Profile::schema();
    document.fields[0].offset = 8;
    assert!(document.check().is_err());
}

#[test]
fn defaults_are_values_of_their_fields() {
    assert!(
        refused(|schema| schema.fields[3].default = Some(json!(99_999))).contains("default of field `temperature`")
    );
    assert!(refused(|schema| schema.fields[1].default = Some(json!(["NaN", 0]))).contains("finite"));
    let deep = (0..1000).fold(json!(0), |inner, _| json!([inner]));
    assert!(refused(|schema| schema.fields[1].default = Some(deep.clone())).contains("nested too deep"));
    let mut document = Profile::schema();
    document.fields[0].default = Some(json!("x".repeat(10_000)));
    assert!(document.check().unwrap_err().to_string().contains("4096 are allowed"));
    document.fields[0].default = Some(json!({"$bin": "zz"}));
    assert!(document.check().is_err());
}

#[test]
fn types_are_parsed_with_limits() {
    let with_type = |ty: &str| {
        let mut json = serde_json::to_value(Velocity::schema()).unwrap();
        json["fields"][0]["ty"] = json!(ty);
        serde_json::from_value::<Schema>(json)
    };
    assert!(with_type("f32").is_ok());
    for ty in [
        "",
        "bool",
        "[f32; 99999999]",
        &"[".repeat(1_000_000),
        &"{a: ".repeat(1_000_000),
        &"{a: u8, ".repeat(1_000_000),
    ] {
        let error = with_type(ty).unwrap_err().to_string();
        assert!(error.contains("is no type") && error.len() < 400, "{error}");
    }
}
