//! Where time goes between the moment at which jobs could be sent and the one at which their rows are in the world.
//!
//! ```text
//!  ready      begun     sent          received     started   computed          arrived      merged
//!    ├── wait ──┼──────── ship ───────────┼── queue ──┼─ compute ─┼──── return ────┼── merge ──┤
//! ```
//!
//! Clocks of two hosts can't be compared, so that an instance says durations alone: how long a batch lay there before it
//! was begun, and how long it took from then on. What is left of the way there and back is halved. Whatever an instance
//! says, the phases add up to what the coordinator measured.

/// A part of the way of a batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Until it is put together: its instance has enough on its way.
    Wait,
    /// Put together, and sent to the instance.
    Ship,
    /// At the instance, behind others.
    Queue,
    /// In the system, and finding out what it changed.
    Compute,
    /// Back to the coordinator.
    Return,
    /// Until its rows are in the world.
    Merge,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::Wait, Self::Ship, Self::Queue, Self::Compute, Self::Return, Self::Merge];

    /// What it is called in figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Ship => "ship",
            Self::Queue => "queue",
            Self::Compute => "compute",
            Self::Return => "return",
            Self::Merge => "merge",
        }
    }
}

/// Nanoseconds in each phase, of many batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases([u64; 6]);

impl Phases {
    /// Nanoseconds in one of them.
    #[must_use]
    pub fn of(&self, phase: Phase) -> u64 {
        self.0[phase as usize]
    }

    /// Adds a batch.
    pub fn add(&mut self, way: &Way) {
        for (phase, sum) in Phase::ALL.into_iter().zip(&mut self.0) {
            let (from, to) = way.of(phase);
            *sum += to - from;
        }
    }

    /// Adds time in the systems of this process.
    pub fn add_compute(&mut self, ns: u64) {
        self.0[Phase::Compute as usize] += ns;
    }
}

/// What is known of a batch until it is merged, in nanoseconds of the driver's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchTimes {
    /// When its first job could be sent.
    pub ready: u64,
    /// When it was begun to be put together.
    pub begun: u64,
    /// When its chunks were handed out.
    pub sent: u64,
    /// When the last chunk of its result was here; 0 before.
    pub arrived: u64,
    /// How long it lay at the instance, as that says.
    pub lay_ns: u64,
    /// How long it took from then on, as that says.
    pub worked_ns: u64,
}

/// When a batch was where: seven moments, none before the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way([u64; 7]);

impl Way {
    /// The beginning and the end of a phase.
    #[must_use]
    pub fn of(&self, phase: Phase) -> (u64, u64) {
        (self.0[phase as usize], self.0[phase as usize + 1])
    }

    /// All moments: ready, begun, received, started, computed, arrived, merged.
    #[must_use]
    pub fn moments(&self) -> [u64; 7] {
        self.0
    }
}

impl BatchTimes {
    /// The way of a batch whose result came, with its end.
    #[must_use]
    pub fn way(&self, merged: u64) -> Way {
        let begun = self.begun.max(self.ready);
        let sent = self.sent.max(begun);
        let arrived = self.arrived.max(sent);
        let outside = arrived - sent;
        // It can't have been there for longer than it was away.
        let lay = self.lay_ns.min(outside);
        let worked = self.worked_ns.min(outside - lay);
        let received = sent + (outside - lay - worked) / 2;
        let started = received + lay;
        Way([self.ready, begun, received, started, started + worked, arrived, merged.max(arrived)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_there_and_back_is_halved() {
        let times = BatchTimes { ready: 10, begun: 30, sent: 35, arrived: 135, lay_ns: 20, worked_ns: 60 };
        let way = times.way(150);
        let of = Phase::ALL.map(|phase| way.of(phase));
        assert_eq!(of, [(10, 30), (30, 45), (45, 65), (65, 125), (125, 135), (135, 150)]);
        let mut phases = Phases::default();
        phases.add(&way);
        phases.add(&way);
        assert_eq!((phases.of(Phase::Compute), phases.of(Phase::Return)), (120, 20));
    }

    #[test]
    fn an_instance_that_says_nonsense_does_not_bend_time() {
        for (lay_ns, worked_ns) in [(u64::MAX, u64::MAX), (0, u64::MAX), (u64::MAX, 0), (90, 90)] {
            let times = BatchTimes { ready: 10, begun: 5, sent: 20, arrived: 120, lay_ns, worked_ns };
            let moments = times.way(100).moments();
            assert!(moments.is_sorted(), "{moments:?}");
            assert_eq!((moments[0], moments[6]), (10, 120));
        }
    }
}
