//! `ofa table diff`: two tables, layer by layer.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use trainer::table::{Change, Comparison, LatencyTable, Predicted};

/// Compare two tables: two versions of one board's, a predicted one with a measured one, or those of two boards.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Examples:\n",
        "  ofa table diff latency/before.json latency/mps2-an386.json\n",
        "  ofa table diff latency/mps2-an385.json latency/mps2-an386.json --limit 5",
    )
)]
pub struct Cmd {
    /// The first.
    from: PathBuf,
    /// The second.
    to: PathBuf,
    /// Print so many layers, those that differ most.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Print JSON, with every layer.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let (from, to) = (LatencyTable::open(&self.from)?, LatencyTable::open(&self.to)?);
        let comparison = Comparison::new(&from, &to);
        ensure!(!comparison.layers.is_empty(), "the two tables have no layer in common");
        let text = match self.json {
            true => serde_json::to_string_pretty(&comparison)?,
            false => as_text(&comparison, self.limit),
        };
        Ok(writeln!(std::io::stdout().lock(), "{text}")?)
    }
}

fn as_text(comparison: &Comparison, limit: usize) -> String {
    let Comparison { from, to, layers, only_from, only_to, ratio, spearman, faster, slower, predicted } = comparison;
    let side = |side: &trainer::table::Side| format!("{} in {}, runtime {}", side.board, side.unit, side.runtime);
    let mut lines = vec![
        format!("{} -> {}", side(from), side(to)),
        format!("{} layers in both, {only_from} only in the first, {only_to} only in the second", layers.len()),
        format!("times {ratio:.4} in the geometric mean, Spearman {spearman:.4}"),
    ];
    if from.board == to.board && from.unit == to.unit {
        lines.push(format!("{faster} layers significantly faster, {slower} slower, by the spread of their runs"));
    }
    if let Some(Predicted { layers, median_error, error_of_nine_in_ten, largest_error, inside }) = predicted {
        let [median, nine, largest, inside] =
            [median_error, error_of_nine_in_ten, largest_error, inside].map(|share| 100.0 * share);
        lines.push(format!(
            "{layers} layers predicted in one and measured in the other: median error {median:.2} %, 9 of 10 within \
             {nine:.1} %, largest {largest:.1} %; {inside:.1} % inside their interval"
        ));
    }
    let mut most: Vec<&Change> = layers.iter().filter(|change| change.from != change.to).collect();
    most.sort_by(|a, b| (b.ratio / ratio).ln().abs().total_cmp(&(a.ratio / ratio).ln().abs()));
    if !most.is_empty() && limit > 0 {
        lines.push(String::new());
        lines.push(format!("{:>13} {:>13} {:>8}    layer", "from", "to", "times"));
    }
    lines.extend(most.iter().take(limit).map(|change| {
        let Change { layer, from, to, ratio, significant, .. } = change;
        format!("{from:13} {to:13} {ratio:8.4} {}  {layer}", if *significant { "!" } else { " " })
    }));
    lines.join("\n")
}
