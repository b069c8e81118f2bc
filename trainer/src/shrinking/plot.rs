//! The study's plot: accuracy over multiply-accumulates on a logarithmic axis.

use std::fmt::Write;

use super::{Row, Shrinking, Way};
use crate::panel::escape;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
/// Left, top, right, bottom.
const MARGIN: [f64; 4] = [60.0, 40.0, 20.0, 50.0];
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000"];

pub(super) fn draw(study: &Shrinking) -> String {
    let [left, top, right, bottom] = MARGIN;
    let macs = |row: &Row| (row.macs.max(1) as f64).log10();
    let (from, to) = range(study.rows.iter().map(macs), 0.05);
    let ways = || study.rows.iter().flat_map(|row| &row.ways);
    let (low, high) = range(ways().flat_map(|way| [way.mean - way.error, way.mean + way.error]), 0.005);
    let x = |value: f64| left + (value - from) / (to - from) * (WIDTH - left - right);
    let y = |value: f64| HEIGHT - bottom - (value - low) / (high - low) * (HEIGHT - top - bottom);

    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>
<text x="{left}" y="20">Test accuracy, space {}: {} steps, {} seed(s)</text>
"##,
        escape(&study.space),
        study.steps,
        study.seeds.len()
    );
    let mut line = |element: std::fmt::Arguments| {
        svg.write_fmt(element).expect("a string takes anything");
        svg.push('\n');
    };
    for i in 0..=5 {
        let value = low + (high - low) * f64::from(i) / 5.0;
        let at = y(value);
        line(format_args!(
            r##"<line x1="{left}" y1="{at:.1}" x2="{:.1}" y2="{at:.1}" stroke="#dddddd"/>"##,
            WIDTH - right
        ));
        line(format_args!(
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{:.1} %</text>"#,
            left - 6.0,
            at + 4.0,
            100.0 * value
        ));
    }
    for row in &study.rows {
        line(format_args!(
            r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{:.2}</text>"#,
            x(macs(row)),
            HEIGHT - bottom + 18.0,
            row.macs as f64 / 1e6
        ));
    }
    line(format_args!(r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">MMAC</text>"#, WIDTH / 2.0, HEIGHT - 10.0));
    let count = study.rows.first().map_or(0, |row| row.ways.len());
    for (i, colour) in COLOURS.iter().cycle().take(count).enumerate() {
        let points: Vec<(f64, &Way)> = study.rows.iter().map(|row| (x(macs(row)), &row.ways[i])).collect();
        let path: Vec<_> = points.iter().map(|(x, way)| format!("{x:.1},{:.1}", y(way.mean))).collect();
        line(format_args!(r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#, path.join(" ")));
        for (x, way) in &points {
            let [up, down] = [way.mean + way.error, way.mean - way.error].map(y);
            line(format_args!(r#"<line x1="{x:.1}" y1="{up:.1}" x2="{x:.1}" y2="{down:.1}" stroke="{colour}"/>"#));
            line(format_args!(r#"<circle cx="{x:.1}" cy="{:.1}" r="3" fill="{colour}"/>"#, y(way.mean)));
        }
        let name = points.first().map_or("", |(_, way)| &way.recipe);
        let at = HEIGHT - bottom - 12.0 - 16.0 * (count - 1 - i) as f64;
        line(format_args!(
            r#"<text x="{:.1}" y="{at:.1}" text-anchor="end" fill="{colour}">{}</text>"#,
            WIDTH - right - 6.0,
            escape(name)
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

/// The least and the greatest value, and so much room on both sides.
fn range(values: impl Iterator<Item = f64>, room: f64) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    (low - room, high + room)
}

#[cfg(test)]
mod tests {
    use super::super::ways;
    use super::*;
    use crate::space::Space;

    #[test]
    fn a_plot_has_a_line_for_each_way_and_a_point_for_each_net() {
        let space = Space::load("fashion").unwrap();
        let names = ["a", "b", "c", "d", "e"].into_iter();
        let ways = ways(names, vec![vec![0.9, 0.8]; 5], 100);
        let row = |macs| Row { name: "a".into(), arch: space.smallest(), macs, ways: ways.clone() };
        let study = Shrinking {
            space: "<&>".into(),
            steps: 10,
            seeds: vec![1, 2],
            images: 100,
            rows: [1_000_000, 8_000_000].map(row).into(),
        };
        let svg = draw(&study);
        assert_eq!(svg.matches("<polyline").count(), 5);
        assert_eq!(svg.matches("<circle").count(), 10);
        assert!(svg.contains("space &lt;&amp;>") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
