//! Time as systems see it: counted in ticks, never read from a clock, so that a tick that is computed
//! again, elsewhere or years later, sees the same.

use serde::{Deserialize, Serialize};

/// The time of a tick. A parameter of systems.
///
/// ```
/// use engine_system::Time;
/// let time = Time::at(120, 1.0 / 60.0);
/// assert_eq!(time.tick, 120);
/// assert!((time.elapsed - 2.0).abs() < 1e-6);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Time {
    /// The number of the tick.
    pub tick: u64,
    /// Seconds of simulated time that this tick takes: one part in as many as there are ticks in a second. It is the same
    /// in every tick, until somebody changes the rate of the world that runs.
    pub dt: f32,
    /// Seconds of simulated time since tick 0, this tick included. A system that runs in every n-th tick has the time
    /// since it last ran from the difference.
    pub elapsed: f64,
}

impl Time {
    /// The time of a tick in a world whose ticks have all taken `dt` seconds. Derived from the number alone: a sum
    /// over ticks would depend on where it began.
    #[must_use]
    pub fn at(tick: u64, dt: f32) -> Self {
        Self { tick, dt, elapsed: tick as f64 * f64::from(dt) }
    }
}
