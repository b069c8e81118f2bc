//! The best spaces beside each other: the distribution of multiply-accumulates of the nets that the board holds.

use std::fmt::Write;

use super::Candidate;
use crate::panel::{HEIGHT, MARGIN, Panel, WIDTH, begin};

const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555"];

pub(super) fn draw(candidates: &[Candidate]) -> String {
    let shown: Vec<_> = candidates.iter().zip(COLOURS).collect();
    let mega = |macs: u64| macs as f64 / 1e6;
    let most = shown.iter().filter_map(|(candidate, _)| candidate.macs.last()).max().map_or(1.0, |&macs| mega(macs));
    let mut svg = begin(2);
    let panel = Panel { left: MARGIN, x: [0.0, most], y: [0.0, 100.0], logarithmic: [false; 2] };
    panel.frame(&mut svg, "nets that fit, with at most so many MACs, %", "MMAC");
    let right = panel.left + WIDTH + MARGIN / 2.0;
    for (i, (candidate, colour)) in shown.iter().enumerate() {
        let count = candidate.macs.len() as f64;
        let share = |(at, &macs): (usize, &u64)| (mega(macs), 100.0 * (at + 1) as f64 / count);
        panel.line(&mut svg, &candidate.macs.iter().enumerate().map(share).collect::<Vec<_>>(), colour);
        let Candidate { width, resolutions, fit, mean_macs, .. } = candidate;
        let side = resolutions.last().copied().unwrap_or_default();
        let _ = writeln!(
            svg,
            "<text x=\"{right}\" y=\"{:.0}\" fill=\"{colour}\">width {width:.1}, up to {side} px: mean {:.2} MMAC, {:.0} % \
             fit</text>",
            MARGIN + HEIGHT / 6.0 * (i + 1) as f64,
            mean_macs / 1e6,
            100.0 * fit
        );
    }
    svg + "</svg>\n"
}
