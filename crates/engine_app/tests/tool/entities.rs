//! `spawn`, `set`, `despawn` and `query`.

use serde_json::json;

use crate::world::{World, app, text};

#[test]
fn what_is_spawned_is_seen_changed_and_removed() {
    let world = World::paused(app());
    let done = world.json(&["spawn", r#"t.Position={"at":{"x":1,"y":2},"size":3}"#, "t.Alive", "t.Health=5"]);
    let entity = done["entities"][0].as_u64().unwrap();
    let number = entity.to_string();
    let row = json!({
        "entity": entity, "t.Alive": {}, "t.Health": 5,
        "t.Position": {"at": {"x": 1.0, "y": 2.0}, "size": 3.0, "layer": 7},
    });
    assert_eq!(world.query(&[]), [row]);

    let said = world.says(&["set", &number, "t.Position.at.x=9.5", "t.Health=6", "--remove", "t.Alive"]);
    assert!(said.starts_with(&format!("changed entity {number}, in tick 0")), "{said}");
    let position = json!({"at": {"x": 9.5, "y": 2.0}, "size": 3.0, "layer": 7});
    assert_eq!(world.query(&["--entity", &number]), [json!({"entity": entity, "t.Health": 6, "t.Position": position})]);

    world.says(&["despawn", &number]);
    assert_eq!(world.query(&[]), [] as [serde_json::Value; 0]);
}

#[test]
fn values_may_be_toml_or_field_by_field() {
    let world = World::paused(app());
    world.says(&["spawn", "t.Position={at={x=1,y=2}}"]);
    world.says(&["spawn", "t.Position.at.x=1", "t.Position.at.y=2"]);
    world.says(&["spawn", "t.Story={text=\"Ada\", friends=[1, 2], met=[]}", "--count", "2"]);
    let rows = world.query(&["t.Position.at, t.Position.layer"]);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["t.Position"] == json!({"at": {"x": 1.0, "y": 2.0}, "layer": 7})), "{rows:?}");
    let stories = world.query(&["t.Story"]);
    assert_eq!(stories.len(), 2);
    assert_eq!(stories[0]["t.Story"]["friends"], json!([1, 2]));
}

#[test]
fn queries_filter_limit_and_count() {
    let world = World::paused(app());
    for health in ["10", "20", "30", "40"] {
        world.says(&["spawn", &format!("t.Health={health}"), &format!("t.Position.at={{x={health},y=0}}")]);
    }
    world.says(&["spawn", "t.Health=50", "t.Alive"]);
    assert_eq!(world.says(&["query", "t.Health", "--count"]), "5\n");
    assert_eq!(world.says(&["query", "--where", "t.Health >= 30", "--count"]), "3\n");
    assert_eq!(world.says(&["query", "--where", "t.Position.at.x < 25", "--count"]), "2\n");
    assert_eq!(world.says(&["query", "t.Health, !t.Alive", "--limit", "3", "--count"]), "3\n");
    assert_eq!(world.says(&["query", "--without", "t.Position", "--count"]), "1\n");
    let table = world.says(&["query", "t.Health, ?t.Alive, ?t.Position.at", "--where", "t.Health > 35"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["entity", "t.Health", "t.Alive", "t.Position.at.x", "t.Position.at.y"]);
    assert!(lines.contains(&vec!["4", "40", "40.0", "0.0"]) && lines.contains(&vec!["5", "50", "yes"]), "{table}");
    let all = world.says(&["query", "--entity", "4"]);
    assert_eq!(all, "entity 4\n  t.Health 40\n  t.Position {\"at\":{\"x\":40.0,\"y\":0.0},\"layer\":7,\"size\":1.0}\n");
}

#[test]
fn many_rows_come_in_pages_and_none_twice() {
    let world = World::paused(app());
    for _ in 0..3 {
        world.says(&["spawn", "t.Health=1", "--count", "2000"]);
    }
    world.says(&["spawn", "t.Health=2", "t.Alive", "--count", "2000"]);
    let mut entities: Vec<u64> = world.query(&["t.Health"]).iter().map(|row| row["entity"].as_u64().unwrap()).collect();
    entities.sort_unstable();
    assert_eq!(entities, (1..=8000).collect::<Vec<_>>());
}

#[test]
fn what_is_refused_leaves_the_world_as_it_was() {
    let world = World::paused(app());
    world.says(&["spawn", "t.Position.at={x=0,y=0}", "t.Health=1"]);
    let hash = world.hash();
    for (arguments, reason) in [
        (vec!["spawn", "t.Positon={}"], "there is no component `t.Positon`; did you mean `t.Position`?"),
        (vec!["spawn", "t.Position.size=1"], "field `at` of `t.Position` is missing"),
        (vec!["spawn", "t.Position.sise=1"], "`t.Position` has no field `sise`; did you mean `size`?"),
        (vec!["spawn", "t.Health=-1"], "wants u32, not -1"),
        (vec!["spawn", "t.Health=1", "t.Position={at={x=nan,y=0}}"], "declared finite"),
        (vec!["set", "1", "t.Position.at.z=1"], "`t.Position.at` has no field `z`"),
        (vec!["set", "1", "t.Position.at.x=many"], "wants f32, not \"many\""),
        (vec!["set", "1", "t.Story.text=x"], "t.Story"),
        (vec!["set", "99", "t.Health=1"], "99"),
        (vec!["set", "1", "--remove", "t.Halth"], "did you mean `t.Health`?"),
        (vec!["despawn", "1", "99"], "99"),
        (vec!["query", "t.Halth"], "did you mean `t.Health`?"),
        (vec!["query", "--where", "t.Health ~ 3"], "no condition"),
    ] {
        let error = world.refuses(&arguments);
        assert!(error.contains(reason), "{arguments:?}: {error}");
    }
    assert_eq!(world.hash(), hash);
    // The other way round: the hash does tell.
    world.says(&["set", "1", "t.Health=2"]);
    assert_ne!(world.hash(), hash);
}

#[test]
fn components_are_listed_with_their_fields() {
    let world = World::paused(app());
    let said = world.says(&["components", "t.Position"]);
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["t.Position", "plain", "at", "{x:", "f32,", "y:", "f32}"]);
    assert_eq!(lines[3], ["layer", "u32", "7"]);
    assert_eq!(world.says(&["components", "--json"]).lines().count(), 5);
}

#[test]
fn a_pipe_that_is_closed_is_no_error() {
    let world = World::paused(app());
    world.says(&["spawn", "t.Health=1", "--count", "5000"]);
    let mut query = crate::world::command(&world.config, &["query", "t.Health", "--json"]);
    let mut child = query.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}
