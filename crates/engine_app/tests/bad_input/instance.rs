//! A live instance, and somebody who plays its coordinator.

use bytes::Bytes;
use engine_component::ComponentId;
use engine_net::messages::hello::Hello;
use engine_net::messages::rejected::{RejectReason, Rejected};
use engine_net::parcel::{ColumnManifest, JobManifest, Jobs, PartManifest, PartSource, Place, WireTime};
use engine_net::{ChunkKind, ChunkPrefix, strict};

use crate::forgery::{Section, chunk, garbage, plain};
use crate::world::{EPOCH, HONEST, ROWS, World, who};

/// The honest instance's subject.
fn subject(world: &World) -> String {
    world.subjects.schedule("drift", HONEST)
}

/// A prefix of its next tick, and a job that the coordinator will not give.
fn next(world: &World) -> ChunkPrefix {
    ChunkPrefix {
        kind: ChunkKind::Job,
        attempt: 0,
        job: 1000,
        epoch: EPOCH,
        tick: world.tick() + 1,
        chunk: 0,
        chunks: 1,
        instance: slot(world),
    }
}

fn slot(world: &World) -> u32 {
    world.status().systems[0].instances[0].slot
}

fn manifest(system: &str, parts: Vec<PartManifest>) -> JobManifest {
    JobManifest {
        system: system.into(),
        node: 0,
        seed: 1,
        time: WireTime { tick: 1, dt: f32::NAN, elapsed: f64::INFINITY },
        shared: None,
        jobs: Jobs::one(parts),
        keep: None,
        chunk_bytes: 0,
        deadline_ms: None,
        traceparent: None,
    }
}

fn part(archetype: &[&str], rows: u32, columns: Vec<ColumnManifest>) -> PartManifest {
    PartManifest {
        source: PartSource::Query,
        number: 0,
        archetype: archetype.iter().map(|name| ComponentId::of_name(name)).collect(),
        first_row: 0,
        rows,
        entities: None,
        columns,
        changed: 0,
    }
}

fn column(column: u16, stride: u32) -> ColumnManifest {
    ColumnManifest { column, stride, place: Place::Inline }
}

#[test]
fn garbage_on_every_subject_of_an_instance() {
    let mut world = World::start();
    let hello = Hello { epoch: EPOCH, tick: 0, protocol: 1, coordinator: "evil".into() };
    let rejected =
        Rejected { epoch: EPOCH, tick: 1, job: 0, attempt: 0, reason: RejectReason::Other, message: "evil".into() };
    let honest = chunk(&next(&world), &strict::encode(&manifest("drift", Vec::new())), &[]);
    for (subject, honest) in [
        (subject(&world), honest.to_vec()),
        (world.subjects.schedule("nothing", HONEST), honest.to_vec()),
        (world.subjects.hello(), strict::encode(&hello)),
        (world.subjects.rejected(who(HONEST)), strict::encode(&rejected)),
    ] {
        for (_, payload) in garbage(&honest) {
            world.publish(&subject, payload);
        }
        world.step();
    }
    let prefix = next(&world);
    for (_, body) in garbage(&honest[32..]) {
        world.publish(&subject(&world), chunk(&prefix, &body, &[]));
    }
    world.step();
}

#[test]
fn hellos_and_refusals_that_are_forged() {
    let mut world = World::start();
    for round in 0..5_u64 {
        for epoch in [EPOCH, EPOCH - 1, EPOCH + 1, u64::MAX].map(|epoch| epoch.saturating_sub(round)) {
            let hello = Hello { epoch, tick: 0, protocol: 1, coordinator: "evil".into() };
            world.publish(&world.subjects.hello(), strict::encode(&hello));
        }
        for reason in [RejectReason::WrongInstance, RejectReason::ForeignEpoch, RejectReason::Garbage] {
            let rejected = Rejected { epoch: EPOCH, tick: 1, job: 0, attempt: 0, reason, message: "x".repeat(60_000) };
            world.publish(&world.subjects.rejected(who(HONEST)), strict::encode(&rejected));
        }
        world.step();
    }
    // In the middle of a tick: it registers anew each time, and its jobs come again.
    world.gate.set_closed(true);
    let commit = world.begin();
    world.next_job();
    for _ in 0..50 {
        let hello = Hello { epoch: EPOCH, tick: 0, protocol: 1, coordinator: "evil".into() };
        world.publish(&world.subjects.hello(), strict::encode(&hello));
    }
    world.gate.set_closed(false);
    world.finish(commit);
    assert_eq!(world.counter("quarantined"), 0);
    world.step();
}

#[test]
fn jobs_of_other_epochs_slots_and_ticks() {
    let mut world = World::start();
    let honest = next(&world);
    let body = strict::encode(&manifest("drift", Vec::new()));
    let changes: [fn(&mut ChunkPrefix); 9] = [
        |prefix| prefix.epoch += 1,
        |prefix| prefix.epoch = u64::MAX,
        |prefix| prefix.epoch = 0,
        |prefix| prefix.instance = u32::MAX,
        |prefix| prefix.instance += 1,
        |prefix| prefix.tick = 0,
        |prefix| prefix.job = u32::MAX,
        |prefix| prefix.attempt = u16::MAX,
        |prefix| (prefix.kind, prefix.chunks) = (ChunkKind::Shared, u16::MAX),
    ];
    for change in changes {
        let mut prefix = ChunkPrefix { tick: world.tick() + 1, instance: slot(&world), ..honest };
        change(&mut prefix);
        for kind in [prefix.kind, ChunkKind::Resend, ChunkKind::Missing, ChunkKind::Working] {
            world.publish(&subject(&world), chunk(&ChunkPrefix { kind, ..prefix }, &body, &[]));
        }
        world.step();
    }
}

