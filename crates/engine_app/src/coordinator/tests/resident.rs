//! Instances keep what they have, are sent what changed, and may lose it at any time.

use engine_component::query::Query;
use engine_component::{Component, Entity};
use engine_net::messages::command::Action;
use engine_system::View;
use serde::{Deserialize, Serialize};

use super::script::{Position, ROWS, Script, Velocity, app, drift, settings};
use crate::{App, Settings};

/// Jobs go together, as they do where nothing is set.
fn together() -> Settings {
    Settings { batch_bytes: Settings::default().batch_bytes, ..settings() }
}

/// A system that may write and does not.
fn watch(mut bodies: Query<(&mut Position, &Velocity)>) {
    assert!((&mut bodies).into_iter().all(|(position, velocity)| position.x.is_finite() && velocity.x.is_finite()));
}

fn drift_but(mut bodies: Query<(&mut Position, &Velocity)>) {
    for (position, velocity) in &mut bodies {
        assert!(velocity.x != 70.0, "not this one");
        position.x += velocity.x;
    }
}

fn bodies(name: &str, shards: usize) -> App {
    let app = match name {
        "drift" => App::new("test").add_system("drift", drift),
        "drift_but" => App::new("test").add_system("drift_but", drift_but),
        _ => App::new("test").add_system("watch", watch),
    };
    app.on_start(move |start| {
        for number in 0..shards * ROWS {
            start.world.spawn((Position { x: 0.0 }, Velocity { x: 1.0 + number as f32 }));
        }
        Ok(())
    })
}

fn one(name: &str, shards: usize) -> Script {
    let mut script = Script::new(bodies(name, shards), together());
    script.join_with("a", bodies(name, shards).into_systems().unwrap());
    script
}

/// Bytes of one more tick, in both directions.
fn bytes_of_a_tick(script: &mut Script) -> u64 {
    script.tick();
    script.coordinator.figures.tick_bytes.back().copied().unwrap()
}

fn moved(script: &mut Script, ticks: f32) -> Vec<bool> {
    let positions = script.positions();
    positions.iter().enumerate().map(|(row, x)| *x == ticks * (1.0 + row as f32)).collect()
}

#[test]
fn what_did_not_change_is_not_sent_again() {
    let mut script = one("drift", 4);
    let rows = 4 * ROWS as u64;
    let first = bytes_of_a_tick(&mut script);
    let later = bytes_of_a_tick(&mut script);
    assert!(first > rows * (8 + 4) && (rows * 4..rows * 6).contains(&later), "{first}, then {later}");
    assert!(moved(&mut script, 2.0).iter().all(|moved| *moved));
    assert_eq!(script.coordinator.load().copies, 8);
}

#[test]
fn a_row_that_is_set_is_the_only_one_that_is_sent() {
    let mut script = one("watch", 4);
    script.tick();
    script.tick();
    let nothing = bytes_of_a_tick(&mut script);
    let values = serde_json::json!({ "x": 5.0 });
    script.act(
        "set",
        Action::Insert { entity: Entity::from_bits(9), components: [("test.Velocity".to_owned(), values)].into() },
    );
    let one_row = bytes_of_a_tick(&mut script);
    assert!((nothing + 4..nothing + 80).contains(&one_row), "{nothing}, then {one_row}");
}

#[test]
fn where_nothing_changes_the_number_of_shards_does_not_matter() {
    let bytes = [1, 4, 40].map(|shards| {
        let mut script = one("watch", shards);
        (0..3).for_each(|_| script.tick());
        bytes_of_a_tick(&mut script)
    });
    // Numbers are shorter when they are small.
    assert!(bytes.iter().all(|other| other.abs_diff(bytes[0]) <= 16), "{bytes:?}");
    assert!(bytes[0] < 600, "{bytes:?}");
}

#[test]
fn what_was_dropped_is_sent_anew() {
    let mut script = Script::with(app(drift), together(), &["a", "b"]);
    for tick in 1..=6 {
        script.tick();
        if tick % 2 == 1 {
            script.drop_copies("a");
        }
    }
    assert!(script.counter("copies.stale") >= 3);
    assert_eq!((script.counter("failed_jobs"), script.counter("quarantined")), (0, 0));
    script.check(6);
}

#[test]
fn who_keeps_nothing_gets_everything() {
    let mut script = one("drift", 4);
    script.keep("a", 0);
    let [first, later] = [(); 2].map(|()| bytes_of_a_tick(&mut script));
    assert!(first.abs_diff(later) < 40, "{first}, then {later}");
    assert_eq!((script.coordinator.load().copies, script.counter("copies.stale")), (0, 0));
}

#[test]
fn who_has_room_for_some_keeps_those_and_is_never_at_odds_with_the_coordinator() {
    let mut script = one("drift", 4);
    // Room for the columns of two and a half shards.
    script.keep("a", 5 * ROWS * 4);
    (0..5).for_each(|_| script.tick());
    assert_eq!((script.coordinator.load().copies, script.counter("copies.stale")), (5, 0));
    assert!(moved(&mut script, 5.0).iter().all(|moved| *moved));
}

#[test]
fn a_byte_that_changed_by_itself_is_found() {
    let mut script = one("watch", 1);
    script.tick();
    script.tick();
    assert!(script.spoil_copies("a"));
    // One of the two copies is compared in each tick.
    script.tick();
    script.tick();
    assert_eq!(script.counter("copies.corrupt"), 1);
    (0..4).for_each(|_| script.tick());
    assert_eq!(script.counter("copies.corrupt"), 1, "it was sent anew");
}

#[test]
fn a_batch_that_fails_is_tried_job_by_job() {
    let mut script = one("drift_but", 4);
    script.tick();
    let shards: Vec<bool> = moved(&mut script, 1.0).chunks(ROWS).map(|rows| rows.iter().all(|moved| *moved)).collect();
    assert_eq!(shards, [true, false, true, true]);
    assert_eq!(
        (script.counter("failed_jobs"), script.counter("quarantined")),
        (6, 1),
        "once together, five times alone"
    );
}

#[derive(Component, Serialize, Deserialize, Clone)]
#[component(name = "test.Tome", document)]
struct Tome {
    text: String,
}

fn consult(mut bodies: Query<&mut Position>, tomes: View<&Tome>) {
    for position in &mut bodies {
        position.x += tomes.iter().count() as f32;
    }
}

/// A table of its own has a row that fits into no message.
#[test]
fn a_shared_input_that_can_not_be_sent_holds_the_shards_and_not_the_world() {
    let library = || {
        App::new("test").add_system("consult", consult).on_start(|start| {
            start.world.spawn(Tome { text: "x".repeat(100_000) });
            start.world.spawn_batch((0..4 * ROWS).map(|_| Position { x: 1.0 }));
            Ok(())
        })
    };
    let mut script = Script::new(library(), together());
    script.coordinator.set_payload_limit(64 << 10);
    script.join_with("a", library().into_systems().unwrap());
    for tick in 1..=2 {
        script.tick();
        assert_eq!(script.counter("unsendable"), 4 * tick);
    }
    script.check_room();
}
