//! What a run of steps looks like on the terminal: a heading before each, a table after all.

use std::time::Duration;

/// How a step ended when it did not fail.
pub(crate) enum Outcome {
    Passed,
    /// It could not be done here, for a reason that is not the change's.
    Skipped(String),
}

/// A step that ended.
pub(crate) struct Line {
    pub(crate) step: &'static str,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

pub(crate) fn heading(step: &str, about: &str) {
    eprintln!("\n=== {step}: {about}");
}

pub(crate) fn ended(line: &Line) {
    match &line.outcome {
        Outcome::Passed => eprintln!("--- {} passed in {}", line.step, seconds(line.took)),
        Outcome::Skipped(reason) => eprintln!("--- {} skipped: {reason}", line.step),
    }
}

/// The table of all steps, and how many tests ran, last: whoever reads only the end sees it.
pub(crate) fn summary(lines: &[Line], tests: Option<&str>) {
    let width = lines.iter().map(|line| line.step.len()).max().unwrap_or(0);
    let total: Duration = lines.iter().map(|line| line.took).sum();
    eprintln!("\n{:width$}  {:>8}", "step", "time");
    for line in lines {
        let note = match &line.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Skipped(reason) => format!("skipped: {reason}"),
        };
        eprintln!("{:width$}  {:>8}  {note}", line.step, seconds(line.took));
    }
    eprintln!("{:width$}  {:>8}", "all", seconds(total));
    if let Some(tests) = tests {
        eprintln!("\n{tests}");
    }
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
