//! Drawings side by side in one SVG: each has axes with numbers, and lines, levels and points on them.

use std::fmt::Write;

pub(crate) const WIDTH: f64 = 300.0;
pub(crate) const HEIGHT: f64 = 220.0;
/// Around each panel, for its numbers.
pub(crate) const MARGIN: f64 = 56.0;
const TICKS: usize = 4;

/// One panel: a range of values on each axis.
pub(crate) struct Panel {
    pub left: f64,
    pub x: [f64; 2],
    pub y: [f64; 2],
    /// Of x and of y: doublings are as long as each other.
    pub logarithmic: [bool; 2],
}

/// The start of a drawing that many panels wide; it ends with `</svg>`.
pub(crate) fn begin(panels: usize) -> String {
    let full = panels as f64 * (WIDTH + MARGIN) + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {full} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        HEIGHT + 2.0 * MARGIN
    )
}

/// Text as a drawing takes it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

impl Panel {
    fn across(&self, value: f64) -> f64 {
        self.left + WIDTH * share(value, self.x, self.logarithmic[0])
    }

    fn down(&self, value: f64) -> f64 {
        MARGIN + HEIGHT * (1.0 - share(value, self.y, self.logarithmic[1]))
    }

    /// Its axes, with numbers, its title and what is below.
    pub fn frame(&self, svg: &mut String, title: &str, below: &str) {
        let middle = self.left + WIDTH / 2.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{MARGIN}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#444444\"/>\n\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" font-size=\"13\">{title}</text>\n\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{below}</text>",
            self.left,
            MARGIN - 14.0,
            MARGIN + HEIGHT + 36.0
        );
        for tick in 0..=TICKS {
            let share = tick as f64 / TICKS as f64;
            let y = at(share, self.y, self.logarithmic[1]);
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                self.left - 6.0,
                self.down(y) + 4.0,
                number(y, if self.logarithmic[1] { 0 } else { 2 })
            );
            let x = at(share, self.x, self.logarithmic[0]);
            let x = number(x, if self.logarithmic[0] { 0 } else { 1 });
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{x}</text>",
                self.left + share * WIDTH,
                MARGIN + HEIGHT + 18.0
            );
        }
    }

    /// A line through these points.
    pub fn line(&self, svg: &mut String, points: &[(f64, f64)], colour: &str) {
        let points: Vec<_> =
            points.iter().map(|&(x, y)| format!("{:.1},{:.1}", self.across(x), self.down(y))).collect();
        let points = points.join(" ");
        let _ = writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
    }

    /// A dashed level with its name.
    pub fn level(&self, svg: &mut String, value: f64, name: &str) {
        let (y, right) = (self.down(value), self.left + WIDTH);
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#b03a2e\" stroke-dasharray=\"5 4\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#b03a2e\">{name} {value:.2}</text>",
            self.left,
            right - 6.0,
            y - 5.0
        );
    }

    /// A dot.
    pub fn point(&self, svg: &mut String, (x, y): (f64, f64), colour: &str) {
        let (x, y) = (self.across(x), self.down(y));
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{colour}\" fill-opacity=\"0.5\"/>");
    }
}

/// How far along an axis.
fn share(value: f64, range: [f64; 2], logarithmic: bool) -> f64 {
    let scale = |value: f64| if logarithmic { value.ln() } else { value };
    let [from, to] = range.map(scale);
    (scale(value) - from) / (to - from).max(f64::MIN_POSITIVE)
}

/// What lies there on an axis.
fn at(share: f64, [from, to]: [f64; 2], logarithmic: bool) -> f64 {
    if logarithmic { (from.ln() + share * (to / from).ln()).exp() } else { from + share * (to - from) }
}

/// With so many digits behind the point, or a unit of a thousand or a million.
fn number(value: f64, digits: usize) -> String {
    match value {
        1e6.. => format!("{:.1}M", value / 1e6),
        1e4.. => format!("{:.0}k", value / 1e3),
        _ => format!("{value:.digits$}"),
    }
}
