//! A table as a drawing: ticks over multiplications, and ticks of one.

use runtime::Layer;

use super::{LatencyTable, Outcome};
use crate::panel::{self, MARGIN, Panel, WIDTH, escape};

const MEASURED: &str = "#1f5fa8";
const PREDICTED: &str = "#d55e00";

impl LatencyTable {
    /// SVG; `None` where no layer with multiplications has ticks.
    pub fn plot(&self) -> Option<String> {
        let all = self.of_layers().chain(self.of_openings());
        let points: Vec<_> = all.filter_map(|(layers, _, outcome)| point(layers, outcome)).collect();
        let range = |value: fn(&Point) -> f64| {
            let ends =
                points.iter().map(value).fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
            [ends.0 / 1.1, ends.1 * 1.1]
        };
        let mut rates: Vec<_> = points.iter().map(|point| point.ticks / point.macs).collect();
        rates.sort_by(f64::total_cmp);
        let middle = *rates.get(rates.len() / 2)?;
        let (board, unit) = (escape(&self.provenance.board), escape(&self.provenance.unit));
        let mut svg = panel::begin(2);
        let macs = range(|point| point.macs);

        let ticks = Panel { left: MARGIN, x: macs, y: range(|point| point.ticks), logarithmic: [true; 2] };
        ticks.frame(&mut svg, &format!("{unit} on {board}"), "multiply-accumulates of a layer");
        for point in &points {
            if let Some([low, high]) = point.interval {
                ticks.line(&mut svg, &[(point.macs, low), (point.macs, high)], PREDICTED);
            }
            ticks.point(&mut svg, (point.macs, point.ticks), point.colour());
        }
        let y = [0.0, 1.1 * rates[rates.len() - 1]];
        let rate = Panel { left: MARGIN + WIDTH + MARGIN, x: macs, y, logarithmic: [true, false] };
        let title = format!("{unit} of a multiply-accumulate: measured blue, predicted orange");
        rate.frame(&mut svg, &title, "multiply-accumulates of a layer");
        for point in &points {
            rate.point(&mut svg, (point.macs, point.ticks / point.macs), point.colour());
        }
        rate.level(&mut svg, middle, "median");
        Some(svg + "</svg>\n")
    }
}

struct Point {
    macs: f64,
    ticks: f64,
    interval: Option<[f64; 2]>,
}

impl Point {
    fn colour(&self) -> &'static str {
        if self.interval.is_some() { PREDICTED } else { MEASURED }
    }
}

/// Of a layer, or of two that run as one.
fn point(layers: &[Layer], outcome: &Outcome) -> Option<Point> {
    let macs = Some(layers.iter().map(Layer::macs).sum::<u64>() as f64).filter(|macs| *macs > 0.0)?;
    let interval = match *outcome {
        Outcome::Predicted { low, high, .. } => Some([f64::from(low), f64::from(high)]),
        _ => None,
    };
    Some(Point { macs, ticks: f64::from(outcome.ticks()?), interval })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{linear, openings, table};
    use super::super::{Entry, Opening};
    use crate::estimate::Estimate;

    #[test]
    fn each_layer_and_opening_is_a_dot_in_both_panels_and_a_prediction_has_its_interval() {
        let mut table = table(vec![
            Entry::measured(linear(3), &[70], 1),
            Entry::predicted(linear(4), Estimate { ticks: 90, low: 80, high: 95 }),
            Entry::refused(linear(5), "no"),
        ]);
        table.provenance.board = "<b>".into();
        table.openings = vec![Opening::measured(openings()[0], &[900], 1)];
        let svg = table.plot().unwrap();
        assert_eq!((svg.matches("<circle").count(), svg.matches("<polyline").count()), (6, 1));
        table.openings.clear();
        assert!(svg.contains("cycles on &lt;b>") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        table.layers.remove(0);
        table.layers.remove(0);
        assert_eq!(table.plot(), None);
    }
}
