//! Jobs in one process: systems on two threads work on one world's memory at the same time, and the world
//! comes out as if there were one thread. All of it runs under Miri, which is what the pointers in `local.rs`
//! and `coordinator/tick.rs` are tested for: `cargo +nightly miri test -p engine_app --test local`.

#![allow(elided_lifetimes_in_paths, clippy::needless_pass_by_value, reason = "systems are written as users write them")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use engine_app::{App, Outcome, Settings, TimeMode};
use engine_component::query::{Changed, Query, With, Without};
use engine_component::{Component, Entity, World};
use engine_system::{Commands, Res, ResMut, Time, View};
use serde::{Deserialize, Serialize};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "local.Position")]
struct Position {
    x: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "local.Velocity")]
struct Velocity {
    x: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[component(name = "local.Heat")]
struct Heat {
    degrees: f64,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[component(name = "local.Frozen")]
struct Frozen;

#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[component(name = "local.Name", document)]
struct Name {
    text: String,
}

#[derive(Component, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[component(name = "local.Diary", document)]
struct Diary {
    lines: Vec<String>,
}

#[derive(Component, Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
#[component(name = "local.Wind")]
struct Wind {
    x: f32,
}

/// Two shards of one table, the second one with a few rows.
const MOVING: usize = 64 + 6;
const TICKS: u64 = 3;

fn settings(threads: usize) -> Settings {
    Settings { ticks: Some(TICKS), time: TimeMode::Fast, threads, rows_per_shard: 64, ..Settings::default() }
}

fn moving(world: &mut World) {
    let row = |row: usize| (Position { x: row as f32 }, Velocity { x: 1.0 }, Heat { degrees: 0.0 });
    world.spawn_batch((0..MOVING).map(row));
}

/// Runs an app on one thread and on two; gives what was seen of the world afterwards, which has to be the same.
fn run<T: PartialEq + std::fmt::Debug + Send + 'static>(
    app: impl Fn(App) -> App,
    look: impl Fn(&World) -> T + Send + Sync + Copy + 'static,
) -> T {
    let run = |threads| -> (Outcome, T) {
        let seen = Arc::new(Mutex::new(None));
        let slot = seen.clone();
        let mut app = app(App::new("local"));
        app.on_shutdown(move |world| {
            world.check_invariants();
            *slot.lock().unwrap() = Some(look(world));
        });
        let outcome = app.run_ticks(settings(threads)).unwrap();
        (outcome, seen.lock().unwrap().take().unwrap())
    };
    let (one, two) = (run(1), run(2));
    assert_eq!((one.0.tick, one.0.hash, one.0.entities), (two.0.tick, two.0.hash, two.0.entities));
    assert_eq!(one.1, two.1);
    two.1
}

fn all<T: Component + Clone>(world: &World) -> Vec<T> {
    let tables = world.sorted_tables().iter().map(|id| world.table(*id));
    tables
        .flat_map(engine_component::Table::entities)
        .filter_map(|entity| world.get::<T>(*entity))
        .map(|row| (*row).clone())
        .collect()
}

fn integrate(time: Time, mut bodies: Query<(&mut Position, &Velocity)>) {
    for (position, velocity) in &mut bodies {
        position.x += velocity.x * time.dt * 60.0;
    }
}

fn warm(mut bodies: Query<&mut Heat>) {
    bodies.for_each(|heat| heat.degrees += 1.0);
}

fn fill(app: App) -> App {
    app.on_start(|start| {
        moving(start.world);
        Ok(())
    })
}

#[test]
fn shards_and_columns_of_one_table_are_written_at_the_same_time() {
    let (places, heat) = run(
        |app| fill(app).add_system("integrate", integrate).add_system("warm", warm),
        |world| (all::<Position>(world).iter().map(|p| f64::from(p.x)).sum::<f64>(), all::<Heat>(world)),
    );
    assert_eq!(places.round(), (0..MOVING).map(|row| row as f64 + TICKS as f64).sum::<f64>());
    assert_eq!(heat, [Heat { degrees: TICKS as f64 }; MOVING]);
}

#[test]
fn documents_are_read_and_written_beside_plain_columns_of_their_table() {
    fn write(mut pages: Query<&mut Diary>) {
        for page in &mut pages {
            page.lines.push("a day".to_owned());
        }
    }
    fn measure(mut bodies: Query<(&Name, &mut Heat)>) {
        for (name, heat) in &mut bodies {
            heat.degrees += name.text.len() as f64;
        }
    }
    let (diaries, heat) = run(
        |app| {
            let app = app.on_start(|start| {
                for row in 0..4 {
                    let name = Name { text: "n".repeat(row) };
                    let diary = Diary { lines: Vec::new() };
                    start.world.spawn((Position { x: 0.0 }, Velocity { x: 1.0 }, Heat { degrees: 0.0 }, name, diary));
                }
                Ok(())
            });
            app.add_system("write", write).add_system("measure", measure).add_system("integrate", integrate)
        },
        |world| (all::<Diary>(world), all::<Heat>(world)),
    );
    assert!(diaries.iter().all(|diary| diary.lines.len() == TICKS as usize));
    assert_eq!(heat.iter().map(|heat| heat.degrees).collect::<Vec<_>>(), [0.0, 3.0, 6.0, 9.0]);
}

#[test]
fn views_and_resources_are_read_by_all_jobs_of_a_node() {
    fn blow(mut wind: ResMut<Wind>) {
        wind.x += 1.0;
    }
    fn feel(
        wind: Res<Wind>,
        others: View<(Entity, &Position), With<Velocity>>,
        mut bodies: Query<(Entity, &mut Heat)>,
    ) {
        struct Sum(f32);
        let sum = others.index(|others| Sum(others.iter().map(|other| other.1.x).sum()));
        for (entity, heat) in &mut bodies {
            let own = others.get(entity).map_or(0.0, |own| own.1.x);
            heat.degrees = f64::from(sum.0 - own + wind.x);
        }
    }
    let heat = run(
        |app| {
            let app = fill(app).on_start(|start| {
                start.world.insert_resource(Wind::default());
                Ok(())
            });
            app.add_system("blow", blow).add_system("feel", feel)
        },
        all::<Heat>,
    );
    let sum: usize = (0..MOVING).sum();
    assert_eq!(heat[3].degrees, (sum - 3) as f64 + TICKS as f64);
}

#[test]
fn changed_rows_are_found_by_comparing_and_structure_changes_after_all_jobs() {
    fn push(time: Time, mut bodies: Query<&mut Position, Without<Frozen>>) {
        for position in &mut bodies {
            if position.x == time.tick as f32 {
                position.x = 1000.0;
            }
        }
    }
    fn heat(mut bodies: Query<&mut Heat, Changed<Position>>) {
        bodies.for_each(|heat| heat.degrees += 1.0);
    }
    fn change(time: Time, mut commands: Commands, bodies: Query<(Entity, &Position)>) {
        for (entity, position) in &bodies {
            if position.x == 20.0 + time.tick as f32 {
                commands.despawn(entity);
                commands.spawn((Position { x: 2000.0 }, Frozen));
            }
        }
    }
    let (heat, places) = run(
        |app| fill(app).add_system("push", push).add_system("heat", heat).add_system("change", change),
        |world| (all::<Heat>(world), all::<Position>(world)),
    );
    // All rows are news to a system's first run; after that, those that were pushed.
    assert_eq!(heat.iter().map(|heat| heat.degrees).sum::<f64>(), (MOVING + 2 - TICKS as usize) as f64);
    assert_eq!(places.iter().filter(|place| place.x == 2000.0).count(), TICKS as usize);
    assert_eq!(places.len(), MOVING);
}
