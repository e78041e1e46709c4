//! A curve: a case for several sizes of something, to see that the cost grows as it is said to.

use anyhow::{Context, Result};

use crate::case::{OURS, Unit};
use crate::figures::{CurveResult, Point};
use crate::measure::Effort;
use crate::tick::{self, Ticker};

/// What is made larger, and what of it is measured.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) axis: Axis,
    pub(crate) points: &'static [u64],
    /// Those that are left when there is little time.
    pub(crate) quick: &'static [u64],
    /// Who ticks at one point.
    pub(crate) tickers: fn(u64) -> Result<Vec<Ticker>>,
}

/// What is counted along a curve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    /// How the time of a tick grows with it, once there is enough of it.
    pub(crate) law: Law,
}

/// How a cost grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Law {
    Constant,
    Linear,
}

impl Law {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Constant => "O(1)",
            Self::Linear => "O(n)",
        }
    }
}

/// All curves are of microseconds.
pub(crate) const UNIT: Unit = Unit::Microseconds;

impl Curve {
    /// `alone` leaves out what ours is measured against: those whose name doesn't begin with ours.
    pub(crate) fn measure(&self, effort: Effort, alone: bool) -> Result<CurveResult> {
        let mut points = Vec::new();
        for &at in if effort.quick { self.quick } else { self.points } {
            let mut tickers = (self.tickers)(at).with_context(|| format!("at {at}"))?;
            tickers.retain(|ticker| !alone || ticker.name.starts_with(OURS));
            let effort = (effort.point_rounds, effort.point_turn);
            let costs = tick::take_turns(&mut tickers, effort, UNIT.scale()).with_context(|| format!("at {at}"))?;
            points.push(Point { at, costs });
        }
        Ok(CurveResult { name: self.name, about: self.about, axis: self.axis, points })
    }
}
