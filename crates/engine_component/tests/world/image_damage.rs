//! Images that are not what was written: every damage is noticed, nothing panics, and what is refused names
//! the part.

use engine_component::World;
use engine_component::image::{
    ImageError, Limits, Manifest, Part, PartBytes, Place as Where, Problem, Restore, Snapshot,
};
use proptest::prelude::*;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::image::{image_of, restore};
use crate::model::empty;
use crate::values::{Label, Marked, Mass, Place};

fn small() -> World {
    let mut world = empty();
    let first = world.spawn((Place { x: 1.0, y: -1.0 }, Mass { kilograms: 2.5 }));
    world.spawn((Marked, Label { text: "second".into(), friend: Some(first) }));
    world.spawn((Marked, Label { text: "third".into(), friend: None }));
    world
}

fn image() -> (Vec<Part>, Manifest) {
    image_of(&Snapshot::capture(&mut small()), PartBytes::default())
}

/// An image of several parts.
fn parted() -> (Vec<Part>, Manifest) {
    let mut world = small();
    world.spawn_batch((0..30_000_u16).map(|row| Place { x: row.into(), y: 0.0 }));
    let image = image_of(&Snapshot::capture(&mut world), PartBytes::new(64 * 1024).unwrap());
    assert!(image.0.len() > 4);
    image
}

/// Makes the hashes of a changed part and of its manifest right again: a forgery, or a mistake of a writer.
fn reseal(part: &mut Part, manifest: &mut Manifest) {
    let body = part.bytes.len() as u32 - 48;
    part.bytes[12..16].copy_from_slice(&body.to_le_bytes());
    let hash = xxh3_128_with_seed(&part.bytes[48..], xxh3_64(&part.bytes[..32]));
    part.bytes[32..48].copy_from_slice(&hash.to_le_bytes());
    manifest.parts[part.number as usize] = (part.bytes.len() as u32, hash);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (parts, manifest) = image();
    let manifest = manifest.to_bytes();
    restore(&parts, &manifest).unwrap();
    for at in 0..parts[0].bytes.len() {
        for bit in 0..8 {
            let mut damaged = parts.clone();
            damaged[0].bytes[at] ^= 1 << bit;
            let error = restore(&damaged, &manifest).err().unwrap_or_else(|| panic!("byte {at} bit {bit}"));
            assert_eq!(error.place, Where::Part(0));
        }
    }
    for at in 0..manifest.len() {
        for bit in 0..8 {
            let mut damaged = manifest.clone();
            damaged[at] ^= 1 << bit;
            let error = restore(&parts, &damaged).err().unwrap_or_else(|| panic!("byte {at} bit {bit}"));
            assert_eq!(error.place, Where::Manifest);
        }
    }
}

#[test]
fn every_cut_is_noticed() {
    let (parts, manifest) = image();
    let manifest = manifest.to_bytes();
    for length in 0..parts[0].bytes.len() {
        let cut = Part { number: 0, bytes: parts[0].bytes[..length].to_vec() };
        assert_eq!(restore(&[cut], &manifest).unwrap_err().place, Where::Part(0));
    }
    for length in 0..manifest.len() {
        assert_eq!(restore(&parts, &manifest[..length]).unwrap_err().place, Where::Manifest);
    }
    let longer = [&manifest[..], &[0]].concat();
    assert!(restore(&parts, &longer).is_err());
}

#[test]
fn parts_are_taken_whole_in_order_and_of_one_image() {
    let (parts, manifest) = parted();
    let bytes = manifest.to_bytes();
    restore(&parts, &bytes).unwrap();
    let refused = |parts: &[Part]| restore(parts, &bytes).unwrap_err();
    let mut missing = parts.clone();
    missing.remove(2);
    assert_eq!(refused(&missing).place, Where::Part(2));
    assert_eq!(refused(&parts[..parts.len() - 1]).place, Where::Whole);
    let mut doubled = parts.clone();
    doubled.insert(1, parts[1].clone());
    assert_eq!(refused(&doubled).place, Where::Part(2));
    let mut reordered = parts.clone();
    reordered.swap(1, 3);
    assert_eq!(refused(&reordered).place, Where::Part(1));
    let more = [&parts[..], &parts[..1]].concat();
    assert_eq!(refused(&more).place, Where::Part(parts.len() as u32));
    let foreign = [&image().0[..], &parts[1..]].concat();
    assert!(matches!(refused(&foreign), ImageError { place: Where::Part(0), problem: Problem::Foreign { .. } }));
    assert!(restore(&parts, &parts[0].bytes).is_err(), "a part is no manifest");
}

