//! A coordinator and an instance, without a server between them, and somebody who sends results of his own
//! making first. Each is refused with its reason, counted, and told to the sender; the world goes on as if
//! nothing had been.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine_app::coordinator::{Coordinator, Output};
use engine_app::{App, Settings, TimeMode};
use engine_component::query::Query;
use engine_component::{BitRows, Component, ComponentId, Event, WorldHash};
use engine_net::messages::Message;
use engine_net::messages::rejected::{RejectReason, Rejected};
use engine_net::messages::status::{Status, StatusReply};
use engine_net::parcel::control::{self, Failed, Missing};
use engine_net::parcel::{ChunkSizes, ColumnData, EventManifest, JobEffects, OutColumn, ParcelWriter, ResultManifest};
use engine_net::subject::Subject;
use engine_net::{ChunkKind, ChunkPrefix, messages::Reply, strict};
use engine_system::runner::{Answer, InstanceCore};
use engine_system::{EventWriter, System};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Position", finite)]
struct Position {
    x: f32,
}

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Velocity", finite)]
struct Velocity {
    x: f32,
}

#[derive(Event, Clone, Copy)]
#[event(name = "test.Bell")]
struct Bell;

#[derive(Event, Clone, Copy)]
#[event(name = "test.Gong")]
struct Gong;

fn drift(mut bodies: Query<(&mut Position, &Velocity)>, _bells: EventWriter<Bell>, _gongs: EventWriter<Gong>) {
    for (position, velocity) in &mut bodies {
        position.x += velocity.x;
    }
}

const TICKS: u64 = 4;
const NAME: &str = "honest";
const ROWS: usize = 64;

fn app() -> App {
    App::new("test").add_system("drift", drift).on_start(|start| {
        for number in 0..100 {
            start.world.spawn((Position { x: 0.0 }, Velocity { x: number as f32 }));
        }
        Ok(())
    })
}

fn settings() -> Settings {
    let one_by_one = Settings { batch_bytes: 0, ..Settings::default() };
    Settings { ticks: Some(TICKS), time: TimeMode::Fast, rows_per_shard: ROWS, chunk_bytes: 256, ..one_by_one }
}

fn undisturbed() -> WorldHash {
    app().run_ticks(settings()).unwrap().hash
}

/// What arrives instead of a result's chunk.
type Tamper<'t> = &'t mut dyn FnMut(&ChunkPrefix, Bytes) -> Vec<Bytes>;

struct Run {
    hash: WorldHash,
    told: Vec<Rejected>,
    status: Status,
}

impl Run {
    fn count(&self, name: &str) -> u64 {
        self.status.counters.get(name).copied().unwrap_or(0)
    }
}

/// Runs all ticks; every chunk of a result goes through `tamper`.
fn run(tamper: Tamper<'_>) -> Run {
    let (mut coordinator, _) = app().into_coordinator(settings(), &BTreeMap::new(), |_| false, 7).unwrap();
    let systems: Vec<Arc<dyn System>> = app().into_systems().unwrap();
    let mut instance = InstanceCore::new(NAME.into(), 1 << 16, systems, 1 << 20).unwrap();
    let subjects = coordinator.subjects().clone();
    let mut told = Vec::new();
    let mut now = 0;
    while !coordinator.is_finished() {
        now += 1_000_000;
        assert!(now < 600_000_000_000, "the world stands still after tick {}", coordinator.committed().0);
        coordinator.clock(now);
        instance.look_around(now);
        while let Some(output) = coordinator.next_output() {
            let Output::Send { subject, payload, .. } = output else { panic!("a job for this process") };
            match subjects.parse(&subject) {
                Some(Subject::Schedule { .. }) => instance.chunk(now, payload),
                Some(Subject::Hello) => instance.hello(&payload),
                Some(Subject::Rejected { .. }) => {
                    told.push(strict::decode(&payload, Rejected::LIMIT).unwrap());
                    instance.rejected(&payload);
                }
                None if subject == "_INBOX.i" => instance.answered(now, &payload).unwrap(),
                _ => {}
            }
        }
        while let Some(answer) = instance.next_answer() {
            match answer {
                Answer::Register(payload) => {
                    coordinator.message(now, &subjects.register(instance.sender()), Some("_INBOX.i"), payload.into());
                }
                Answer::Heartbeat(payload) => {
                    let subject = subjects.heartbeat(instance.sender());
                    coordinator.message(now, &subject, None, payload.into());
                }
                Answer::Map { .. } => panic!("nobody offers memory here"),
                Answer::Leave(_) => panic!("nobody asked it to leave"),
                Answer::Compute(work) => instance.computed(work.run(&|| now)),
                Answer::Result { epoch, payload } => {
                    let subject = subjects.changed(epoch, instance.sender());
                    let prefix = ChunkPrefix::decode(&payload).unwrap().0;
                    for payload in tamper(&prefix, payload) {
                        coordinator.message(now, &subject, None, payload);
                    }
                }
            }
        }
    }
    let status = status(&mut coordinator, now);
    Run { hash: coordinator.committed().1, told, status }
}

