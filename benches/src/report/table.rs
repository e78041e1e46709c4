//! What people read: a table of what cases cost, one of what their ticks take beside time, one for each curve.

use super::figure;
use super::grid::Grid;
use crate::case::OURS;
use crate::curve::UNIT;
use crate::figures::{CaseResult, Cost, CurveResult, Measured, Measures, PerTick};

/// What cases cost, and what their ticks take beside time.
pub(super) fn cases(measured: &[Measured]) -> Vec<Grid> {
    let cases: Vec<&CaseResult> = measured.iter().filter_map(Measured::case).collect();
    [costs(&cases), ticks(&cases)].into_iter().filter(|grid| !grid.rows.is_empty()).collect()
}

/// A line for each contender, our own first; the ratio is our cost over theirs.
fn costs(results: &[&CaseResult]) -> Grid {
    let head = ["case", "who", "median", "unit", "spread", "p99", "ours ÷ it", "cpu ÷ it"];
    let mut grid = Grid::new("What it costs", &head, 2);
    for result in results {
        let ours = result.ours();
        for (index, cost) in result.costs.iter().enumerate() {
            let samples = &cost.samples;
            let against = ours.filter(|_| cost.who != OURS);
            let ratio = against.map(|ours| ours.samples.median() / samples.median());
            let cpu = against.and_then(|ours| ours.cpu_over(cost));
            // Samples of other cases are means of many times: their tail says nothing.
            let p99 = cost.measures.map(|_| samples.p99());
            grid.rows.push(vec![
                if index == 0 { result.name.to_owned() } else { String::new() },
                cost.who.to_owned(),
                figure(samples.median()),
                result.unit.symbol().to_owned(),
                spread(cost),
                shown(p99, 1.0),
                ratio.map_or_else(String::new, two_digits),
                cpu.map_or_else(String::new, two_digits),
            ]);
        }
    }
    grid
}

/// What each tick takes beside time.
fn ticks(results: &[&CaseResult]) -> Grid {
    let head = [
        "case",
        "who",
        "cpu here µs",
        "instances µs",
        "server µs",
        "payload B",
        "at server B",
        "sockets B",
        "messages",
        "allocations",
        "instances'",
    ];
    let mut grid = Grid::new("What each tick takes", &head, 2);
    for result in results {
        let measured = result.costs.iter().filter_map(|cost| Some((cost.who, cost.measures?)));
        for (index, (who, measures)) in measured.enumerate() {
            let case = if index == 0 { result.name.to_owned() } else { String::new() };
            grid.rows.push([case, who.to_owned()].into_iter().chain(cells(&measures)).collect());
        }
    }
    grid
}

fn cells(measures: &Measures) -> [String; 9] {
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
pub(super) fn curve(result: &CurveResult) -> Grid {
    let contenders = result.contenders();
    let head: Vec<&str> = std::iter::once(result.axis.label).chain(contenders.iter().copied()).collect();
    let title = format!("{}: {} of a tick; said to be {}", result.name, UNIT.symbol(), result.axis.law.text());
    let mut grid = Grid::new(&title, &head, 0);
    let line = |first: String, cell: &dyn Fn(&str) -> Option<String>| {
        let cells = contenders.iter().map(|who| cell(who).unwrap_or_default());
        std::iter::once(first).chain(cells).collect()
    };
    for point in &result.points {
        let of = |who: &str| point.costs.iter().find(|cost| cost.who == who).map(with_spread);
        grid.rows.push(line(point.at.to_string(), &of));
    }
    let slope = |who: &str| result.slope(who).map(two_digits);
    let cpu_slope = |who: &str| result.cpu_slope(who).map(two_digits);
    grid.rows.push(line("grows with the power".to_owned(), &slope));
    grid.rows.push(line("its processor time".to_owned(), &cpu_slope));
    grid
}

fn shown(value: Option<f64>, scale: f64) -> String {
    value.map_or_else(String::new, |value| figure(value * scale))
}

fn with_spread(cost: &Cost) -> String {
    format!("{} {}", figure(cost.samples.median()), spread(cost))
}

fn spread(cost: &Cost) -> String {
    format!("±{:.0} %", cost.samples.spread() * 100.0)
}

fn two_digits(ratio: f64) -> String {
    format!("{ratio:.2}")
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_contender() {
        let grid = &cases(&[tests::case()])[0];
        assert_eq!(grid.rows[0][1], "engine");
        assert_eq!((&*grid.rows[1][1], &*grid.rows[1][6]), ("peer", "1.50"));
    }

    #[test]
    fn what_a_tick_takes_has_a_table_of_its_own() {
        let grids = cases(&[tests::case()]);
        let row = grids[1].rows[0].join(" ");
        assert!(row.contains("1000 2000") && row.contains("1200"), "{row}");
    }

    #[test]
    fn a_curve_has_a_line_for_each_point_and_two_for_its_slopes() {
        let grid = curve(tests::curve().curve().unwrap());
        assert_eq!(grid.rows.len(), 3 + 2);
        assert_eq!(grid.rows[3], ["grows with the power", "1.00"]);
    }
}