#[test]
fn more_than_the_limit_is_refused_before_it_is_read() {
    let (_, manifest) = parted();
    let error = Restore::new(&manifest.to_bytes(), Limits { bytes: 1000 }).unwrap_err();
    assert!(matches!(error.problem, Problem::TooMuch { limit: 1000, .. }), "{error}");
}

/// Where the bytes of the first piece of a kind are.
fn piece(part: &Part, kind: u8) -> std::ops::Range<usize> {
    let mut at = 48;
    loop {
        let length = u32::from_le_bytes(part.bytes[at + 32..at + 36].try_into().unwrap()) as usize;
        let bytes = at + 40..at + 40 + length;
        if part.bytes[at] == kind {
            return bytes;
        }
        at = bytes.end;
    }
}

/// What a forger changes is refused for what it is, with right hashes everywhere.
fn forged(change: impl FnOnce(&mut Part, &mut Manifest)) -> String {
    let (mut parts, mut manifest) = image();
    change(&mut parts[0], &mut manifest);
    reseal(&mut parts[0], &mut manifest);
    restore(&parts, &manifest.to_bytes()).unwrap_err().to_string()
}

#[test]
fn forged_bytes_are_refused_for_what_they_are() {
    let set = |kind: u8, offset: usize, value: Vec<u8>| {
        forged(move |part, _| {
            let at = piece(part, kind).start + offset;
            part.bytes[at..at + value.len()].copy_from_slice(&value);
        })
    };
    let entity = |number: u64| set(3, 0, number.to_le_bytes().to_vec());
    let cases = [
        (entity(0), "no entity"),
        (entity(4), "not below the number of the next entity"),
        (entity(u64::MAX), "not below the number of the next entity"),
        // The other table's entities come later, so it is they that are there twice.
        (entity(2), "there twice"),
        (set(1, 0, vec![9, 0, 0, 0]), "missing"),
        (set(1, 4, vec![0xff; 4]), "trackers of a component"),
        (set(1, 8, vec![1]), "another hash"),
        (set(2, 0, vec![0xff; 4]), "tables"),
        (set(2, 4, vec![9]), "rows of 3 entities"),
        (set(2, 8, vec![0xff; 4]), "columns"),
        (set(2, 12, vec![99]), "a component that the registry lacks"),
        (set(4, 0, vec![1]), "the world has the hash"),
        (set(5, 0, vec![0]), "no document is empty"),
        (set(6, 0, vec![0xc1]), "has no meaning"),
        (set(6, 0, vec![0xdf]), "beyond the end"),
        (set(7, 7, vec![0x80]), "bits past the last row"),
        (forged(|part, _| part.bytes[48] = 8), "unknown kind 8"),
        (forged(|part, _| part.bytes[48] = 2), "a piece is the list of tables"),
        (forged(|part, _| part.bytes[49] = 1), "the head of a piece"),
        (forged(|part, _| part.bytes[4] = 2), "format is 2"),
        (forged(|part, _| part.bytes[6] = 2), "its kind is 2"),
        (forged(|part, _| part.bytes.extend([7; 40])), "the head of a piece"),
        (forged(|_, manifest| manifest.next_entity += 1), "the world has the hash"),
        (forged(|_, manifest| manifest.entities -= 1), "rows of 2 entities"),
        (forged(|_, manifest| manifest.bytes -= 1), "the manifest says"),
        (forged(|_, manifest| manifest.bytes += 1), "bytes instead of"),
        (forged(|_, manifest| manifest.settings.rows_per_shard = 63), "rows_per_shard is 63"),
        (forged(|_, manifest| manifest.version = u64::MAX), "contradict"),
    ];
    for (number, (error, expected)) in cases.iter().enumerate() {
        assert!(error.contains(expected), "case {number}: {error}, where `{expected}` is expected");
    }
}