fn status(coordinator: &mut Coordinator, now: u64) -> Status {
    let subject = coordinator.subjects().status();
    coordinator.message(now, &subject, Some("_INBOX.s"), Bytes::new());
    while let Some(output) = coordinator.next_output() {
        if let Output::Send { subject, payload, .. } = output
            && subject == "_INBOX.s"
            && let Ok(Reply::Ok(status)) = strict::decode::<StatusReply>(&payload, StatusReply::LIMIT)
        {
            return status;
        }
    }
    panic!("no status");
}

/// The forgery arrives before the first chunk of a result in tick 2; it has to be refused with this reason.
fn forged(reason: RejectReason, mut forge: impl FnMut(&ChunkPrefix, &Bytes) -> Vec<Bytes>) {
    let mut done = false;
    let run = run(&mut |prefix, honest| {
        if done || prefix.tick != 2 || prefix.kind != ChunkKind::Result {
            return vec![honest];
        }
        done = true;
        let mut all = forge(prefix, &honest);
        all.push(honest);
        all
    });
    let reasons: Vec<_> = run.told.iter().map(|told| (told.reason, told.message.as_str())).collect();
    assert!(done && reasons.iter().any(|(told, _)| *told == reason), "{reason}: {reasons:?}");
    assert!(run.count(&format!("rejected.{reason}")) > 0, "{:?}", run.status.counters);
    assert_eq!(run.hash, undisturbed(), "after {reason}");
}

/// An honest chunk with another prefix.
fn relabelled(honest: &Bytes, change: impl FnOnce(&mut ChunkPrefix)) -> Vec<Bytes> {
    let (mut prefix, body) = ChunkPrefix::decode(honest).unwrap();
    change(&mut prefix);
    vec![[&prefix.encode()[..], body].concat().into()]
}

/// A result of the forger's own: manifest, and columns of the first part.
fn result(prefix: &ChunkPrefix, manifest: &ResultManifest, rows: usize, columns: &[OutColumn<'_>]) -> Vec<Bytes> {
    let mut writer = ParcelWriter::new(*prefix, ChunkSizes::default(), manifest).unwrap();
    if !columns.is_empty() {
        writer.part(0, rows, columns).unwrap();
    }
    writer.finish().unwrap()
}

/// The manifest of a result without commands and events.
fn effects(commands_bytes: u64, events: Vec<EventManifest>) -> ResultManifest {
    ResultManifest { jobs: vec![JobEffects { job: 0, commands_bytes, events }], ..none() }
}

fn none() -> ResultManifest {
    ResultManifest { compute_ns: 0, wait_ns: 0, rest_ns: 0, jobs: Vec::new(), mapped: Vec::new() }
}

fn plain(column: u16, bytes: &[u8], stride: usize) -> OutColumn<'_> {
    OutColumn { column, data: ColumnData::Plain { bytes, stride } }
}

#[test]
fn nothing_is_refused_when_nothing_is_wrong() {
    let run = run(&mut |_, honest| vec![honest]);
    assert_eq!((run.hash, run.told.len()), (undisturbed(), 0));
    assert!(!run.status.counters.keys().any(|name| name.starts_with("rejected")), "{:?}", run.status.counters);
}

#[test]
fn garbage() {
    forged(RejectReason::Garbage, |_, _| {
        vec![Bytes::new(), Bytes::from_static(&[0xff; 3]), Bytes::from(vec![9; 5000])]
    });
    forged(RejectReason::Garbage, |prefix, _| {
        vec![control::working(&ChunkPrefix { kind: ChunkKind::Job, ..*prefix }).slice(..)]
            .into_iter()
            .map(|payload| {
                let mut bytes = payload.to_vec();
                bytes[0] = ChunkKind::Resend as u8;
                bytes.into()
            })
            .collect()
    });
}

