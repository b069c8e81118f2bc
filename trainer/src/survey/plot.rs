//! A survey as a drawing: the learning curve beside what noise allows, and what was foretold beside what was measured.

use std::fmt::Write;

use super::Survey;

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 220.0;
/// Around each panel, for its numbers.
const MARGIN: f64 = 56.0;
const TICKS: usize = 4;

/// One panel: a range of values on each axis, its title and what the axes are.
struct Panel {
    left: f64,
    x: [f64; 2],
    y: [f64; 2],
    /// Doublings are as long as each other.
    logarithmic: bool,
}

impl Survey {
    /// SVG: root mean squared error and Kendall's tau against the number of nets, and the nets held out.
    pub fn plot(&self) -> String {
        let (report, noise) = (&self.report, &self.noise);
        let full = 3.0 * (WIDTH + MARGIN) + MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {full} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
            HEIGHT + 2.0 * MARGIN
        );
        let curve = |value: fn(f64, f64) -> f64| {
            report.curve.iter().map(move |point| (point.samples as f64, value(point.rmse, point.kendall_tau)))
        };
        let ends = [report.curve[0].samples as f64, (report.curve[report.curve.len() - 1].samples as f64).max(1.0)];
        let errors: Vec<_> = curve(|rmse, _| 100.0 * rmse).collect();
        let taus: Vec<_> = curve(|_, tau| tau).collect();
        let beside = 100.0 * noise.beside.standard_error;

        let highest = errors.iter().fold(beside, |most, (_, error)| most.max(*error));
        let panel = Panel { left: MARGIN, x: ends, y: [0.0, 1.1 * highest], logarithmic: true };
        panel.frame(&mut svg, "error on nets held out, points", "nets trained on");
        panel.line(&mut svg, &errors, "#1f5fa8");
        panel.level(&mut svg, beside, "noise of the accuracies");

        let panel = Panel { left: panel.left + WIDTH + MARGIN, x: ends, y: [0.0, 1.0], logarithmic: true };
        panel.frame(&mut svg, "Kendall's tau on nets held out", "nets trained on");
        panel.line(&mut svg, &taus, "#1f5fa8");
        panel.level(&mut svg, noise.beside.tau, "who knows the truth");

        let foretold = report.foretold.iter().map(|prediction| 100.0 * f64::from(prediction.accuracy));
        let pairs: Vec<_> = foretold.zip(self.samples.iter().map(|sample| 100.0 * sample.accuracy)).collect();
        let all = || pairs.iter().flat_map(|(foretold, measured)| [*foretold, *measured]);
        let range = [all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max)];
        let panel = Panel { left: panel.left + WIDTH + MARGIN, x: range, y: range, logarithmic: false };
        panel.frame(&mut svg, "measured accuracy, %", "foretold accuracy, %");
        panel.line(&mut svg, &[(range[0], range[0]), (range[1], range[1])], "#999999");
        for (foretold, measured) in pairs {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2\" fill=\"#1f5fa8\" fill-opacity=\"0.5\"/>",
                panel.across(foretold),
                panel.down(measured)
            );
        }
        svg + "</svg>\n"
    }
}

impl Panel {
    fn across(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.ln() } else { value };
        let [from, to] = self.x.map(scale);
        self.left + WIDTH * (scale(value) - from) / (to - from).max(f64::MIN_POSITIVE)
    }

    fn down(&self, value: f64) -> f64 {
        MARGIN + HEIGHT * (1.0 - (value - self.y[0]) / (self.y[1] - self.y[0]).max(f64::MIN_POSITIVE))
    }

    fn frame(&self, svg: &mut String, title: &str, below: &str) {
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

    fn line(&self, svg: &mut String, points: &[(f64, f64)], colour: &str) {
        let points: Vec<_> =
            points.iter().map(|&(x, y)| format!("{:.1},{:.1}", self.across(x), self.down(y))).collect();
        let points = points.join(" ");
        let _ = writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
    }

    /// A dashed level with its name.
    fn level(&self, svg: &mut String, value: f64, name: &str) {
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
}
