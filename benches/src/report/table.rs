//! For people: a table of what cases cost, one of what their ticks take beside time, one for each curve.

use std::fmt::Write as _;

use super::figure;
use crate::case::OURS;
use crate::curve::UNIT;
use crate::figures::{CaseResult, Cost, CurveResult, Measured, Measures, PerTick, last_slope};
use crate::measure::Samples;

pub(crate) fn tables(measured: &[Measured]) -> String {
    let cases: Vec<&CaseResult> = measured
        .iter()
        .filter_map(|measured| if let Measured::Case(case) = measured { Some(case) } else { None })
        .collect();
    let mut text = String::new();
    if !cases.is_empty() {
        costs(&mut text, &cases);
    }
    if cases.iter().any(|case| case.costs.iter().any(|cost| cost.measures.is_some())) {
        ticks(&mut text, &cases);
    }
    for result in measured {
        if let Measured::Curve(result) = result {
            curve(&mut text, result);
        }
    }
    text
}

/// A line for each contender, our own first; the ratio is our cost over theirs.
fn costs(text: &mut String, results: &[&CaseResult]) {
    let _ = writeln!(
        text,
        "\n{:26} {:>28} {:>10} {:9} {:>6} {:>10} {:>10}",
        "case", "who", "median", "unit", "spread", "p99", "ours ÷ it"
    );
    for result in results {
        let ours = result.ours().map(Samples::median);
        for (index, cost) in result.costs.iter().enumerate() {
            let case = if index == 0 { result.name } else { "" };
            let samples = &cost.samples;
            let ratio = match ours {
                Some(ours) if cost.who != OURS => format!("{:.2}", ours / samples.median()),
                _ => String::new(),
            };
            let spread = format!("±{:.0} %", samples.spread() * 100.0);
            // Samples of other cases are means of many times: their tail says nothing.
            let p99 = if cost.measures.is_some() { figure(samples.p99()) } else { String::new() };
            let (who, median, unit) = (cost.who, figure(samples.median()), result.unit.symbol());
            let _ = writeln!(text, "{case:26} {who:>28} {median:>10} {unit:9} {spread:>6} {p99:>10} {ratio:>10}");
        }
    }
}

const TICKS: [&str; 9] =
    ["cpu coord", "instances", "server", "payload", "at server", "sockets", "messages", "allocated", "instances"];

/// What each tick takes beside time.
fn ticks(text: &mut String, results: &[&CaseResult]) {
    let _ = write!(text, "\n{:26} {:>28}", "each tick takes", "who");
    text.push_str(&row(&TICKS, 10));
    let _ = write!(text, "\n{:26} {:>28}", "", "");
    let units = ["µs", "µs", "µs", "bytes", "bytes", "bytes", "", "calls", "calls"];
    text.push_str(&row(&units, 10));
    text.push('\n');
    for result in results {
        let measured = result.costs.iter().filter_map(|cost| Some((cost.who, cost.measures?)));
        for (index, (who, measures)) in measured.enumerate() {
            let case = if index == 0 { result.name } else { "" };
            let _ = write!(text, "{case:26} {who:>28}");
            text.push_str(&row(&cells(&measures), 10));
            text.push('\n');
        }
    }
}

fn cells(measures: &Measures) -> [String; 9] {
    let shown = |value: Option<f64>, scale: f64| value.map_or_else(String::new, |value| figure(value * scale));
    let server = measures.server;
    let calls = |of: usize| measures.allocated.map(|allocated: [PerTick; 2]| allocated[of].calls);
    [
        shown(measures.cpu.coordinator, 1e6),
        shown(measures.cpu.instances, 1e6),
        shown(measures.cpu.server, 1e6),
        shown(measures.payload, 1.0),
        shown(server.map(|server| server.payload), 1.0),
        shown(server.and_then(|server| server.sockets), 1.0),
        shown(server.map(|server| server.messages), 1.0),
        shown(calls(0), 1.0),
        shown(calls(1), 1.0),
    ]
}

/// A line for each point, a column for each contender, and by which power each of them grows at the end.
fn curve(text: &mut String, result: &CurveResult) {
    let contenders = result.contenders();
    let (name, label) = (result.name, result.axis.label);
    let _ = writeln!(text, "\n{name}: {} of a tick by {label}; said to be {}", UNIT.symbol(), result.axis.law.text());
    let mut line = |first: String, cells: Vec<String>| {
        let _ = write!(text, "{first:>26}");
        text.push_str(&row(&cells, 28));
        text.push('\n');
    };
    line(label.to_owned(), contenders.iter().map(|who| (*who).to_owned()).collect());
    for point in &result.points {
        let of = |who: &&str| point.costs.iter().find(|cost| cost.who == *who).map_or_else(String::new, shown);
        line(point.at.to_string(), contenders.iter().map(of).collect());
    }
    let slope = |who: &&str| last_slope(&result.line(who, |cost| Some(cost.samples.median())));
    let slopes = contenders.iter().map(|who| slope(who).map_or_else(String::new, |slope| format!("{slope:.2}")));
    line("grows with the power".to_owned(), slopes.collect());
}

/// Cells of one width.
fn row(cells: &[impl AsRef<str>], width: usize) -> String {
    cells.iter().map(|cell| format!(" {:>width$}", cell.as_ref())).collect()
}

fn shown(cost: &Cost) -> String {
    format!("{} ±{:.0} %", figure(cost.samples.median()), cost.samples.spread() * 100.0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{case, curve};
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_contender() {
        let text = tables(&[case()]);
        assert!(text.contains("1.50") && text.contains("peer") && text.contains("engine"));
    }

    #[test]
    fn what_a_tick_takes_has_a_table_of_its_own() {
        let text = tables(&[case()]);
        let line = text.lines().last().unwrap();
        assert!(line.contains("1000") && line.contains("2000") && line.contains("1200"), "{line}");
    }

    #[test]
    fn a_curve_has_a_line_for_each_point_and_one_for_its_slope() {
        let text = tables(&[curve()]);
        assert_eq!(text.lines().count(), 1 + 2 + 3 + 1);
        assert!(text.lines().last().unwrap().contains("1.00"));
    }
}
