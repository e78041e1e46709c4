//! Taking samples: each contender in its turn, so that what disturbs the machine disturbs all of them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::case::{Contender, Sample};

/// How long to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    rounds: usize,
    /// What a sample should take: long enough for the clock, short enough to take turns often.
    sample: Duration,
    /// Ticks take turns as well; but a turn is several ticks, since the first one finds the caches cold.
    pub(crate) tick_rounds: usize,
    pub(crate) turn: Duration,
    /// The same for each point of a curve.
    pub(crate) point_rounds: usize,
    pub(crate) point_turn: Duration,
    /// Few points, of small size.
    pub(crate) quick: bool,
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        rounds: 31,
        sample: Duration::from_millis(10),
        tick_rounds: 31,
        turn: Duration::from_millis(100),
        point_rounds: 9,
        point_turn: Duration::from_millis(40),
        quick: false,
    };
    pub(crate) const QUICK: Self = Self {
        rounds: 5,
        sample: Duration::from_millis(2),
        tick_rounds: 3,
        turn: Duration::from_millis(20),
        point_rounds: 3,
        point_turn: Duration::from_millis(5),
        quick: true,
    };
}

const MOST_REPEATS: f64 = 100_000.0;

/// The samples of one contender, sorted, in the unit of the case.
#[derive(Clone, Debug)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn new(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Half the distance between the quartiles, as a part of the median: how much to trust it.
    pub(crate) fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / 2.0 / self.median().max(f64::MIN_POSITIVE)
    }

    /// What 99 of 100 stay below. Says something where each sample is a tick, and there are hundreds of them.
    pub(crate) fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn quantile(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

/// Measures the contenders in turns. Each round begins with another one.
pub(crate) fn take_turns(
    contenders: &mut [Contender],
    effort: Effort,
    scale: f64,
) -> Result<Vec<(&'static str, Samples)>> {
    let mut repeats = Vec::new();
    for contender in contenders.iter_mut() {
        repeats.push(calibrate(&mut contender.sample, effort)?);
    }
    let mut samples = vec![Vec::with_capacity(effort.rounds); contenders.len()];
    for round in 0..effort.rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            samples[index].push((contenders[index].sample)(repeats[index])? * scale);
        }
    }
    Ok(contenders.iter().zip(samples).map(|(contender, samples)| (contender.name, Samples::new(samples))).collect())
}

/// Warms up, and finds how many times fill a sample.
fn calibrate(sample: &mut Sample, effort: Effort) -> Result<u32> {
    // Who has processes waits here until they are there, which says nothing about what follows.
    sample(1)?;
    let mut repeats = 1.0;
    // Each step multiplies by ten at the most: the first times are slower than the later ones.
    for _ in 0..6 {
        let start = Instant::now();
        sample(repeats as u32)?;
        let took = start.elapsed().as_secs_f64().max(1e-9);
        let wanted = (repeats * effort.sample.as_secs_f64() / took).min(repeats * 10.0);
        if wanted <= repeats * 1.5 {
            return Ok(wanted.clamp(1.0, MOST_REPEATS) as u32);
        }
        repeats = wanted.min(MOST_REPEATS);
    }
    Ok(repeats as u32)
}

/// A contender that does its work again and again on the same state; `operations` at a time.
pub(crate) fn repeated(name: &'static str, operations: usize, mut work: impl FnMut() + 'static) -> Contender {
    let sample = move |times: u32| {
        let start = Instant::now();
        for _ in 0..times {
            work();
        }
        Ok(start.elapsed().as_secs_f64() / f64::from(times) / operations as f64)
    };
    Contender { name, sample: Box::new(sample) }
}

/// A contender that needs something fresh each time. Neither making it nor dropping what the work leaves
/// is measured.
pub(crate) fn with_fresh<S: 'static, R: 'static>(
    name: &'static str,
    mut fresh: impl FnMut() -> S + 'static,
    mut work: impl FnMut(S) -> R + 'static,
) -> Contender {
    let sample = move |times: u32| {
        let mut total = Duration::ZERO;
        for _ in 0..times {
            let state = fresh();
            let start = Instant::now();
            let left = black_box(work(state));
            total += start.elapsed();
            drop(left);
        }
        Ok(total.as_secs_f64() / f64::from(times))
    };
    Contender { name, sample: Box::new(sample) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_spread_is_relative() {
        let samples = Samples::new(vec![3.0, 1.0, 2.0, 5.0, 4.0]);
        assert_eq!(samples.median(), 3.0);
        assert!((samples.spread() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(samples.p99(), 5.0);
    }

    #[test]
    fn contenders_take_turns() {
        let mut contenders = [repeated("a", 1, || ()), repeated("b", 1, || ())];
        let costs = take_turns(&mut contenders, Effort::QUICK, 1e9).unwrap();
        assert_eq!(costs.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["a", "b"]);
        assert!(costs.iter().all(|(_, samples)| samples.median() >= 0.0));
    }
}
