//! For programs. The names of the fields stay; `docs/performance.md` says what they mean.
//!
//! ```text
//! machine   where and when
//! cases     ours against each of the others: name, ours, unit, against, theirs, ratio, cpu_ratio
//! figures   all that is known of each contender of each case
//! curves    the same at each point of an axis
//! ```

use serde_json::{Map, Value, json};

use crate::case::Unit;
use crate::curve::UNIT;
use crate::figures::{CaseResult, Cost, CurveResult, Measured, Measures, PerTick};
use crate::machine::Machine;

pub(crate) fn json(machine: &Machine, measured: &[Measured]) -> String {
    let (mut cases, mut figures, mut curves) = (Vec::new(), Vec::new(), Vec::new());
    for measured in measured {
        match measured {
            Measured::Case(case) => {
                cases.extend(ratios(case));
                figures.extend(case.costs.iter().map(|cost| named(case.name, figure(cost, case.unit))));
            }
            Measured::Curve(result) => curves.push(curve(result)),
        }
    }
    let all = json!({ "machine": machine.json(), "cases": cases, "figures": figures, "curves": curves });
    format!("{all:#}\n")
}

/// The ratio is ours over theirs, as cost.
fn ratios(result: &CaseResult) -> Vec<Value> {
    let ours = result.ours().map(|ours| ours.samples.median());
    let ratio = |theirs: &Cost| {
        let median = theirs.samples.median();
        json!({
            "name": result.name,
            "ours": ours,
            "unit": result.unit.symbol(),
            "against": theirs.who,
            "theirs": median,
            "ratio": ours.map(|ours| ours / median),
            "cpu_ratio": result.ours().and_then(|ours| ours.cpu_over(theirs)),
        })
    };
    result.others().map(ratio).collect()
}

fn named(case: &str, figure: Value) -> Value {
    let mut named = Map::new();
    named.insert("case".into(), case.into());
    if let Value::Object(figure) = figure {
        named.extend(figure);
    }
    Value::Object(named)
}

fn figure(cost: &Cost, unit: Unit) -> Value {
    let samples = &cost.samples;
    let mut figure = json!({
        "who": cost.who,
        "unit": unit.symbol(),
        "median": samples.median(),
        "spread": samples.spread(),
        "samples": samples.len(),
    });
    if let (Some(measures), Value::Object(figure)) = (&cost.measures, &mut figure) {
        figure.insert("p99".into(), samples.p99().into());
        figure.insert("per_tick".into(), per_tick(measures));
    }
    figure
}

fn per_tick(measures: &Measures) -> Value {
    let allocated = |of: usize| measures.allocated.map(|allocated: [PerTick; 2]| allocated[of]);
    let server = measures.server;
    json!({
        "cpu_seconds": {
            "coordinator": measures.cpu.coordinator,
            "instances": measures.cpu.instances,
            "server": measures.cpu.server,
        },
        "payload_bytes": measures.payload,
        "server_payload_bytes": server.map(|server| server.payload),
        "server_socket_bytes": server.and_then(|server| server.sockets),
        "server_messages": server.map(|server| server.messages),
        "allocations": {
            "coordinator": allocated(0).map(|allocated| allocated.calls),
            "instances": allocated(1).map(|allocated| allocated.calls),
        },
        "allocated_bytes": {
            "coordinator": allocated(0).map(|allocated| allocated.bytes),
            "instances": allocated(1).map(|allocated| allocated.bytes),
        },
    })
}

fn curve(result: &CurveResult) -> Value {
    let mut points = Vec::new();
    for point in &result.points {
        for cost in &point.costs {
            let mut value = figure(cost, UNIT);
            if let Value::Object(figure) = &mut value {
                figure.insert("at".into(), point.at.into());
            }
            points.push(value);
        }
    }
    let slopes = |slope: &dyn Fn(&str) -> Option<f64>| -> Map<String, Value> {
        result.contenders().into_iter().map(|who| (who.to_owned(), slope(who).into())).collect()
    };
    json!({
        "name": result.name,
        "axis": result.axis.label,
        "law": result.axis.law.text(),
        "points": points,
        "slopes": slopes(&|who| result.slope(who)),
        "cpu_slopes": slopes(&|who| result.cpu_slope(who)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{case, curve};
    use super::*;

    fn parsed(measured: &[Measured]) -> Value {
        serde_json::from_str(&json(&Machine::default(), measured)).unwrap()
    }

    #[test]
    fn the_ratio_is_ours_over_theirs() {
        let expected = json!([{
            "name": "a/case", "ours": 3.0, "unit": "µs", "against": "peer", "theirs": 2.0, "ratio": 1.5,
            "cpu_ratio": null,
        }]);
        assert_eq!(parsed(&[case()])["cases"], expected);
    }

    #[test]
    fn a_figure_has_what_its_tick_takes() {
        let figure = &parsed(&[case()])["figures"][0];
        assert_eq!((&figure["case"], &figure["who"]), (&json!("a/case"), &json!("engine")));
        assert_eq!(figure["per_tick"]["cpu_seconds"]["instances"], json!(0.002));
        assert_eq!(figure["per_tick"]["allocations"]["coordinator"], json!(5.0));
        assert_eq!(figure["per_tick"]["cpu_seconds"]["server"], Value::Null, "what is not known is null");
    }

    #[test]
    fn a_curve_has_its_points_and_slopes() {
        let curve = &parsed(&[curve()])["curves"][0];
        assert_eq!(curve["points"][2]["at"], json!(1000));
        assert!((curve["slopes"]["engine"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    }
}
