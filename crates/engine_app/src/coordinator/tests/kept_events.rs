//! Events that are kept are handed out with their tick, again when it is repeated, and the world waits for them.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine_component::Event;
use engine_system::{EventWriter, Time};

use super::script::settings;
use crate::coordinator::{Coordinator, Output};
use crate::kept::KeptTick;
use crate::record::TickRecord;
use crate::{App, Settings};

#[derive(Event, Clone, Copy)]
#[repr(C)]
#[event(name = "kept.Count")]
struct Count {
    tick: u64,
}

#[derive(Event, Clone, Copy)]
#[repr(C)]
#[event(name = "keptless.Count")]
struct Other {
    tick: u64,
}

fn tell(time: Time, mut counts: EventWriter<Count>, mut others: EventWriter<Other>) {
    if !time.tick.is_multiple_of(4) {
        counts.send(Count { tick: time.tick });
    }
    others.send(Other { tick: time.tick });
}

fn world(epoch: u64) -> Coordinator {
    let settings = Settings { paused: false, ..settings() };
    let app = App::new("kept").add_system("tell", tell);
    let mut coordinator = app.into_coordinator(settings, &BTreeMap::new(), |_| true, epoch).unwrap().0;
    coordinator.keep_log(1 << 20);
    coordinator.keep_events(&["kept".to_owned()]);
    coordinator
}

#[derive(Default)]
struct Seen {
    now: u64,
    kept: Vec<KeptTick>,
    records: Vec<Bytes>,
    events: Vec<String>,
}

/// Lets it run until it waits, or so many ticks are committed.
fn run(coordinator: &mut Coordinator, ticks: u64, seen: &mut Seen) {
    let mut idle = 0;
    while coordinator.committed().0 < ticks && idle < 3 {
        let before = coordinator.committed().0;
        seen.now += 1;
        coordinator.clock(seen.now);
        take(coordinator, seen.now, seen);
        idle = if coordinator.committed().0 == before { idle + 1 } else { 0 };
    }
}

fn take(coordinator: &mut Coordinator, now: u64, seen: &mut Seen) {
    while let Some(output) = coordinator.next_output() {
        match output {
            Output::Run(job) => coordinator.local_done(now, job.number(), job.run()),
            Output::Keep(tick) => seen.kept.push(tick),
            Output::Record { record, .. } => seen.records.push(record),
            Output::Send { subject, .. } if subject.contains(".event.") => seen.events.push(subject),
            Output::Send { .. } => {}
        }
    }
}

#[test]
fn they_are_handed_out_when_their_tick_is_durable_and_to_nobody_else() {
    let (mut world, mut seen) = (world(3), Seen::default());
    run(&mut world, 8, &mut seen);
    assert!(seen.kept.is_empty() && seen.events.is_empty() && seen.records.len() == 8);
    assert_eq!(world.unkept_since(), Some(1), "what is not durable is not kept either");
    world.durable(1, 6);
    take(&mut world, 1, &mut seen);
    let places: Vec<_> = seen.kept.iter().map(|tick| (tick.epoch, tick.tick, tick.types[0].name.as_str())).collect();
    assert_eq!(places, [1, 2, 3, 5, 6].map(|tick| (3, tick, "kept.Count")));
    assert!(seen.events.len() == 6 && seen.events.iter().all(|subject| subject.ends_with("keptless.Count")));
    let status = world.status(1).kept.unwrap();
    assert_eq!((status.events, status.ticks, status.domains), (6, 6, vec!["kept".to_owned()]));
    world.durable(1, 8);
    world.events_kept(1, 5);
    assert_eq!((world.unkept_since(), world.is_durable(), world.is_settled()), (Some(6), true, false));
    take(&mut world, 1, &mut seen);
    world.events_kept(1, 8);
    assert!(world.is_settled());
}

#[test]
fn a_tick_that_is_repeated_has_the_same_messages() {
    let (mut first, mut seen) = (world(3), Seen::default());
    run(&mut first, 6, &mut seen);
    first.durable(1, 6);
    take(&mut first, 1, &mut seen);
    let (mut later, mut again) = (world(4), Seen::default());
    later.begin_recovery();
    for record in &seen.records {
        let record: TickRecord = TickRecord::from_bytes(record).unwrap();
        later.replay(&record).unwrap();
        run(&mut later, record.tick, &mut again);
    }
    assert_eq!(again.kept, seen.kept, "also the epoch, which is the record's");
    assert!(again.events.is_empty() && again.records.is_empty());
    later.end_recovery(1);
    run(&mut later, 7, &mut again);
    later.durable(1, 1);
    take(&mut later, 1, &mut again);
    assert_eq!(again.kept.last().map(|tick| (tick.epoch, tick.tick)), Some((4, 7)));
}

#[test]
fn the_world_waits_for_events_that_nobody_keeps() {
    let (mut world, mut seen) = (world(3), Seen::default());
    run(&mut world, 5000, &mut seen);
    let stands = world.committed().0;
    assert!(world.keeps_too_much() && (1024..1400).contains(&stands), "{stands}");
    world.durable(1, stands);
    run(&mut world, 5000, &mut seen);
    assert_eq!(world.committed().0, stands, "durable is not enough");
    world.events_kept(1, 100);
    run(&mut world, 5000, &mut seen);
    assert_eq!(world.committed().0, stands + 100);
}
