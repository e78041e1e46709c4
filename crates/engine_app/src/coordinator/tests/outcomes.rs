//! A system that does something else whenever it is run: what it did is recorded, and taken from there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use engine_component::query::Query;
use engine_component::{Component, Entity, Event, World};
use engine_net::strict;
use engine_system::{Commands, EventReader, EventWriter, IntoSystem, ResMut};
use serde::{Deserialize, Serialize};

use super::replay::run;
use super::script::{ROWS, Script, settings};
use crate::App;
use crate::coordinator::{Coordinator, CoordinatorError, Output};
use crate::record::{MAX_BYTES, TickRecord};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Reading", finite)]
struct Reading {
    value: f32,
    _reserved: u32,
    source: Entity,
}

#[derive(Component, Clone, Serialize, Deserialize)]
#[component(name = "test.Label", document)]
struct Label {
    text: String,
}

#[derive(Component, Clone, Copy, Default)]
#[repr(C)]
#[component(name = "test.Jumps")]
struct Jumps {
    sum: u64,
}

#[derive(Event, Clone, Copy)]
#[repr(C)]
#[event(name = "test.Jump")]
struct Jump {
    by: u64,
    made: Entity,
}

const TICKS: u64 = 4;
/// Bytes of a large document.
const FRAME: usize = 60_000;

fn sum(jumps: EventReader<Jump>, mut sum: ResMut<Jumps>) {
    for jump in jumps.iter() {
        sum.sum = sum.sum.wrapping_mul(31).wrapping_add(jump.by ^ jump.made.to_bits());
    }
}

/// `runs` counts how often the system was run, by whomever: what no replay can know. When it is wild it writes what
/// no instance may.
fn app(runs: &Arc<AtomicU64>, wild: bool) -> App {
    let runs = runs.clone();
    let sense = move |mut readings: Query<(&mut Reading, Option<&mut Label>)>,
                      mut jumps: EventWriter<Jump>,
                      mut commands: Commands| {
        let run = runs.fetch_add(1, Relaxed) + 1;
        for (row, (reading, label)) in (&mut readings).into_iter().enumerate() {
            if (row as u64 + run).is_multiple_of(3) {
                reading.value += run as f32;
                // What a schema forbids is refused when it comes from outside; here it is in the world already.
                reading.value = if wild && row == 6 { f32::NAN } else { reading.value };
            }
            if let Some(label) = label.filter(|_| row as u64 == run) {
                label.text = format!("{run} of {row}");
            }
            if row as u64 == run % 7 {
                reading.source = commands.spawn((Jumps { sum: run },));
                jumps.send(Jump { by: run, made: reading.source });
            }
        }
    };
    App::new("test").add_system("sense", sense.nondeterministic().spawns::<(Jumps,)>()).add_system("sum", sum).on_start(
        |start| {
            start.world.insert_resource(Jumps::default());
            for number in 0..2 * ROWS {
                let reading = Reading { value: number as f32, _reserved: 0, source: Entity::NONE };
                match number % 2 {
                    0 => start.world.spawn((reading,)),
                    _ => start.world.spawn((reading, Label { text: "new".into() })),
                };
            }
            Ok(())
        },
    )
}

fn coordinator(runs: &Arc<AtomicU64>) -> Coordinator {
    app(runs, true).into_coordinator(settings(), &BTreeMap::new(), |_| true, 7).unwrap().0
}

/// The records of some ticks, all computed in this process, and how often the system was run for them.
fn recorded_here() -> (Vec<TickRecord>, Arc<AtomicU64>) {
    let runs = Arc::new(AtomicU64::new(0));
    let mut world = coordinator(&runs);
    let records = (0..TICKS).map(|_| {
        world.step(1);
        run(&mut world)
    });
    (records.collect(), runs)
}

fn replay(records: &[TickRecord], runs: &Arc<AtomicU64>) -> Result<Coordinator, String> {
    let mut world = coordinator(runs);
    for record in records {
        world.replay(record).map_err(|error| error.to_string())?;
        world.clock(1);
        while let Some(output) = world.next_output() {
            if let Output::Run(job) = output {
                world.local_done(1, job.number(), job.run());
            }
        }
        if let Some(error) = world.take_failure() {
            return Err(error.to_string());
        }
    }
    Ok(world)
}

fn has_nan(world: &World) -> bool {
    let mut readings = (1..world.next_entity()).filter_map(|bits| world.get::<Reading>(Entity::from_bits(bits)));
    readings.any(|reading| reading.value.is_nan())
}