/// The tick of a forged chunk is far in the future: what the real coordinator sends looks like the past then.
#[test]
fn a_job_of_the_far_future() {
    let mut world = World::start();
    for tick in [world.tick() + 1_000, u64::MAX] {
        let prefix = ChunkPrefix { tick, ..next(&world) };
        world.publish(&subject(&world), chunk(&prefix, &strict::encode(&manifest("drift", Vec::new())), &[]));
        world.step();
        world.step();
    }
    assert_eq!(world.counter("quarantined"), 0);
}

#[test]
fn manifests_that_do_not_fit_the_system() {
    let mut world = World::start();
    let all = ["bad.Label", "bad.Position", "bad.Velocity"];
    let mut sorted = all.map(ComponentId::of_name);
    sorted.sort_unstable();
    let zeros = [0; 4 * ROWS];
    let rows = ROWS as u32;
    let cases: Vec<(&str, JobManifest, Vec<Section<'_>>)> = vec![
        ("another system", manifest("nothing", Vec::new()), Vec::new()),
        ("no system", manifest("", Vec::new()), Vec::new()),
        (
            "a shared input that never comes",
            JobManifest { shared: Some(0), ..manifest("drift", Vec::new()) },
            Vec::new(),
        ),
        ("no parts", manifest("drift", Vec::new()), Vec::new()),
        (
            "a query that there is not",
            manifest("drift", vec![PartManifest { number: 9, ..part(&all, 0, vec![]) }]),
            vec![],
        ),
        (
            "a view that there is not",
            manifest("drift", vec![PartManifest { source: PartSource::View, ..part(&all, 0, vec![]) }]),
            vec![],
        ),
        (
            "an archetype without its components",
            manifest("drift", vec![part(&["bad.Other"], rows, vec![column(0, 4)])]),
            vec![plain(rows, &zeros)],
        ),
        (
            "columns that are missing",
            manifest("drift", vec![part(&all, rows, vec![column(0, 4)])]),
            vec![plain(rows, &zeros)],
        ),
        (
            "a column that there is not",
            manifest("drift", vec![part(&all, rows, vec![column(77, 4)])]),
            vec![Section { column: 77, ..plain(rows, &zeros) }],
        ),
        (
            "another stride",
            manifest("drift", vec![part(&all, rows / 2, vec![column(0, 8)])]),
            vec![plain(rows / 2, &zeros)],
        ),
        ("four billion rows without bytes", manifest("drift", vec![part(&all, u32::MAX, Vec::new())]), Vec::new()),
        ("sections that were not announced", manifest("drift", Vec::new()), vec![plain(rows, &zeros)]),
        ("a thousand parts", manifest("drift", vec![part(&all, rows, vec![column(0, 4)]); 1000]), Vec::new()),
    ];
    for (number, (what, manifest, sections)) in cases.into_iter().enumerate() {
        println!("{what}");
        let prefix = ChunkPrefix { job: 1000 + number as u32, ..next(&world) };
        world.publish(&subject(&world), chunk(&prefix, &strict::encode(&manifest), &sections));
        world.step();
    }
}

/// Every chunk that the coordinator sends comes again, at once and in the next tick.
#[test]
fn every_job_twice() {
    let mut world = World::start();
    let mut old: Vec<Bytes> = Vec::new();
    for _ in 0..5 {
        world.gate.set_closed(true);
        let commit = world.begin();
        let tick = world.tick() + 1;
        let mut seen = Vec::new();
        // Four jobs, all chunks.
        let mut last = 0;
        while last < 4 {
            let payload = world.next_chunk();
            let prefix = ChunkPrefix::decode(&payload).unwrap().0;
            if prefix.tick == tick {
                last += usize::from(prefix.chunk + 1 == prefix.chunks);
                seen.push(payload);
            }
        }
        for payload in seen.iter().chain(&old) {
            world.publish(&subject(&world), payload.clone());
        }
        world.gate.set_closed(false);
        world.finish(commit);
        for payload in &seen {
            world.publish(&subject(&world), payload.clone());
        }
        old = seen;
    }
    world.step();
}

/// Parcels that begin and never end, thousands of them.
#[test]
fn ten_thousand_parcels_that_never_end() {
    let mut world = World::start();
    let prefix = next(&world);
    for job in 0..10_000 {
        let prefix = ChunkPrefix { job: 5000 + job, chunks: u16::MAX, chunk: (job % 60_000) as u16, ..prefix };
        let payload = chunk(&prefix, &[0xc0; 100], &[]);
        world.wait(world.client.publish(subject(&world), payload)).unwrap();
    }
    world.step();
    world.step();
    world.step();
    world.step();
}
