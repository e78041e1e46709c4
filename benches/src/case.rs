//! A case: something that a user feels, done by several contenders. Where it is done by several processes, it is
//! a [`TickCase`](crate::tick::TickCase); where it is done for several sizes, a [`Curve`](crate::curve::Curve).

use anyhow::Result;

use crate::figures::{CaseResult, Cost};
use crate::measure::{self, Effort};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    BytesPerEntity,
}

impl Unit {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::BytesPerEntity => "B/entity",
        }
    }

    /// How many there are in what samples are taken in: seconds, or bytes.
    pub(crate) fn scale(self) -> f64 {
        match self {
            Self::Nanoseconds => 1e9,
            Self::Microseconds => 1e6,
            Self::Milliseconds => 1e3,
            Self::BytesPerEntity => 1.0,
        }
    }
}

/// Something to be measured.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) unit: Unit,
    /// Made only when the case is run: some start servers and processes.
    pub(crate) contenders: fn() -> Result<Vec<Contender>>,
}

/// Who does it.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) sample: Sample,
}

/// Does it so many times, and says what one time cost.
pub(crate) type Sample = Box<dyn FnMut(u32) -> Result<f64>>;

/// The name of our own contender; the others are what it is measured against.
pub(crate) const OURS: &str = "engine";

impl Case {
    /// `alone` leaves out what ours is measured against.
    pub(crate) fn measure(&self, effort: Effort, alone: bool) -> Result<CaseResult> {
        let mut contenders = (self.contenders)()?;
        contenders.retain(|contender| !alone || contender.name == OURS);
        let costs = measure::take_turns(&mut contenders, effort, self.unit.scale())?;
        Ok(CaseResult { name: self.name, unit: self.unit, costs: costs.into_iter().map(Cost::from).collect() })
    }
}
