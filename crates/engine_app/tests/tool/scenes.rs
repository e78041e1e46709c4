//! `scene load` and `scene save`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use engine_app::{App, Settings};
use engine_component::Entity;
use engine_math::Vec2;
use tempfile::TempDir;

use crate::world::{Alive, Health, Meeting, Pair, Position, Story, World, app, command, text, until};

/// Entities that refer to one another, forth and back, some of them gone; row order is not number order.
fn knots(count: u64) -> App {
    app().on_start(move |start| {
        let other = |number: u64| Entity::from_bits(number % count + 1);
        for number in 0..count {
            let position = Position { at: Vec2::new(number as f32, 0.1), size: 0.5, layer: number as u32 };
            let pair = Pair { both: [other(number + 1), other(number + count - 1)] };
            match number % 3 {
                0 => drop(start.world.spawn((position, pair))),
                1 => drop(start.world.spawn((position, pair, Alive))),
                _ => {
                    let met = vec![Meeting { with: other(number * 7), tick: number }];
                    let friends = vec![other(number + 5), Entity::NONE];
                    let story = Story { text: format!("\"{number}\"\n\u{7f}ä"), rival: None, friends, met };
                    start.world.spawn((story, Health(number as u32)));
                }
            }
        }
        for number in [2, 3, 11] {
            start.world.despawn(Entity::from_bits(number))?;
        }
        Ok(())
    })
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        name_of(&self.path(name))
    }
}

fn name_of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn round_trip(count: u64, ending: &str) {
    let files = Files::new();
    let [first, second] = ["first", "second"].map(|name| name_of(&files.path(&format!("{name}.{ending}"))));
    let old = World::paused(knots(count));
    assert!(old.says(&["scene", "save", &first]).contains(&format!("{} entities", count - 3)));
    let new = World::paused(app());
    new.says(&["scene", "load", &first]);
    new.says(&["scene", "save", &second]);
    let [first, second] = [first, second].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(first == second, "the second file differs from the first");
    assert!(first.lines().count() as u64 >= count - 3);
}

#[test]
fn a_saved_world_loads_and_saves_alike_as_toml() {
    round_trip(60, "toml");
}

#[test]
fn a_saved_world_loads_and_saves_alike_as_lines() {
    round_trip(60, "jsonl");
}

#[test]
fn a_large_scene_keeps_its_references_across_batches() {
    round_trip(9_000, "jsonl");
}

#[test]
fn a_large_scene_leaves_the_world_running_as_it_was() {
    let files = Files::new();
    let path = name_of(&files.path("scene.jsonl"));
    World::paused(knots(9_000)).says(&["scene", "save", &path]);
    let world = World::start(app(), Settings { rate: 100.0, ..Settings::default() });
    world.says(&["scene", "load", &path]);
    assert_eq!(world.says(&["query", "--count"]), "8997\n");
    let tick = || world.json(&["status"])["tick"].as_u64().unwrap();
    let at = tick();
    until("it runs on", || tick() > at);
}

#[test]
fn labels_and_numbers_refer_to_entities_of_the_file() {
    let files = Files::new();
    let world = World::paused(app());
    world.says(&["spawn", "t.Alive", "--count", "5"]);
    let path = files.write(
        "scene.toml",
        r#"
            [[entity]]
            label = "boss"
            t.Health = 9

            [[entity]]
            entity = 1
            [entity.t.Pair]
            both = ["boss", 1]

            [[entity]]
            "t.Story" = { text = "Ada", rival = "boss", friends = [1], met = [{ with = { "$entity" = "boss" }, tick = 3 }] }
            t.Position.at = { x = 1, y = inf }
        "#,
    );
    let error = world.refuses(&["scene", "load", &path]);
    assert!(error.contains("scene.toml:13: `t.Position`") && error.contains("finite"), "{error}");
    let path = files.write("scene.toml", &std::fs::read_to_string(&path).unwrap().replace("inf", "2"));
    let done = world.json(&["scene", "load", &path]);
    assert_eq!(done["entities"], serde_json::json!([6, 7, 8]));
    assert_eq!(world.query(&["--entity", "7"])[0]["t.Pair"]["both"], serde_json::json!([6, 7]));
    let story = &world.query(&["--entity", "8"])[0]["t.Story"];
    assert_eq!((&story["rival"], &story["friends"]), (&6.into(), &serde_json::json!([7])));
    assert_eq!(story["met"], serde_json::json!([{"with": {"$entity": 6}, "tick": 3}]));
}

#[test]
fn a_mistake_in_the_last_line_leaves_the_world_as_it_was() {
    let files = Files::new();
    let world = World::paused(app());
    let hash = world.hash();
    let good = "{\"t.Health\":1}\n".repeat(20_000);
    for (line, reason) in [
        ("{\"t.Helth\":1}", "`t.Helth`; did you mean `t.Health`?"),
        ("{\"t.Health\":1.5}", "wants u32"),
        ("{\"t.Health\":1", "no JSON"),
        ("{\"t.Pair.both\":[\"nobody\",0]}", "no entity of the scene has that label"),
        ("{\"t.Position.at.w\":1}", "`t.Position.at` has no field `w`"),
        ("[1]", "a line holds one entity"),
        ("{\"entity\":0,\"t.Alive\":{}}", "`entity` is a number from 1"),
    ] {
        let path = files.write("scene.jsonl", &format!("{good}{line}\n"));
        let error = world.refuses(&["scene", "load", &path]);
        assert!(error.contains("scene.jsonl:20001: ") && error.contains(reason), "{error}");
    }
    assert_eq!(world.hash(), hash);
}

#[test]
fn references_out_of_the_file_become_nobody_or_stay() {
    let files = Files::new();
    let world = World::paused(app());
    let path = files.write("scene.jsonl", "{\"t.Pair.both\":[77,0]}\n");
    let output = world.engine(&["scene", "load", &path]);
    assert!(text(&output.stderr).contains("warning") && text(&output.stderr).contains("entity 77"));
    world.says(&["scene", "load", "--keep-outside", &path]);
    let both: Vec<_> = world.query(&["t.Pair"]).iter().map(|row| row["t.Pair"]["both"].clone()).collect();
    assert_eq!(both, [serde_json::json!([0, 0]), serde_json::json!([77, 0])]);
}

#[test]
fn a_check_sends_nothing_and_a_pipe_is_a_file() {
    let world = World::paused(app());
    for (arguments, count) in [(vec!["scene", "load", "-", "--check"], "0\n"), (vec!["scene", "load", "-"], "1\n")] {
        let mut child = command(&world.config, &arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"[[entity]]\nt.Alive = {}\n").unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(world.says(&["query", "--count"]), count);
    }
}

#[test]
fn the_rows_of_a_query_are_a_scene() {
    let world = World::paused(app());
    world.says(&["spawn", "t.Health=3", "t.Position.at={x=1,y=2}"]);
    let files = Files::new();
    let path = files.write("rows.jsonl", &world.says(&["query", "--json"]));
    world.says(&["scene", "load", &path]);
    let rows = world.query(&["t.Health, t.Position"]);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["t.Position"], rows[1]["t.Position"]);
}

#[test]
fn a_file_that_can_not_be_written_or_read_is_named() {
    let world = World::paused(app());
    assert!(world.refuses(&["scene", "load", "no/such.toml"]).contains("reading no/such.toml"));
    assert!(world.refuses(&["scene", "save", "no/such.toml"]).contains("writing no/such.toml"));
}
