//! Drawings for files: panels with axes, as SVG.

use std::fmt::Write;

/// Of a panel, in pixels.
pub(crate) const WIDTH: f64 = 300.0;
/// Of a panel, in pixels.
pub(crate) const HEIGHT: f64 = 220.0;
/// Around each panel, for its numbers.
pub(crate) const MARGIN: f64 = 56.0;
const TICKS: usize = 4;

/// One panel: a range of values on each axis, its title and what the axes are.
pub(crate) struct Panel {
    /// Pixels before it.
    pub left: f64,
    pub x: [f64; 2],
    pub y: [f64; 2],
    /// Doublings are as long as each other.
    pub logarithmic: bool,
}

/// The beginning of a drawing of so many panels side by side; `</svg>` ends it.
pub(crate) fn begin(panels: usize) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        panels as f64 * (WIDTH + MARGIN) + MARGIN,
        HEIGHT + 2.0 * MARGIN
    )
}

impl Panel {
    pub fn across(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.ln() } else { value };
        let [from, to] = self.x.map(scale);
        self.left + WIDTH * (scale(value) - from) / (to - from).max(f64::MIN_POSITIVE)
    }

    pub fn down(&self, value: f64) -> f64 {
        MARGIN + HEIGHT * (1.0 - (value - self.y[0]) / (self.y[1] - self.y[0]).max(f64::MIN_POSITIVE))
    }

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
            let y = self.y[0] + share * (self.y[1] - self.y[0]);
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{y:.2}</text>",
                self.left - 6.0,
                self.down(y) + 4.0
            );
            let x = if self.logarithmic {
                (self.x[0].ln() + share * (self.x[1] / self.x[0]).ln()).exp()
            } else {
                self.x[0] + share * (self.x[1] - self.x[0])
            };
            let digits = if self.logarithmic { 0 } else { 1 };
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{x:.digits$}</text>",
                self.left + share * WIDTH,
                MARGIN + HEIGHT + 18.0
            );
        }
    }

    pub fn line(&self, svg: &mut String, points: &[(f64, f64)], colour: &str) {
        let points: Vec<_> =
            points.iter().map(|&(x, y)| format!("{:.1},{:.1}", self.across(x), self.down(y))).collect();
        let points = points.join(" ");
        let _ = writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
    }
}
