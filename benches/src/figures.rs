//! What was measured, before it is written down.

use crate::allocator::Allocations;
use crate::case::{OURS, Unit};
use crate::curve::Axis;
use crate::measure::Samples;

/// A case or a curve.
pub(crate) enum Measured {
    Case(CaseResult),
    Curve(CurveResult),
}

impl Measured {
    pub(crate) fn case(&self) -> Option<&CaseResult> {
        if let Self::Case(case) = self { Some(case) } else { None }
    }

    pub(crate) fn curve(&self) -> Option<&CurveResult> {
        if let Self::Curve(curve) = self { Some(curve) } else { None }
    }
}

/// What the contenders of a case cost.
pub(crate) struct CaseResult {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) costs: Vec<Cost>,
}

/// What the contenders cost at each point of an axis.
pub(crate) struct CurveResult {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) axis: Axis,
    pub(crate) points: Vec<Point>,
}

/// One point; the costs are in microseconds.
pub(crate) struct Point {
    pub(crate) at: u64,
    pub(crate) costs: Vec<Cost>,
}

/// What one contender costs.
pub(crate) struct Cost {
    pub(crate) who: &'static str,
    pub(crate) samples: Samples,
    /// Beside time, where ticks are measured.
    pub(crate) measures: Option<Measures>,
}

/// What a tick takes beside time, in the mean. What the system does not tell is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measures {
    /// Seconds of cores.
    pub(crate) cpu: Cpu,
    /// Bytes of payloads that were sent and received, as who ticks counts them itself.
    pub(crate) payload: Option<f64>,
    pub(crate) server: Option<Traffic>,
    /// All that was allocated in this process, and in the others.
    pub(crate) allocated: Option<[PerTick; 2]>,
}

/// Seconds of cores by process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// Of this process, in which whatever sends the jobs lives.
    pub(crate) coordinator: Option<f64>,
    /// Of all that compute, together.
    pub(crate) instances: Option<f64>,
    /// Of nats-server.
    pub(crate) server: Option<f64>,
}

/// What went through the server, as the server and its kernel count it: a check of what we count ourselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Messages that were published.
    pub(crate) messages: f64,
    /// Bytes of their payloads and headers.
    pub(crate) payload: f64,
    /// Bytes that the server read from its sockets: the same, with subjects and the protocol.
    pub(crate) sockets: Option<f64>,
}

/// Allocations of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PerTick {
    pub(crate) calls: f64,
    pub(crate) bytes: f64,
}

impl Cpu {
    /// Of all processes; none when nobody is known.
    pub(crate) fn total(&self) -> Option<f64> {
        let known = [self.coordinator, self.instances, self.server].into_iter().flatten();
        self.coordinator.map(|_| known.sum())
    }
}

impl Cost {
    /// Microseconds of all cores in a tick.
    pub(crate) fn cpu_micros(&self) -> Option<f64> {
        Some(self.measures?.cpu.total()? * 1e6)
    }

    /// What a tick of this one takes of the cores, over what another one's takes: where others want the cores as
    /// well, this says more than how long it took.
    pub(crate) fn cpu_over(&self, other: &Self) -> Option<f64> {
        Some(self.cpu_micros()? / other.cpu_micros()?)
    }
}

impl PerTick {
    pub(crate) fn of(allocations: Allocations, ticks: f64) -> Self {
        Self { calls: allocations.calls as f64 / ticks, bytes: allocations.bytes as f64 / ticks }
    }
}

impl From<(&'static str, Samples)> for Cost {
    fn from((who, samples): (&'static str, Samples)) -> Self {
        Self { who, samples, measures: None }
    }
}

impl CaseResult {
    pub(crate) fn ours(&self) -> Option<&Cost> {
        self.costs.iter().find(|cost| cost.who == OURS)
    }

    pub(crate) fn others(&self) -> impl Iterator<Item = &Cost> {
        self.costs.iter().filter(|cost| cost.who != OURS)
    }
}

impl CurveResult {
    /// Who was measured, in the order of the first point that they were measured at.
    pub(crate) fn contenders(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for cost in self.points.iter().flat_map(|point| &point.costs) {
            if !names.contains(&cost.who) {
                names.push(cost.who);
            }
        }
        names
    }

    /// Where on the axis, and how much.
    pub(crate) fn line(&self, who: &str, value: impl Fn(&Cost) -> Option<f64>) -> Vec<(u64, f64)> {
        let of = |point: &Point| {
            let cost = point.costs.iter().find(|cost| cost.who == who)?;
            Some((point.at, value(cost)?))
        };
        self.points.iter().filter_map(of).collect()
    }
}

impl CurveResult {
    /// By which power the time of a contender grows at the end.
    pub(crate) fn slope(&self, who: &str) -> Option<f64> {
        last_slope(&self.line(who, |cost| Some(cost.samples.median())))
    }

    /// By which power its processor time does. Others who want the cores disturb it less.
    pub(crate) fn cpu_slope(&self, who: &str) -> Option<f64> {
        last_slope(&self.line(who, Cost::cpu_micros))
    }
}

/// By which power of x the values grow between the last two points that are apart: 1 is linear, 0 is constant.
fn last_slope(line: &[(u64, f64)]) -> Option<f64> {
    let [.., (x0, y0), (x1, y1)] = line else { return None };
    (*x0 > 0 && x1 > x0 && *y0 > 0.0).then(|| (y1 / y0).ln() / (*x1 as f64 / *x0 as f64).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_the_power_by_which_a_line_grows() {
        assert!((last_slope(&[(1, 9.0), (10, 2.0), (1000, 200.0)]).unwrap() - 1.0).abs() < 1e-9);
        assert!(last_slope(&[(1, 3.0), (10, 3.0)]).unwrap().abs() < 1e-9);
        assert_eq!(last_slope(&[(0, 3.0), (10, 3.0)]), None, "nothing is a power of nothing");
        assert_eq!(last_slope(&[(1, 1.0)]), None);
    }
}
