//! Golden vectors of schemas: the canonical text, its hash and the id of components of every kind. Whoever
//! reads schemas in another language tests against the same files.
//!
//! `ENGINE_BLESS=1` writes the files anew: a change in them is a change of the format.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::PathBuf;

use common::{Alive, Car, Damage, Health, Pose, Profile, Scalars, Velocity};
use engine_component::{Component, Data, Schema};

fn check<T: Data>() {
    let schema = T::schema();
    schema.check().unwrap_or_else(|error| panic!("{}: {error}", schema.name));
    assert_eq!(schema.id(), T::ID);
    let text = format!("{}\nid {}\nhash {}\n", schema.canonical_text(), schema.id(), schema.hash());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{}.txt", T::NAME));
    if std::env::var_os("ENGINE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text, golden, "the format of schemas has changed: {}", path.display());
}

#[test]
fn schemas_say_what_the_golden_files_say() {
    check::<Velocity>();
    check::<Car>();
    check::<Scalars>();
    check::<Pose>();
    check::<Health>();
    check::<Damage>();
    check::<Alive>();
    check::<Profile>();
}

/// The way the type of a field of a document is imported is no part of the schema.
#[test]
fn declared_types_are_normalised() {
    use std::collections::BTreeMap as Map;

    #[derive(serde::Serialize, serde::Deserialize, Component)]
    #[component(name = "test.Imports", document)]
    struct Imports {
        map: std::collections::BTreeMap<::std::string::String, std::vec::Vec<(u8, u16)>>,
        list: Map<String, [Option<i8>; 3]>,
    }

    let types: Vec<String> = Imports::schema().fields.iter().map(|field| field.ty.to_string()).collect();
    assert_eq!(types, ["\"BTreeMap<String, Vec<(u8, u16)>>\"", "\"Map<String, [Option<i8>; 3]>\""]);
}

#[test]
fn schemas_travel_as_messagepack_and_json() {
    for schema in [Car::schema(), Profile::schema(), Alive::schema(), Pose::schema()] {
        let bytes = rmp_serde::to_vec_named(&schema).unwrap();
        let back: Schema = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!((back.hash(), &back), (schema.hash(), &schema));
        let text = serde_json::to_string(&schema).unwrap();
        let back: Schema = serde_json::from_str(&text).unwrap();
        assert_eq!((back.hash(), &back), (schema.hash(), &schema));
    }
}
