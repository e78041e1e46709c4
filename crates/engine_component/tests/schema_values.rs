//! Values by field name: what editors, scenes and tables write becomes rows, and rows become JSON again.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Alive, Car, Damage, Health, Pose, Profile, Scalars, Velocity, Wheel};
use engine_component::schema::FieldType;
use engine_component::{Data, DecodeError, Entity, Storage};
use engine_math::{DVec2, Quat, Transform, Vec3};
use serde_json::{Value, json};

fn row<T: Data>(value: &T) -> Vec<u8> {
    T::Storage::with_bytes(value, <[u8]>::to_vec)
}

fn decode<T: Data>(bytes: &[u8]) -> Result<T, DecodeError> {
    let seen = T::Storage::view(bytes).is_ok();
    let decoded = T::Storage::decode(bytes);
    assert_eq!(seen, decoded.is_ok());
    decoded
}

fn refusal<T: Data>(value: &Value) -> String {
    T::schema().value_to_row(value).unwrap_err().to_string()
}

/// The value, its JSON, and back.
fn agrees<T: Data + PartialEq + std::fmt::Debug>(value: &T, json: &Value) {
    let schema = T::schema();
    let bytes = row(value);
    schema.check_row(&bytes).unwrap();
    assert_eq!(schema.row_to_value(&bytes).unwrap(), *json);
    let written = schema.value_to_row(json).unwrap();
    assert_eq!(decode::<T>(&written).unwrap(), *value);
    assert_eq!(decode::<T>(&bytes).unwrap(), *value);
}

fn car() -> Car {
    let wheel = |radius| Wheel { radius, bolts: [1, 2, 3, 4] };
    Car {
        driver: Entity::from_bits(9),
        place: DVec2::new(0.1, -2.0),
        wheels: [wheel(0.5), wheel(0.1)],
        temperature: -40,
        seats: [1; 6],
    }
}

fn profile() -> Profile {
    Profile {
        name: "Ada".into(),
        hits: vec![1, 70_000],
        rival: Some(Entity::from_bits(5)),
        friends: vec![Entity::from_bits(6), Entity::NONE],
        tint: (1, 2, 255),
        cached: 0,
    }
}

#[test]
fn every_storage_goes_to_json_and_back() {
    agrees(&Velocity { x: 0.1, y: -3.5e10 }, &json!({"x": 0.1, "y": -3.5e10}));
    agrees(
        &car(),
        &json!({
            "driver": 9, "place": {"x": 0.1, "y": -2.0},
            "wheels": [{"radius": 0.5, "bolts": [1, 2, 3, 4]}, {"radius": 0.1, "bolts": [1, 2, 3, 4]}],
            "temperature": -40, "seats": [1, 1, 1, 1, 1, 1],
        }),
    );
    agrees(&Health(2.5), &json!(2.5));
    agrees(&Damage { target: Entity::from_bits(3), amount: 4.0 }, &json!({"target": 3, "amount": 4.0}));
    agrees(&Alive, &json!({}));
    agrees(
        &profile(),
        &json!({"name": "Ada", "hits": [1, 70_000], "rival": 5, "friends": [6, 0], "colour": [1, 2, 255]}),
    );
}

#[test]
fn the_ends_of_all_ranges_survive() {
    let low = Scalars {
        a: 0,
        b: i64::MIN,
        c: f64::MIN,
        d: 0,
        e: i32::MIN,
        f: f32::MIN,
        g: 0,
        h: i16::MIN,
        i: 0,
        j: i8::MIN,
        r#type: [0; 6],
    };
    let high = Scalars {
        a: u64::MAX,
        b: i64::MAX,
        c: f64::MIN_POSITIVE,
        d: u32::MAX,
        e: i32::MAX,
        f: f32::from_bits(1),
        g: u16::MAX,
        h: i16::MAX,
        i: u8::MAX,
        j: i8::MAX,
        r#type: [255; 6],
    };
    let schema = Scalars::schema();
    for value in [low, high] {
        let json = schema.row_to_value(&row(&value)).unwrap();
        // By way of text, as a file has it.
        let json: Value = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(schema.value_to_row(&json).unwrap(), row(&value));
    }
    for (field, beyond) in [
        ("a", json!(-1)),
        ("b", json!(u64::MAX)),
        ("d", json!(1_u64 << 32)),
        ("g", json!(65_536)),
        ("h", json!(32_768)),
        ("i", json!(256)),
        ("j", json!(-129)),
        ("e", json!(1.5)),
        ("f", json!(1e39)),
    ] {
        let mut json = schema.row_to_value(&row(&low)).unwrap();
        json[field] = beyond;
        let error = refusal::<Scalars>(&json);
        assert!(error.starts_with(&format!("field `{field}` of `test.Scalars` wants ")), "{error}");
    }
}

