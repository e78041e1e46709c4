//! Texts of scenes, without a world that runs.

use engine_app::tool::scene::{Checked, Format, Outside, Scene, check, spawn_into};
use engine_app::tool::schemas::Schemas;
use engine_component::{Data, World};
use serde_json::json;

use crate::world::{Alive, Health, Pair, Position, Story};

fn schemas() -> Schemas {
    [Position::schema(), Pair::schema(), Story::schema(), Health::schema(), Alive::schema()].into_iter().collect()
}

fn read(text: &str) -> Result<Checked, String> {
    let scene = Scene::parse(text, None).map_err(|error| error.to_string())?;
    check(scene, &schemas(), Outside::None).map_err(|error| error.to_string())
}

#[test]
fn every_way_to_write_a_component_is_the_same() {
    let ways = [
        "[[entity]]\n\"t.Position\" = { at = { x = 1, y = 2 } }",
        "[[entity]]\nt.Position = { at = { x = 1, y = 2 } }",
        "[[entity]]\nt.Position.at = { x = 1, y = 2 }",
        "[[entity]]\nt.Position.at.x = 1\nt.Position.at.y = 2",
        "[[entity]]\n[entity.t.Position.at]\nx = 1\ny = 2",
        r#"{"t.Position":{"at":{"x":1,"y":2}}}"#,
        r#"{"t":{"Position":{"at":{"x":1,"y":2}}}}"#,
        r#"{"t.Position.at.x":1,"t.Position.at.y":2}"#,
        "\n\n  {\"t.Position\":{\"at\":{\"x\":1,\"y\":2}}}  \n\n",
    ];
    for way in ways {
        let checked = read(way).unwrap_or_else(|error| panic!("{way}: {error}"));
        let position = &checked.entities[0].components["t.Position"];
        assert_eq!(position["at"], json!({"x": 1, "y": 2}), "{way}");
    }
}

#[test]
fn mistakes_are_told_with_their_line() {
    for (text, said) in [
        ("[[entity]]\nt.Alive = {}\n[[entity]]\nt.Helth = 1", "line 4: there is no component `t.Helth`"),
        ("[[entity]]\nhp = 1", "line 2: there is no component `hp`"),
        ("[[entity]]\n[entity.tt.Health]\n", "`tt.Health`; did you mean `t.Health`?"),
        ("[[entity]]\n\nt.Health =\n", "line 3: "),
        ("[entity]\nt.Health = 1", "line 1: `entity` is a list of tables"),
        ("[[entty]]\nt.Health = 1", "did you mean [[entity]]?"),
        ("entity = [1]", "an entity is a table"),
        ("[[entity]]\nlabel = 3", "line 2: `label` is text"),
        ("[[entity]]\nlabel = \"a\"\n[[entity]]\nlabel = \"a\"", "line 3: `a` is the entity of line 1 already"),
        ("[[entity]]\nentity = 3\n[[entity]]\nentity = 3", "entity 3 is the entity of line 1 already"),
        ("[[entity]]\nlabel = \"boss\"\n[[entity]]\nt.Pair.both = [\"bos\", 0]", "line 4: `t.Pair` refers to `bos`"),
        ("[[entity]]\nt.Position.at.x = 1\n\"t.Position.at.x\" = 2\nt.Position.at.y = 1", "given twice"),
        ("{\"t.Health\":1}\n{\"t.Health\":-1}", "line 2: "),
        ("{\"t.Health\":1}{}", "line 1: this is no JSON"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn numbers_that_stand_for_places_are_not_taken_from_files() {
    let place = 1_u64 << 62;
    let checked = read(&format!("{{\"t.Alive\":{{}}}}\n{{\"t.Pair\":{{\"both\":[{place},{}]}}}}", u64::MAX)).unwrap();
    assert_eq!(checked.entities[1].components["t.Pair"]["both"], json!([0, 0]));
    assert_eq!(checked.outside, 2);
    assert!(read(&format!("{{\"entity\":{place},\"t.Alive\":{{}}}}")).is_err());
}

#[test]
fn a_scene_goes_into_a_world_of_this_process() {
    let mut world = World::default();
    for schema in schemas().iter() {
        world.register_schema(schema.clone()).unwrap();
    }
    world.spawn((Alive,));
    let checked = read("{\"label\":\"a\",\"t.Pair.both\":[\"b\",\"a\"]}\n{\"label\":\"b\",\"t.Health\":3}").unwrap();
    let spawned = spawn_into(&mut world, &checked).unwrap();
    assert_eq!(world.get::<Pair>(spawned[0]).unwrap().both, [spawned[1], spawned[0]]);
    assert_eq!(world.get::<Health>(spawned[1]).unwrap().0, 3);
}

#[test]
fn garbage_is_refused_and_nothing_else_happens() {
    let deep = format!("{{\"t.Story\":{}", "[".repeat(100_000));
    let tables = format!("[[entity]]\nt.Story = {}", "{a=".repeat(10_000));
    for text in ["\u{0}", "{", "[", "[[entity]", "}", "entity", &deep, &tables, "{\"a\":1e999}"] {
        assert!(read(text).is_err(), "{}", &text[..text.len().min(40)]);
    }
    for empty in ["", "\n", "# nothing\n"] {
        assert!(read(empty).unwrap().entities.is_empty());
    }
    assert!(Scene::parse("[[entity]]", Some(Format::Lines)).is_err());
}
