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
    let mut files = Vec::new();
    for measured in measured {
        let Measured::Curve(curve) = measured else { continue };
        let name = curve.name.replace('/', "-");
        files.push((format!("{name}.svg"), time(curve)));
        files.extend(bytes(curve).map(|plot| (format!("{name}-bytes.svg"), plot)));
    }
    if !files.is_empty() {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    let write = |(name, plot): (String, Plot)| {
        let path = folder.join(name);
        std::fs::write(&path, plot.draw()).with_context(|| format!("can't write {}", path.display()))?;
        Ok(path)
    };
    files.into_iter().map(write).collect()
}

fn time(curve: &CurveResult) -> Plot {
    plot(curve, "a tick, µs", |cost| Some(cost.samples.median()))
}

fn bytes(curve: &CurveResult) -> Option<Plot> {
    let bytes = |cost: &Cost| cost.measures.and_then(|measures: Measures| Some(measures.server?.payload));
    let plot = plot(curve, "bytes of a tick", bytes);
    (!plot.lines.is_empty()).then_some(plot)
}

fn plot(curve: &CurveResult, y: &str, value: impl Fn(&Cost) -> Option<f64>) -> Plot {
    let x = Scale::of(curve.points.iter().map(|point| point.at));
    let lines = curve.contenders().into_iter().map(|who| {
        let points = curve.line(who, &value).into_iter().filter(|(_, y)| *y > 0.0);
        Line { name: who.to_owned(), points: points.collect() }
    });
    let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
    let (title, law) = (format!("{}: {}", curve.name, curve.about), curve.axis.law);
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
