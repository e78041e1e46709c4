//! Scenes, as TOML and as lines of JSON.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use engine_app::tool::scene::{Checked, Format, Numbers, Outside, Scene, Writer as SceneWriter, check, spawn_into};
use engine_app::tool::schemas::Schemas;
use engine_component::{Entity, World};
use engine_net::messages::query::QueryRow;

use crate::script::{Script, Writer};
use crate::{Seeds, bits};

fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| bits::schemas().iter().cloned().collect())
}

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let how = script.byte();
    let format = match how % 3 {
        0 => None,
        1 => Some(Format::Toml),
        _ => Some(Format::Lines),
    };
    let outside = if how & 4 == 0 { Outside::None } else { Outside::Keep };
    let text = String::from_utf8_lossy(script.rest());
    let Ok(scene) = Scene::parse(&text, format) else { return };
    let count = scene.len();
    let Ok(checked) = check(scene, schemas(), outside) else { return };
    assert_eq!(checked.entities.len(), count);
    into_a_world(&checked);
    for format in [Format::Toml, Format::Lines] {
        let mut writer = SceneWriter { format, schemas: schemas(), dangling: 0 };
        let mut numbers = Numbers::new(false);
        let mut written = String::new();
        for (index, entity) in checked.entities.iter().enumerate() {
            let place = Entity::from_bits((1 << 62) + index as u64);
            numbers.add(place);
            let row = QueryRow { entity: place, components: entity.components.clone(), versions: BTreeMap::new() };
            let Ok(text) = writer.entity(&row, &numbers) else { return };
            written.push_str(&text);
        }
        let again = Scene::parse(&written, Some(format)).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(again.len(), count);
        check(again, schemas(), Outside::None).unwrap_or_else(|error| panic!("{error}\n{written}"));
    }
}

fn into_a_world(scene: &Checked) {
    let mut world = World::default();
    for schema in bits::schemas() {
        world.register_schema(schema.clone()).expect("the schemas are sound");
    }
    if let Ok(spawned) = spawn_into(&mut world, scene) {
        assert_eq!(spawned.len(), scene.entities.len());
    }
    bits::check(&world);
}

pub(super) fn seeds() -> Seeds {
    let seed = |how: u8, text: &str| Writer::default().byte(how).bytes(text.as_bytes()).end();
    let toml = r#"
[[entity]]
entity = 1
label = "one"
"fuzz.Place" = { at = { x = 1.5, y = 2 } }
fuzz.Drawn = {}

[[entity]]
fuzz.Link = { to = "one", weight = 3, spare = [1, 2] }
fuzz.Story = { friend = 1, hits = [1, 2], text = "é" }
fuzz.Place.at.x = 1
fuzz.Place.at.y = nan
"#;
    let lines = concat!(
        r#"{"entity":1,"fuzz.Place":{"at":{"x":1,"y":2}},"fuzz.Drawn":{}}"#,
        "\n\n",
        r#"{"label":"b","fuzz.Link":{"to":1,"weight":3},"fuzz.Story":{"friend":"b","hits":[],"text":""}}"#,
        "\n"
    );
    vec![("toml", seed(0, &toml.replace("nan", "2"))), ("nan", seed(0, toml)), ("lines", seed(4, lines))]
}
