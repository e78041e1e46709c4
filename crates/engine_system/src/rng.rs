//! Random numbers that do not depend on who draws them, nor in which order.
//!
//! A generator with a state would give every topology other numbers. These are counter-based: the numbers
//! of an entity are a function of (world seed, system, tick, entity, how many were drawn), by Philox 4x32
//! with ten rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

use std::convert::Infallible;
use std::ops::Range;

use engine_component::Entity;
use xxhash_rust::xxh3::Xxh3;

/// Where random numbers come from: one source per system and tick. A parameter of systems.
///
/// ```
/// use engine_component::Entity;
/// use engine_system::Rng;
/// let rng = Rng::new(7, 1, "wander");
/// let entity = Entity::from_bits(42);
/// let roll = rng.of(entity).below(6) + 1;
/// assert!((1..=6).contains(&roll));
/// assert_eq!(roll, rng.of(entity).below(6) + 1, "the same question has the same answer");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rng {
    key: [u32; 2],
}

impl Rng {
    /// The source of one system in one tick of a world.
    #[must_use]
    pub fn new(seed: u64, tick: u64, system: &str) -> Self {
        let mut hash = Xxh3::with_seed(seed);
        hash.update(&tick.to_le_bytes());
        hash.update(system.as_bytes());
        Self { key: halves(hash.digest()) }
    }

    /// The numbers of one entity. They start anew with each call: keep the result to draw more than one.
    ///
    /// Entities that a job spawned and that have no final number yet are numbered per job, so they share
    /// their numbers with those of other jobs: draw for the entity that spawns them instead.
    #[inline]
    #[must_use]
    pub fn of(&self, entity: Entity) -> EntityRng {
        EntityRng { key: self.key, entity: halves(entity.to_bits()), block: 0, words: [0; 4], used: 4 }
    }
}

/// The random numbers of one entity in one system and tick. Works with the `rand` crates too.
#[derive(Clone, Debug)]
pub struct EntityRng {
    key: [u32; 2],
    entity: [u32; 2],
    block: u64,
    words: [u32; 4],
    used: usize,
}

impl EntityRng {
    /// 32 random bits.
    #[inline]
    pub fn u32(&mut self) -> u32 {
        if self.used == self.words.len() {
            let [low, high] = halves(self.block);
            self.words = philox([low, high, self.entity[0], self.entity[1]], self.key);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// 64 random bits.
    #[inline]
    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// A number from 0 up to, not including, 1; in steps of 2⁻²⁴, so that each is exact.
    #[inline]
    pub fn f32(&mut self) -> f32 {
        (self.u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// A number from 0 up to, not including, 1; in steps of 2⁻⁵³.
    #[inline]
    pub fn f64(&mut self) -> f64 {
        (self.u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A number of a range, the end not included.
    ///
    /// # Panics
    /// When the range is empty or not finite.
    #[inline]
    pub fn range(&mut self, range: Range<f32>) -> f32 {
        assert!(range.start < range.end && (range.end - range.start).is_finite(), "no numbers are in {range:?}");
        let drawn = range.start + (range.end - range.start) * self.f32();
        // Rounding may reach the end.
        if drawn < range.end { drawn } else { range.end.next_down() }
    }

    /// A whole number below `count`, each as likely as any other.
    ///
    /// # Panics
    /// When `count` is 0.
    #[inline]
    pub fn below(&mut self, count: u32) -> u32 {
        assert!(count > 0, "no number is below 0");
        // Multiply and take the high half (Lemire 2019); the few draws that would make some numbers more
        // likely are drawn again.
        let uneven = count.wrapping_neg() % count;
        loop {
            let product = u64::from(self.u32()) * u64::from(count);
            if product as u32 >= uneven {
                return (product >> 32) as u32;
            }
        }
    }

    /// True with the given probability.
    #[inline]
    pub fn chance(&mut self, probability: f32) -> bool {
        self.f32() < probability
    }
}

impl rand_core::TryRng for EntityRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(4) {
            chunk.copy_from_slice(&self.u32().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

fn halves(bits: u64) -> [u32; 2] {
    [bits as u32, (bits >> 32) as u32]
}

/// Philox 4x32-10: a keyed permutation of 128-bit counters.
#[inline]
fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    const ROUNDS: usize = 10;
    const MULTIPLY: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
    const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
    let ([mut a, mut b, mut c, mut d], [mut k, mut l]) = (counter, key);
    for _ in 0..ROUNDS {
        let [low_a, high_a] = halves(u64::from(MULTIPLY[0]) * u64::from(a));
        let [low_c, high_c] = halves(u64::from(MULTIPLY[1]) * u64::from(c));
        (a, b, c, d) = (high_c ^ b ^ k, low_c, high_a ^ d ^ l, low_a);
        k = k.wrapping_add(WEYL[0]);
        l = l.wrapping_add(WEYL[1]);
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_its_published_vectors() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let first = |seed, tick, system, entity| Rng::new(seed, tick, system).of(Entity::from_bits(entity)).u64();
        let base = first(1, 1, "a", 1);
        assert_eq!(base, first(1, 1, "a", 1));
        for other in [first(2, 1, "a", 1), first(1, 2, "a", 1), first(1, 1, "b", 1), first(1, 1, "a", 2)] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn numbers_stay_in_their_ranges_and_fill_them() {
        let mut rng = Rng::new(3, 5, "ranges").of(Entity::from_bits(9));
        let mut seen = [0_u32; 6];
        for _ in 0..6000 {
            assert!((0.0..1.0).contains(&rng.f32()));
            assert!((0.0..1.0).contains(&rng.f64()));
            assert!((-2.0..3.0).contains(&rng.range(-2.0..3.0)));
            let narrow = 1.0..1.0_f32.next_up();
            assert!(narrow.contains(&rng.range(narrow.clone())));
            seen[rng.below(6) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
    }

    #[test]
    fn bytes_are_filled_to_the_last_one() {
        use rand_core::Rng as _;
        let mut rng = Rng::new(3, 5, "bytes").of(Entity::from_bits(9));
        let mut bytes = [0; 7];
        rng.clone().fill_bytes(&mut bytes);
        assert_eq!(bytes[..4], rng.next_u32().to_le_bytes());
        assert_eq!(bytes[4..], rng.next_u32().to_le_bytes()[..3]);
    }
}
