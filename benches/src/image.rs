//! What it costs to copy a world between two ticks, to write it as an image, and to read it back.
//!
//! All against one copy of the same bytes: into new memory where the work takes new memory, into memory that is
//! there already where it does not. (The allocator of the bench keeps what was given back, so that new memory is
//! seldom new to the operating system.)

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use anyhow::Result;
use engine_component::compare::compare;
use engine_component::image::{Limits, Part, PartBytes, Restore, Room, Snapshot};
use engine_component::{Component, Entity, World};

use crate::case::{Case, Contender, OURS, Unit};
use crate::ecs::components::ours::{Position, Velocity};
use crate::measure::{repeated, with_fresh};

const ENTITIES: usize = 1_000_000;
/// Position, velocity and health.
const COLUMNS: usize = ENTITIES * (12 + 12 + 4);
/// With the entities.
const BYTES: usize = COLUMNS + ENTITIES * 8;

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "bench.Health")]
struct Health {
    value: f32,
}

#[derive(Component, Clone, Copy)]
#[component(name = "bench.Seen")]
struct Seen;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, about, contenders| Case { name, about, unit: Unit::Milliseconds, contenders };
    vec![
        case("image/capture", "a first snapshot of 1,000,000 entities of 28 bytes, against one copy", capture),
        case("image/capture_in_room", "the same, the memory made before by somebody else", capture_in_room),
        case(
            "image/refresh_none",
            "a snapshot brought up to date, nothing changed, against one copy of all columns",
            || refresh(0..0, 1),
        ),
        case("image/refresh_some", "the same, 1 % of the rows changed, side by side", || refresh(0..ENTITIES / 100, 1)),
        case("image/refresh_scattered", "the same, 1 % of the rows changed, in every block", || {
            refresh(0..ENTITIES, 100)
        }),
        case("image/refresh_all", "the same, all rows changed", || refresh(0..ENTITIES, 1)),
        case("image/encode", "a snapshot as parts of 256 KiB, against one copy", encode),
        case("image/restore", "the world of these parts, verified, against one copy", || restore(false)),
        case("image/restore_shuffled", "the same, rows and entities in different orders", || restore(true)),
        case("image/compare", "two equal worlds compared, against one copy", comparison),
    ]
}

/// Hashed already, as after each tick.
fn world(shuffled: bool) -> World {
    let mut world = World::default();
    let row = |row| (Position { value: X }, Velocity { value: X }, Health { value: row as f32 });
    let spawned = world.spawn_batch((0..ENTITIES).map(row));
    if shuffled {
        // Each comes back to the end of its table, and leaves its row to the last one.
        let mut place = 1_u64;
        for _ in 0..ENTITIES {
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let entity: Entity = spawned[(place >> 33) as usize % ENTITIES];
            let there_and_back = world.insert(entity, Seen).and_then(|()| world.remove::<Seen>(entity));
            debug_assert!(there_and_back.is_ok(), "all of them live");
        }
    }
    world.hash();
    world
}

const X: engine_math::Vec3 = engine_math::Vec3::X;

fn one_copy(bytes: usize) -> Contender {
    let bytes = vec![1_u8; bytes];
    let mut copy = vec![0_u8; bytes.len()];
    repeated("one copy", 1, move || {
        copy.copy_from_slice(black_box(&bytes));
        black_box(&mut copy);
    })
}

fn one_fresh_copy() -> Contender {
    let bytes = vec![1_u8; BYTES];
    with_fresh("one copy, new memory", || (), move |()| black_box(&bytes).clone())
}

fn capture() -> Result<Vec<Contender>> {
    let mut world = world(false);
    Ok(vec![with_fresh(OURS, || (), move |()| Snapshot::capture(&mut world)), one_fresh_copy(), one_copy(BYTES)])
}

fn capture_in_room() -> Result<Vec<Contender>> {
    let world = Rc::new(RefCell::new(world(false)));
    let room_of = Rc::clone(&world);
    let work = move |mut snapshot: Snapshot| {
        snapshot.refresh(&mut world.borrow_mut());
        snapshot
    };
    Ok(vec![with_fresh(OURS, move || Room::of(&room_of.borrow()).make(), work), one_fresh_copy(), one_copy(BYTES)])
}

/// Of these rows every so many have changed, in all three columns.
fn refresh(rows: std::ops::Range<usize>, every: usize) -> Result<Vec<Contender>> {
    let mut world = world(false);
    let snapshot = RefCell::new(Snapshot::capture(&mut world));
    let world = Rc::new(RefCell::new(world));
    let changing = Rc::clone(&world);
    let change = move || {
        let mut world = changing.borrow_mut();
        let version = world.advance_version();
        for mut table in world.tables_mut() {
            for mut column in table.columns_mut() {
                for block in rows.clone().step_by(engine_component::BLOCK_ROWS.max(every)) {
                    let last = rows.end.min(block + engine_component::BLOCK_ROWS);
                    (block..last).step_by(every).for_each(|row| column.mark_range(row..row + 1, version));
                }
            }
        }
        world.hash();
    };
    let work = move |()| snapshot.borrow_mut().refresh(&mut world.borrow_mut());
    Ok(vec![with_fresh(OURS, change, work), one_copy(COLUMNS)])
}

fn encode() -> Result<Vec<Contender>> {
    let snapshot = Snapshot::capture(&mut world(false));
    Ok(vec![
        repeated(OURS, 1, move || {
            let mut parts = snapshot.parts(PartBytes::default());
            parts.by_ref().for_each(|part| drop(black_box(part)));
            black_box(parts.manifest().is_ok());
        }),
        one_copy(BYTES),
    ])
}

fn restore(shuffled: bool) -> Result<Vec<Contender>> {
    let snapshot = Snapshot::capture(&mut world(shuffled));
    let mut parts = snapshot.parts(PartBytes::default());
    let image: Vec<Part> = parts.by_ref().collect();
    let manifest = parts.manifest()?.to_bytes();
    drop(snapshot);
    let hashed = image.clone();
    Ok(vec![
        with_fresh(
            OURS,
            || (),
            move |()| {
                let mut restore = Restore::new(&manifest, Limits::default())?;
                image.iter().try_for_each(|part| restore.part(&part.bytes))?;
                restore.finish()
            },
        ),
        one_fresh_copy(),
        one_copy(BYTES),
        repeated("one hash", 1, move || {
            let hash = |part: &Part| xxhash_rust::xxh3::xxh3_128(black_box(&part.bytes));
            black_box(hashed.iter().map(hash).fold(0, |all, part| all ^ part));
        }),
    ])
}

fn comparison() -> Result<Vec<Contender>> {
    let (a, b) = (world(false), world(false));
    Ok(vec![repeated(OURS, 1, move || assert!(black_box(compare(&a, &b, 10)).is_empty())), one_copy(BYTES)])
}
