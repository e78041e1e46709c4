//! Images of worlds: a manifest and parts, with checksums that fit whatever was changed.

use std::sync::OnceLock;

use engine_component::World;
use engine_component::image::{ImageError, Limits, PartBytes, Problem, Restore, Snapshot};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::script::{Script, Writer};
use crate::{Seeds, app, bits, cluster};

/// Bytes of a restored world, at the most.
const LIMITS: Limits = Limits { bytes: 16 << 20 };
/// Where things are in a part or a manifest, as the format says.
const NUMBER: usize = 8;
const LENGTH: usize = 12;
const WORLD: usize = 16;
const HASH: usize = 32;
const HEAD: usize = 48;
/// In a manifest: bytes before the list of parts, and of an entry.
const FIXED: usize = 40;

/// An image.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) manifest: Vec<u8>,
    pub(super) parts: Vec<Vec<u8>>,
}

impl Image {
    pub(super) fn of(world: &mut World) -> Self {
        let snapshot = Snapshot::capture(world);
        let mut parts = snapshot.parts(PartBytes::default());
        let bytes = parts.by_ref().map(|part| part.bytes).collect();
        Self { manifest: parts.manifest().expect("the world is small").to_bytes(), parts: bytes }
    }

    pub(super) fn restore(&self, limits: Limits) -> Result<World, ImageError> {
        let mut restore = Restore::new(&self.manifest, limits)?;
        for part in &self.parts {
            restore.part(part)?;
        }
        restore.finish()
    }

    /// Makes all lengths and checksums fit; the world has this hash from now on.
    fn seal(&mut self, world: u128) {
        let mut list = Vec::new();
        for (number, part) in self.parts.iter_mut().enumerate() {
            let hash = seal(part, number as u32, world);
            list.extend((part.len() as u32).to_le_bytes());
            list.extend([0; 4]);
            list.extend(hash.to_le_bytes());
        }
        self.manifest.truncate(HEAD + FIXED);
        self.manifest.resize(HEAD + FIXED, 0);
        self.manifest.extend(list);
        seal(&mut self.manifest, self.parts.len() as u32, world);
    }
}

fn seal(bytes: &mut Vec<u8>, number: u32, world: u128) -> u128 {
    bytes.resize(bytes.len().max(HEAD), 0);
    let body = (bytes.len() - HEAD) as u32;
    bytes[NUMBER..NUMBER + 4].copy_from_slice(&number.to_le_bytes());
    bytes[LENGTH..LENGTH + 4].copy_from_slice(&body.to_le_bytes());
    bytes[WORLD..WORLD + 16].copy_from_slice(&world.to_le_bytes());
    let hash = xxh3_128_with_seed(&bytes[HEAD..], xxh3_64(&bytes[..HASH]));
    bytes[HASH..HEAD].copy_from_slice(&hash.to_le_bytes());
    hash
}

pub(super) fn honest() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut world = cluster::coordinator(app::app(), app::settings()).into_world();
        Image::of(&mut world)
    })
}

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let mut image = honest().clone();
    match script.byte() % 4 {
        // As it came, with damage that no checksum hides.
        0 => {
            image.manifest = script.damaged(&image.manifest).to_vec();
            for part in &mut image.parts {
                *part = script.damaged(part).to_vec();
            }
            return sound(&image);
        }
        // A manifest and one part that were made up.
        1 => {
            let fixed = script.take(FIXED);
            image.manifest.truncate(HEAD);
            image.manifest.extend(fixed);
            image.parts.truncate(1);
            image.parts[0].truncate(HEAD);
            image.parts[0].extend(script.rest());
        }
        _ => {
            let fixed = script.damaged(&image.manifest[HEAD..HEAD + FIXED]);
            image.manifest.truncate(HEAD);
            image.manifest.extend(fixed.iter());
            for part in &mut image.parts {
                let body = script.damaged(&part[HEAD..]);
                part.truncate(HEAD);
                part.extend(body.iter());
            }
        }
    }
    image.seal(7);
    sound(&image);
    if let Err(error) = image.restore(LIMITS)
        && let Problem::Hash { found, .. } = error.problem
    {
        image.seal(found.0);
        image.restore(LIMITS).expect("now the hash is right too");
        sound(&image);
    }
}

/// What is accepted is a world, of which the same image can be made again.
fn sound(image: &Image) {
    let Ok(mut world) = image.restore(LIMITS) else { return };
    bits::check_stored(&world);
    let again = Image::of(&mut world).restore(LIMITS).expect("a world that was restored can be stored");
    assert_eq!(bits::digest(&world), bits::digest(&again));
}

pub(super) fn seeds() -> Seeds {
    let honest = honest();
    let made_up =
        Writer::default().byte(1).bytes(&honest.manifest[HEAD..HEAD + FIXED]).bytes(&honest.parts[0][HEAD..]).end();
    vec![
        ("honest", vec![0]),
        ("one", made_up),
        ("resealed", Writer::default().byte(2).byte(0).byte(1).byte(0).short(900).byte(1).end()),
    ]
}
