//! How fast a keyframe is written. Making its bytes and storing them takes two threads and the server; done at
//! once, ticks would wait for a core meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest sleep: so soon it is noticed that there is a hurry.
const NAP: Duration = Duration::from_millis(5);

/// A pace that may be given up, from another thread.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Bytes a second.
    rate: Arc<AtomicU64>,
}

impl Pace {
    /// So many bytes a second.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        Self { rate: Arc::new(AtomicU64::new(rate.max(1))) }
    }

    /// As fast as it goes.
    #[must_use]
    pub fn fastest() -> Self {
        Self::new(u64::MAX)
    }

    /// Somebody waits for it now: the rest goes as fast as it can.
    pub fn hurry(&self) {
        self.rate.store(u64::MAX, Ordering::Relaxed);
    }

    /// Waits until so many bytes may have been written since then.
    pub(super) fn keep(&self, since: Instant, bytes: u64) {
        while let Some(early) = self.early(since.elapsed(), bytes) {
            thread::sleep(early.min(NAP));
        }
    }

    fn early(&self, elapsed: Duration, bytes: u64) -> Option<Duration> {
        let due = Duration::from_secs_f64(bytes as f64 / self.rate.load(Ordering::Relaxed) as f64);
        due.checked_sub(elapsed).filter(|early| !early.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_time_that_they_should_unless_there_is_a_hurry() {
        let pace = Pace::new(1000);
        assert_eq!(pace.early(Duration::from_secs(1), 3000), Some(Duration::from_secs(2)));
        assert_eq!(pace.early(Duration::from_secs(3), 3000), None);
        pace.clone().hurry();
        assert_eq!(pace.early(Duration::ZERO, 3000), None);
        assert_eq!(Pace::fastest().early(Duration::ZERO, u64::from(u32::MAX)), None);
    }
}