#[test]
fn a_result_of_another_epoch_tick_job_attempt_or_slot() {
    forged(RejectReason::ForeignEpoch, |_, honest| relabelled(honest, |prefix| prefix.epoch = 6));
    forged(RejectReason::ForeignEpoch, |_, honest| relabelled(honest, |prefix| prefix.epoch = 8));
    forged(RejectReason::OldTick, |_, honest| relabelled(honest, |prefix| prefix.tick = 1));
    forged(RejectReason::OldTick, |_, honest| relabelled(honest, |prefix| prefix.tick = 3));
    forged(RejectReason::OldTick, |_, honest| relabelled(honest, |prefix| prefix.tick = u64::MAX));
    forged(RejectReason::UnknownJob, |_, honest| relabelled(honest, |prefix| prefix.job = 2));
    forged(RejectReason::UnknownJob, |_, honest| relabelled(honest, |prefix| prefix.job = u32::MAX));
    forged(RejectReason::OldAttempt, |_, honest| relabelled(honest, |prefix| prefix.attempt = 1));
    forged(RejectReason::WrongInstance, |_, honest| relabelled(honest, |prefix| prefix.instance = 99));
}

#[test]
fn a_result_twice() {
    let mut first: Vec<Bytes> = Vec::new();
    let run = run(&mut |prefix, honest| {
        if prefix.tick != 2 || prefix.job != 0 {
            return vec![honest];
        }
        first.push(honest.clone());
        let last = prefix.chunk + 1 == prefix.chunks;
        if last { [first.clone(), first.clone()].concat() } else { Vec::new() }
    });
    assert!(run.told.iter().any(|told| told.reason == RejectReason::Claimed), "{:?}", run.told);
    assert_eq!(run.hash, undisturbed());
}

#[test]
fn chunks_out_of_order_doubled_and_missing() {
    let mut kept: BTreeMap<(u64, u32, u16), Vec<Bytes>> = BTreeMap::new();
    let mut lost = 0;
    let run = run(&mut |prefix, honest| {
        if prefix.kind != ChunkKind::Result || prefix.attempt > 0 {
            return vec![honest];
        }
        let all = kept.entry((prefix.tick, prefix.job, prefix.attempt)).or_default();
        all.push(honest);
        if all.len() < usize::from(prefix.chunks) {
            return Vec::new();
        }
        // The other way round, the second doubled, and once in a tick one is lost.
        let mut all: Vec<Bytes> = std::mem::take(all).into_iter().rev().collect();
        if all.len() > 1 {
            all.insert(1, all[0].clone());
        }
        if prefix.job == 0 && lost < prefix.tick {
            lost = prefix.tick;
            all.pop();
        }
        all
    });
    assert_eq!(run.hash, undisturbed());
    assert!(run.count("duplicates") > 0 && run.count("asked_again") > 0, "{:?}", run.status.counters);
}

#[test]
fn chunks_that_contradict_each_other() {
    forged(RejectReason::ChunkMismatch, |_, honest| {
        let more = relabelled(honest, |prefix| prefix.chunks += 5);
        [vec![honest.clone()], more].concat()
    });
}

#[test]
fn columns_that_the_job_may_not_write() {
    let zeros = [0; 4 * ROWS];
    let none = none();
    forged(RejectReason::UndeclaredColumn, |prefix, _| result(prefix, &none, ROWS, &[plain(1, &zeros, 4)]));
    forged(RejectReason::UndeclaredColumn, |prefix, _| result(prefix, &none, ROWS, &[plain(9, &zeros, 4)]));
    forged(RejectReason::UndeclaredColumn, |prefix, _| {
        let mut writer = ParcelWriter::new(*prefix, ChunkSizes::default(), &none).unwrap();
        writer.part(5, ROWS, &[plain(0, &zeros, 4)]).unwrap();
        writer.finish().unwrap()
    });
}

#[test]
fn rows_and_bytes_that_do_not_fit() {
    let (zeros, none) = ([0; 8 * ROWS * 2], none());
    let write = |prefix: &ChunkPrefix, rows, stride: usize| {
        result(prefix, &none, rows, &[plain(0, &zeros[..rows * stride], stride)])
    };
    forged(RejectReason::WrongLength, |prefix, _| write(prefix, ROWS * 2, 4));
    forged(RejectReason::WrongLength, |prefix, _| write(prefix, ROWS, 8));
    let dirty = BitRows::full(ROWS * 2);
    forged(RejectReason::WrongLength, |prefix, _| {
        let data = ColumnData::DirtyPlain { bytes: &zeros[..ROWS * 8], stride: 4, dirty: &dirty };
        result(prefix, &none, ROWS * 2, &[OutColumn { column: 0, data }])
    });
}

