//! `ofa compile`: a float subnet becomes an integer model for firmware.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Error, Result, bail, ensure};
use clap::Args;
use trainer::board::Board;
use trainer::compile::{Report, Settings, compile};
use trainer::dataset::Dataset;
use trainer::files;
use trainer::model::{arena_bytes, flash_bytes};
use trainer::quantise::{Method, Reach};
use trainer::subnet::Subnet;
use trainer::table::LatencyTable;

/// Quantise a subnet to int8 and write it as Rust source for firmware, with a report.
#[derive(Args)]
#[command(after_help = "Examples:\n  ofa compile subnet.onnx --table latency/mps2-an386.json --board mps2-an386")]
pub struct Cmd {
    /// From `ofa extract`.
    #[arg(default_value = "subnet.onnx")]
    subnet: PathBuf,
    /// The folder for model.rs, weights.bin, model.json, golden.json and report.json.
    #[arg(long, default_value = "model")]
    out: PathBuf,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Training images from which the ranges of the activations come.
    #[arg(long, default_value_t = 512)]
    calibration: usize,
    /// How far the ranges reach: least-error (rounding and clipping together), extremes, or percentile (all but one of
    /// ten thousand values at either end).
    #[arg(long, default_value = "least-error", value_name = "METHOD", value_parser = parse_reach)]
    ranges: Reach,
    /// Leave biases as rounding makes them, instead of giving each channel the mean that it has in float.
    #[arg(long)]
    plain_biases: bool,
    /// From `ofa measure`: the report then has each layer's latency.
    #[arg(long)]
    table: Option<PathBuf>,
    /// A folder of boards/ that the net must fit; with --table, so must the code and the variables beside it.
    #[arg(long)]
    board: Option<String>,
    /// Which training images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        ensure!(self.calibration > 0, "--calibration 0 leaves no images to find the ranges with");
        let subnet = Subnet::load(&self.subnet)?;
        let board = self.board.as_deref().map(Board::load).transpose()?;
        let dataset = Dataset::named(self.data, subnet.layers[0].0.input().channels)?;
        let table = self.table.map(|path| LatencyTable::load_for(&path, &subnet.header.space, "SPACE")).transpose()?;
        if let Some(board) = &board {
            check_fit(&subnet, board, table.as_ref())?;
        }
        files::check_writable(&self.out.join("report.json"))?;
        let settings = Settings {
            calibration_images: self.calibration,
            seed: self.seed,
            method: Method { reach: self.ranges, correct_biases: !self.plain_biases },
            table: table.as_ref(),
        };
        let compilation = compile(&subnet, &dataset, &settings)?;
        compilation.save(&self.out)?;
        let report = &compilation.report;
        let text = if self.json {
            serde_json::to_string_pretty(report)?
        } else {
            format!("{}\n{}", as_text(report), self.out.display())
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}

fn parse_reach(name: &str) -> Result<Reach> {
    Ok(match name {
        "least-error" => Reach::LeastError,
        "extremes" => Reach::Extremes,
        "percentile" => Reach::Percentile,
        _ => bail!("there is no {name}, only least-error, extremes and percentile"),
    })
}

/// Before anything is quantised: what the planner places and what the weights take are known from the layers.
fn check_fit(subnet: &Subnet, board: &Board, table: Option<&LatencyTable>) -> Result<()> {
    if let Some(table) = table {
        let measured = &table.provenance.board;
        ensure!(*measured == board.name, "the table was measured on {measured}, not on {}", board.name);
    }
    let layers: Vec<_> = subnet.layers.iter().map(|(layer, _)| *layer).collect();
    let cost = table.and_then(|table| table.firmware);
    let (code, variables) = cost.map_or((0, 0), |cost| (cost.code_bytes, cost.static_bytes));
    let memories = [
        ("SRAM", arena_bytes(&layers) + variables, board.ram_bytes),
        ("flash", flash_bytes(&layers) + code, board.flash_bytes),
    ];
    let missed: Vec<_> = memories
        .into_iter()
        .filter_map(|(memory, needed, there)| {
            let missing = needed.checked_sub(there as usize).filter(|&missing| missing > 0)?;
            Some(format!("{memory} by {missing} bytes ({needed} of {there})"))
        })
        .collect();
    if missed.is_empty() { Ok(()) } else { Err(Error::new(Misses { board: board.name.clone(), memories: missed })) }
}

/// A net that its board has no room for.
#[derive(Debug)]
pub struct Misses {
    board: String,
    /// Which, and by how much.
    memories: Vec<String>,
}

impl std::fmt::Display for Misses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the net misses {}'s {}", self.board, self.memories.join(" and "))
    }
}

impl std::error::Error for Misses {}

fn as_text(report: &Report) -> String {
    let latency = report.latency.as_ref();
    let share = |part: f64, whole: f64| format!("{:.0} %", 100.0 * part / whole.max(1.0));
    let mut lines = vec![format!(
        "{:>6} {:>9} {:>6} {:>8} {:>8} {:>9}  layer",
        "MACs",
        "flash",
        "",
        "SRAM",
        "SNR dB",
        latency.map_or("", |latency| &latency.unit)
    )];
    for layer in &report.layers {
        let ticks = layer.ticks.map_or(String::new(), |ticks| ticks.to_string());
        lines.push(format!(
            "{:>6} {:>9} {:>6} {:>8} {:>8.1} {ticks:>9}  {}",
            share(layer.macs as f64, report.macs as f64),
            layer.flash_bytes,
            share(layer.flash_bytes as f64, report.flash_bytes as f64),
            layer.arena_bytes,
            layer.snr_db,
            layer.layer
        ));
    }
    let accuracy = &report.accuracy;
    lines.push(format!(
        "accuracy on {} test images: float {:.2} %, int8 {:.2} %",
        accuracy.images,
        100.0 * accuracy.float,
        100.0 * accuracy.int8
    ));
    let latency = latency.map_or(String::new(), |latency| format!(", {} {}", latency.predicted, latency.unit));
    lines.push(format!(
        "{:.2} MMAC, {} parameters, {} bytes of SRAM, {} bytes of flash{latency}",
        report.macs as f64 / 1e6,
        report.parameters,
        report.sram_bytes,
        report.flash_bytes
    ));
    lines.join("\n")
}
