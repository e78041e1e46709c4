//! Results that somebody sends in the honest instance's name, while it computes.

use bytes::Bytes;
use engine_component::ComponentId;
use engine_net::messages::rejected::RejectReason as R;
use engine_net::parcel::control::{self, Missing};
use engine_net::parcel::{EventManifest, JobEffects, ResultManifest};
use engine_net::subject::Sender;
use engine_net::{ChunkKind, ChunkPrefix};

use crate::forgery::{Section, chunk, empty, garbage, plain, result};
use crate::world::{EPOCH, HONEST, ROWS, World, who};

/// In a tick whose first job is being computed: what `forge` makes of that job's prefix is refused with this
/// reason, told and counted, and does the world nothing.
fn refused(world: &mut World, reason: R, forge: impl FnOnce(&ChunkPrefix) -> Bytes) {
    refused_at(world, who(HONEST), reason, |job| vec![forge(job)]);
}

fn refused_at(world: &mut World, from: Sender<'_>, reason: R, forge: impl FnOnce(&ChunkPrefix) -> Vec<Bytes>) {
    let counter = format!("rejected.{reason}");
    let before = world.counter(&counter);
    world.gate.set_closed(true);
    let commit = world.begin();
    let job = world.next_job();
    let subject = world.subjects.changed(EPOCH, from);
    for payload in forge(&job) {
        world.publish(&subject, payload);
    }
    let told = world.told(from, reason);
    assert!(told.epoch == EPOCH && !told.message.is_empty(), "{told:?}");
    world.until_counter(&counter, before + 1);
    world.gate.set_closed(false);
    world.finish(commit);
}

fn relabelled(job: &ChunkPrefix, change: impl FnOnce(&mut ChunkPrefix)) -> Bytes {
    let mut prefix = *job;
    change(&mut prefix);
    result(&prefix, &empty(), &[])
}

const WHOLE: [u8; 4 * ROWS] = [0; 4 * ROWS];

fn rows() -> Section<'static> {
    plain(ROWS as u32, &WHOLE)
}

#[test]
fn garbage_in_place_of_a_result() {
    let mut world = World::start();
    let honest = result(
        &ChunkPrefix::decode(
            &[[3, engine_net::prefix::CHUNK_VERSION].as_slice(), &[0; 24], &[1, 0, 0, 0, 0, 0]].concat(),
        )
        .unwrap()
        .0,
        &empty(),
        &[],
    );
    let all = garbage(&honest[32..]);
    let count = all.len() as u64;
    for (_, payload) in &all {
        // Not even a prefix.
        world.publish(&world.subjects.changed(EPOCH, who(HONEST)), payload.clone());
    }
    world.until_counter("rejected.garbage", count);
    world.step();
    for (what, body) in all.into_iter().filter(|(what, _)| !what.contains("a byte too many")) {
        println!("a manifest of {what}");
        refused(&mut world, R::Garbage, |job| chunk(&job.answer(ChunkKind::Result), &body, &[]));
    }
}

#[test]
fn results_of_another_epoch_tick_job_attempt_or_instance() {
    let mut world = World::start();
    let world = &mut world;
    refused(world, R::ForeignEpoch, |job| relabelled(job, |prefix| prefix.epoch -= 1));
    refused(world, R::ForeignEpoch, |job| relabelled(job, |prefix| prefix.epoch += 1));
    refused(world, R::OldTick, |job| relabelled(job, |prefix| prefix.tick -= 1));
    refused(world, R::OldTick, |job| relabelled(job, |prefix| prefix.tick += 1));
    refused(world, R::OldTick, |job| relabelled(job, |prefix| prefix.tick = u64::MAX));
    refused(world, R::UnknownJob, |job| relabelled(job, |prefix| prefix.job = 4));
    refused(world, R::UnknownJob, |job| relabelled(job, |prefix| prefix.job = u32::MAX));
    refused(world, R::OldAttempt, |job| relabelled(job, |prefix| prefix.attempt += 1));
    refused(world, R::OldAttempt, |job| relabelled(job, |prefix| prefix.attempt = u16::MAX));
    // The slot of somebody else, and a name that nobody has.
    refused(world, R::WrongInstance, |job| relabelled(job, |prefix| prefix.instance += 1));
    refused_at(world, who("mallory"), R::WrongInstance, |job| vec![relabelled(job, |_| ())]);
    // The right name and slot, of somebody who may run another system.
    let other = Sender { systems: "lurk", instance: HONEST };
    refused_at(world, other, R::WrongInstance, |job| vec![relabelled(job, |_| ())]);
    // Nobody listens for results of another epoch: the server itself keeps them away.
    let before = world.counter("rejected.foreign_epoch");
    world.publish(&world.subjects.changed(EPOCH - 1, who(HONEST)), vec![0; 40]);
    world.step();
    assert_eq!(world.counter("rejected.foreign_epoch"), before);
}