#[test]
fn numbers_that_are_none() {
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let rows: Vec<u8> = [0.0, number].iter().cycle().take(ROWS).flat_map(|x: &f32| x.to_le_bytes()).collect();
        let none = none();
        forged(RejectReason::NotFinite, |prefix, _| result(prefix, &none, ROWS, &[plain(0, &rows, 4)]));
    }
}

#[test]
fn commands_and_events_that_were_not_declared() {
    let commands = effects(4, Vec::new());
    forged(RejectReason::BadCommand, |prefix, _| {
        let mut writer = ParcelWriter::new(*prefix, ChunkSizes::default(), &commands).unwrap();
        writer.stream(0, 0, &[1, 2, 3, 4]).unwrap();
        writer.finish().unwrap()
    });
    let event = EventManifest { event: ComponentId::of_name("test.Position"), count: 1, bytes: 4 };
    let events = effects(0, vec![event]);
    forged(RejectReason::BadEvent, |prefix, _| result(prefix, &events, ROWS, &[]));
    let large = effects(u64::MAX, Vec::new());
    forged(RejectReason::BadCommand, |prefix, _| result(prefix, &large, ROWS, &[]));
}

#[test]
fn events_without_a_byte_that_are_too_many() {
    let tags = |name, count| EventManifest { event: ComponentId::of_name(name), count, bytes: 0 };
    for count in [u32::MAX, 20 << 20] {
        let many = effects(0, vec![tags("test.Bell", count), tags("test.Gong", count)]);
        forged(RejectReason::TooLarge, |prefix, _| result(prefix, &many, ROWS, &[]));
    }
}

#[test]
fn requests_for_chunks_that_are_nobodys() {
    forged(RejectReason::Garbage, |prefix, _| {
        let all = Missing { of: ChunkKind::Job as u8, chunks: Vec::new() };
        let mut cut = control::encode(prefix, ChunkKind::Missing, &all).to_vec();
        cut.truncate(cut.len() - 1);
        vec![cut.into()]
    });
    forged(RejectReason::UnknownJob, |prefix, _| {
        let all = Missing { of: ChunkKind::Job as u8, chunks: Vec::new() };
        vec![control::encode(&ChunkPrefix { job: 77, ..*prefix }, ChunkKind::Missing, &all)]
    });
}

/// Cut anywhere, with any bit turned: never a panic, and the world goes on. A bit of a value is no forgery that
/// anybody could see, so the hash is not compared.
#[test]
fn honest_chunks_that_are_damaged() {
    let (mut number, mut hurt) = (0_usize, 0);
    let run = run(&mut |prefix, honest| {
        number += 1;
        if prefix.attempt > 2 {
            return vec![honest];
        }
        hurt += 1;
        let cuts = (0..honest.len()).step_by(1 + honest.len() / 40).map(|end| honest.slice(..end));
        let turned = (0..honest.len()).step_by(1 + number % 5).map(|at| {
            let mut bytes = honest.to_vec();
            bytes[at] ^= 1 << (at % 8);
            bytes.into()
        });
        cuts.chain(turned).chain([honest.clone()]).collect()
    });
    assert!(hurt > 0 && run.status.tick == TICKS && run.told.len() > 100, "{:?}", run.status.counters);
}

/// A system that fails is tried again; then its shard keeps its values, and the world goes on.
#[test]
fn a_job_that_always_fails_is_given_up() {
    let run = run(&mut |prefix, honest| {
        if prefix.tick != 2 || prefix.job != 0 || prefix.kind != ChunkKind::Result {
            return vec![honest];
        }
        let failed = Failed { reason: "panic".into(), message: "on purpose".into() };
        if prefix.chunk == 0 { vec![control::encode(prefix, ChunkKind::Failed, &failed)] } else { Vec::new() }
    });
    assert_eq!((run.status.tick, run.count("failed_jobs"), run.count("quarantined")), (TICKS, 5, 1));
    assert_ne!(run.hash, undisturbed(), "one shard did not move in one tick");
}
