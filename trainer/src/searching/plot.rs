//! The study as a drawing: accuracy over latency, and what came true over what was foretold.

use std::fmt::Write;

use super::{Answer, Searching, WAYS};
use crate::panel::{self, HEIGHT, MARGIN, Panel, WIDTH};

const PREDICTED: &str = "#999999";
const FRONT: &str = "#000000";
/// Of the ways to a net.
const COLOURS: [&str; 5] = ["#d55e00", "#e69f00", "#0072b2", "#cc79a7", "#009e73"];

impl Searching {
    /// SVG.
    pub fn plot(&self) -> String {
        let mut svg = panel::begin(2);
        let latency = |answer: &Answer| answer.net.cost.and_then(|cost| cost.latency).unwrap_or(0) as f64;
        let predicted = |answer: &Answer| 100.0 * f64::from(answer.net.accuracy);
        let test = |answer: &Answer| 100.0 * answer.test.accuracy;
        let ways_and_colours = || WAYS.into_iter().zip(COLOURS);
        let ways = || self.limits.iter().flat_map(|row| row.ways.iter().map(|way| &way.answer));
        let all = || self.front.iter().chain(ways());
        let accuracies = || all().flat_map(|answer| [predicted(answer), test(answer)]);

        let panel = Panel {
            left: MARGIN,
            x: range(all().map(latency)),
            y: with_room(range(accuracies())),
            logarithmic: [true, false],
        };
        panel.frame(&mut svg, "accuracy, %", &panel::escape(&format!("latency, {}", self.unit)));
        let line: Vec<_> = self.front.iter().map(|answer| (latency(answer), predicted(answer))).collect();
        panel.line(&mut svg, &line, PREDICTED);
        for answer in &self.front {
            panel.point(&mut svg, (latency(answer), test(answer)), FRONT);
        }
        for row in &self.limits {
            for way in &row.ways {
                let (_, colour) = ways_and_colours().find(|(name, _)| *name == way.name).expect("it is one of them");
                panel.point(&mut svg, (latency(&way.answer), test(&way.answer)), colour);
            }
        }
        let names =
            [("front: predicted", PREDICTED), ("front: test images", FRONT)].into_iter().chain(ways_and_colours());
        for (line, (name, colour)) in names.enumerate() {
            let [x, y] = [panel.left + WIDTH - 6.0, MARGIN + HEIGHT - 90.0 + 14.0 * line as f64];
            let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>");
        }

        let range = with_room(range(self.front.iter().flat_map(|answer| [predicted(answer), test(answer)])));
        let panel = Panel { left: panel.left + WIDTH + MARGIN, x: range, y: range, logarithmic: [false; 2] };
        panel.frame(&mut svg, "accuracy on test images, %", "predicted accuracy, %");
        panel.line(&mut svg, &[(range[0], range[0]), (range[1], range[1])], PREDICTED);
        for answer in &self.front {
            panel.point(&mut svg, (predicted(answer), test(answer)), FRONT);
        }
        svg + "</svg>\n"
    }
}

/// The least and the greatest value, apart from each other.
fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if high > low { [low, high] } else { [low, low + 1.0] }
}

/// So that no dot lies on the frame.
fn with_room([low, high]: [f64; 2]) -> [f64; 2] {
    let room = 0.05 * (high - low);
    [low - room, high + room]
}