#[test]
fn what_json_has_no_number_for_is_a_word() {
    let odd = Velocity { x: f32::NAN, y: f32::NEG_INFINITY };
    let json = Velocity::schema().row_to_value(&row(&odd)).unwrap();
    assert_eq!(json, json!({"x": "NaN", "y": "-inf"}));
    let back: Velocity = decode(&Velocity::schema().value_to_row(&json).unwrap()).unwrap();
    assert!(back.x.is_nan() && back.y == f32::NEG_INFINITY);
}

#[test]
fn missing_fields_get_their_default_or_are_named() {
    let written =
        Car::schema().value_to_row(&json!({"driver": 1, "place": [3, 4], "seats": [0, 0, 0, 0, 0, 0]})).unwrap();
    let expected = Car {
        driver: Entity::from_bits(1),
        place: DVec2::new(3.0, 4.0),
        wheels: [Wheel { radius: 0.25, bolts: [5; 4] }; 2],
        temperature: -1,
        seats: [0; 6],
    };
    assert_eq!(written, row(&expected));
    let written = Profile::schema().value_to_row(&json!({"name": "B", "colour": [0, 0, 0]})).unwrap();
    let expected =
        Profile { name: "B".into(), hits: vec![7, 8], rival: None, friends: vec![], tint: (0, 0, 0), cached: 0 };
    assert_eq!(decode::<Profile>(&written).unwrap(), expected);
    let pose = Pose::schema().value_to_row(&json!({"turn": [0, 0, 0, 1], "up": [0, 1, 0], "weight": 1})).unwrap();
    let expected = Pose { turn: Quat::IDENTITY, local: Transform::IDENTITY, up: Vec3::Y, weight: 1.0 };
    assert_eq!(pose, row(&expected));

    assert_eq!(
        refusal::<Velocity>(&json!({"x": 1})),
        "field `y` of `physics.Velocity` is missing, and it has no default"
    );
    assert_eq!(
        refusal::<Profile>(&json!({"name": "B"})),
        "field `colour` of `arena.Profile` is missing, and it has no default"
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    let cases = [
        (refusal::<Velocity>(&json!({"x": 1, "Y": 2})), "`physics.Velocity` has no field `Y`: is `y` meant?"),
        (refusal::<Velocity>(&json!({"x": 1, "speed": 2})), "`physics.Velocity` has no field `speed`"),
        (refusal::<Profile>(&json!({"nam": 1})), "`arena.Profile` has no field `nam`: is `name` meant?"),
        (refusal::<Alive>(&json!({"x": 1})), "`arena.Alive` has no field `x`"),
        (refusal::<Velocity>(&json!({"x": "fast", "y": 2})), "field `x` of `physics.Velocity` wants f32, not \"fast\""),
        (refusal::<Velocity>(&json!(5)), "`physics.Velocity` wants an object, not 5"),
        (refusal::<Health>(&json!(null)), "`arena.Health` wants f32, not null"),
        (
            refusal::<Car>(&json!({"driver": 1, "place": {"x": 1, "z": 2}, "seats": []})),
            "field `place` of `garage.Car` wants {x: f64, y: f64}, not an object with the fields [x, z]",
        ),
        (
            refusal::<Car>(
                &json!({"driver": 1, "place": [1, 2], "wheels": [[1, [1, 2, 3, 4]], [1, [1, 2, 3, 900]]], "seats": []}),
            ),
            "field `wheels[1].bolts[3]` of `garage.Car` wants u8, not 900",
        ),
        (
            refusal::<Car>(&json!({"driver": 1, "place": ["inf", 2], "seats": [0, 0, 0, 0, 0, 0]})),
            "`garage.Car` is declared finite, byte 8 starts a NaN or an infinity",
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(error, expected);
    }
}

#[test]
fn documents_keep_what_json_has_not() {
    let mut schema = Profile::schema();
    for field in schema.fields.iter_mut().filter(|field| field.name != "rival") {
        // A type of the user's, of which nothing is known.
        field.ty = FieldType::Text("garage::Anything".into());
    }
    let mut special = Vec::new();
    rmp::encode::write_map_len(&mut special, 5).unwrap();
    for (key, value) in [
        ("bytes", &[0xc4_u8, 2, 0, 255][..]),
        ("other", &[0xd5, 9, 1, 2]),
        ("entity", &[0xd7, 1, 8, 0, 0, 0, 0, 0, 0, 0]),
        ("nan", &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
        ("keys", &[0x82, 1, 2, 0xa2, b'$', b'a', 3]),
    ] {
        rmp::encode::write_str(&mut special, key).unwrap();
        special.extend(value);
    }
    let mut document = vec![0x81, 0xa4];
    document.extend(b"name");
    document.extend(&special);
    let json = schema.row_to_value(&document).unwrap();
    assert_eq!(
        json["name"],
        json!({
            "bytes": {"$bin": "00ff"}, "other": {"$ext": [9, "0102"]}, "entity": {"$entity": 8}, "nan": {"$float": "NaN"},
            "keys": {"$map": [[1, 2], ["$a", 3]]},
        })
    );
    let full = json!({"name": json["name"], "colour": 0, "hits": 0, "friends": 0});
    let back = schema.row_to_value(&schema.value_to_row(&full).unwrap()).unwrap();
    assert_eq!(back["name"], json["name"]);
}

#[test]
fn rows_from_outside_are_checked() {
    let car = Car::schema();
    assert_eq!(car.check_row(&[0; 3]).unwrap_err().to_string(), "`garage.Car` has 48 bytes, not 3");
    let mut odd = row(&self::car());
    odd[16..24].copy_from_slice(&f64::INFINITY.to_le_bytes());
    assert!(car.check_row(&odd).unwrap_err().to_string().contains("byte 16"));
    let two = [row(&self::car()), odd].concat();
    assert!(car.check_rows(&two, 2).unwrap_err().to_string().contains("byte 64"));
    assert!(car.check_rows(&two, 3).is_err() && car.check_rows(&two[..48], 1).is_ok());
    assert!(Velocity::schema().check_row(&[255; 8]).is_ok(), "NaN is a value where nothing forbids it");
    assert!(Alive::schema().check_row(&[0]).is_err());

    let profile = Profile::schema();
    let good = row(&self::profile());
    assert!(profile.check_row(&good).is_ok());
    for length in 0..good.len() {
        assert!(profile.check_row(&good[..length]).is_err(), "{length}");
    }
    assert!(profile.check_row(&[&good[..], &[0]].concat()).unwrap_err().to_string().contains("1 bytes follow"));
    assert!(profile.check_row(&[0x93, 1, 2, 3]).unwrap_err().to_string().contains("not a map"));
    let deep = [vec![0x81, 0xa1, b'a'], vec![0x91; 10_000], vec![0]].concat();
    assert!(profile.check_row(&deep).unwrap_err().to_string().contains("deeper"));
}

#[test]
fn documents_with_trailing_bytes_do_not_decode() {
    let bytes = [row(&profile()), vec![0]].concat();
    let error = decode::<Profile>(&bytes).unwrap_err().to_string();
    assert_eq!(error, "the document is no `arena.Profile`: 1 bytes follow it");
    assert!(decode::<Velocity>(&[0; 7]).is_err());
    assert!(decode::<Alive>(&[0]).is_err());
}

#[test]
fn rows_need_not_be_aligned() {
    let bytes = [vec![0], row(&car())].concat();
    assert_eq!(decode::<Car>(&bytes[1..]).unwrap(), car());
}

#[test]
fn lanes_and_entities_are_found_inside_of_fields() {
    let schema = Car::schema();
    assert_eq!(schema.float_lanes(), [(8, 8), (16, 8), (24, 4), (32, 4)]);
    assert_eq!(schema.entity_offsets(), [0]);
    assert_eq!(Pose::schema().float_lanes().len(), 16);
    assert!(Profile::schema().float_lanes().is_empty());
}

#[test]
fn every_entity_of_a_value_is_visited_and_nothing_else() {
    fn numbered<T: Data>(value: &Value) -> Value {
        let mut value = value.clone();
        T::schema().for_each_entity_value(&mut value, &mut |entity| {
            *entity = entity.as_u64().map_or_else(|| 1.into(), |number| (number + 100).into());
        });
        value
    }
    let mut profile = Profile::schema().row_to_value(&row(&profile())).unwrap();
    profile["friends"] = json!([6, {"$entity": 0}, "boss"]);
    let renumbered = numbered::<Profile>(&profile);
    assert_eq!(renumbered["rival"], json!(105));
    assert_eq!(renumbered["friends"], json!([106, {"$entity": 100}, 1]));
    assert_eq!(renumbered["hits"], json!([1, 70_000]), "numbers that are no entities stay");
    let deep = json!({"name": [{"by": {"$entity": 7}}, 7]});
    assert_eq!(numbered::<Profile>(&deep), json!({"name": [{"by": {"$entity": 107}}, 7]}));
    let car = numbered::<Car>(&json!({"driver": 9, "seats": [1, 1, 1, 1, 1, 1]}));
    assert_eq!(car, json!({"driver": 109, "seats": [1, 1, 1, 1, 1, 1]}));
}
