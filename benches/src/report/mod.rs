//! The figures, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::case::CaseResult;
use crate::measure::Samples;

/// One line while the others are still being measured.
pub(crate) fn progress(result: &CaseResult) -> String {
    let Some(ours) = result.ours().map(Samples::median) else { return format!("{}: done", result.name) };
    let others = result.others().map(|(name, samples)| format!("{:.2} of {name}", ours / samples.median()));
    format!("{}: {}", result.name, others.collect::<Vec<_>>().join(", "))
}

/// A line for each contender, our own first; the ratio is our cost over theirs.
pub(crate) fn table(results: &[CaseResult]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{:26} {:>26} {:>12} {:9} {:>7} {:>10}",
        "case", "who", "median", "unit", "spread", "ours ÷ it"
    );
    for result in results {
        let ours = result.ours().map(Samples::median);
        for (index, (name, samples)) in result.costs.iter().enumerate() {
            let case = if index == 0 { result.name } else { "" };
            let ratio = match ours {
                Some(ours) if *name != crate::case::OURS => {
                    format!("{:.2}", ours / samples.median())
                }
                _ => String::new(),
            };
            let spread = format!("±{:.0} %", samples.spread() * 100.0);
            let (median, unit) = (figure(samples.median()), result.unit.symbol());
            let _ = writeln!(text, "{case:26} {name:>26} {median:>12} {unit:9} {spread:>7} {ratio:>10}");
        }
    }
    text
}

/// Three digits that count.
fn figure(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else if value >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$}")
}

/// `{"cases": [{"name", "ours", "unit", "against", "theirs", "ratio"}]}`; the ratio is ours over theirs,
/// as cost.
pub(crate) fn json(results: &[CaseResult]) -> String {
    let mut cases: Vec<Value> = Vec::new();
    for result in results {
        let ours = result.ours().map(Samples::median);
        for (against, samples) in result.others() {
            let theirs = samples.median();
            cases.push(json!({
                "name": result.name,
                "ours": ours,
                "unit": result.unit.symbol(),
                "against": against,
                "theirs": theirs,
                "ratio": ours.map(|ours| ours / theirs),
            }));
        }
    }
    format!("{:#}\n", json!({ "cases": cases }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Unit;

    fn result() -> CaseResult {
        let costs = vec![("engine", Samples::new(vec![3.0])), ("peer", Samples::new(vec![2.0]))];
        CaseResult { name: "a/case", unit: Unit::Microseconds, costs }
    }

    #[test]
    fn the_ratio_is_ours_over_theirs() {
        let parsed: Value = serde_json::from_str(&json(&[result()])).unwrap();
        let expected = json!({"cases": [{
            "name": "a/case", "ours": 3.0, "unit": "µs", "against": "peer", "theirs": 2.0, "ratio": 1.5,
        }]});
        assert_eq!(parsed, expected);
    }

    #[test]
    fn the_table_has_a_line_for_each_contender() {
        let table = table(&[result()]);
        assert!(table.contains("1.50") && table.contains("peer") && table.contains("engine"));
    }
}
