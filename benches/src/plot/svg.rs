//! One plot: axes, a line for each contender, a dashed one for the law, and who is who.
//!
//! The colours are chosen to be told apart on white and on black, and by those who see fewer colours; whoever
//! looks at it decides which of the two it is.

use std::fmt::Write as _;

use super::axis::{Scale, short};
use crate::curve::Law;

pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x_label: String,
    pub(super) y_label: String,
    pub(super) x: Scale,
    pub(super) law: Law,
    pub(super) lines: Vec<Line>,
}

pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(u64, f64)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const LEGEND: f64 = 20.0;

const STYLE: &str = "
  text { font: 13px system-ui, sans-serif; fill: #222 }
  .title { font-weight: 600 }
  .grid { stroke: #ddd }
  .law { stroke: #888; stroke-dasharray: 5 4; fill: none }
  .c0 { stroke: #0072b2; fill: #0072b2 } .c1 { stroke: #d55e00; fill: #d55e00 }
  .c2 { stroke: #009e73; fill: #009e73 } .c3 { stroke: #b0579a; fill: #b0579a }
  .c4 { stroke: #8a6d00; fill: #8a6d00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd }
    .grid { stroke: #3a3a3a }
    .c0 { stroke: #56b4e9; fill: #56b4e9 } .c1 { stroke: #ee8646; fill: #ee8646 }
    .c2 { stroke: #2fc79a; fill: #2fc79a } .c3 { stroke: #d58fc0; fill: #d58fc0 }
    .c4 { stroke: #d9b64a; fill: #d9b64a }
  }
  .line { fill: none; stroke-width: 2 }
";
/// As many as there are in the style.
const COLOURS: usize = 5;

impl Plot {
    pub(super) fn draw(&self) -> String {
        let y = Scale::around(self.lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value));
        let height = HEIGHT + LEGEND * (self.lines.len() as f64 + 1.0);
        let mut svg = String::new();
        let _ =
            writeln!(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
        let _ = writeln!(svg, "<title>{}</title>\n<style>{STYLE}</style>", escaped(&self.title));
        text(&mut svg, (LEFT, 22.0), "start", "title", &self.title);
        self.axes(&mut svg, &y);
        self.draw_law(&mut svg, &y);
        for (index, line) in self.lines.iter().enumerate() {
            let places: Vec<(f64, f64)> =
                line.points.iter().map(|(at, value)| self.at(&y, *at as f64, *value)).collect();
            path(&mut svg, &format!("line c{}", index % COLOURS), &places);
            for (x, y) in places {
                let _ = writeln!(svg, "<circle class=\"c{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>", index % COLOURS);
            }
        }
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn at(&self, y: &Scale, at: f64, value: f64) -> (f64, f64) {
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        (LEFT + self.x.place(at) * width, HEIGHT - BOTTOM - y.place(value) * height)
    }

    fn axes(&self, svg: &mut String, y: &Scale) {
        for tick in self.x.ticks() {
            let x = LEFT + self.x.place(tick) * (WIDTH - LEFT - RIGHT);
            line(svg, (x, TOP), (x, HEIGHT - BOTTOM));
            text(svg, (x, HEIGHT - BOTTOM + 18.0), "middle", "", &short(tick));
        }
        for tick in y.ticks() {
            let at = HEIGHT - BOTTOM - y.place(tick) * (HEIGHT - TOP - BOTTOM);
            line(svg, (LEFT, at), (WIDTH - RIGHT, at));
            text(svg, (LEFT - 8.0, at + 4.0), "end", "", &short(tick));
        }
        text(svg, (LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 12.0), "middle", "", &self.x_label);
        let middle = TOP + (HEIGHT - TOP - BOTTOM) / 2.0;
        let turned = format!("transform=\"rotate(-90 18 {middle})\"");
        let _ = writeln!(svg, "<text x=\"18\" y=\"{middle}\" text-anchor=\"middle\" {turned}>{}</text>", self.y_label);
    }

    /// Through the last point of the first line. Nothing is a power of nothing: not where places lie side by side.
    fn law_line(&self) -> Option<Vec<(f64, f64)>> {
        let Scale::Logarithmic { low, .. } = self.x else { return None };
        let (at, value) = *self.lines.first()?.points.last()?;
        let power = if self.law == Law::Linear { 1.0 } else { 0.0 };
        let of = |x: f64| (x, value * (x / at as f64).powf(power));
        Some(vec![of(low), of(at as f64)])
    }

    fn draw_law(&self, svg: &mut String, y: &Scale) {
        let Some(law) = self.law_line() else { return };
        let places: Vec<_> = law.into_iter().map(|(at, value)| self.at(y, at, value)).collect();
        let [(x0, y0), (x1, y1)] = places[..] else { return };
        // It leaves the plot at the bottom, where it would go further down.
        let bottom = HEIGHT - BOTTOM;
        let begin = if y0 > bottom { (x0 + (x1 - x0) * (y0 - bottom) / (y0 - y1), bottom) } else { (x0, y0) };
        path(svg, "law", &[begin, (x1, y1)]);
    }

    fn legend(&self, svg: &mut String) {
        let mut at = HEIGHT + 8.0;
        let mut entry = |class: &str, name: &str| {
            path(svg, class, &[(LEFT, at - 4.0), (LEFT + 26.0, at - 4.0)]);
            text(svg, (LEFT + 34.0, at), "start", "", name);
            at += LEGEND;
        };
        for (index, line) in self.lines.iter().enumerate() {
            entry(&format!("line c{}", index % COLOURS), &line.name);
        }
        if self.law_line().is_some() {
            entry("law", &format!("{} through the last point of the first", self.law.text()));
        }
    }
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(svg, "<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

fn path(svg: &mut String, class: &str, places: &[(f64, f64)]) {
    let mut points = String::new();
    for (x, y) in places {
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", points.trim_end());
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, class: &str, text: &str) {
    let (text, class) = (escaped(text), if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") });
    let _ = writeln!(svg, "<text{class} x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(u64, f64)>) -> Plot {
        let x = Scale::of(points.iter().map(|(at, _)| *at));
        let lines = vec![Line { name: "a < b".into(), points }];
        let label = String::new;
        Plot { title: "many".into(), x_label: label(), y_label: label(), x, law: Law::Linear, lines }
    }

    #[test]
    fn everything_is_inside_of_the_frame() {
        let svg = plot(vec![(1, 50.0), (1000, 60.0)]).draw();
        for points in svg.split("points=\"").skip(1) {
            for point in points.split('"').next().unwrap().split(' ') {
                let (x, y) = point.split_once(',').unwrap();
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                assert!((0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT + 4.0 * LEGEND).contains(&y), "{point}");
            }
        }
    }

    #[test]
    fn names_are_text() {
        assert!(plot(vec![(1, 1.0), (10, 2.0)]).draw().contains("a &lt; b"));
    }

    #[test]
    fn there_is_a_law_only_where_there_are_powers() {
        assert!(plot(vec![(1, 1.0), (10, 10.0)]).draw().contains("class=\"law\""));
        assert!(!plot(vec![(0, 1.0), (10, 10.0)]).draw().contains("class=\"law\""));
    }
}
