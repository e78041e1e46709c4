//! `status`, `pause`, `resume`, `step` and `speed`.

use std::process::Stdio;

use engine_app::{App, Settings};

use crate::world::{Process, World, app, command, until};

fn tick(world: &World) -> u64 {
    world.json(&["status"])["tick"].as_u64().unwrap()
}

#[test]
fn a_paused_world_goes_step_by_step() {
    let world = World::start(app(), Settings { rate: 200.0, ..Settings::default() });
    until("it runs", || tick(&world) > 3);
    assert!(world.refuses(&["step"]).contains("`engine pause` it first"));
    let at = world.json(&["pause"])["tick"].as_u64().unwrap();
    assert_eq!(tick(&world), at);
    assert_eq!(world.json(&["step"])["tick"], at + 1);
    assert_eq!(world.json(&["step", "5"])["tick"], at + 6);
    assert_eq!(tick(&world), at + 6);
    assert_eq!(world.json(&["step", "--to", &(at + 20).to_string()])["tick"], at + 20);
    assert!(world.refuses(&["step", "--to", "1"]).contains("past 1"));
    let said = world.says(&["status"]);
    assert!(said.starts_with(&format!("world main: paused at tick {}\n", at + 20)), "{said}");
    world.says(&["resume"]);
    until("it runs again", || tick(&world) > at + 25);
}

#[test]
fn step_to_a_tick_stops_a_world_that_runs_just_there() {
    let world = World::start(app(), Settings { rate: 500.0, ..Settings::default() });
    assert_eq!(world.json(&["step", "--to", "3000"])["tick"], 3000);
    assert_eq!(tick(&world), 3000);
}

#[test]
fn edits_of_a_paused_world_are_answered_at_once_and_last() {
    let world = World::paused(app());
    world.says(&["spawn", "t.Position.at={x=1,y=2}"]);
    assert_eq!(tick(&world), 0);
    world.says(&["step", "60"]);
    let x = world.query(&["t.Position"])[0]["t.Position"]["at"]["x"].as_f64().unwrap();
    assert!((x - 2.0).abs() < 1e-3, "{x}");
}

#[test]
fn the_speed_is_set_and_shown() {
    let world = World::paused(app());
    assert_eq!(world.says(&["speed", "2.5"]), "speed 2.5, at tick 0\n");
    assert_eq!(world.json(&["status"])["speed"], 2.5);
    assert_eq!(world.says(&["speed", "max"]), "as fast as possible, at tick 0\n");
    assert_eq!(world.engine(&["speed", "-1"]).status.code(), Some(2));
}

#[test]
fn a_world_that_waits_says_for_what_and_takes_edits() {
    let settings = Settings { expect: vec!["steer".into()], ..Settings::default() };
    let world = World::start(app(), settings);
    assert!(world.says(&["status"]).contains("waiting for an instance of steer"));
    world.says(&["spawn", "t.Health=1"]);
    assert_eq!(world.says(&["query", "t.Health", "--count"]), "1\n");
}

#[test]
fn a_world_without_systems_runs_as_fast_as_it_can_and_answers() {
    let world = World::start(App::new("empty"), Settings { rate: 10.0, ..Settings::default() });
    world.says(&["speed", "max"]);
    until("it runs", || tick(&world) > 100);
    let at = world.json(&["pause"])["tick"].as_u64().unwrap();
    assert_eq!(world.json(&["step", "1000"])["tick"], at + 1000);
}

#[test]
fn a_foreign_world_has_nobody_who_answers() {
    let world = World::paused(app());
    for arguments in [["status"].as_slice(), &["query"], &["pause"], &["spawn", "t.Health"], &["scene", "save", "-"]] {
        let error = world.refuses(&[arguments, &["--world", "elsewhere"]].concat());
        assert!(error.contains("no coordinator answers for world `elsewhere`") && error.contains("--world"), "{error}");
    }
}

#[test]
fn steps_that_are_asked_for_while_others_run_come_on_top() {
    let world = World::paused(app());
    world.says(&["spawn", "t.Position.at={x=0,y=0}"]);
    let step = |ticks| Process(command(&world.config, &["step", ticks]).stdout(Stdio::null()).spawn().unwrap());
    let mut many = step("30000");
    until("steps run", || tick(&world) > 0);
    let mut few = step("10");
    until("both are answered", || many.0.try_wait().unwrap().is_some() && few.0.try_wait().unwrap().is_some());
    assert_eq!(tick(&world), 30_010);
}