#[test]
fn columns_lengths_and_values_that_do_not_fit() {
    let mut world = World::start();
    let mut refused = |reason, section: Section<'_>| {
        println!("{reason}: kind {}, {} rows", section.kind, section.rows);
        refused(&mut world, reason, |job| result(job, &empty(), &[section]));
    };
    // Four billion rows of nothing, and as many as there are bytes for.
    refused(R::Garbage, plain(u32::MAX, &WHOLE));
    refused(R::Garbage, Section { first_row: u32::MAX, ..rows() });
    refused(R::WrongLength, plain(2 * ROWS as u32, &[0; 8 * ROWS]));
    refused(R::WrongLength, Section { first_row: 1, ..rows() });
    refused(R::WrongLength, plain(ROWS as u32, &[0; 8 * ROWS]));
    refused(R::Garbage, plain(ROWS as u32, &WHOLE[1..]));
    refused(R::Garbage, plain(0, &[]));
    // It may not write Velocity; there is no ninth column, and no second part.
    refused(R::UndeclaredColumn, Section { column: 1, ..rows() });
    refused(R::UndeclaredColumn, Section { column: 9, ..rows() });
    refused(R::UndeclaredColumn, Section { part: 1, ..rows() });
    refused(R::UndeclaredColumn, Section { column: 2, ..rows() });
    refused(R::UndeclaredColumn, Section { kind: 2, data: &[0; 8 * ROWS], ..rows() });
    refused(R::Garbage, Section { kind: 77, ..rows() });
    // Bitmaps: of no row, of another length, with bits behind the last row, with fewer values than bits.
    let packed = |data, bitmap| Section { kind: 4, data, bitmap: Some(bitmap), ..rows() };
    refused(R::Garbage, packed(&[], &[0; 8]));
    refused(R::Garbage, packed(&WHOLE, &[0xff; 16]));
    refused(R::Garbage, packed(&WHOLE, &[0xff; 7]));
    refused(R::Garbage, Section { rows: 63, ..packed(&WHOLE, &[0xff; 8]) });
    refused(R::Garbage, packed(&WHOLE[..9], &[3, 0, 0, 0, 0, 0, 0, 0]));
    // Documents: offsets that shrink, that end elsewhere, that claim four billion bytes.
    let offsets = |numbers: [u32; 3]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    for numbers in [[0, 3, 2], [0, 1, 9], [1, 1, 2], [0, u32::MAX, u32::MAX]] {
        let data = [offsets(numbers), vec![0xc0, 0xc0]].concat();
        refused(R::Garbage, Section { kind: 1, column: 2, rows: 2, data: &data, ..rows() });
    }
    // Offsets that fit, and documents that are none.
    let data = [offsets([0, 1, 2]), vec![0xc1, 0xc1]].concat();
    refused(R::BadDocument, Section { kind: 1, column: 2, rows: 2, data: &data, ..rows() });
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let data: Vec<u8> = [0.0, number].iter().cycle().take(ROWS).flat_map(|x: &f32| x.to_le_bytes()).collect();
        refused(R::NotFinite, plain(ROWS as u32, &data));
    }
}

