//! Pauses between tries: doubled up to a limit, with jitter, so that a thousand who failed together don't come back
//! together.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// How long to wait before the next try.
///
/// ```
/// use std::time::Duration;
/// use engine_service::Backoff;
///
/// let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) };
/// let pause = backoff.pause(3);
/// assert!(pause >= Duration::from_millis(400) && pause <= Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second try; jitter adds as much again at the most.
    pub first: Duration,
    /// Before any other one, jitter aside.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(20), longest: Duration::from_secs(2) }
    }
}

impl Backoff {
    /// The pause behind the try of this number, from 1.
    #[must_use]
    pub fn pause(&self, tried: u32) -> Duration {
        // Two to the thirtieth of anything is longer than the longest.
        let nth = tried.clamp(1, 30) as usize - 1;
        self.builder().with_max_times(31).build().nth(nth).unwrap_or(self.longest)
    }

    fn builder(&self) -> ExponentialBuilder {
        let builder = ExponentialBuilder::default().with_min_delay(self.first.min(self.longest));
        builder.with_max_delay(self.longest).with_factor(2.0).with_jitter()
    }

    /// Waits behind the try of this number.
    pub(crate) async fn wait(&self, tried: u32) {
        tokio::time::sleep(self.pause(tried)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_differ() {
        let backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(200) };
        for tried in [0, 1, 2, 5, 31, u32::MAX] {
            let floor = Duration::from_millis(10 << tried.clamp(1, 6).saturating_sub(1)).min(backoff.longest);
            let pause = backoff.pause(tried);
            assert!(pause >= floor && pause <= backoff.longest * 2, "{tried}: {pause:?}");
        }
        let some: Vec<_> = (0..20).map(|_| backoff.pause(8)).collect();
        assert!(some.iter().any(|pause| *pause != some[0]), "no jitter");
    }
}
