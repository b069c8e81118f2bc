//! A survey as a drawing: the learning curve beside what noise allows, and what was foretold beside what was measured.

use std::fmt::Write;

use super::Survey;
use crate::plot::{MARGIN, Panel, WIDTH, begin};

impl Survey {
    /// SVG: root mean squared error and Kendall's tau against the number of nets, and the nets held out.
    pub fn plot(&self) -> String {
        let (report, noise) = (&self.report, &self.noise);
        let mut svg = begin(3);
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