#[test]
fn commands_and_events_that_may_not_be() {
    let mut world = World::start();
    let world = &mut world;
    let stream = |data| Section { kind: 6, rows: 4, data, ..rows() };
    let of_job = |commands_bytes, events| ResultManifest {
        jobs: vec![JobEffects { job: 0, commands_bytes, events }],
        ..empty()
    };
    let commands = of_job(4, Vec::new());
    refused(world, R::BadCommand, |job| result(job, &commands, &[stream(&[9, 9, 9, 9])]));
    // What the manifest announces does not come, or comes without being announced.
    refused(world, R::WrongLength, |job| result(job, &commands, &[]));
    refused(world, R::UndeclaredColumn, |job| result(job, &empty(), &[stream(&[9, 9, 9, 9])]));
    let large = of_job(u64::MAX, Vec::new());
    refused(world, R::TooLarge, |job| result(job, &large, &[]));
    let event = EventManifest { event: ComponentId::of_name("bad.Position"), count: u32::MAX, bytes: 4 };
    let events = of_job(0, vec![event; 3]);
    refused(world, R::BadEvent, |job| result(job, &events, &[]));
    // Of an entity that nobody has, every honest job tells: it is counted, and changes nothing.
    assert!(world.counter("missed_commands") >= 4 * world.tick());
}

#[test]
fn chunks_that_contradict_each_other_and_requests_that_lead_nowhere() {
    let mut world = World::start();
    let world = &mut world;
    let half = |job: &ChunkPrefix, of: u16, payload: u8| {
        let prefix = ChunkPrefix { chunks: of, chunk: 1, ..job.answer(ChunkKind::Result) };
        chunk(&prefix, &[payload], &[])
    };
    // The second chunk of two, and of three; then twice, with other bytes. The first never comes.
    refused_at(world, who(HONEST), R::ChunkMismatch, |job| vec![half(job, 2, 0), half(job, 3, 0)]);
    refused_at(world, who(HONEST), R::ChunkMismatch, |job| vec![half(job, 2, 0), half(job, 2, 1)]);
    // Kinds that only the coordinator sends.
    for kind in [ChunkKind::Job, ChunkKind::Shared, ChunkKind::Resend] {
        refused(world, R::Garbage, |job| chunk(&ChunkPrefix { kind, ..*job }, &[0x80], &[]));
    }
    let ask = |job: &ChunkPrefix, chunks| {
        control::encode(job, ChunkKind::Missing, &Missing { of: ChunkKind::Job as u8, chunks })
    };
    refused(world, R::UnknownJob, |job| ask(&ChunkPrefix { job: 99, ..*job }, Vec::new()));
    refused(world, R::Garbage, |job| ask(job, vec![0; 5000]));
    refused(world, R::Garbage, |job| chunk(&job.answer(ChunkKind::Missing), &[0xdd, 0xff, 0xff, 0xff, 0xff], &[]));
    refused(world, R::Garbage, |job| chunk(&job.answer(ChunkKind::Failed), &[0xc1], &[]));
}

/// One that came is enough: whatever else comes for that job is refused.
#[test]
fn a_result_a_thousand_times() {
    let mut world = World::start();
    let mut spy = world.subscribe(&world.subjects.changed(EPOCH, who(HONEST)));
    world.step();
    use futures_util::StreamExt;
    let honest = world.wait(spy.next()).unwrap().payload;
    let subject = world.subjects.changed(EPOCH, who(HONEST));
    world.gate.set_closed(true);
    let commit = world.begin();
    let job = world.next_job();
    for _ in 0..1000 {
        world.wait(world.client.publish(subject.clone(), honest.clone())).unwrap();
    }
    world.until_counter("rejected.old_tick", 1000);
    world.gate.set_closed(false);
    world.finish(commit);
    // Of the tick that is open, after its result.
    let again = relabelled(&job, |_| ());
    world.publish(&subject, again);
    world.until_counter("rejected.old_tick", 1001);
    world.step();
}
