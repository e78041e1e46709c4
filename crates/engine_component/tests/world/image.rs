//! A world that was made an image of and restored is the same world: values, rows and their order, what
//! trackers have seen, the next entity, and whatever happens to it afterwards.

use engine_component::image::{ImageError, Limits, Manifest, Part, PartBytes, Restore, Room, Snapshot};
use engine_component::{BLOCK_ROWS, Component, Data, Entity, On, World};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::model::{Model, Op, empty, op, step};
use crate::structure::assert_agree;
use crate::values::{IDS, Label, Marked, Mass, Place, Target};

/// The parts and the manifest.
pub(crate) fn image_of(snapshot: &Snapshot, size: PartBytes) -> (Vec<Part>, Manifest) {
    let mut parts = snapshot.parts(size);
    let taken: Vec<Part> = parts.by_ref().collect();
    assert!(taken.iter().all(|part| part.bytes.len() <= size.get()), "parts are bounded");
    (taken, parts.manifest().unwrap())
}

pub(crate) fn restore(parts: &[Part], manifest: &[u8]) -> Result<World, ImageError> {
    let mut restore = Restore::new(manifest, Limits { bytes: 64 << 20 })?;
    parts.iter().try_for_each(|part| restore.part(&part.bytes))?;
    restore.finish()
}

fn there_and_back(snapshot: &Snapshot) -> World {
    let (parts, manifest) = image_of(snapshot, PartBytes::default());
    assert_eq!(manifest.hash, snapshot.hash());
    restore(&parts, &manifest.to_bytes()).unwrap()
}

/// Also what no hash tells: tables in the order of their creation, and what trackers have seen.
fn assert_same(left: &mut World, right: &mut World) {
    assert_eq!(left.hash(), right.hash());
    assert_eq!((left.len(), left.next_entity(), left.settings()), (right.len(), right.next_entity(), right.settings()));
    let schemas = |world: &World| world.registry().iter().map(|info| info.schema.clone()).collect::<Vec<_>>();
    assert_eq!(schemas(left), schemas(right));
    assert_eq!(left.tables().len(), right.tables().len());
    for (left, right) in left.tables().iter().zip(right.tables()) {
        assert_eq!((left.components(), left.entities()), (right.components(), right.entities()));
        for (left, right) in left.columns().iter().zip(right.columns()) {
            assert!((0..left.len()).all(|row| left.row(row) == right.row(row)));
            assert_eq!(left.is_tracked(), right.is_tracked());
            assert!(!left.is_tracked() || left.tracked(0) == right.tracked(0));
        }
    }
}

proptest! {
    #[test]
    fn a_restored_world_goes_on_as_the_one_that_it_was(
        before in proptest::collection::vec(op(), 0..40),
        after in proptest::collection::vec(op(), 1..20),
    ) {
        let (mut world, mut model) = (empty(), Model::default());
        before.iter().for_each(|op| step(&mut world, &mut model, op));
        let snapshot = Snapshot::capture(&mut world);
        let mut restored = there_and_back(&snapshot);
        assert_agree(&restored, &model);
        assert_same(&mut restored, &mut world);
        let mut restored_model = model.clone();
        for op in &after {
            step(&mut world, &mut model, op);
            step(&mut restored, &mut restored_model, op);
            assert_same(&mut restored, &mut world);
        }
        // The snapshot is of the world that was, whatever became of it.
        snapshot.verify().unwrap();
        prop_assert_eq!(there_and_back(&snapshot).hash(), snapshot.hash());
    }

    #[test]
    fn a_snapshot_that_is_brought_up_to_date_is_a_new_one(
        rounds in proptest::collection::vec(proptest::collection::vec(op(), 0..15), 1..6),
    ) {
        let (mut world, mut model) = (empty(), Model::default());
        let mut kept = Snapshot::capture(&mut world);
        for ops in &rounds {
            ops.iter().for_each(|op| step(&mut world, &mut model, op));
            assert_refreshed(&mut kept, &mut world);
        }
    }
}

