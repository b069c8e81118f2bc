//! `ofa table show`: a table for people.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::slice;

use anyhow::Result;
use clap::{Args, ValueEnum};
use runtime::Layer;
use serde_json::{Value, json};
use trainer::table::{Entry, LatencyTable, Opening, Outcome, kind};

/// Print a table: each kind of layer, then each layer.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Examples:\n",
        "  ofa table show latency/mps2-an386.json\n",
        "  ofa table show latency/mps2-an386.json --sort per-mac --limit 10",
    )
)]
pub struct Cmd {
    /// What `ofa measure` wrote.
    table: PathBuf,
    /// The layers' order.
    #[arg(long, value_enum, default_value_t = Sort::Layer)]
    sort: Sort,
    /// Print so many layers, the first of that order.
    #[arg(long)]
    limit: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// As in the table: by kind and size.
    Layer,
    /// The most first.
    Ticks,
    /// The most ticks of a multiply-accumulate first.
    PerMac,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let table = LatencyTable::open(&self.table)?;
        let mut layers: Vec<&Entry> = table.layers.iter().collect();
        match self.sort {
            Sort::Layer => {}
            Sort::Ticks => layers.sort_by_key(|entry| std::cmp::Reverse(entry.ticks())),
            Sort::PerMac => {
                let rate = |entry: &Entry| per_mac(&entry.outcome, slice::from_ref(&entry.layer));
                layers.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
            }
        }
        layers.truncate(self.limit.unwrap_or(usize::MAX));
        let text = if self.json { format!("{:#}", as_json(&table, &layers)) } else { as_text(&table, &layers) };
        Ok(writeln!(std::io::stdout().lock(), "{text}")?)
    }
}

/// 0 where there are no ticks, or nothing is multiplied.
fn per_mac(outcome: &Outcome, layers: &[Layer]) -> f64 {
    match (outcome.ticks(), macs(layers)) {
        (Some(ticks), macs @ 1..) => f64::from(ticks) / macs as f64,
        _ => 0.0,
    }
}

fn macs(layers: &[Layer]) -> u64 {
    layers.iter().map(Layer::macs).sum()
}

/// The layers of one kind together.
#[derive(Default)]
struct Kind {
    measured: usize,
    predicted: usize,
    refused: usize,
    ticks: u64,
    macs: u64,
}

fn kinds(table: &LatencyTable) -> BTreeMap<&'static str, Kind> {
    let mut kinds: BTreeMap<_, Kind> = BTreeMap::new();
    for entry in &table.layers {
        let of = kinds.entry(kind(&entry.layer)).or_default();
        match entry.outcome {
            Outcome::Measured { .. } => of.measured += 1,
            Outcome::Predicted { .. } => of.predicted += 1,
            Outcome::Refused(_) => of.refused += 1,
        }
        if let Some(ticks) = entry.ticks() {
            of.ticks += u64::from(ticks);
            of.macs += entry.layer.macs();
        }
    }
    kinds
}

fn as_json(table: &LatencyTable, layers: &[&Entry]) -> Value {
    let kinds = kinds(table).into_iter().map(|(name, kind)| {
        let Kind { measured, predicted, refused, ticks, macs } = kind;
        let per_mac = (macs > 0).then(|| ticks as f64 / macs as f64);
        let fields = json!({
            "measured": measured,
            "predicted": predicted,
            "refused": refused,
            "ticks": ticks,
            "macs": macs,
            "ticks_per_mac": per_mac,
        });
        (name.to_string(), fields)
    });
    let row = |text: &str, kind: &str, outcome: &Outcome, layers: &[Layer]| {
        json!({
            "layer": text,
            "kind": kind,
            "macs": macs(layers),
            "outcome": outcome,
            "ticks_per_mac": Some(per_mac(outcome, layers)).filter(|rate| *rate > 0.0),
            "milliseconds": outcome.ticks().and_then(|ticks| table.provenance.milliseconds(ticks.into())),
        })
    };
    let layer = |entry: &&Entry| {
        let Entry { text, outcome, layer } = entry;
        row(text, kind(layer), outcome, slice::from_ref(layer))
    };
    let opening = |Opening { text, outcome, layers }: &Opening| row(text, "opening", outcome, layers);
    json!({
        "header": table.header,
        "provenance": table.provenance,
        "firmware": table.firmware,
        "kinds": kinds.collect::<serde_json::Map<_, _>>(),
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        "openings": table.openings.iter().map(opening).collect::<Vec<_>>(),
    })
}

fn as_text(table: &LatencyTable, layers: &[&Entry]) -> String {
    let from = &table.provenance;
    let mut lines = vec![
        format!("{}, {} at {} MHz, in {}", from.board, from.core, f64::from(from.clock_hz) / 1e6, from.unit),
        format!("runtime {}, {}, space {}, by: {}", from.runtime, from.date, table.header.space, from.command),
        String::new(),
        format!(
            "{:10} {:>8} {:>9} {:>7} {:>13} {:>8}",
            "kind", "measured", "predicted", "refused", from.unit, "per MAC"
        ),
    ];
    for (name, Kind { measured, predicted, refused, ticks, macs }) in kinds(table) {
        let rate = if macs == 0 { "-".into() } else { format!("{:.3}", ticks as f64 / macs as f64) };
        lines.push(format!("{name:10} {measured:8} {predicted:9} {refused:7} {ticks:13} {rate:>8}"));
    }
    lines.push(String::new());
    let in_time = from.milliseconds(1).is_some();
    let time = |text: String| if in_time { format!(" {text:>10}") } else { String::new() };
    lines.push(format!("{:>13} {:>9}{} {:>8}  layer", from.unit, "+-", time("ms".into()), "per MAC"));
    let line = |text: &str, outcome: &Outcome, layers: &[Layer]| {
        let rate = match per_mac(outcome, layers) {
            0.0 => "-".into(),
            rate => format!("{rate:.3}"),
        };
        let milliseconds = |ticks: u32| time(format!("{:.3}", from.milliseconds(ticks.into()).unwrap_or_default()));
        match outcome {
            Outcome::Measured { ticks, mad, .. } => {
                format!("{ticks:13} {mad:>9}{} {rate:>8}  {text}", milliseconds(*ticks))
            }
            Outcome::Predicted { ticks, low, high } => {
                let half = (high - low) / 2;
                format!("{ticks:13} {half:>9}{} {rate:>8}  {text} (predicted)", milliseconds(*ticks))
            }
            Outcome::Refused(cause) => {
                format!("{:>13} {:>9}{} {:>8}  {text}: {cause}", "-", "-", time("-".into()), "-")
            }
        }
    };
    lines.extend(layers.iter().map(|entry| line(&entry.text, &entry.outcome, slice::from_ref(&entry.layer))));
    if !table.openings.is_empty() {
        lines.push("stems and first blocks, which run as one:".into());
        lines.extend(table.openings.iter().map(|Opening { text, outcome, layers }| line(text, outcome, layers)));
    }
    lines.join("\n")
}
