//! The figures, for people and for programs.

mod grid;
mod json;
mod page;
mod table;

pub(crate) use json::json;
pub(crate) use page::page;

use crate::figures::{CaseResult, CurveResult, Measured};

/// All tables, for a terminal.
pub(crate) fn tables(measured: &[Measured]) -> String {
    let curves = measured.iter().filter_map(Measured::curve).map(table::curve);
    let grids = table::cases(measured).into_iter().chain(curves);
    grids.map(|grid| grid.text()).collect()
}

/// One line while the others are still being measured.
pub(crate) fn progress(measured: &Measured) -> String {
    match measured {
        Measured::Case(result) => case_progress(result),
        Measured::Curve(result) => curve_progress(result),
    }
}

fn case_progress(result: &CaseResult) -> String {
    let Some(ours) = result.ours().map(|ours| ours.samples.median()) else { return format!("{}: done", result.name) };
    let others = result.others().map(|other| format!("{:.2} of {}", ours / other.samples.median(), other.who));
    format!("{}: {}", result.name, others.collect::<Vec<_>>().join(", "))
}

fn curve_progress(result: &CurveResult) -> String {
    let slopes = result.contenders().into_iter().filter_map(|who| {
        let slope = result.slope(who)?;
        Some(format!("{who} grows with the power {slope:.2}"))
    });
    format!("{}: {}", result.name, slopes.collect::<Vec<_>>().join(", "))
}

/// Three digits that count.
pub(crate) fn figure(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case::Unit;
    use crate::curve::{Axis, Law};
    use crate::figures::{Cost, Cpu, Measures, PerTick, Point, Traffic};
    use crate::measure::Samples;

    pub(crate) fn case() -> Measured {
        let cpu = Cpu { coordinator: Some(0.001), instances: Some(0.002), server: None };
        let measures = Measures {
            cpu,
            payload: Some(1000.0),
            server: Some(Traffic { messages: 3.0, payload: 1100.0, sockets: Some(1200.0) }),
            allocated: Some([PerTick { calls: 5.0, bytes: 640.0 }, PerTick::default()]),
        };
        let ours = Cost { who: "engine", samples: Samples::new(vec![3.0]), measures: Some(measures) };
        let costs = vec![ours, Cost::from(("peer", Samples::new(vec![2.0])))];
        Measured::Case(CaseResult { name: "a/case", unit: Unit::Microseconds, costs })
    }

    pub(crate) fn curve() -> Measured {
        let point = |at, cost| Point { at, costs: vec![Cost::from(("engine", Samples::new(vec![cost])))] };
        let axis = Axis { label: "things", law: Law::Linear };
        let points = vec![point(0, 1.0), point(10, 2.0), point(1000, 200.0)];
        Measured::Curve(CurveResult { name: "scale/things", about: "many things", axis, points })
    }

    #[test]
    fn progress_says_what_came_out() {
        assert_eq!(progress(&case()), "a/case: 1.50 of peer");
        assert_eq!(progress(&curve()), "scale/things: engine grows with the power 1.00");
    }

    #[test]
    fn three_digits_count() {
        assert_eq!([1234.5, 12.345, 1.2345, 0.12345, 0.0].map(figure), ["1234", "12.3", "1.23", "0.123", "0"]);
    }
}