fn assert_refreshed(kept: &mut Snapshot, world: &mut World) {
    kept.refresh(world);
    kept.verify().unwrap();
    let fresh = Snapshot::capture(world);
    assert_eq!((kept.hash(), kept.entities()), (fresh.hash(), fresh.entities()));
    assert!(image_of(kept, PartBytes::default()).0 == image_of(&fresh, PartBytes::default()).0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Blocks of 1024 rows come, go and change between two looks.
    #[test]
    fn blocks_are_copied_when_they_changed(
        edits in proptest::collection::vec((0..4_u8, 0..3 * BLOCK_ROWS as u64, 1..6_u8), 1..30),
    ) {
        let (mut world, mut model) = (empty(), Model::default());
        let rows = |world: &mut World, model: &mut Model, count| {
            (0..count).for_each(|_| step(world, model, &Op::Batch(50, true)));
        };
        rows(&mut world, &mut model, 2 * BLOCK_ROWS / 50 + 1);
        let mut kept = Snapshot::capture(&mut world);
        for (edit, at, count) in edits {
            match edit {
                0 => step(&mut world, &mut model, &Op::Write(at, 7.0)),
                1 => (at..at + 40).for_each(|at| step(&mut world, &mut model, &Op::Despawn(at))),
                2 => rows(&mut world, &mut model, count.into()),
                _ => assert_refreshed(&mut kept, &mut world),
            }
        }
        assert_refreshed(&mut kept, &mut world);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// The same of documents, of which some grow, shrink, come and go.
    #[test]
    fn documents_are_copied_when_they_changed(
        edits in proptest::collection::vec((0..5_u8, 0..5 * BLOCK_ROWS, 0..40_usize), 1..30),
    ) {
        let label = |length: usize| Label { text: "l".repeat(length), friend: None };
        let mut world = empty();
        let mut alive = world.spawn_batch((0..5 * BLOCK_ROWS + 9).map(|row| label(row % 30)));
        let mut kept = Snapshot::capture(&mut world);
        for (edit, at, length) in edits {
            let at = at % alive.len();
            match edit {
                0 | 1 => world.set(alive[at], &label(length)).unwrap(),
                2 => (0..length).for_each(|_| world.despawn(alive.swap_remove(at % alive.len())).unwrap()),
                3 => alive.extend(world.spawn_batch((0..length * 9).map(label))),
                _ => assert_refreshed(&mut kept, &mut world),
            }
        }
        assert_refreshed(&mut kept, &mut world);
    }
}

#[test]
fn a_snapshot_that_is_brought_up_to_date_knows_what_was_registered() {
    let mut world = World::default();
    world.spawn(Place { x: 1.0, y: 2.0 });
    let mut kept = Snapshot::capture(&mut world);
    world.track(Place::ID).unwrap();
    world.spawn((Place { x: 1.0, y: 2.0 }, Mass { kilograms: 1.0 }));
    world.register::<Marked>().unwrap();
    assert_refreshed(&mut kept, &mut world);
    assert_same(&mut there_and_back(&kept), &mut world);
    // It is not meant for another world, and takes tables of other components whole.
    let mut other = World::default();
    other.spawn(Mass { kilograms: 3.0 });
    assert_refreshed(&mut kept, &mut other);
}

#[test]
fn a_first_snapshot_finds_its_memory_there() {
    let mut world = empty();
    world.spawn_batch(
        (0..3000_u16).map(|row| (Place { x: row.into(), y: 0.0 }, Label { text: "l".into(), friend: None })),
    );
    let room = Room::of(&world);
    let (parts, manifest) = image_of(&room.make(), PartBytes::default());
    assert!(restore(&parts, &manifest.to_bytes()).unwrap().is_empty(), "until then it is one of nobody");
    let mut made = Room::of(&world).make();
    let bytes = made.heap_bytes();
    assert_refreshed(&mut made, &mut world);
    assert!(bytes == made.heap_bytes() && bytes >= 3000 * (8 + 8 + 16), "{bytes}");
}

#[test]
fn a_snapshot_is_encoded_by_another_thread() {
    let mut world = empty();
    world.spawn_batch((0..1000_u16).map(|row| Place { x: row.into(), y: 0.0 }));
    let snapshot = Snapshot::capture(&mut world);
    let encoding = std::thread::spawn(move || image_of(&snapshot, PartBytes::default()));
    let entity = world.spawn(Marked);
    let (parts, manifest) = encoding.join().unwrap();
    let restored = restore(&parts, &manifest.to_bytes()).unwrap();
    assert!(restored.len() == 1000 && !restored.contains(entity));
}

#[derive(Clone, Copy, Debug, PartialEq, Component)]
#[component(name = "model.Wide")]
#[repr(C)]
struct Wide {
    words: [[u64; 1024]; 7],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Component)]
#[component(name = "model.Story", document)]
struct Story {
    text: String,
}

#[test]
fn values_larger_than_a_part_are_cut() {
    let mut world = World::default();
    let wide = |fill| Wide { words: [[fill; 1024]; 7] };
    let entities: Vec<Entity> =
        (0..5).map(|fill| world.spawn((wide(fill), Story { text: "s".repeat(300_000) }))).collect();
    let snapshot = Snapshot::capture(&mut world);
    let (parts, manifest) = image_of(&snapshot, PartBytes::new(64 * 1024).unwrap());
    assert!(parts.len() >= 5 * 357 / 64, "{} parts", parts.len());
    let restored = restore(&parts, &manifest.to_bytes()).unwrap();
    assert_eq!(*restored.get::<Wide>(entities[3]).unwrap(), wide(3));
    assert_eq!(restored.get::<Story>(entities[4]).unwrap().text.len(), 300_000);
}

#[test]
fn a_world_of_nothing_is_a_world() {
    let mut world = World::default();
    let restored = there_and_back(&Snapshot::capture(&mut world));
    assert_eq!((restored.len(), restored.next_entity()), (0, 1));
    let entity = world.spawn(());
    world.despawn(entity).unwrap();
    let mut restored = there_and_back(&Snapshot::capture(&mut world));
    assert_eq!(restored.spawn(()).to_bits(), 2, "numbers are never given again");
}

#[test]
fn what_is_written_without_a_mark_is_noticed() {
    let mut world = World::default();
    world.spawn(Place { x: 1.0, y: 2.0 });
    let mut kept = Snapshot::capture(&mut world);
    world.tables_mut().next().unwrap().column_mut(0).bytes_mut()[0] ^= 1;
    world.spawn(Marked);
    kept.refresh(&mut world);
    assert_eq!(kept.verify(), Ok(()), "neither the hash nor the copy has seen it");
    let fresh = Snapshot::capture(&mut world);
    let error = fresh.verify().unwrap_err().to_string();
    assert!(error.contains("the world has the hash"), "{error}");
}

#[test]
fn hooks_go_on_with_what_they_have_not_seen() {
    let hooked = || {
        let mut world = empty();
        world.observe::<Place>(On::Change, |_, entity, commands| commands.insert(entity, Marked)).unwrap();
        world
    };
    let mut world = hooked();
    let entity = world.spawn(Place { x: 1.0, y: 0.0 });
    let seen = world.spawn(Mass { kilograms: 1.0 });
    let mut restored = there_and_back(&Snapshot::capture(&mut world));
    restored.take_hooks(&mut hooked()).unwrap();
    restored.run_change_hooks();
    assert!(restored.has(entity, Marked::ID) && !restored.has(seen, Marked::ID));
    world.run_change_hooks();
    assert_same(&mut restored, &mut world);
}

/// The golden image: `ENGINE_BLESS=1` writes it anew, which is a change of the format.
#[test]
fn the_image_of_a_scripted_world_is_the_golden_file() {
    let mut world = empty();
    let first = world.spawn((Place { x: 1.0, y: -1.0 }, Mass { kilograms: 2.5 }));
    let label = |text: &str, friend| Label { text: text.into(), friend };
    let second = world.spawn((Marked, label("second", Some(first))));
    let batch = world.spawn_batch((0..70_u8).map(|row| Target { entity: second, shots: row.into() }));
    world.clear_tracker(IDS[2], 0);
    world.set(batch[66], &Target { entity: first, shots: 1 << 40 }).unwrap();
    world.despawn(batch[3]).unwrap();
    world.spawn(label("and one more", None));
    world.spawn(());
    let (parts, manifest) = image_of(&Snapshot::capture(&mut world), PartBytes::default());
    let [part] = &parts[..] else { panic!("a small world is one part") };
    let image = [&part.bytes[..], &manifest.to_bytes()].concat();

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/world_image.bin");
    if std::env::var_os("ENGINE_BLESS").is_some() {
        std::fs::write(path, &image).unwrap();
    }
    let golden = std::fs::read(path).unwrap();
    assert!(golden == image, "the format of images has changed");
    let (part, manifest) = golden.split_at(part.bytes.len());
    let part = Part { number: 0, bytes: part.to_vec() };
    assert_same(&mut restore(&[part], manifest).unwrap(), &mut world);
}
