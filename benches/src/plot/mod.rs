//! Draws curves as SVG, which every browser shows and which a diff can read.

mod axis;
mod svg;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::figures::{Cost, CurveResult, Measured, Measures};
use axis::Scale;
use svg::{Line, Plot};

/// A file for each curve, and one for its bytes where any travel.
pub(crate) fn write(folder: &Path, measured: &[Measured]) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for curve in measured.iter().filter_map(Measured::curve) {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        for (file, of) in files(curve) {
            let path = folder.join(file);
            let plot = if of == TIME { plot(curve, of, time) } else { plot(curve, of, bytes) };
            std::fs::write(&path, plot.draw()).with_context(|| format!("can't write {}", path.display()))?;
            written.push(path);
        }
    }
    Ok(written)
}

const TIME: &str = "a tick, µs";
const BYTES: &str = "bytes of a tick";

/// The files of a curve, and what each of them shows.
pub(crate) fn files(curve: &CurveResult) -> Vec<(String, &'static str)> {
    let name = curve.name.replace('/', "-");
    let travel = curve.points.iter().flat_map(|point| &point.costs).any(|cost| bytes(cost).is_some());
    let bytes = travel.then(|| (format!("{name}-bytes.svg"), BYTES));
    std::iter::once((format!("{name}.svg"), TIME)).chain(bytes).collect()
}

fn time(cost: &Cost) -> Option<f64> {
    Some(cost.samples.median())
}

fn bytes(cost: &Cost) -> Option<f64> {
    cost.measures.and_then(|measures: Measures| Some(measures.server?.payload))
}

fn plot(curve: &CurveResult, y: &str, value: fn(&Cost) -> Option<f64>) -> Plot {
    let x = Scale::of(curve.points.iter().map(|point| point.at));
    let lines = curve.contenders().into_iter().map(|who| {
        let points = curve.line(who, value).into_iter().filter(|(_, y)| *y > 0.0);
        Line { name: who.to_owned(), points: points.collect() }
    });
    let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
    let (title, law) = (curve.about.to_owned(), curve.axis.law);
    Plot { title, x_label: curve.axis.label.to_owned(), y_label: y.to_owned(), x, law, lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{case, curve};

    #[test]
    fn only_curves_are_drawn_and_bytes_only_where_any_travel() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), &[case(), curve()]).unwrap();
        assert_eq!(files, [folder.path().join("scale-things.svg")]);
        let text = std::fs::read_to_string(&files[0]).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
    }
}