#[test]
fn an_entity_of_a_high_number_takes_no_memory() {
    let error = forged(|part, manifest| {
        manifest.next_entity = 1 << 60;
        let at = piece(part, 3).start;
        part.bytes[at..at + 8].copy_from_slice(&(1_u64 << 59).to_le_bytes());
    });
    assert!(error.contains("index of its entities"), "{error}");
}

/// Where two entities that do not follow one another live among thousands that died, the index has room for
/// all of them.
#[test]
fn entities_far_from_each_other_are_bounded() {
    let mut world = empty();
    let spawned = world.spawn_batch((0..100 * 4096_u32).map(|_| Marked));
    let dead = spawned.iter().filter(|entity| !matches!(entity.to_bits() % 4096, 5 | 9));
    dead.for_each(|entity| world.despawn(*entity).unwrap());
    let (parts, manifest) = image_of(&Snapshot::capture(&mut world), PartBytes::default());
    restore(&parts, &manifest.to_bytes()).unwrap();
    let mut restore = Restore::new(&manifest.to_bytes(), Limits { bytes: 1 << 20 }).unwrap();
    let error = restore.part(&parts[0].bytes).unwrap_err();
    assert!(matches!(error.problem, Problem::TooMuch { limit, .. } if limit == 1 << 20), "{error}");
    assert!(restore.part(&parts[0].bytes).is_err(), "nothing follows what was refused");
}

#[test]
fn a_manifest_of_another_image_takes_none_of_the_parts() {
    let (parts, manifest) = image();
    let mut world = small();
    world.spawn(Marked);
    let (others, other) = image_of(&Snapshot::capture(&mut world), PartBytes::default());
    for (parts, manifest) in [(&parts, &other), (&others, &manifest)] {
        let error = restore(parts, &manifest.to_bytes()).unwrap_err();
        assert!(matches!(error, ImageError { place: Where::Part(0), problem: Problem::Foreign { .. } }), "{error}");
    }
    let forged = Manifest { parts: manifest.parts.clone(), ..other };
    assert_eq!(restore(&parts, &forged.to_bytes()).unwrap_err().place, Where::Part(0), "the world hash tells");
}

proptest! {
    /// Whatever the bytes are, with right hashes: refused, or the very same world.
    #[test]
    fn forgeries_do_no_harm(edits in proptest::collection::vec((48..4000_usize, any::<u8>()), 1..4), cut in 0..200_usize) {
        let (mut parts, mut manifest) = image();
        let hash = manifest.hash;
        let length = parts[0].bytes.len();
        for (at, byte) in edits {
            parts[0].bytes[48 + at % (length - 48)] = byte;
        }
        if cut < 40 {
            parts[0].bytes.truncate(length - cut);
        }
        reseal(&mut parts[0], &mut manifest);
        if let Ok(mut world) = restore(&parts, &manifest.to_bytes()) {
            world.check_invariants();
            prop_assert_eq!(world.hash(), hash);
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
        let bytes = if head { [&b"EIMG\x01\0"[..], &bytes].concat() } else { bytes };
        prop_assert!(Manifest::from_bytes(&bytes).is_err());
        let (_, manifest) = image();
        let mut restore = Restore::new(&manifest.to_bytes(), Limits::default()).unwrap();
        prop_assert!(restore.part(&bytes).is_err());
    }
}

#[test]
fn a_damaged_part_may_be_given_again() {
    let (parts, manifest) = parted();
    let mut restore = Restore::new(&manifest.to_bytes(), Limits::default()).unwrap();
    for (number, part) in (0_u32..).zip(&parts) {
        assert_eq!(restore.next_part(), number);
        let mut damaged = part.bytes.clone();
        damaged[300] ^= 1;
        assert_eq!(restore.part(&damaged).unwrap_err().place, Where::Part(number));
        restore.part(&part.bytes).unwrap();
    }
    restore.finish().unwrap();
}

#[test]
fn errors_say_which_part() {
    let (mut parts, manifest) = parted();
    parts[2].bytes[100] ^= 4;
    let error = restore(&parts, &manifest.to_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("part 2 of the image is refused: its bytes are damaged"), "{error}");
}