#[test]
fn a_replay_takes_what_was_recorded_and_runs_only_the_others() {
    let (records, runs) = recorded_here();
    let ran = runs.load(Relaxed);
    // As they come from a log.
    let records: Vec<TickRecord> =
        records.iter().map(|record| TickRecord::from_bytes(&strict::encode(record)).unwrap()).collect();
    assert!(records.iter().all(|record| record.outcomes.iter().all(|outcome| outcome.system == "sense")));
    let world = replay(&records, &runs).unwrap();
    assert_eq!(runs.load(Relaxed), ran, "the system was run again");
    assert_eq!(world.committed(), (TICKS, records.last().unwrap().hash));
    assert!(has_nan(world.world()));
}

#[test]
fn what_instances_did_is_recorded_too() {
    let runs = Arc::new(AtomicU64::new(0));
    let mut script = Script::new(app(&runs, false), settings());
    for name in ["a", "b"] {
        // What is refused of an instance can't be in a record of its.
        script.join_with(name, app(&runs, false).into_systems().unwrap());
    }
    let mut records = Vec::new();
    for _ in 0..2 {
        script.tick();
        records.push(script.coordinator.next_commit().unwrap().record);
    }
    let ran = runs.load(Relaxed);
    let world = replay(&records, &runs).unwrap();
    assert_eq!(runs.load(Relaxed), ran);
    assert_eq!(world.committed(), script.coordinator.committed());
}

#[test]
fn a_record_without_it_shows_as_another_world() {
    let (mut records, runs) = recorded_here();
    records[1].outcomes.remove(0);
    let error = replay(&records, &runs).err().expect("a shard was computed again");
    assert!(error.contains("tick 2 comes to the hash") && error.contains("nondeterministic"), "{error}");
}

#[test]
fn what_does_not_fit_its_job_is_refused() {
    let (records, runs) = recorded_here();
    let refused = |change: &dyn Fn(&mut TickRecord)| {
        let mut records = records.clone();
        change(&mut records[0]);
        replay(&records, &runs).err().expect("it is refused")
    };
    let error = refused(&|record| record.outcomes[0].shard = 900);
    assert!(error.contains("shard 900 of system `sense` does not fit: there is no such shard"), "{error}");
    let error = refused(&|record| {
        let again = record.outcomes[0].clone();
        record.outcomes.push(again);
    });
    assert!(error.contains("there is no such shard, or it kept its values"), "{error}");
    for length in 0..records[0].outcomes[0].chunks[0].len() {
        let error = refused(&|record| record.outcomes[0].chunks[0].truncate(length));
        // Between two sections it is a result that changes less.
        let is_whole = error.contains("tick 1 comes to the hash");
        assert!(error.contains("tick 1: what its record says of shard 0") || is_whole, "{length}: {error}");
    }
    let error = refused(&|record| record.outcomes[0].chunks.clear());
    assert!(error.contains("what its record says of shard 0"), "{error}");
    let swapped = refused(&|record| {
        let [first, second, ..] = &mut record.outcomes[..] else { panic!("two shards") };
        std::mem::swap(&mut first.chunks, &mut second.chunks);
    });
    assert!(swapped.contains("tick 1"), "{swapped}");
}

#[test]
fn more_than_a_record_may_have_ends_the_run() {
    #[derive(Component, Clone, Serialize, Deserialize)]
    #[component(name = "test.Film", document)]
    struct Film {
        frame: String,
    }
    let film = |mut films: Query<&mut Film>| {
        for film in &mut films {
            film.frame = "x".repeat(FRAME);
        }
    };
    let app = App::new("test").add_system("film", film.nondeterministic()).on_start(|start| {
        for _ in 0..=MAX_BYTES / FRAME {
            start.world.spawn((Film { frame: String::new() },));
        }
        Ok(())
    });
    let mut world = app.into_coordinator(settings(), &BTreeMap::new(), |_| true, 7).unwrap().0;
    world.keep_log(4);
    world.step(1);
    world.clock(1);
    while let Some(output) = world.next_output() {
        match output {
            Output::Run(job) => world.local_done(1, job.number(), job.run()),
            Output::Record { .. } => panic!("a record that nobody can read"),
            Output::Send { .. } | Output::Keep(_) => {}
        }
    }
    assert!(
        matches!(world.take_failure(), Some(CoordinatorError::TooMuchToRecord { tick: 1, bytes }) if bytes > MAX_BYTES)
    );
}
